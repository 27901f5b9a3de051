// Visiting states breadth first: everything that a model can do, each state once, in the order in
// which they are found. There are two walks, which give every state the same number: this one, and
// the engine (engine.ts), which is WebAssembly. This one is the reference.

import type { Model, Move, PatcherMove } from '../../machine/sim/model.js';
import { expand, type Moves } from './expand.js';
import type { Graph } from './graph.js';
import { CpuLanes, LANES, cpuLane, patcherLane } from './lasso.js';
import { normalise, widthOf, type Shape } from './state.js';
import { EdgeList, StateTable } from './table.js';

/**
 * What a walk tells as it goes; of each move at least the first time that it is met, unless the
 * move was no news when its part of the machine was met.
 */
export interface Reports {
  /** Whether all that the move breaks was broken before. */
  isKnown(move: Move): boolean;
  /** The move breaks a promise; where its `cpu` is negative, the machine cannot go on. */
  broken(state: number, move: Move): void;
  /** The machine met what it does not know. No state is expanded behind this one. */
  unknown(text: string): void;
}

/** The edges between all states, and those where the program or a path has ended. */
export interface Edges extends Graph {
  readonly ends: Iterable<number>;
}

export interface Walk {
  /** States that were found. */
  readonly count: number;
  /** Moves that were made, the first state among them. */
  readonly transitions: number;
  /** Of the states with their parents and the set of visited ones; of the edges between them. */
  readonly bytes: number;
  readonly edgeBytes: number;
  /**
   * Expands states in turn, at most so many, and only while no more than `limit` were found.
   * @returns whether some are left
   */
  advance(most: number, limit: number): boolean;
  /**
   * Whether it is known without the edges that an end is in reach everywhere, and that nothing goes
   * on forever without one.
   */
  isSettled(): boolean;
  /** Of a walk that left no state. */
  edges(): Edges;
  /** Lets go of threads that helped. What was found can still be read. */
  close(): void;
  read(id: number, into: Int32Array): void;
  /** -1 for a state that was not visited. */
  find(state: Int32Array): number;
  /** The ids from the first state to this one. */
  path(id: number): number[];
}

export class ReferenceWalk implements Walk, Moves {
  readonly #model: Model;
  readonly #shape: Shape;
  readonly #partial: boolean;
  readonly #reports: Reports;
  readonly #states: StateTable;
  readonly #edges = new EdgeList();
  readonly #lanes = new CpuLanes();
  readonly #ends: number[] = [];
  readonly #state: Int32Array;
  /** Where `expand` leaves the state that a move leads to. */
  readonly #next: Int32Array;
  /** The state that is expanded; -1 before the first. */
  #at = -1;
  #halted = false;
  transitions = 0;

  constructor(model: Model, shape: Shape, partial: boolean, reports: Reports) {
    this.#model = model;
    this.#shape = shape;
    this.#partial = partial;
    this.#reports = reports;
    this.#states = new StateTable(widthOf(shape));
    this.#state = new Int32Array(widthOf(shape));
    this.#next = new Int32Array(widthOf(shape));
    this.#next.set(model.initial(shape.cpus, shape.waiting));
    this.#visit();
    this.#at = 0;
  }

  get count(): number {
    return this.#states.count;
  }
  get bytes(): number {
    return this.#states.bytes;
  }
  get edgeBytes(): number {
    return this.#edges.bytes;
  }

  advance(most: number, limit: number): boolean {
    const [model, shape, states] = [this.#model, this.#shape, this.#states];
    for (let left = most; left > 0 && this.#at < states.count; left--) {
      if (this.#halted || states.count > limit) break;
      this.#edges.begin();
      states.read(this.#at, this.#state);
      const ended = expand(model, shape, this.#partial, this.#state, this.#next, this);
      if (ended) this.#ends.push(this.#at);
      this.#at++;
    }
    return this.#at < states.count;
  }

  isSettled(): boolean {
    return false;
  }
  edges(): Edges {
    return { ...this.#edges.graph(), ends: this.#ends };
  }
  close(): void {}
  read(id: number, into: Int32Array): void {
    this.#states.read(id, into);
  }
  find(state: Int32Array): number {
    return this.#states.find(state);
  }
  path(id: number): number[] {
    return this.#states.path(id);
  }

  // What `expand` reports.

  patcher(move: PatcherMove): void {
    this.#edges.add(this.#visit(), patcherLane(move));
  }
  cpu(move: number, _: number, who: number): void {
    this.#edges.add(this.#visit(), this.#lanes.of(this.#model.table, move, who));
  }
  swapped(_: number, task: number): void {
    this.#edges.add(this.#visit(), LANES.switch + task);
  }
  broken(move: Move, _: number, who: number, over: boolean): void {
    this.#reports.broken(this.#at, move);
    if (!over) return;
    // That the machine cannot go on is no deadlock.
    this.#ends.push(this.#at);
    this.#edges.add(-1, cpuLane(move.action, who));
  }
  unknown(text: string): void {
    this.#halted = true;
    this.#reports.unknown(text);
  }

  #visit(): number {
    this.transitions++;
    normalise(this.#next, this.#shape);
    return this.#states.intern(this.#next, this.#at);
  }
}

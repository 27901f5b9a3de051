// The walk in WebAssembly (engine/search.ts): the same states in the same order as the reference
// (walk.ts), without an object for any of them. The moves of a part of the machine are computed
// here when the engine meets them for the first time, and written into its memory as a row.

import type { Model } from '../../machine/sim/model.js';
import { crewOf } from './crew.js';
import { alone, hasWebAssembly, type Driver, type Exports, type Host } from './instance.js';
import { CpuLanes, patcherLane } from './lasso.js';
import { neverReturns, type PatcherRow } from './ranks.js';
import { widthOf, type Shape } from './state.js';
import { ReferenceWalk, type Edges, type Reports, type Walk } from './walk.js';

/**
 * `chosen`: WebAssembly where there is any and it knows the machine. `together`: on several threads
 * from the first state on, which pays for a large search alone.
 */
export type Engine = 'chosen' | 'reference' | 'wasm' | 'together';

/** @param threads that may search together; a small search takes one */
export function walkOf(
  engine: Engine,
  threads: number,
  ...[model, shape, partial, reports]: ConstructorParameters<typeof ReferenceWalk>
): Walk {
  if (engine === 'reference' || !isKnown(shape) || !hasWebAssembly())
    return new ReferenceWalk(model, shape, partial, reports);
  const driverOf = (host: Host): Driver =>
    (threads > 1 ? crewOf(host, threads, engine === 'together') : null) ?? alone(host);
  return new EngineWalk(driverOf, model, shape, partial, reports);
}

/** Tasks that are switched stay with the reference, and so does what has no room in a state. */
const isKnown = (shape: Shape): boolean => shape.waiting === 0 && widthOf(shape) <= WIDTH_MAX;
const WIDTH_MAX = 16;
/** The largest number of 32 bits: Infinity would become 0 there. */
const UNLIMITED = 0xffff_ffff;

/** Words of a row and of a move, and bits of `kind` above those of an edge (engine/tables.ts). */
const ROW = { environment: 0, earlier: 1, first: 2, count: 3, words: 4 } as const;
const MOVE = { to: 0, environment: 1, broadcast: 2, kind: 3, words: 4 } as const;
const KIND = { untold: 1 << 8, answered: 1 << 9, alone: 1 << 10 } as const;
const PATCHER = { finished: 1, buffers: 2 } as const;
/** Rows are taken so many words at once. */
const SLAB = 1 << 14;

class EngineWalk implements Walk {
  readonly #model: Model;
  readonly #reports: Reports;
  readonly #driver: Driver;
  readonly #engine: Exports;
  readonly #lanes = new CpuLanes();
  readonly #patcherRows: PatcherRow[] = [];
  readonly #isEndless: boolean;
  /** Where the engine takes and leaves states. */
  readonly #next: number;
  #words: Int32Array;
  /** Where the next row goes, and where its slab ends, in words. */
  #free = 0;
  #end = 0;
  edgeBytes = 0;

  constructor(
    driverOf: (host: Host) => Driver,
    ...[model, shape, partial, reports]: ConstructorParameters<typeof ReferenceWalk>
  ) {
    this.#model = model;
    this.#reports = reports;
    const { passes, updates } = model.fixture.options;
    this.#isEndless = passes === 'any' || updates === 'any';
    const { cpus, sorted } = shape;
    this.#driver = driverOf({
      movesOf: (cpu, environment) => this.#movesOf(cpu, environment),
      patcherMovesOf: (patcher, environment) => this.#patcherMovesOf(patcher, environment),
      after: (broadcast, cpu) => model.broadcast(broadcast, cpu),
      bitsOf: (cpu) => model.bitsOf(cpu),
      patcherBitsOf: (patcher) =>
        (model.patcherDone(patcher) ? PATCHER.finished : 0) |
        (model.patcherBuffers(patcher) ? PATCHER.buffers : 0),
      broken: (state, move) => this.#broken(state, move),
      exhausted: () => {
        throw new RangeError('Array buffer allocation failed');
      },
      lost: () => {
        throw new Error('a thread that helped with the search has ended by itself');
      },
    });
    this.#engine = this.#driver.engine;
    this.#words = new Int32Array(this.#driver.memory.buffer);
    this.#next = this.#engine.next.value;
    this.#place(model.initial(cpus, shape.waiting));
    const local = partial && !model.fixture.events.preempt;
    this.#engine.start(cpus, sorted, partial, local, model.hosted);
  }

  get count(): number {
    return this.#engine.found();
  }
  get transitions(): number {
    return this.#engine.transitions.value;
  }
  get bytes(): number {
    return this.#engine.bytes();
  }

  advance(most: number, limit: number): boolean {
    return this.#driver.advance(most, Math.min(limit, UNLIMITED)) < this.count;
  }
  close(): void {
    this.#driver.close();
  }

  isSettled(): boolean {
    if (this.#isEndless || this.#engine.idle.value > 0) return false;
    const { table } = this.#model;
    return neverReturns({ table, lanes: this.#lanes, patchers: this.#patcherRows });
  }

  edges(): Edges {
    const { memory } = this.#driver;
    const { graph, overs, ends, firsts, targets, kinds, ended } = this.#engine;
    graph();
    const { count } = this;
    const edges = this.transitions - 1 + overs.value;
    this.edgeBytes = 4 * (count + 1) + 5 * edges;
    return {
      count,
      first: new Int32Array(memory.buffer, firsts.value, count + 1),
      to: new Int32Array(memory.buffer, targets.value, edges),
      kind: new Uint8Array(memory.buffer, kinds.value, edges),
      ends: new Int32Array(memory.buffer, ended.value, ends.value),
    };
  }

  read(id: number, into: Int32Array): void {
    this.#engine.read(id, this.#next);
    const words = this.#view();
    const from = this.#next >> 2;
    for (let i = 0; i < into.length; i++) into[i] = words[from + i]!;
  }
  find(state: Int32Array): number {
    this.#place(state);
    return this.#engine.find();
  }
  path(id: number): number[] {
    const ids: number[] = [];
    for (let at = id; at >= 0; at = this.#engine.parentOf(at)) ids.push(at);
    return ids.reverse();
  }

  #place(state: Int32Array): void {
    this.#view().set(state, this.#next >> 2);
  }
  /** The engine's memory, which has another buffer once it has grown. */
  #view(): Int32Array {
    const { buffer } = this.#driver.memory;
    if (this.#words.buffer !== buffer) this.#words = new Int32Array(buffer);
    return this.#words;
  }

  // What the engine asks.

  #movesOf(cpu: number, environment: number): number {
    const row = this.#model.moves(cpu, environment);
    const { table } = this.#model;
    const [first, end] = [table.first(row), table.end(row)];
    const at = this.#row(environment, first, end - first);
    const words = this.#words;
    for (let [move, to] = [first, at + ROW.words]; move < end; move++, to += MOVE.words) {
      const next = table.cpu(move);
      words[to + MOVE.to] = next;
      words[to + MOVE.environment] = table.environment(move);
      words[to + MOVE.broadcast] = table.broadcast(move);
      words[to + MOVE.kind] =
        this.#lanes.of(table, move, 0) | (this.#isNews(move) ? KIND.untold : 0);
    }
    return at << 2;
  }

  #isNews(move: number): boolean {
    const { table } = this.#model;
    return (table.cpu(move) < 0 || table.isBad(move)) && !this.#reports.isKnown(table.get(move));
  }

  #patcherMovesOf(patcher: number, environment: number): number {
    const moves = this.#model.patcherMoves(patcher, environment);
    this.#patcherRows.push({ patcher, moves });
    const at = this.#row(environment, 0, moves.length);
    const words = this.#words;
    for (const [i, move] of moves.entries()) {
      const to = at + ROW.words + i * MOVE.words;
      words[to + MOVE.to] = move.patcher;
      words[to + MOVE.environment] = move.environment;
      words[to + MOVE.broadcast] = move.broadcast;
      words[to + MOVE.kind] =
        patcherLane(move) | (move.answered ? KIND.answered : 0) | (move.alone ? KIND.alone : 0);
    }
    return at << 2;
  }

  /** The head of a row for so many moves. @returns where it is, in words */
  #row(environment: number, first: number, count: number): number {
    const size = ROW.words + count * MOVE.words;
    if (this.#free + size > this.#end) {
      const slab = Math.max(size, SLAB);
      this.#free = this.#engine.take(slab << 2) >> 2;
      this.#end = this.#free + slab;
    }
    const at = this.#free;
    this.#free += size;
    const words = this.#view();
    words[at + ROW.environment] = environment;
    words[at + ROW.first] = first;
    words[at + ROW.count] = count;
    return at;
  }

  #broken(state: number, number: number): void {
    const move = this.#model.table.get(number);
    const { unknown } = move.action;
    if (unknown !== null) {
      this.#engine.halt();
      this.#reports.unknown(unknown);
    }
    this.#reports.broken(state, move);
  }
}

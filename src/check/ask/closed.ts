// The closed set of what a model can do, and the four tables that lead from one of its states to
// the next, as numbers: a certificate (certificate.ts) and a model for another checker (promela.ts)
// are written from it. It is searched here by whole steps, with every move of every CPU taken: the
// set of a search that takes some moves alone is not closed under all of them.

import { CPU, type Model } from '../../machine/sim/model.js';
import { BREACHES, type PromiseName } from '../../machine/sim/promises.js';
import { targetsOf, type Configuration } from '../configuration.js';
import { setOf, watched } from '../search/endless.js';
import { StateTable } from '../search/table.js';
import type { TargetName } from '../../machine/sim/settings.js';

/** Promises that moves break, in the order of their bits. */
export const PROMISES: readonly PromiseName[] = [...new Set(Object.values(BREACHES))];
const bitsOf = (bad: readonly { readonly property: PromiseName }[]): number =>
  bad.reduce((bits, { property }) => bits | (1 << PROMISES.indexOf(property)), 0);

/** How many numbers a move has in the first two tables. */
export const MOVE_WORDS = 4;

/** Rows of numbers by two numbers, in the order in which they were met. */
export class Rows {
  readonly #rows = new Map<number, Map<number, readonly number[]>>();

  get(one: number, two: number, make: () => readonly number[]): readonly number[] {
    let beside = this.#rows.get(one);
    if (beside === undefined) this.#rows.set(one, (beside = new Map()));
    let row = beside.get(two);
    if (row === undefined) beside.set(two, (row = make()));
    return row;
  }

  *[Symbol.iterator](): Generator<readonly [one: number, two: number, row: readonly number[]]> {
    for (const [one, beside] of this.#rows) for (const [two, row] of beside) yield [one, two, row];
  }
}

export interface ClosedSetOptions {
  readonly cpus: number;
  readonly statesMax: number;
  /** One CPU stands for any number of them, so none may write what another one reads. */
  readonly stands: boolean;
  /** Throws what the caller says of a model that has no such set. */
  readonly refuse: (why: string) => never;
}

export class ClosedSet {
  readonly model: Model;
  readonly states: StateTable;
  /** Of a CPU in an environment: CPU, environment, broadcast, promises broken, for each move. */
  readonly moves = new Rows();
  /** Of a patcher in an environment: patcher, environment, broadcast, whether it waits. */
  readonly patching = new Rows();
  /** Of a broadcast and a CPU: what the CPU becomes. */
  readonly broadcasts = new Rows();
  /** Of each CPU met: its bits of `CPU`. */
  readonly bits = new Map<number, number>();
  /** Moves from one state to another, the begin among them, as a search counts them. */
  transitions = 0;
  /** Promises that some move breaks, as bits. */
  bad = 0;
  readonly #next: Int32Array;
  readonly #refuse: ClosedSetOptions['refuse'];

  constructor(model: Model, { cpus, statesMax, stands, refuse }: ClosedSetOptions) {
    this.model = model;
    this.#refuse = refuse;
    this.#next = model.initial(cpus, 0);
    this.states = new StateTable(this.#next.length);
    this.#visit();
    for (let at = 0; at < this.states.count; at++) {
      if (this.states.count > statesMax) refuse(`it has more than ${statesMax} states`);
      const state = this.states.get(at);
      for (let who = HEADS; who < state.length; who++) this.#cpu(state, who);
      this.#patcher(state);
      if (stands && model.cpusWrite)
        refuse('its handlers write what other CPUs read, so CPUs are counted');
    }
  }

  #visit(): void {
    this.transitions++;
    this.states.intern(this.#next, -1);
  }

  /** The state that `#next` holds, after a broadcast to all CPUs, or none. */
  #arrive(broadcast: number): void {
    const next = this.#next;
    if (broadcast >= 0)
      for (let who = HEADS; who < next.length; who++)
        next[who] = this.#broadcast(broadcast, next[who]!);
    this.#visit();
  }

  #cpu(state: Int32Array, who: number): void {
    const row = this.#movesOf(state[who]!, state[1]!);
    for (let i = 0; i < row.length; i += MOVE_WORDS) {
      if (row[i]! < 0) continue;
      this.#next.set(state);
      this.#next[who] = row[i]!;
      this.#next[1] = row[i + 1]!;
      this.#arrive(row[i + 2]!);
    }
  }

  #patcher(state: Int32Array): void {
    const row = this.#patchingOf(state[0]!, state[1]!);
    const asked = state.subarray(HEADS).some((cpu) => (this.#bitsOf(cpu) & CPU.asked) !== 0);
    for (let i = 0; i < row.length; i += MOVE_WORDS) {
      if (row[i + 3] === 1 && asked) continue;
      this.#next.set(state);
      this.#next[0] = row[i]!;
      this.#next[1] = row[i + 1]!;
      this.#arrive(row[i + 2]!);
    }
  }

  #movesOf(cpu: number, environment: number): readonly number[] {
    return this.moves.get(cpu, environment, () => {
      const { table } = this.model;
      const number = this.model.moves(cpu, environment);
      const row: number[] = [];
      for (let move = table.first(number); move < table.end(number); move++) {
        const { cpu: to, environment: env, broadcast, bad, action } = table.get(move);
        if (action.unknown !== null) this.#refuse(action.unknown);
        const bits = bitsOf(bad);
        this.bad |= bits;
        row.push(to, env, broadcast, bits);
      }
      return row;
    });
  }

  #patchingOf(patcher: number, environment: number): readonly number[] {
    return this.patching.get(patcher, environment, () =>
      this.model
        .patcherMoves(patcher, environment)
        .flatMap((move) => [move.patcher, move.environment, move.broadcast, Number(move.answered)]),
    );
  }

  #broadcast(what: number, cpu: number): number {
    return this.broadcasts.get(what, cpu, () => [this.model.broadcast(what, cpu)])[0]!;
  }

  #bitsOf(cpu: number): number {
    const known = this.bits.get(cpu);
    if (known !== undefined) return known;
    const bits = this.model.bitsOf(cpu);
    this.bits.set(cpu, bits);
    return bits;
  }
}

/** The patcher and the environment, in front of the CPUs of a state. */
const HEADS = 2;

/** The closed set of what one of several searches watches. */
export interface WatchedSet {
  readonly level: number;
  readonly target: TargetName;
  readonly set: ClosedSet;
}

/** A set for each depth of nesting and each target that is watched (docs/proof.md). */
export function* watchedSets(
  whole: Model,
  configuration: Configuration,
  make: (model: Model) => ClosedSet,
): Generator<WatchedSet> {
  const levels = new Set([0]);
  const rest = ~targetsOf(configuration).reduce((all, target) => all | setOf(target), 0);
  // Iterating a Set goes on to what is added meanwhile.
  for (const level of levels)
    for (const target of watched(configuration)) {
      const set = make(whole.watching({ level, targets: setOf(target) | rest }));
      yield { level, target, set };
      for (const each of set.model.levels) levels.add(each);
    }
}

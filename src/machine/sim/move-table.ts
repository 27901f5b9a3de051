// The moves of CPUs, as flat arrays: a long search keeps a million of them, and as objects they
// were half of what the garbage collector went through.

import { invariant } from '../../base/invariant.js';
import type { Cpus } from './cpus.js';
import type { Action } from './outcomes.js';
import type { Bad, Breach } from './promises.js';

/** A move of one CPU. `cpu` is -1 where the machine cannot go on, or the model does not know how. */
export interface Move {
  readonly cpu: number;
  readonly environment: number;
  /** What its store to text is for every CPU, itself included; -1 for none. */
  readonly broadcast: number;
  readonly bad: readonly Bad[];
  readonly action: Action;
}

/** Words of a move; `bad` is the number of a list. */
const MOVE = { cpu: 0, environment: 1, broadcast: 2, bad: 3, action: 4, words: 5 } as const;
/** Words of a row: its moves come behind each other; the row of the same CPU that was there before. */
const ROW = { cpu: 0, environment: 1, first: 2, earlier: 3, words: 4 } as const;
const NO_ROW = -1;

const NO_BAD: readonly Bad[] = [];

export class MoveTable {
  #moves = new Int32Array(MOVE.words << 8);
  #rows = new Int32Array(ROW.words << 8);
  /** By CPU, its latest row. */
  #latest = new Int32Array(1 << 8).fill(NO_ROW);
  #moveCount = 0;
  #rowCount = 0;
  readonly #actions: Action[] = [];
  readonly #bad: (readonly Bad[])[] = [NO_BAD];
  /** Numbers of these lists, of which actions bring the same ones again and again. */
  readonly #numbers = new Map<readonly Bad[], number>();
  /** What the numbers of CPUs stand for. */
  readonly cpus: Cpus;

  constructor(cpus: Cpus) {
    this.cpus = cpus;
  }

  /** The row of a CPU in an environment; -1 where it has none yet. */
  find(cpu: number, environment: number): number {
    if (cpu >= this.#latest.length) return NO_ROW;
    let row = this.#latest[cpu]!;
    while (row !== NO_ROW && this.#rows[row * ROW.words + ROW.environment] !== environment)
      row = this.#rows[row * ROW.words + ROW.earlier]!;
    return row;
  }

  /** What is added from here on are the moves of that CPU in that environment. */
  begin(cpu: number, environment: number): number {
    const row = this.#rowCount++;
    // One more than there are: where the next row would begin, this one ends.
    this.#rows = roomy(this.#rows, (row + 2) * ROW.words, 0);
    this.#latest = roomy(this.#latest, cpu + 1, NO_ROW);
    const at = row * ROW.words;
    this.#rows[at + ROW.cpu] = cpu;
    this.#rows[at + ROW.environment] = environment;
    this.#rows[at + ROW.first] = this.#moveCount;
    this.#rows[at + ROW.earlier] = this.#latest[cpu]!;
    this.#latest[cpu] = row;
    this.#end();
    return row;
  }

  add({ cpu, environment, broadcast, bad, action }: Move): void {
    const at = this.#moveCount++ * MOVE.words;
    this.#moves = roomy(this.#moves, at + MOVE.words, 0);
    this.#moves[at + MOVE.cpu] = cpu;
    this.#moves[at + MOVE.environment] = environment;
    this.#moves[at + MOVE.broadcast] = broadcast;
    this.#moves[at + MOVE.bad] = bad.length === 0 ? 0 : this.#numberOf(bad);
    this.#moves[at + MOVE.action] = action.id;
    this.#actions[action.id] ??= action;
    this.#end();
  }

  #numberOf(bad: readonly Bad[]): number {
    let number = this.#numbers.get(bad);
    if (number === undefined) this.#numbers.set(bad, (number = this.#bad.push(bad) - 1));
    return number;
  }
  /** Every way in which some move breaks a promise. */
  get breaches(): ReadonlySet<Breach> {
    return new Set(this.#bad.flatMap((list) => list.map(({ breach }) => breach)));
  }

  /** The row under way ends behind the last move. */
  #end(): void {
    this.#rows[this.#rowCount * ROW.words + ROW.first] = this.#moveCount;
  }

  /** Rows are the numbers below this. */
  get rows(): number {
    return this.#rowCount;
  }
  /** The CPU of a row. */
  of(row: number): number {
    return this.#rows[row * ROW.words + ROW.cpu]!;
  }
  /** The environment of a row. */
  at(row: number): number {
    return this.#rows[row * ROW.words + ROW.environment]!;
  }
  /** The moves of a row are the numbers from `first` on that are below `end`. */
  first(row: number): number {
    return this.#rows[row * ROW.words + ROW.first]!;
  }
  end(row: number): number {
    return this.first(row + 1);
  }

  cpu(move: number): number {
    return this.#moves[move * MOVE.words + MOVE.cpu]!;
  }
  environment(move: number): number {
    return this.#moves[move * MOVE.words + MOVE.environment]!;
  }
  broadcast(move: number): number {
    return this.#moves[move * MOVE.words + MOVE.broadcast]!;
  }
  /** The number of its action. */
  actionId(move: number): number {
    return this.#moves[move * MOVE.words + MOVE.action]!;
  }
  action(move: number): Action {
    return this.#actions[this.actionId(move)]!;
  }
  /** It breaks a promise. */
  isBad(move: number): boolean {
    return this.#moves[move * MOVE.words + MOVE.bad] !== 0;
  }

  get(move: number): Move {
    const bad = this.#bad[this.#moves[move * MOVE.words + MOVE.bad]!];
    invariant(bad, 'a move names a list that was kept');
    return {
      cpu: this.cpu(move),
      environment: this.environment(move),
      broadcast: this.broadcast(move),
      bad,
      action: this.action(move),
    };
  }
}

/** The array, or a larger one with the same contents, `free` behind them. */
function roomy(
  array: Int32Array<ArrayBuffer>,
  needed: number,
  free: number,
): Int32Array<ArrayBuffer> {
  if (needed <= array.length) return array;
  const larger = new Int32Array(Math.max(needed, 2 * array.length));
  larger.set(array);
  if (free !== 0) larger.fill(free, array.length);
  return larger;
}

// Everything that can happen next in a state: the one place that knows it, for the search, for a
// path that is replayed and for whoever looks for a better path. A state is [patcher, environment,
// cpu..., task...], and the tasks at its end wait for a CPU. Where the patcher is itself a task,
// its CPU is the one whose image says so, and the steps are taken only while that task stands where
// it takes them.

import type { Bad } from '../../machine/sim/promises.js';
import { REQUEST, type Model, type Move, type PatcherMove } from '../../machine/sim/model.js';

export const PATCHER = 0;
export const ENVIRONMENT = 1;
export const CPUS = 2;

export interface Shape {
  readonly cpus: number;
  /** Tasks on no CPU. */
  readonly waiting: number;
  /** Equal CPUs are sorted, and equal tasks. */
  readonly sorted: boolean;
}

/** With every CPU and task under its own number. */
export const unsorted = (shape: Shape): Shape => ({ ...shape, sorted: false });

/** `who`: -1 the patcher, else a CPU. `swap`: the waiting task that is switched in, or -1. */
export interface Choice {
  readonly who: number;
  readonly move: number;
  readonly swap: number;
}

/** What is told of a state's moves. */
export interface Moves {
  /** `next` holds the state after this choice, not yet sorted. */
  moved(who: number, move: number, swap: number): void;
  /** What the choice breaks; where `over`, its path ends there, and `moved` is not told. */
  broken(bad: readonly Bad[], who: number, move: number, over: boolean): void;
  /** The machine met what it does not know. */
  unknown(text: string): void;
}

/**
 * Tells every move of the state that begins at `base`. With `partial` only some, where the others
 * lead to nothing else.
 * @returns whether the program has ended there
 */
export function expand(
  model: Model,
  { cpus, waiting }: Shape,
  partial: boolean,
  states: Int32Array,
  base: number,
  next: Int32Array,
  moves: Moves,
): boolean {
  const all = cpus + waiting;
  const width = CPUS + all;
  const cpuAt = (i: number): number => states[base + CPUS + i] as number;
  const copy = (): void => {
    for (let j = 0; j < width; j++) next[j] = states[base + j] as number;
  };
  const environment = states[base + ENVIRONMENT] as number;
  const patcher = states[base + PATCHER] as number;
  const patcherMoves = model.patcherMoves(patcher, environment);
  let host = -1;
  if (model.hosted)
    for (let i = 0; i < all && host < 0; i++) if (model.nodeOf(cpuAt(i)).patching) host = i;
  // Its stores are those of its CPU: an event drains them (SDM volume 3, 12.10), so it comes when
  // they are out.
  const buffers = host >= 0 && model.patcherBuffers(patcher);
  if (partial && host < 0) {
    const silent = patcherMoves.findIndex((move) => move.silent);
    if (silent >= 0) {
      copy();
      next[PATCHER] = (patcherMoves[silent] as PatcherMove).patcher;
      moves.moved(-1, silent, -1);
      return false;
    }
  }
  let asked = false;
  let done = model.patcherDone(patcher);
  // A CPU about to touch what only its own interrupts can see: nothing that others do depends on
  // when, so its moves alone are enough. No cycle consists of such states: every interrupt passes a
  // site, which others can see.
  let alone = -1;
  if (partial) for (let i = 0; i < cpus && alone < 0; i++) if (model.isLocal(cpuAt(i))) alone = i;
  for (let i = alone < 0 ? 0 : alone; i < (alone < 0 ? cpus : alone + 1); i++) {
    const cpu = cpuAt(i);
    if (model.requestOf(cpu) !== REQUEST.none) asked = true;
    if (!model.isDone(cpu)) done = false;
    if (i === host && buffers) continue;
    const list = model.moves(cpu, environment);
    for (let m = 0; m < list.length; m++) {
      const move = list[m] as Move;
      if (move.unknown !== null) moves.unknown(move.unknown);
      if (move.bad.length > 0 || move.cpu < 0) moves.broken(move.bad, i, m, move.cpu < 0);
      if (move.cpu < 0) continue;
      copy();
      next[CPUS + i] = move.cpu;
      next[ENVIRONMENT] = move.environment;
      if (move.broadcast >= 0)
        for (let j = CPUS; j < width; j++)
          next[j] = model.broadcast(move.broadcast, next[j] as number);
      moves.moved(i, m, -1);
    }
  }
  if (alone >= 0) return false;
  for (let w = 0; w < waiting; w++) {
    const task = cpuAt(cpus + w);
    if (!model.isDone(task)) done = false;
    for (let i = 0; i < cpus; i++) {
      // From its request to the last answer the one who synchronises is not preempted
      // (smp_call_function_many_cond).
      if (i === host && (buffers || asked)) continue;
      const swapped = model.swap(cpuAt(i), task);
      if (swapped === null) continue;
      copy();
      next[CPUS + i] = swapped.cpu;
      next[CPUS + cpus + w] = swapped.task;
      moves.moved(i, -1, w);
    }
  }
  const held = host >= cpus || (host >= 0 && model.nodeOf(cpuAt(host)).stop !== 'patcher');
  for (let m = 0; m < patcherMoves.length && !held; m++) {
    const move = patcherMoves[m] as PatcherMove;
    if (move.answered && asked) continue;
    next[PATCHER] = move.patcher;
    next[ENVIRONMENT] = move.environment;
    for (let i = 0; i < all; i++)
      next[CPUS + i] = move.broadcast < 0 ? cpuAt(i) : model.broadcast(move.broadcast, cpuAt(i));
    moves.moved(-1, m, -1);
  }
  return done;
}

/** Brings equal CPUs, and equal tasks, into one order. */
export function normalise(state: Int32Array, { cpus, sorted }: Shape): void {
  if (!sorted) return;
  sort(state, CPUS, CPUS + cpus);
  sort(state, CPUS + cpus, state.length);
}

/** In place, between two indices. */
function sort(vector: Int32Array, from: number, to: number): void {
  for (let i = from + 1; i < to; i++) {
    const value = vector[i] as number;
    let j = i - 1;
    for (; j >= from && (vector[j] as number) > value; j--) vector[j + 1] = vector[j] as number;
    vector[j + 1] = value;
  }
}

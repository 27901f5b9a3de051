// Everything that can happen next in a state: the one place that knows it, for the search, for a
// path that is replayed and for the search for a better path. Where the patcher is itself a task,
// its CPU is the one whose image says so, and the patcher's steps are taken only while that task
// runs where it takes them.

import { CPU, type Model, type Move, type PatcherMove } from '../../machine/sim/model.js';
import {
  copy,
  cpuOf,
  environmentOf,
  patcherOf,
  runnersOf,
  setCpu,
  setEnvironment,
  setPatcher,
  type Shape,
} from './state.js';

/** `who`: -1 the patcher, else a CPU. `swap`: the waiting task that is switched in, or -1. */
export interface Choice {
  readonly who: number;
  readonly move: number;
  readonly swap: number;
}

/**
 * Receives the moves of a state. When the first three are called, `next` holds the state that the
 * move leads to, not yet sorted.
 */
export interface Moves {
  patcher(move: PatcherMove, index: number): void;
  /** `move` is its number in the model's table, and `index` that among the moves of this CPU. */
  cpu(move: number, index: number, who: number): void;
  /** A waiting task is switched in. */
  swapped(who: number, task: number): void;
  /**
   * The move breaks a promise; where `over`, the machine cannot go on from there, and `cpu` is not
   * called. Where a promise was broken before, it may be over without another one.
   */
  broken(move: Move, index: number, who: number, over: boolean): void;
  /** The machine met what it does not know. */
  unknown(text: string): void;
}

/**
 * Reports every move of a state. With `partial` only some, where the others lead to nothing else.
 * @returns whether the program has ended there
 */
export function expand(
  model: Model,
  shape: Shape,
  partial: boolean,
  state: Int32Array,
  next: Int32Array,
  moves: Moves,
): boolean {
  const patcherMoves = model.patcherMoves(patcherOf(state), environmentOf(state));
  const { cpus, waiting } = shape;
  const host = model.hosted ? hostOf(model, shape, state) : -1;
  if (partial && host < 0) {
    for (let m = 0; m < patcherMoves.length; m++) {
      const move = patcherMoves[m]!;
      if (!move.alone) continue;
      copy(state, next);
      setPatcher(next, move.patcher);
      moves.patcher(move, m);
      return false;
    }
  }
  // The stores of a patcher that is a task are those of its CPU. An event drains them (SDM volume
  // 3, 12.10), so it comes when they are out.
  const busy = host >= 0 && model.patcherBuffers(patcherOf(state)) ? host : -1;
  const alone = partial && !model.fixture.events.preempt ? localCpu(model, shape, state) : -1;
  if (alone >= 0) {
    if (alone !== busy) cpuMoves(model, alone, state, next, moves);
    return false;
  }
  // Whether some CPU has yet to answer the patcher, and whether there is nothing left to do.
  let [some, every] = [0, CPU.done as number];
  for (let i = 0; i < cpus; i++) {
    const bits = model.bitsOf(cpuOf(state, i));
    some |= bits;
    every &= bits;
    if (i !== busy) cpuMoves(model, i, state, next, moves);
  }
  for (let i = cpus; i < cpus + waiting; i++) every &= model.bitsOf(cpuOf(state, i));
  const asked = (some & CPU.asked) !== 0;
  // A CPU that synchronises is not preempted between its request and the last answer
  // (smp_call_function_many_cond).
  if (waiting > 0) switches(model, shape, asked ? host : busy, state, next, moves);
  if (host < 0 || (host < cpus && (model.bitsOf(cpuOf(state, host)) & CPU.patches) !== 0))
    for (let m = 0; m < patcherMoves.length; m++) {
      const move = patcherMoves[m]!;
      if (!move.answered || !asked) patched(model, move, m, state, next, moves);
    }
  return every !== 0 && model.patcherDone(patcherOf(state));
}

/** Which CPU or waiting task is the patcher. */
function hostOf(model: Model, { cpus, waiting }: Shape, state: Int32Array): number {
  for (let i = 0; i < cpus + waiting; i++)
    if ((model.bitsOf(cpuOf(state, i)) & CPU.patching) !== 0) return i;
  return -1;
}

/**
 * A CPU about to touch what only its own interrupts can see, where no task can be switched in:
 * nothing that others do depends on when, so its moves alone are enough. No cycle consists of such
 * states, because every interrupt passes a site, which others can see.
 */
function localCpu(model: Model, { cpus }: Shape, state: Int32Array): number {
  for (let i = 0; i < cpus; i++) if ((model.bitsOf(cpuOf(state, i)) & CPU.local) !== 0) return i;
  return -1;
}

function cpuMoves(
  model: Model,
  who: number,
  state: Int32Array,
  next: Int32Array,
  moves: Moves,
): void {
  const { table } = model;
  const row = model.moves(cpuOf(state, who), environmentOf(state));
  const first = table.first(row);
  const end = table.end(row);
  for (let move = first; move < end; move++) {
    const cpu = table.cpu(move);
    if (cpu < 0 || table.isBad(move)) {
      const { unknown } = table.action(move);
      if (unknown !== null) moves.unknown(unknown);
      moves.broken(table.get(move), move - first, who, cpu < 0);
    }
    if (cpu < 0) continue;
    copy(state, next);
    setCpu(next, who, cpu);
    setEnvironment(next, table.environment(move));
    const what = table.broadcast(move);
    if (what >= 0) broadcast(model, what, next);
    moves.cpu(move, move - first, who);
  }
}

/** Every waiting task on every CPU but `busy`. */
function switches(
  model: Model,
  { cpus, waiting }: Shape,
  busy: number,
  state: Int32Array,
  next: Int32Array,
  moves: Moves,
): void {
  for (let w = 0; w < waiting; w++)
    for (let i = 0; i < cpus; i++) {
      if (i === busy) continue;
      const swapped = model.swap(cpuOf(state, i), cpuOf(state, cpus + w));
      if (swapped === null) continue;
      copy(state, next);
      setCpu(next, i, swapped.cpu);
      setCpu(next, cpus + w, swapped.task);
      moves.swapped(i, w);
    }
}

function patched(
  model: Model,
  move: PatcherMove,
  index: number,
  state: Int32Array,
  next: Int32Array,
  moves: Moves,
): void {
  copy(state, next);
  setPatcher(next, move.patcher);
  setEnvironment(next, move.environment);
  if (move.broadcast >= 0) broadcast(model, move.broadcast, next);
  moves.patcher(move, index);
}

/** What happens to every CPU, and to every waiting task. */
function broadcast(model: Model, what: number, next: Int32Array): void {
  for (let i = 0; i < runnersOf(next); i++) setCpu(next, i, model.broadcast(what, cpuOf(next, i)));
}

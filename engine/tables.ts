// The transition relation of the parts, filled as it is met: a CPU's moves depend on its own number
// and the environment's, and so do the patcher's (src/machine/sim/model.ts).

import { after, bitsOf, movesOf, patcherBitsOf, patcherMovesOf } from './host';
import { directory, placeOf, recordOf, take } from './memory';

/** Bits of a CPU, as src/machine/sim/cpus.ts has them. */
export const ASKED: u32 = 1;
export const DONE: u32 = 2;
export const LOCAL: u32 = 4;
export const PATCHING: u32 = 8;
export const PATCHES: u32 = 16;
/** Bits of a patcher: all updates are made; stores are in its buffer. */
export const FINISHED: u32 = 1;
export const BUFFERS: u32 = 2;
/** The bits have been asked for. */
const KNOWN: u32 = 1 << 31;

/** In `kind` of a move, above the kind of its edge (src/check/search/graph.ts). */
export const KIND: u32 = 0xff;
/** It breaks a promise, or the machine cannot go on, and TypeScript has not heard of it. */
export const UNTOLD: u32 = 1 << 8;
/** Of the patcher: only where no CPU has a request that it has not answered. */
export const ANSWERED: u32 = 1 << 9;
/** Of the patcher: it may be taken alone. */
export const ALONE: u32 = 1 << 10;

/** Four words. */
@unmanaged
export class Move {
  /** The CPU or patcher afterwards; -1 where the machine cannot go on. */
  to: i32;
  environment: u32;
  /** What happens to every CPU; -1 for nothing. */
  broadcast: i32;
  kind: u32;
}
/** Its moves follow. */
@unmanaged
export class Row {
  environment: u32;
  /** The row of the same part that was there before; 0 for none. */
  earlier: usize;
  /** The number of its first move in TypeScript. */
  first: u32;
  count: u32;

  get moves(): usize {
    return changetype<usize>(this) + offsetof<Row>();
  }
  get end(): usize {
    return this.moves + this.count * offsetof<Move>();
  }
}

/** A CPU or a patcher. */
@unmanaged
class Part {
  bits: u32;
  /** Its latest row. */
  row: usize;
}
const cpus: usize = directory();
const patchers: usize = directory();

/**
 * Where threads expand states at once, what is not known yet is not asked for: the state waits for
 * the main thread, which asks in the order in which one thread would. So parts of the machine have
 * the same numbers there (src/machine/sim/model.ts), and the tables change for no reader.
 */
let asks: bool = true;
/** Whether something was not known since this was forgotten last. */
export let isUnknown: bool = false;
export function askNothing(nothing: bool): void {
  asks = !nothing;
}
export function forgetUnknown(): void {
  isUnknown = false;
}
/** In place of a row that is not known: no moves. */
const none = take(offsetof<Row>());
function missing(): usize {
  isUnknown = true;
  return none;
}

export function bitsOfCpu(cpu: u32): u32 {
  if (!asks) return knownBits(placeOf<Part>(cpus, cpu));
  const part = recordOf<Part>(cpus, cpu);
  if (part.bits === 0) part.bits = bitsOf(cpu) | KNOWN;
  return part.bits;
}
export function bitsOfPatcher(patcher: u32): u32 {
  if (!asks) return knownBits(placeOf<Part>(patchers, patcher));
  const part = recordOf<Part>(patchers, patcher);
  if (part.bits === 0) part.bits = patcherBitsOf(patcher) | KNOWN;
  return part.bits;
}
function knownBits(part: usize): u32 {
  const bits = part === 0 ? 0 : changetype<Part>(part).bits;
  if (bits === 0) isUnknown = true;
  return bits;
}

export function rowOfCpu(cpu: u32, environment: u32): Row {
  const at = known(placeOf<Part>(cpus, cpu), environment);
  if (at !== 0) return changetype<Row>(at);
  if (!asks) return changetype<Row>(missing());
  return kept(recordOf<Part>(cpus, cpu), movesOf(cpu, environment));
}
export function rowOfPatcher(patcher: u32, environment: u32): Row {
  const at = known(placeOf<Part>(patchers, patcher), environment);
  if (at !== 0) return changetype<Row>(at);
  if (!asks) return changetype<Row>(missing());
  return kept(recordOf<Part>(patchers, patcher), patcherMovesOf(patcher, environment));
}

function known(part: usize, environment: u32): usize {
  if (part === 0) return 0;
  let at = changetype<Part>(part).row;
  while (at !== 0 && changetype<Row>(at).environment !== environment)
    at = changetype<Row>(at).earlier;
  return at;
}

function kept(part: Part, at: usize): Row {
  const row = changetype<Row>(at);
  row.earlier = part.row;
  part.row = at;
  return row;
}

/** Of a broadcast: the table of CPUs afterwards, by the CPU before. */
@unmanaged
class Broadcast {
  table: usize;
}
const broadcasts: usize = directory();
/** One more than the CPU afterwards; 0 where it is not known. */
@unmanaged
class After {
  cpu: u32;
}

export function afterOf(broadcast: u32, cpu: u32): u32 {
  if (!asks) return knownAfter(placeOf<Broadcast>(broadcasts, broadcast), cpu);
  const what = recordOf<Broadcast>(broadcasts, broadcast);
  if (what.table === 0) what.table = directory();
  const next = recordOf<After>(what.table, cpu);
  if (next.cpu === 0) next.cpu = after(broadcast, cpu) + 1;
  return next.cpu - 1;
}
function knownAfter(what: usize, cpu: u32): u32 {
  const table: usize = what === 0 ? 0 : changetype<Broadcast>(what).table;
  const next: usize = table === 0 ? 0 : placeOf<After>(table, cpu);
  const found = next === 0 ? 0 : changetype<After>(next).cpu;
  if (found !== 0) return found - 1;
  isUnknown = true;
  return cpu;
}

// The transition relation of the parts, filled as it is met: a CPU's moves depend on its own number
// and the environment's, and so do the patcher's (src/machine/sim/model.ts).

import { after, bitsOf, movesOf, patcherBitsOf, patcherMovesOf } from './host';
import { directory, recordOf } from './memory';

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

export function bitsOfCpu(cpu: u32): u32 {
  const part = recordOf<Part>(cpus, cpu);
  if (part.bits === 0) part.bits = bitsOf(cpu) | KNOWN;
  return part.bits;
}
export function bitsOfPatcher(patcher: u32): u32 {
  const part = recordOf<Part>(patchers, patcher);
  if (part.bits === 0) part.bits = patcherBitsOf(patcher) | KNOWN;
  return part.bits;
}

export function rowOfCpu(cpu: u32, environment: u32): Row {
  const part = recordOf<Part>(cpus, cpu);
  const at = known(part, environment);
  return at !== 0 ? changetype<Row>(at) : kept(part, movesOf(cpu, environment));
}
export function rowOfPatcher(patcher: u32, environment: u32): Row {
  const part = recordOf<Part>(patchers, patcher);
  const at = known(part, environment);
  return at !== 0 ? changetype<Row>(at) : kept(part, patcherMovesOf(patcher, environment));
}

function known(part: Part, environment: u32): usize {
  let at = part.row;
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
  const what = recordOf<Broadcast>(broadcasts, broadcast);
  if (what.table === 0) what.table = directory();
  const next = recordOf<After>(what.table, cpu);
  if (next.cpu === 0) next.cpu = after(broadcast, cpu) + 1;
  return next.cpu - 1;
}

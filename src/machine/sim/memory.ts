// Where everything lies in the simulated machine, and which of it is whose. Four kinds of memory,
// by who may see it:
//
//   code     never written, or written by the patcher only (text.ts has its versions)
//   shared   the protocol's tables: the patcher writes them, any CPU may read or write them
//   private  stacks and the per-CPU area: one CPU at a time touches them, so they are part of its own state
//   sink     counters that no step of any configuration reads: stores vanish, so that states close
//
// Addresses are those of a real kernel or process, so that displacements, sign extension and
// canonicality are what the code will meet.

import type { Addr } from '../../base/addr.js';
import type { CfaRule } from '../../asm/assembler.js';

export interface Blob {
  readonly name: string;
  readonly at: Addr;
  readonly bytes: Uint8Array;
  readonly cfa: readonly { readonly offset: number; readonly rule: CfaRule }[];
  /** Offsets of code that is exempt from lockdep, call chain and flags: entry and exit code. */
  readonly exempt: readonly { readonly from: number; readonly to: number }[];
}

/** A store to a word of the shared data. */
export interface Write {
  readonly word: number;
  readonly value: bigint;
}

/**
 * `stack`: dead below the stack pointer. `percpu`: seen by every context of the CPU. `shadow`: a
 * shadow stack.
 */
export type RegionKind = 'stack' | 'percpu' | 'shadow';

export interface Region {
  readonly name: string;
  readonly kind: RegionKind;
  readonly at: Addr;
  readonly bytes: number;
  /** Index of its first word in the private image. */
  readonly first: number;
}

export interface Shared {
  readonly at: Addr;
  readonly initial: readonly bigint[];
  /** Word numbers that some step or handler of the configuration writes. */
  readonly mutable: ReadonlySet<number>;
  readonly sink: ReadonlySet<number>;
  /** Words whose reading by a handler is the begin of the emulated call. */
  readonly targets: ReadonlySet<number>;
}

export function regions(
  list: readonly {
    readonly name: string;
    readonly kind: RegionKind;
    readonly at: Addr;
    readonly bytes: number;
  }[],
): Region[] {
  let first = 0;
  return list.map((region) => {
    const placed = { ...region, first };
    first += region.bytes / 8;
    return placed;
  });
}

export function wordsOf(list: readonly Region[]): number {
  const last = list.at(-1);
  return last ? last.first + last.bytes / 8 : 0;
}

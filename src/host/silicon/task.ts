// What the process that asks the CPU is given, and what it answers.

import type { LitmusProgram } from '../../plan/litmus.js';

export interface SiliconTask {
  /** Null asks for the distance of the CPUs alone. */
  readonly program: LitmusProgram | null;
  readonly milliseconds: number;
}

export interface SiliconCounts {
  readonly updates: number;
  readonly calls: number;
  readonly traps: number;
  /**
   * By what the reader's calls reached: a mixture of displacement bytes (landing.ts), `through`
   * where the site did nothing; `old`, `new` and `neither` of a load; an outcome of `order`.
   */
  readonly counts: Readonly<Record<string, number>>;
}

export type SiliconAnswer =
  | {
      readonly skipped?: undefined;
      /** Nanoseconds, before the run and after it. */
      readonly distance: readonly number[];
      readonly counts?: SiliconCounts;
    }
  /** Why it could not be asked. */
  | { readonly skipped: string };

/**
 * Status of a process that raised a signal. Its answer are four words: where, which signal, the
 * address behind the first byte of the site, and the eight bytes there as memory holds them.
 */
export const CRASHED = 86;
export const CRASH_BYTES = 32;

// Where a protocol happens. The process machine patches this process. The simulator patches a small
// SMP machine and lets the checker choose, between any two stores, which CPU moves next. Both get
// the same steps.

import type { Edits } from '../plan/batch.js';
import type { Protocol, Step } from '../plan/protocol.js';

export interface Machine {
  /**
   * All the steps of a protocol, if at that moment the machine is fit for it. @throws Stopped;
   * whatever else it throws, nothing was begun
   */
  begin(protocol: Protocol, edits: Edits): void;
  /**
   * Steps in their order, each for all edits before the next begins: the way on or back.
   * @throws Stopped
   */
  run(steps: readonly Step[], edits: Edits): void;
  /**
   * Those at which the text does not hold what is asked for, batch by batch and in the same order.
   * Reads the text.
   */
  unlike(edits: Edits, side: Side): Edits;
}

/**
 * What the text may hold at a site: the old bytes, the new ones, or (`ours`) at each byte one of the
 * two. `off`: the old bytes, and any rest where the old instruction is one that keeps its rest.
 */
export type Side = 'old' | 'off' | 'new' | 'ours';

/**
 * A step failed, perhaps half-way; those before it were performed and those after it were not
 * begun.
 */
export class Stopped extends Error {
  override readonly name = 'Stopped';
  /** Index in the steps. */
  readonly step: number;
  constructor(step: number, cause: unknown) {
    super(`step ${step + 1} failed`, { cause });
    this.step = step;
  }
}

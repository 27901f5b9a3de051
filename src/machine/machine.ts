// Where a protocol happens. The process machine patches this process; the simulated one patches a small
// SMP box and lets the checker choose, between any two stores, which CPU moves next. Both are handed
// the same steps.

import type { Batch } from '../plan/batch.js';
import type { Protocol, Step } from '../plan/protocol.js';

export interface Machine {
  /** Performs one step for the whole batch. */
  perform(step: Step, batch: Batch): void;
}

/** The only interpreter of a protocol outside the checker. */
export function run(protocol: Protocol, batch: Batch, machine: Machine): void {
  for (const step of protocol.steps) machine.perform(step, batch);
}

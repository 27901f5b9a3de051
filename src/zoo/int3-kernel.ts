// The kernel's text_poke_bp as it is since v5.2 (fd4363fff3d9 ("x86: Introduce int3
// (breakpoint)-based instruction patching"), in v3.12; c0213b0ac03c for batches). The trap table is
// claimed for one update and given up at its end; so a trap that is taken but not yet looked up
// when the table goes is an oops, and the last synchronisation is what stands between. Since v5.5
// the handler counts itself in and the updater waits for that count (`counted`). The permanent form
// keeps the table for ever, as a process does.

import type { Protocol, Step } from '../plan/protocol.js';
import { int3 } from '../plan/protocols/int3.js';

const steps: readonly Step[] = int3.steps;

export const int3Kernel: Protocol = {
  name: 'int3-gap',
  about:
    'trap byte, sync, rest, sync, first byte, sync; the handler pushes into a gap above its frame',
  accepts: { bytes: 'whole', within: null },
  handler: 'gap',
  steps: [...steps, { do: 'retire', why: 'the table belongs to one update' }],
};

/** A reference for the update, from before the first trap to after the last synchronisation. */
export const counting = (first: readonly Step[], last: readonly Step[]): readonly Step[] => [
  ...first,
  { do: 'count', word: 'refs', by: 1, why: 'from here a handler finds the table' },
  ...last,
  { do: 'count', word: 'refs', by: -1, why: 'no handler finds it any more' },
  { do: 'await', word: 'refs', is: 0, why: 'those that have found it are still in it' },
  { do: 'retire', why: 'the table belongs to one update' },
];

export const int3KernelCounted: Protocol = {
  ...int3Kernel,
  about: `${int3Kernel.about}, and counts itself in`,
  steps: counting(steps.slice(0, 1), steps.slice(1)),
};

export const int3KernelPermanent: Protocol = {
  ...int3Kernel,
  about: `${int3Kernel.about}; the table stays`,
  steps,
};

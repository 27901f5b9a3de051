// The kernel's text_poke_bp as it is since v5.2 (fd4363fff3d9 ("x86: Introduce int3 (breakpoint)-based instruction
// patching"), in v3.12; c0213b0ac03c for batches). The trap table is claimed for one update and given up at its end;
// so a trap that is taken but not yet looked up when the table goes is an oops, and the last synchronisation is what
// stands between. The permanent form keeps the table for ever, as a process does.

import type { Protocol, Step } from '../protocol.js';
import { int3 } from './int3.js';

const steps: readonly Step[] = int3.steps;

export const int3Kernel: Protocol = {
  name: 'int3-gap',
  about: 'trap byte, sync, rest, sync, first byte, sync; the handler pushes into a gap above its frame',
  accepts: { bytes: 'whole', within: null },
  handler: 'gap',
  steps: [...steps, { do: 'retire', why: 'the table belongs to one update' }],
};

export const int3KernelPermanent: Protocol = { ...int3Kernel, about: `${int3Kernel.about}; the table stays`, steps };

// The protocol of the kernel's text_poke_bp (fd4363fff3d9 ("x86: Introduce int3 (breakpoint)-based
// instruction patching"), in v3.12), with membarrier(SYNC_CORE) for its IPIs and a SIGTRAP handler
// over a permanent table for its #BP handler. No site is refused: a single byte never tears,
// wherever the instruction lies. A thread can sit between its trap and its handler for any time,
// which no synchronisation waits for; so nothing is retired, ever.

import type { Protocol } from '../protocol.js';

export const int3: Protocol = {
  name: 'int3',
  about: 'trap byte, sync, rest, sync, first byte, sync, for all sites at once',
  accepts: { bytes: 'whole', within: null },
  handler: 'sigtrap',
  steps: [
    { do: 'publish', why: 'a thread that meets the trap must find the new target already there' },
    {
      do: 'store',
      part: 'first',
      bytes: 'trap',
      as: 'one',
      why: 'one byte cannot tear; from here no CPU decodes the rest of the site',
    },
    { do: 'sync', why: 'a CPU may still hold the old first byte and read the rest after it' },
    {
      do: 'store',
      part: 'rest',
      bytes: 'new',
      as: 'bytes',
      why: 'hidden behind the trap, so tearing is harmless',
    },
    { do: 'sync', why: 'no CPU may pair the new first byte with an old rest' },
    {
      do: 'store',
      part: 'first',
      bytes: 'new',
      as: 'one',
      why: 'one byte: the switch itself cannot tear',
    },
    { do: 'sync', why: 'from here no CPU fetches the trap or the old instruction' },
  ],
};

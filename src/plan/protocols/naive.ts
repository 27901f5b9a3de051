// The wrong way, kept so that the checker and the soak can show why it is wrong: the bytes are
// written one after the other while CPUs fetch them.

import type { Protocol } from '../protocol.js';

export const naive: Protocol = {
  name: 'naive',
  about: 'the new bytes one after the other, then a sync: wrong',
  accepts: { bytes: 'whole', within: null },
  handler: null,
  steps: [
    { do: 'publish', why: 'nothing reads it: this way has no handler' },
    {
      do: 'store',
      part: 'whole',
      bytes: 'new',
      as: 'bytes',
      why: 'the mistake: a CPU may fetch between two of these stores',
    },
    { do: 'sync', why: 'too late for a CPU that has fetched a mixture' },
  ],
};

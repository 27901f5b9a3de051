// The policy of the series that the list discussed in January 2019: where the changed bytes lie
// inside one cache line they are replaced by one store; any other site stays on its trampoline for ever,
// and the trampoline, which is aligned, carries the change. No trap and no handler. That a CPU never
// fetches an instruction in two halves inside one line is observed on the hardware at hand and not
// promised by Intel; AMD promises it for an aligned quadword (APM volume 2, section 7.6.1).

import type { Protocol } from '../protocol.js';

export const store: Protocol = {
  name: 'store',
  about: 'one atomic store inside a cache line, then one sync; other sites stay on their trampoline',
  accepts: { bytes: 'changed', within: 'line' },
  handler: null,
  steps: [
    { do: 'publish', why: 'a trap left over from an earlier update must already find the new target' },
    { do: 'store', part: 'changed', bytes: 'new', as: 'exchange', why: 'one store inside one line: a CPU fetches the old instruction or the new one' },
    { do: 'sync', why: 'from here no CPU runs the old instruction out of what it fetched earlier' },
  ],
};

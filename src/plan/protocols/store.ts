// One store and no trap, the policy of the series that the mailing list discussed in January 2019:
// where the changed bytes lie inside one unit, one store replaces them; any other site stays on its
// trampoline, which is aligned and carries the change.
//
// The series used the cache line as that unit, and so did this file until a soak crashed under it.
// AMD CPUs of families 25 and 26 fetch a call half old and half new that one store had changed over
// the end of 32 bytes, inside a line (base/addr.ts has the counts). What ships takes the aligned
// quadword, the one unit that a manual promises (APM volume 2, section 7.6.1). Intel's manual
// promises none, and Intel CPUs were not seen to tear anything inside a line.

import type { Protocol } from '../protocol.js';

export const store: Protocol = {
  name: 'store',
  about:
    'one atomic store inside an aligned quadword, then one sync; other sites stay on ' +
    'their trampoline',
  accepts: { bytes: 'changed', within: 'qword' },
  handler: null,
  steps: [
    {
      do: 'publish',
      why: 'a trap left over from an earlier update must already find the new target',
    },
    {
      do: 'store',
      part: 'changed',
      bytes: 'new',
      as: 'exchange',
      why:
        'one store inside one unit of the fetch: a CPU fetches the old instruction or the ' +
        'new one',
    },
    { do: 'sync', why: 'from here no CPU runs the old instruction out of what it fetched earlier' },
  ],
};

/** As the series had it: right where a CPU fetches a line in one piece. */
export const storeInLine: Protocol = {
  ...store,
  about:
    'one atomic store inside a cache line, then one sync; other sites stay on their trampoline',
  accepts: { bytes: 'changed', within: 'line' },
};

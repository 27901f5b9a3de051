// The rule of the third series: a call whose displacement lies inside a cache line is patched by
// one store, and any other keeps calling its trampoline.

import { said, system } from '../system.js';
import { storeInLine } from '../../plan/protocols/store.js';

const protocol = { ...storeInLine, name: 'line-calls' };

export const lineCalls = system({
  name: 'line-calls',
  title: 'One store inside a cache line (Josh Poimboeuf)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://lore.kernel.org/r/cover.1547073843.git.jpoimboe@redhat.com',
      'Josh Poimboeuf, 9 January 2019: static calls, third series, which drops the breakpoint',
    ),
  ],
  protocol,
  mended: {
    says: 'the displacement is aligned to four bytes',
    protocol: { ...protocol, place: { offset: { align: 4, at: 3 } } },
  },
  broken: {
    says: 'calls over the end of a line are patched too',
    protocol: { ...protocol, accepts: { ...protocol.accepts, within: null } },
  },
  leaves: 'Sites over the end of a line, which go through their trampoline.',
});

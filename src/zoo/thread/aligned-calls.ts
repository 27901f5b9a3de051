// Calls that inline assembly aligns, so that one LOCKed store inside a quadword retargets them.

import { poke, publish, put, said, sync, system } from '../system.js';

const protocol = poke(
  {
    name: 'aligned-calls',
    about: 'one LOCKed store of a displacement that is aligned to four bytes, then a sync',
    accepts: { bytes: 'changed', within: 'qword' },
    steps: [
      publish('the new target may be called'),
      put(1, 4, 'cmpxchg', 'exchange'),
      sync('no CPU has the old displacement any more'),
    ],
  },
  { align: 4, at: 3 },
);

export const alignedCalls = system({
  name: 'aligned-calls',
  title: 'Calls aligned by inline assembly (Linus Torvalds)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://lkml.iu.edu/hypermail/linux/kernel/1811.3/05885.html',
      'Linus Torvalds, 29 November 2018: aligned call sites and an atomic update',
    ),
  ],
  protocol,
  broken: {
    says: 'the compiler places the calls',
    protocol: { ...protocol, accepts: { bytes: 'changed', within: null }, place: {} },
  },
});

// What `open` runs unless it is told otherwise (plan/protocols/auto.ts): each site by the cheapest
// way that is right for it. A site lies over the end of a line here unless a row says otherwise, so
// that a call is trapped for, and a hook is switched by one byte all the same.

import { SIGTRAP_PROGRAM } from '../native/sigtrap.js';
import { auto as protocol } from '../plan/protocols/auto.js';
import { IN_QWORD, inUser, userHandler, type Idea, type Proposal } from './proposal.js';

const handler = userHandler(SIGTRAP_PROGRAM, 'registry');
const variant = (name: string, rest: Partial<Proposal> = {}): Proposal =>
  inUser('auto', name, protocol, { handler, full: true, ...rest });

export const auto: Idea = {
  proposed: [],
  objections: [
    'Intel grants a change of one byte to int3 alone: by the letter of its manual (F4) no other ' +
      'byte may be run before the CPU has serialised.',
  ],
  rows: [
    variant('', { full: false }),
    variant('in-quadword', { offset: IN_QWORD, full: false }),
    // Through /proc/self/mem a store of several bytes may be several.
    variant('procmem', { offset: IN_QWORD, wholeStores: false }),
    // Batches of sites that go different ways: a store beside a trap, one byte or a displacement
    // beside a trap, and one byte beside a store.
    variant('store-and-trap', {
      offset: IN_QWORD,
      functions: 2,
      second: { site: 'call', offset: 61 },
    }),
    variant('byte-and-trap', { functions: 2, second: { site: 'jcc', offset: 61 } }),
    variant('byte-and-store', { functions: 2, second: { site: 'jcc', offset: IN_QWORD } }),
  ],
};

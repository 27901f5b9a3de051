// The indirect call that static calls replace: one data store, and an indirect branch at every
// call, with the retpoline that it needs since January 2018 or without.

import type { Protocol } from '../plan/protocol.js';
import { inKernel, type Idea } from './proposal.js';

const protocol: Protocol = {
  name: 'pointer',
  about: 'the indirect call that static calls replace: one store of the pointer',
  accepts: { bytes: 'whole', within: null },
  handler: null,
  steps: [{ do: 'publish', why: 'the pointer is the whole of it' }],
};

export const pointer: Idea = {
  proposed: [],
  objections: [
    'The call is an indirect branch, which speculation can steer (CVE-2017-5715); with a ' +
      'retpoline it costs many times a direct call.',
  ],
  rows: [
    inKernel('pointer', '', protocol, { via: 'pointer' }),
    inKernel('pointer', 'retpoline', protocol, { via: 'retpoline' }),
  ],
};

// The out-of-line static call: every site calls a permanent trampoline, and only the jump in it is
// patched. It is aligned, so one store changes it.

import type { Protocol } from '../plan/protocol.js';
import { store } from '../plan/protocols/store.js';
import { commit, inKernel, mail, type Idea } from './proposal.js';

const protocol: Protocol = {
  ...store,
  name: 'trampoline',
  about: 'the out-of-line static call: only the aligned jump of the trampoline is patched',
};

export const trampoline: Idea = {
  proposed: [
    mail('Josh Poimboeuf', '2019-01-09', 'cover.1547073843.git.jpoimboe@redhat.com'),
    commit('Josh Poimboeuf', '2020-09-01', 'e6d6c071f22d'),
  ],
  objections: [
    'Every call takes two branches; Steven Rostedt measured hackbench with tracepoints ' +
      'and found inline modestly but measurably faster (9183c3f9ed71).',
  ],
  rows: [inKernel('trampoline', '', protocol, { via: 'trampoline' })],
};

// The protocol that processes run (plan/protocols/int3.ts) with the SIGTRAP handler that ships
// (native/sigtrap.ts), and what it would be with one thing wrong.
//
// `shadow` is the same handler with the user shadow stack kept in step: what an emulated CALL and
// an emulated RET must do to it is spliced in behind their labels. It has never run on hardware
// with user shadow stacks, so a process that has them enabled is refused instead.

import type { Program } from '../asm/assembler.js';
import { SIGTRAP_PROGRAM } from '../native/sigtrap.js';
import { int3 as protocol } from '../plan/protocols/int3.js';
import { TWO_KEYS, commit, inUser, userHandler, type Idea, type Proposal } from './proposal.js';
import { USER_SHADOW } from './shadow.js';

const SPLICED: Readonly<Record<string, Program>> = {
  call: USER_SHADOW.call({ context: 'rdx', end: 'r10', target: 'r11' }),
  ret: USER_SHADOW.ret(),
};

export const SIGTRAP_SHADOW: Program = SIGTRAP_PROGRAM.flatMap((item) => [
  item,
  ...('item' in item && item.item === 'label' ? (SPLICED[item.name] ?? []) : []),
]);

const handler = userHandler(SIGTRAP_PROGRAM, 'registry');
const variant = (name: string, rest: Partial<Proposal> = {}): Proposal =>
  inUser('int3', name, protocol, { handler, full: true, ...rest });

export const int3: Idea = {
  proposed: [
    commit('Jiri Kosina', '2013-07-12', 'fd4363fff3d9'),
    commit('Mathieu Desnoyers', '2018-01-29', '70216e18e519'),
  ],
  objections: [
    'A thread can stand between its trap and the handler for any time, which membarrier ' +
      'does not wait for; so the table is permanent.',
    'A synchronisation by every CPU is needed three times; the third only keeps a thread from ' +
      'meeting a trap after the update has returned (`two-syncs`).',
  ],
  rows: [
    variant('', { full: false }),
    variant('foreign', { foreign: true }),
    variant('lost-tail', { lostTail: true }),
    variant('two-updaters', { updaters: 'locked' }),
    variant('no-lock', { updaters: 'unlocked' }),
    variant('two-sites', { functions: 2 }),
    variant('two-keys', TWO_KEYS),
    variant('unsorted', { functions: 2, order: 'unsorted' }),
    inUser('int3', 'two-syncs', { ...protocol, steps: protocol.steps.slice(0, -1) }, { handler }),
    variant('shadow', { handler: userHandler(SIGTRAP_SHADOW, 'registry') }),
  ],
};

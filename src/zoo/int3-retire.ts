// The kernel's way carried into a process as it is: the table of traps is torn down after the last
// synchronisation. In the kernel that is sound, because no CPU acknowledges the last IPI from
// inside #BP; in a process a thread may stand between its trap and the handler for any time, and
// membarrier does not wait for it. So the handler finds an empty table for an int3 that was ours.
// `int3` keeps its table forever because of this. What the handler does here instead is the
// variant:
//
//   none       the trap is not ours: SIGTRAP gets its default action back and the int3 runs again,
//              which ends the process
//   reread     if the byte is no int3 any more, the site is run again; if it is one, it is taken
//              for another program's, though the next update may just have stored it
//   versioned  as reread, but where the byte is an int3 and the version has moved since before the
//              look-up, look again. It is sound only if the table is published before the version
//              moves: the protocol says which, the handler is the same
//   counted    as none, but the handler holds a reference to the table while it runs, and the
//              updater waits for those. It comes too late: a thread that has trapped and not yet
//              begun the handler holds none

import { cfa, label, mem, mem8, word, type Program } from '../asm/assembler.js';
import { INT3 } from '../asm/table.js';
import { SIGTRAP, SYS, UCONTEXT } from '../base/linux.js';
import type { Protocol, Step } from '../plan/protocol.js';
import { int3 } from '../plan/protocols/int3.js';
import { POKE } from '../trap/kernel.js';
import { dispatch, dropReference, lookUp, takeReference } from './breakpoint.js';
import { helping, inUser, userHandler, type Idea } from './proposal.js';
import { counting } from './text-poke.js';

/** Of the POKE table: moves with every update. */
export const VERSION = 40;

export type Retry = 'none' | 'reread' | 'versioned' | 'counted';

const WORDS: Readonly<Record<Retry, Readonly<Record<string, number>>>> = {
  none: {},
  reread: {},
  versioned: { version: VERSION },
  counted: { refs: POKE.refs },
};

const moved: Program = [
  ['movabs', 'rcx', word('table')],
  ['cmp', mem('rcx', VERSION), 'r10'],
  ['jne', 'look'],
];
/** With rax the site: runs it again unless there is an int3, of which `look` may say more. */
const reread = (look: Program): Program => [
  ['cmp', mem8('rax'), INT3],
  ['jne', 'again'],
  ...look,
  ['jmp', 'unclaimed'],
  label('again'),
  ['mov', mem('r8', UCONTEXT.rip), 'rax'],
  ['ret'],
];
/** What each variant does where the table has no entry; falls through to `unclaimed`. */
const MISSING: Readonly<Record<Retry, Program>> = {
  none: [],
  reread: reread([]),
  versioned: reread(moved),
  counted: dropReference,
};

/**
 * A signal handler: rdx ucontext, RSP at the restorer's address. Its one named word is `table`, a
 * POKE table.
 */
export function retire({ retry }: { readonly retry: Retry }): {
  readonly program: Program;
  readonly words: Readonly<Record<string, number>>;
} {
  const counted = retry === 'counted';
  const leave: Program = [...(counted ? dropReference : []), ['ret']];
  const program: Program = [
    label('entry'),
    cfa({ kind: 'call', base: 'rsp', offset: 8 }),
    ['mov', 'r8', 'rdx'],
    ['mov', 'rax', mem('r8', UCONTEXT.rip)],
    ['dec', 'rax'], // the saved address is behind the int3; rax: the site
    label('look'),
    ...(retry === 'versioned'
      ? ([
          ['movabs', 'rcx', word('table')],
          ['mov', 'r10', mem('rcx', VERSION)],
        ] as const)
      : []),
    ...(counted ? takeReference('unclaimed') : []),
    ...lookUp('missing'),
    ...dispatch('missing'),
    ['mov', 'rcx', mem('r8', UCONTEXT.rsp)],
    ['mov', 'rsi', mem('rcx')],
    ['add', 'rcx', 8],
    ['mov', mem('r8', UCONTEXT.rsp), 'rcx'],
    ['jmp', 'jump'],
    label('ret0'),
    ['mov', mem('r8', UCONTEXT.rax), 0],
    label('skip'),
    ['mov', mem('r8', UCONTEXT.rip), 'rdi'],
    ...leave,
    label('call'),
    ['mov', 'rcx', mem('r8', UCONTEXT.rsp)],
    ['sub', 'rcx', 8],
    ['mov', mem('rcx'), 'rdi'],
    ['mov', mem('r8', UCONTEXT.rsp), 'rcx'],
    label('jump'),
    ['mov', mem('r8', UCONTEXT.rip), 'rsi'],
    ...leave,
    label('missing'),
    ...MISSING[retry],
    label('unclaimed'),
    // struct sigaction: SIG_DFL, no flags, no restorer, no mask
    ...[0, 0, 0, 0].map((word) => ['push', word] as const),
    ['mov', 'edi', SIGTRAP],
    ['mov', 'rsi', 'rsp'],
    ['xor', 'edx', 'edx'],
    ['mov', 'r10d', 8],
    ['mov', 'eax', SYS.rt_sigaction],
    ['syscall'],
    ['add', 'rsp', 32],
    ['dec', mem('r8', UCONTEXT.rip)],
    ['ret'],
  ];
  return { program, words: WORDS[retry] };
}

const version: Step = {
  do: 'count',
  word: 'version',
  by: 1,
  why: 'a handler that looked too early shall look again',
};
const [publish, rest] = [int3.steps.slice(0, 1), int3.steps.slice(1)];
const end: Step = { do: 'retire', why: 'the table belongs to one update' };

const protocol = (steps: readonly Step[], about: string): Protocol => ({
  name: 'int3-retire',
  about,
  accepts: int3.accepts,
  handler: 'retire',
  steps,
});

export const retiring = (retry: Retry) => {
  const { program, words } = retire({ retry });
  return userHandler(program, 'poke', words);
};

export const int3Retire: Idea = {
  proposed: [],
  objections: [
    'membarrier does not wait for a thread between its trap and its handler, so the ' +
      'handler may find no table.',
  ],
  rows: [
    ...(['none', 'reread'] as const).map((retry) =>
      inUser(
        'int3-retire',
        retry === 'none' ? '' : retry,
        protocol(
          [...publish, ...rest, end],
          'int3 with a table that is torn down after the last sync',
        ),
        { handler: retiring(retry), tornDown: true, sites: 'five' },
      ),
    ),
    inUser(
      'int3-retire',
      'counted',
      protocol(
        counting(publish, rest),
        'int3 with a table that is torn down when no handler is in it',
      ),
      { ...helping(retiring('counted')), sites: 'five' },
    ),
    inUser(
      'int3-retire',
      'versioned',
      protocol(
        [...publish, version, ...rest, end],
        'the table is published, then the version moves',
      ),
      { handler: retiring('versioned'), tornDown: true, sites: 'five' },
    ),
    // The mistake: the handler can read the version of an update whose table is not there yet.
    inUser(
      'int3-retire',
      'version-first',
      protocol(
        [version, ...publish, ...rest, end],
        'the version moves, then the table is published',
      ),
      { handler: retiring('versioned'), tornDown: true, sites: 'five' },
    ),
  ],
};

// A SIGTRAP handler over a table that is torn down after the last synchronisation, as the kernel
// tears its vector down. In the kernel that is sound, for no CPU acknowledges the last IPI from
// inside #BP; in a process a thread may stand between its trap and this handler for any time, and
// membarrier does not wait for it. So it finds an empty table for an int3 that was ours. What the
// handler does then is the variant:
//
//   none       the trap is not ours: SIGTRAP gets its default action back and the int3 runs again, which ends the process
//   reread     if the byte is no int3 any more, the site is run again; if it is one, it is taken for somebody else's,
//              though the next update may just have planted it
//   versioned  as reread, but where the byte is an int3 and the version has moved since before the look-up, look
//              again. It is sound only if the table is published before the version moves: the protocol says
//              which, the handler is the same
//   counted    as none, but the handler holds a reference to the table while it runs, and the updater waits for those. It
//              comes too late: who has trapped and not yet begun the handler holds none

import { cfa, label, mem, mem8, word, type Program } from '../asm/assembler.js';
import { dispatch, dropReference, lookUp, takeReference } from './breakpoint.js';
import { POKE } from '../trap/kernel.js';
import { UCONTEXT } from '../native/sigtrap.js';

/** Of the POKE table: moves with every update. */
export const VERSION = 40;

export type Retry = 'none' | 'reread' | 'versioned' | 'counted';

const INT3 = 0xcc;
const SIGTRAP = 5;
const SYS_RT_SIGACTION = 13;

const WORDS: Readonly<Record<Retry, Readonly<Record<string, number>>>> = {
  none: {},
  reread: {},
  versioned: { version: VERSION },
  counted: { refs: POKE.refs },
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
  const missing: Program =
    retry === 'none' || counted
      ? counted
        ? dropReference
        : []
      : [
          ['cmp', mem8('rax'), INT3],
          ['jne', 'again'],
          ...(retry === 'versioned'
            ? ([
                ['movabs', 'rcx', word('table')],
                ['cmp', mem('rcx', VERSION), 'r10'],
                ['jne', 'look'],
              ] as const)
            : []),
          ['jmp', 'unclaimed'],
          label('again'), // with rax the site
          ['mov', mem('r8', UCONTEXT.rip), 'rax'],
          ['ret'],
        ];
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
    ...missing,
    label('unclaimed'),
    ...[0, 0, 0, 0].map((word) => ['push', word] as const), // struct sigaction: SIG_DFL, no flags, no restorer, no mask
    ['mov', 'edi', SIGTRAP],
    ['mov', 'rsi', 'rsp'],
    ['xor', 'edx', 'edx'],
    ['mov', 'r10d', 8],
    ['mov', 'eax', SYS_RT_SIGACTION],
    ['syscall'],
    ['add', 'rsp', 32],
    ['dec', mem('r8', UCONTEXT.rip)],
    ['ret'],
  ];
  return { program, words: WORDS[retry] };
}

// The first two series: before it stores the int3, the updater puts the new target and the end of
// the site in two globals. #BP only sends the trapped context to a stub, which calls through the
// one and jumps back through the other.

import { cfa, label, mem, rip } from '../asm/assembler.js';
import { breakpoint, type BreakpointHandler } from './breakpoint.js';
import { FRAME } from '../trap/kernel.js';
import type { Entry } from '../trap/entry.js';
import { EACH_SITE, TWO_KEYS, mail, poke, type Idea } from './proposal.js';

/** The two globals, in the POKE table. */
export const GLOBALS = { destination: 24, resume: 32 } as const;

/** Outside symbol `table`: the POKE table, for the stub may touch no register. */
export function stub({
  entry,
  shadow = false,
}: {
  readonly entry: Entry;
  readonly shadow?: boolean;
}): BreakpointHandler {
  return breakpoint({
    entry,
    shadow,
    call: [
      ['lea', 'rcx', rip('stub')],
      ['mov', mem('rsp', FRAME.rip), 'rcx'],
    ],
    jump: [
      ['lea', 'rcx', rip('stub_jump')],
      ['mov', mem('rsp', FRAME.rip), 'rcx'],
    ],
    after: [
      // The stack is the caller's at the site: there is no rule that finds its frame from here.
      cfa({ kind: 'none' }),
      label('stub'),
      ['call', rip('table', GLOBALS.destination)],
      ['jmp', rip('table', GLOBALS.resume)],
      // Of a tail site the caller's return address is on top.
      cfa({ kind: 'call', base: 'rsp', offset: 8 }),
      label('stub_jump'),
      ['jmp', rip('table', GLOBALS.destination)],
    ],
    globals: [
      { offset: GLOBALS.destination, holds: 'target' },
      { offset: GLOBALS.resume, holds: 'end' },
    ],
  });
}

export const int3Stub: Idea = {
  proposed: [
    mail(
      'Josh Poimboeuf',
      '2018-11-08',
      '3cf04e113d71c9f8e4be95fb84a510f085aa4afa.1541711457.git.jpoimboe@redhat.com',
    ),
  ],
  objections: [
    'The target may sleep, and when it returns the globals belong to another site: the ' +
      'return address must lie on the stack.',
    'A context preempted between the IRET and the call finds the target of another key.',
    'One pair of globals cannot describe a batch.',
    'The stack shows an address inside the stub, from where no unwinder finds the caller.',
    'The stub needs the indirect branches that static calls were to remove.',
  ],
  rows: [
    poke('int3-stub', '', (entry) => stub({ entry })),
    poke('int3-stub', 'shadow', (entry) => stub({ entry, shadow: true }), { full: true }),
    poke('int3-stub', 'two-keys', (entry) => stub({ entry }), TWO_KEYS),
    poke('int3-stub', 'each-site', (entry) => stub({ entry }), EACH_SITE),
  ],
};

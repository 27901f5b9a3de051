// The first two series (8 and 26 November 2018, Josh Poimboeuf; v1 is 3cf04e11...1541711457).
// Before it plants the int3 the updater stores where the new instruction calls to and where the
// site ends in two globals; #BP only sends the trapped context to a stub, which calls through the
// one and jumps back through the other. Against it, 26 to 30 November: the target may sleep, and
// when it returns the globals belong to another site (the return address must live on the stack,
// not in a global); a context preempted between the IRET and the call finds another key's target;
// one pair cannot describe a batch; the stack shows an address inside the stub, where no unwinder
// finds the caller; and the stub needs the indirect branches that static calls were to remove.

import { cfa, label, mem, rip } from '../asm/assembler.js';
import { breakpoint, type BreakpointHandler } from './breakpoint.js';
import { FRAME, type Entry } from '../trap/kernel.js';

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
      cfa({ kind: 'call', base: 'rsp', offset: 8 }), // of a tail site the caller's return address is on top
      label('stub_jump'),
      ['jmp', rip('table', GLOBALS.destination)],
    ],
    globals: [
      { offset: GLOBALS.destination, holds: 'target' },
      { offset: GLOBALS.resume, holds: 'end' },
    ],
  });
}

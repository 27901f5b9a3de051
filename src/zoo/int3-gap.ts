// The way that was merged for Linux 5.2 (2700fefdb2d9 ("x86_64: Add gap to int3 to allow for call
// emulation")). A CALL is emulated from #BP by pushing the return address on the interrupted stack;
// but that is where the exception frame lies, for #BP has had no stack of its own since
// d8ba61ba58c8. So the entry code copies the six words of the frame once more below themselves, and
// the upper copy becomes room to push into: six words, seven with the padding. The emulation then
// edits pt_regs and nothing else; it keeps no state, so NMI and #MC may nest freely in it.
// Objections on the list: every int3 entry pays for it, and 32-bit kernels, whose frames have no
// SS:RSP, needed theirs rebuilt first. `gap: 0` is the same without the copy: the push lands in the
// frame's saved SS, as on Xen PV before its entry was changed.
//
// With `shadow` the same is done once more on the supervisor shadow stack, where the exception
// frame lies just as much in the way: see shadow.ts. With `counted` the handler holds a reference
// to the table of traps while it runs, as the kernel's has since v5.5: the updater drops its own
// after the last synchronisation, waits until there is none, and only then takes the table down.

import { mem } from '../asm/assembler.js';
import { breakpoint, pushReturn, resumeAt, type BreakpointHandler } from './breakpoint.js';
import { POKE, type Entry } from '../trap/kernel.js';
import { SHADOW } from './shadow.js';

/** Frame words that the entry copies: RIP, CS, RFLAGS, RSP, SS and the error code's place. */
const FRAME_WORDS = 6;

export interface GapOptions {
  readonly gap: 0 | typeof FRAME_WORDS;
  readonly entry: Entry;
  readonly shadow?: boolean;
  readonly counted?: boolean;
}

export function gap({
  gap: words,
  entry,
  shadow = false,
  counted = false,
}: GapOptions): BreakpointHandler {
  return breakpoint({
    entry,
    shadow,
    counted,
    ...(counted ? { words: { refs: POKE.refs } } : {}),
    // Each push lowers RSP by one word, so the same displacement copies the next one. Every prefix
    // of the copy leaves the original intact above RSP: an NMI in between does no harm.
    room: Array.from({ length: words }, () => ['push', mem('rsp', 8 * (FRAME_WORDS - 1))] as const),
    call: [...pushReturn, ...(shadow ? SHADOW.push : []), ...resumeAt('rsi')],
  });
}

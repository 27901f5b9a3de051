// The frame shifted by 16 bytes: the entry code of #BP moves the exception frame two words down, so
// that one return address fits between it and the interrupted stack whatever the alignment was.
// int3-gap is the same idea with a whole frame of room, and went in.

import { mem, type Program } from '../asm/assembler.js';
import { breakpoint, pushReturn, resumeAt, type BreakpointHandler } from './breakpoint.js';
import type { Entry } from '../trap/entry.js';
import { SHADOW } from './shadow.js';
import { mail, poke, type Idea } from './proposal.js';

const WORDS = 6;
const SHIFT = 16;

// From the lowest word up: what a step overwrites has been copied two steps before, so that all of
// the frame is above RSP at every moment. PUSH takes its address before it lowers RSP, POP after it
// raised it.
const shiftFrame: Program = [
  ['sub', 'rsp', SHIFT],
  ...Array.from({ length: WORDS }, (_, i) => [
    ['push', mem('rsp', SHIFT + 8 * i)] as const,
    ['pop', mem('rsp', 8 * i)] as const,
  ]).flat(),
];

export function shift({
  entry,
  shadow = false,
}: {
  readonly entry: Entry;
  readonly shadow?: boolean;
}): BreakpointHandler {
  return breakpoint({
    entry,
    shadow,
    room: shiftFrame,
    call: [...pushReturn, ...(shadow ? SHADOW.push : []), ...resumeAt('rsi')],
  });
}

export const int3Shift: Idea = {
  proposed: [mail('Josh Poimboeuf', '2018-11-30', '20181130183917.hxmti5josgq4clti@treble')],
  objections: [
    'Linus Torvalds: the entry code is too fragile for it.',
    'Peter Zijlstra, in April 2019: of all the ways it is the one that everybody hated least.',
  ],
  rows: [
    poke('int3-shift', '', (entry) => shift({ entry })),
    poke('int3-shift', 'shadow', (entry) => shift({ entry, shadow: true }), { full: true }),
  ],
};

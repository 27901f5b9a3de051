// H. Peter Anvin's state machine (14 January 2019, in the thread of the third series): no emulation
// at all. The updater says in a word how far it is, and whoever meets the int3 helps according to
// it, then runs the instruction again:
//
//   arming     the updater has stored int3 and still waits for the others: the trap gives the update up, by moving the
//              word to `aborted` and putting the old first byte back
//   aborted    the same, but for the word; the updater finds it and begins anew
//   patching   the trap finishes the update itself: the rest of the new bytes, then the first
//   draining   the int3 is gone or going: just run the site again
//   idle       the trap is not ours
//
// It was to need no emulation and no gap, and to be free of the deadlock of a handler that waits.
// Said of it on the list: it can go round for ever, and the handler must be able to write text. The
// search finds more: see docs/verdicts.md.

import { label, mem, mem8, word, type Program } from '../asm/assembler.js';
import { breakpoint, type BreakpointHandler } from './breakpoint.js';
import { FRAME, type Entry } from '../trap/kernel.js';

/** Words of the POKE table: how far the updater is, and the bytes of the site . */
const STATE = 48;
const BYTES = 56;

/** Values of the word `state`; a protocol's steps name them. */
export const ABORT = { idle: 0, arming: 1, patching: 2, draining: 3, aborted: 4 } as const;

const INT3 = 0xcc;
const SITE_LENGTH = 5;

const answer: Program = [
  ['movabs', 'r8', word('table')],
  ['mov', 'r10', 'rax'], // the site: CMPXCHG wants RAX
  label('look'),
  ['mov', 'r9', mem('r8', STATE)],
  ['cmp', 'r9', ABORT.patching],
  ['je', 'finish'],
  ['cmp', 'r9', ABORT.draining],
  ['je', 'again'],
  ['cmp', 'r9', ABORT.aborted],
  ['je', 'restore'],
  ['cmp', 'r9', ABORT.arming],
  ['jne', 'unclaimed'],
  ['mov', 'eax', ABORT.arming],
  ['mov', 'ecx', ABORT.aborted],
  ['lock', 'cmpxchg', mem('r8', STATE), 'rcx'],
  ['jne', 'look'],
  label('restore'),
  ['mov', 'rcx', mem('r8', BYTES)],
  ['shr', 'rcx', 8 * SITE_LENGTH],
  ['jmp', 'first'],
  label('finish'),
  ['mov', 'rcx', mem('r8', BYTES)],
  ['mov', 'rdx', 'rcx'],
  ...Array.from({ length: SITE_LENGTH - 1 }, (_, i): Program => [
    ['shr', 'rdx', 8],
    ['mov', 'r11', 'rdx'],
    ['xchg', mem8('r10', i + 1), 'r11b'],
  ]).flat(),
  label('first'), // never over another's byte
  ['mov', 'eax', INT3],
  ['lock', 'cmpxchg', mem8('r10'), 'cl'],
  label('again'),
  ['mov', mem('rsp', FRAME.rip), 'r10'],
];

export function abort({ entry }: { readonly entry: Entry }): BreakpointHandler {
  return breakpoint({
    entry,
    answer,
    globals: [{ offset: BYTES, holds: 'bytes' }],
    words: { state: STATE },
  });
}

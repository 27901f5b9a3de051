// H. Peter Anvin's state machine: no emulation at all. The updater says in a word how far it is,
// and a context that meets the int3 helps according to it, then runs the instruction again:
//
//   arming     the updater has stored int3 and still waits for the other CPUs: the trap gives the
//              update up, by moving the word to `aborted` and putting the old first byte back
//   aborted    the same, but for the word; the updater finds it and begins anew
//   patching   the trap finishes the update itself: the rest of the new bytes, then the first
//   draining   the int3 is gone or going: just run the site again
//   idle       the trap is not ours
//
// It was to need no emulation and no gap, and to be free of the deadlock of a handler that waits.
//
// As proposed there is no synchronisation between the rest and the first byte; `synced` has one.
// `waiting` also begins each attempt by putting the old byte back itself and synchronising: a
// handler that gave the last attempt up may be late, and would put the old byte back in the next
// one. To synchronise alone is not enough, because a CPU that has answered may still meet the trap.

import { label, mem, mem8, word, type Program } from '../asm/assembler.js';
import { INT3 } from '../asm/table.js';
import type { Protocol, Step } from '../plan/protocol.js';
import { FRAME } from '../trap/kernel.js';
import type { Entry } from '../trap/entry.js';
import { breakpoint, type BreakpointHandler } from './breakpoint.js';
import { archived, helping, inKernel, kernelHandler, type Idea } from './proposal.js';

/** Words of the POKE table: how far the updater is, and the bytes of the site. */
const STATE = 48;
const BYTES = 56;

/** Values of the word `state`; a protocol's steps name them. */
export const ABORT = { idle: 0, arming: 1, patching: 2, draining: 3, aborted: 4 } as const;

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

/** Updates that are given up oftener are not explored. */
const TIMES = 2;

const between: Step = { do: 'sync', why: 'no CPU may pair the new first byte with an old rest' };
const settled: readonly Step[] = [
  {
    do: 'store',
    part: 'first',
    bytes: 'old',
    as: 'one',
    why: 'no CPU comes to the trap of the last attempt any more',
  },
  { do: 'sync', why: 'a CPU that gave it up has stored all that it will store' },
];

const protocol = (about: string, before: readonly Step[], middle: readonly Step[]): Protocol => ({
  name: 'int3-abort',
  about: `a CPU that traps gives the update up or finishes it${about}`,
  accepts: { bytes: 'whole', within: null },
  handler: 'abort',
  steps: [
    { do: 'publish', why: 'a CPU that traps must find the bytes that it is to store' },
    {
      do: 'exchange',
      word: 'state',
      from: ABORT.idle,
      to: ABORT.arming,
      why: 'from here a trap is ours',
    },
    ...before,
    {
      do: 'exchange',
      word: 'state',
      from: ABORT.aborted,
      to: ABORT.arming,
      why: 'the same, where a trap gave the last attempt up',
    },
    {
      do: 'store',
      part: 'first',
      bytes: 'trap',
      as: 'one',
      why: 'no CPU decodes the rest of the site',
    },
    { do: 'sync', why: 'every CPU has seen the trap, or has given the update up' },
    {
      do: 'exchange',
      word: 'state',
      from: ABORT.arming,
      to: ABORT.patching,
      why: 'from here a trap finishes the update',
    },
    {
      do: 'retry',
      to: 2,
      word: 'state',
      is: ABORT.patching,
      times: TIMES,
      why: 'it was given up: the old first byte is back, or soon will be',
    },
    { do: 'store', part: 'rest', bytes: 'new', as: 'bytes', why: 'hidden behind the trap' },
    ...middle,
    { do: 'store', part: 'first', bytes: 'new', as: 'one', why: 'the new instruction' },
    {
      do: 'exchange',
      word: 'state',
      from: ABORT.patching,
      to: ABORT.draining,
      why: 'a CPU that still traps just runs the site again',
    },
    { do: 'sync', why: 'from here no CPU traps' },
    {
      do: 'exchange',
      word: 'state',
      from: ABORT.draining,
      to: ABORT.idle,
      why: 'a trap is no longer ours',
    },
    { do: 'retire', why: 'the table belongs to one update' },
  ],
});

export const aborting = kernelHandler((entry) => abort({ entry }));

/** The word that holds the bytes has them for five, and the handler stores as many. */
const five = { ...helping(aborting), sites: 'five' } as const;

export const int3Abort: Idea = {
  proposed: [
    archived('H. Peter Anvin', '2019-01-14', '1901.1/06819'),
    archived('H. Peter Anvin', '2019-01-15', '1901.1/07048'),
  ],
  objections: ['It can go round forever.', 'The handler must be able to write text.'],
  rows: [
    inKernel('int3-abort', '', protocol('', [], []), five),
    inKernel(
      'int3-abort',
      'synced',
      protocol('; with a sync before the first byte', [], [between]),
      five,
    ),
    inKernel(
      'int3-abort',
      'waiting',
      protocol('; with a sync before the first byte, and each attempt begun afresh', settled, [
        between,
      ]),
      five,
    ),
  ],
};

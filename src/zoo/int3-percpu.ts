// The retpoline-style trampoline of the mail that this project starts from. #BP remembers IF, the
// return address and the target in per-CPU variables, clears IF in the saved flags and returns to a
// trampoline: push the one, push the other, STI if it was on, RET. No register is needed, and with
// IF clear nothing but NMI, #MC and #DB can come between the handler and the RET.
//
// `returns: 'posted'` is the sketch to the letter, whose return address is one too high: the saved
// RIP is already behind the int3.

import { cfa, gs, label, mem, rip, type Program } from '../asm/assembler.js';
import { breakpoint, type BreakpointHandler } from './breakpoint.js';
import { FLAG } from '../asm/flags.js';
import { FRAME, PERCPU } from '../trap/kernel.js';
import type { Entry } from '../trap/entry.js';
import { mail, poke, type Idea } from './proposal.js';

const SLOTS = {
  source: PERCPU.slots,
  target: PERCPU.slots + 8,
  restoreIf: PERCPU.slots + 16,
} as const;

export interface PercpuOptions {
  readonly entry: Entry;
  readonly returns: 'posted' | 'fixed';
  /**
   * Whether the handler clears IF in the saved flags; without it an interrupt, and so a migration,
   * may come in between.
   */
  readonly clearsIf: boolean;
}

export function percpu({ entry, returns, clearsIf }: PercpuOptions): BreakpointHandler {
  const source: Program =
    returns === 'fixed'
      ? [['mov', gs(SLOTS.source), 'rdi']]
      : [
          ['mov', 'rcx', mem('rsp', FRAME.rip)],
          ['add', 'rcx', 5],
          ['mov', gs(SLOTS.source), 'rcx'],
        ];
  return breakpoint({
    entry,
    call: [
      ['mov', 'rcx', mem('rsp', FRAME.flags)],
      ['mov', 'rdx', 'rcx'],
      ['and', 'edx', FLAG.if],
      ['mov', gs(SLOTS.restoreIf), 'rdx'],
      ...(clearsIf
        ? ([
            ['and', 'rcx', ~FLAG.if],
            ['mov', mem('rsp', FRAME.flags), 'rcx'],
          ] as const)
        : []),
      ...source,
      ['mov', gs(SLOTS.target), 'rsi'],
      ['lea', 'rcx', rip('trampoline')],
      ['mov', mem('rsp', FRAME.rip), 'rcx'],
    ],
    after: [
      // Entered by IRET on any caller's stack: no one rule finds the caller's frame (Steven Rostedt
      // marked his STACK_FRAME_NON_STANDARD).
      cfa({ kind: 'none' }),
      label('trampoline'),
      ['push', gs(SLOTS.source)],
      ['push', gs(SLOTS.target)],
      ['cmp', gs(SLOTS.restoreIf), 0],
      ['je', 'stay'],
      ['sti'], // its shadow covers the RET: nothing per-CPU is read after it
      label('stay'),
      ['ret'],
    ],
    stash: Object.values(SLOTS),
  });
}

export const int3Percpu: Idea = {
  proposed: [
    mail(
      'Jann Horn',
      '2020-02-17',
      'CAG48ez0owFet0E43UAGd7sV9Oi0yhVpWTmy4W+Vm5+0q=74-DA@mail.gmail.com',
    ),
  ],
  objections: [
    'Steven Rostedt: an NMI in between that meets any armed site overwrites the ' +
      'variables (20200217165714.1080cfd2@gandalf.local.home).',
    'Andy Lutomirski, of the same idea in 2019: #DB can come there too, and no fixed ' +
      'list of contexts is complete.',
    'Nothing tells lockdep of the STI.',
    'With shadow stacks a RET that matches no CALL is #CP.',
  ],
  rows: [
    poke('int3-percpu', '', (entry) => percpu({ entry, returns: 'posted', clearsIf: true })),
    poke('int3-percpu', 'fixed', (entry) => percpu({ entry, returns: 'fixed', clearsIf: true })),
    poke('int3-percpu', 'if-kept', (entry) => percpu({ entry, returns: 'fixed', clearsIf: false })),
  ],
};

// A slot for every nesting level, so that no event shares one with what it interrupted: what
// follows from Nicolai Stange's stack of at most four pending emulations once it is granted that
// contexts nest in more ways than task, softirq, irq and NMI. Here the entry code of every event,
// #MC and #DB included, counts the level; each level has its slot and its trampolines, whose
// addresses the handler computes, so that no trampoline needs a register. IF stays clear between
// handler and trampoline, so only events come in between that put the level back.

import { align, cfa, gs, label, mem, rip, type Program } from '../asm/assembler.js';
import { breakpoint, type BreakpointHandler } from './breakpoint.js';
import { FLAG } from '../asm/flags.js';
import { FRAME, PERCPU } from '../trap/kernel.js';
import type { Entry } from '../trap/entry.js';
import { mail, poke, type Idea } from './proposal.js';

/** How deep events may nest; a trap on a deeper level is not claimed. */
export const LEVELS = 8;
const SLOT = 16;
/** Two trampolines a level, at most 31 bytes each: first the one that leaves IF alone. */
const TRAMPOLINE = 32;

export function levels({
  entry,
  tells = false,
}: {
  readonly entry: Entry;
  readonly tells?: boolean;
}): BreakpointHandler {
  const trampoline = (level: number, enable: boolean): Program => [
    align(TRAMPOLINE),
    label(`level${level}${enable ? '.sti' : ''}`),
    ['push', gs(PERCPU.slots + SLOT * level)],
    ['push', gs(PERCPU.slots + SLOT * level + 8)],
    ...(enable
      ? ([...(tells ? [['mov', gs(PERCPU.lockdep), 1] as const] : []), ['sti']] as const)
      : []),
    ['ret'],
  ];
  return breakpoint({
    entry,
    call: [
      ['mov', 'rcx', gs(PERCPU.level)],
      ['cmp', 'rcx', LEVELS],
      ['jae', 'unclaimed'],
      ['mov', 'rdx', 'rcx'],
      ['shl', 'rcx', Math.log2(SLOT)],
      ['mov', gs(mem('rcx', PERCPU.slots)), 'rdi'],
      ['mov', gs(mem('rcx', PERCPU.slots + 8)), 'rsi'],
      ['shl', 'rdx', Math.log2(2 * TRAMPOLINE)],
      ['lea', 'rcx', rip('level0')],
      ['add', 'rdx', 'rcx'],
      ['mov', 'rcx', mem('rsp', FRAME.flags)],
      ['test', 'ecx', FLAG.if],
      ['je', 'go'],
      ['and', 'rcx', ~FLAG.if],
      ['mov', mem('rsp', FRAME.flags), 'rcx'],
      ['add', 'rdx', TRAMPOLINE],
      label('go'),
      ['mov', mem('rsp', FRAME.rip), 'rdx'],
    ],
    after: [
      cfa({ kind: 'none' }),
      ...Array.from({ length: LEVELS }, (_, level) => [
        ...trampoline(level, false),
        ...trampoline(level, true),
      ]).flat(),
    ],
    stash: Array.from({ length: 2 * LEVELS }, (_, i) => PERCPU.slots + 8 * i),
  });
}

export const int3Levels: Idea = {
  proposed: [mail('Nicolai Stange', '2019-04-27', '20190427100639.15074-4-nstange@suse.de')],
  objections: [
    'Andy Lutomirski, of the stack of four: contexts nest in more ways than that.',
    'It costs bookkeeping in every entry path.',
    'With shadow stacks a RET that matches no CALL is #CP.',
  ],
  rows: [
    poke('int3-levels', '', (entry) => levels({ entry }), { counts: 'level' }),
    poke('int3-levels', 'tells', (entry) => levels({ entry, tells: true }), {
      counts: 'level',
      full: true,
    }),
  ],
};

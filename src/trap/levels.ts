// A slot for every nesting level, so that no event shares one with what it interrupted: the consequence drawn from
// Nicolai Stange's stack of at most four pending emulations (27 April 2019, 20190427100639...) and from Andy
// Lutomirski's objection that contexts nest in more ways than task, softirq, irq and NMI. Here the entry code of every
// event, #MC and #DB included, counts the level, and handler and trampoline index by it. IF stays clear
// between them, so the level cannot change under the trampoline but by events that restore it. It costs R11, which a
// call may change (psABI 3.2.1), so that every event must save it as it would around any C code, and bookkeeping in every entry path; and a RET that matches no CALL is
// #CP with shadow stacks, as in percpu.ts.

import { cfa, gs, label, mem, rip, type Program } from './assembler.js';
import { breakpoint, type BreakpointHandler } from './breakpoint.js';
import { FRAME, IF, PERCPU, type Entry } from './kernel.js';

const SLOT = 16;
/** How deep events may nest: the slots of the per-CPU area. */
export const LEVELS: number = (PERCPU.size - PERCPU.slots) / SLOT;

/** register := level times SLOT, as the slot's displacement. */
const slotOf = (register: 'rcx' | 'r11'): Program => [
  ['mov', register, gs(PERCPU.level)],
  ['shl', register, Math.log2(SLOT)],
];

export function levels({ entry, tells = false }: { readonly entry: Entry; readonly tells?: boolean }): BreakpointHandler {
  const trampoline = (name: string, enable: boolean): Program => [
    label(name),
    ...slotOf('r11'),
    ['push', gs(mem('r11', PERCPU.slots))],
    ['push', gs(mem('r11', PERCPU.slots + 8))],
    ...(enable ? ([...(tells ? [['mov', gs(PERCPU.lockdep), 1] as const] : []), ['sti']] as const) : []),
    ['ret'],
  ];
  return breakpoint({
    entry,
    call: [
      ...slotOf('rcx'),
      ['mov', gs(mem('rcx', PERCPU.slots)), 'rdi'],
      ['mov', gs(mem('rcx', PERCPU.slots + 8)), 'rsi'],
      ['lea', 'rdx', rip('trampoline')],
      ['mov', 'rcx', mem('rsp', FRAME.flags)],
      ['test', 'ecx', IF],
      ['je', 'go'],
      ['and', 'rcx', ~IF],
      ['mov', mem('rsp', FRAME.flags), 'rcx'],
      ['lea', 'rdx', rip('trampoline_sti')],
      label('go'),
      ['mov', mem('rsp', FRAME.rip), 'rdx'],
    ],
    after: [cfa({ kind: 'none' }), ...trampoline('trampoline', false), ...trampoline('trampoline_sti', true)],
    stash: Array.from({ length: 2 * LEVELS }, (_, i) => PERCPU.slots + 8 * i),
  });
}

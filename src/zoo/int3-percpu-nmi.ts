// ftrace's attempt of April and May 2019, in three versions: per-CPU slots once more, but three
// trampolines, for interrupts on, interrupts off and NMI, the last with a slot of its own, chosen
// by in_nmi(). Options are what the versions differed in. `form`: v1 jumped through memory after
// the STI; Linus Torvalds asked for push, push, STI, RET, so that nothing is read behind the STI.
// `tells`: v2 told lockdep in the handler, which the way out of the exception takes back; v3 told
// it in the trampoline, before the STI. The gap replaced all of it within a week.

import { cfa, gs, label, mem, rip, type Program } from '../asm/assembler.js';
import { breakpoint, type BreakpointHandler } from './breakpoint.js';
import { FLAG } from '../asm/flags.js';
import { FRAME, PERCPU } from '../trap/kernel.js';
import type { Entry } from '../trap/entry.js';
import { mail, poke, type Idea } from './proposal.js';

const SLOTS = {
  normal: { source: PERCPU.slots, target: PERCPU.slots + 8 },
  nmi: { source: PERCPU.slots + 16, target: PERCPU.slots + 24 },
} as const;

export interface PercpuNmiOptions {
  readonly entry: Entry;
  readonly form: 'jmp' | 'ret';
  readonly tells: 'nowhere' | 'handler' | 'trampoline';
}

export function percpuNmi({ entry, form, tells }: PercpuNmiOptions): BreakpointHandler {
  const trampoline = (
    name: string,
    slots: (typeof SLOTS)['normal' | 'nmi'],
    enable: boolean,
  ): Program => {
    const on: Program = enable
      ? [...(tells === 'trampoline' ? [['mov', gs(PERCPU.lockdep), 1] as const] : []), ['sti']]
      : [];
    return [
      label(name),
      ['push', gs(slots.source)],
      ...(form === 'jmp'
        ? ([...on, ['jmp', gs(slots.target)]] as const)
        : ([['push', gs(slots.target)], ...on, ['ret']] as const)),
    ];
  };
  const fill = (slots: (typeof SLOTS)['normal' | 'nmi'], name: string): Program => [
    ['mov', gs(slots.source), 'rdi'],
    ['mov', gs(slots.target), 'rsi'],
    ['lea', 'rcx', rip(name)],
    ['mov', mem('rsp', FRAME.rip), 'rcx'],
  ];
  return breakpoint({
    entry,
    call: [
      ['cmp', gs(PERCPU.nmi), 0],
      ['jne', 'in_nmi'],
      ...fill(SLOTS.normal, 'trampoline'),
      ['mov', 'rcx', mem('rsp', FRAME.flags)],
      ['test', 'ecx', FLAG.if],
      ['je', 'exit'],
      ['and', 'rcx', ~FLAG.if],
      ['mov', mem('rsp', FRAME.flags), 'rcx'],
      ['lea', 'rcx', rip('trampoline_sti')],
      ['mov', mem('rsp', FRAME.rip), 'rcx'],
      ...(tells === 'handler' ? [['mov', gs(PERCPU.lockdep), 1] as const] : []),
      ['jmp', 'exit'],
      label('in_nmi'),
      ...fill(SLOTS.nmi, 'trampoline_nmi'),
    ],
    after: [
      cfa({ kind: 'none' }), // as in int3-percpu.ts
      ...trampoline('trampoline', SLOTS.normal, false),
      ...trampoline('trampoline_sti', SLOTS.normal, true),
      ...trampoline('trampoline_nmi', SLOTS.nmi, false),
    ],
    stash: [...Object.values(SLOTS.normal), ...Object.values(SLOTS.nmi)],
  });
}

const nmi = (options: Omit<PercpuNmiOptions, 'entry'>) => (entry: Entry) =>
  percpuNmi({ entry, ...options });

export const int3PercpuNmi: Idea = {
  proposed: [
    mail(
      'Linus Torvalds',
      '2019-04-29',
      'CAHk-=wh5OpheSU8Em_Q3Hg8qw_JtoijxOdPtHru6d+5K8TWM=A@mail.gmail.com',
    ),
  ],
  objections: [
    'Nicolai Stange: #MC inside NMI shares the NMI slot; he called it highly theoretical.',
    'Andy Lutomirski: #DB can come there too, and contexts cannot be counted.',
  ],
  rows: [
    poke('int3-percpu-nmi', '', nmi({ form: 'ret', tells: 'nowhere' }), { counts: 'nmi' }),
    poke('int3-percpu-nmi', 'jmp', nmi({ form: 'jmp', tells: 'nowhere' }), { counts: 'nmi' }),
    poke('int3-percpu-nmi', 'handler', nmi({ form: 'ret', tells: 'handler' }), { counts: 'nmi' }),
    poke('int3-percpu-nmi', 'trampoline', nmi({ form: 'ret', tells: 'trampoline' }), {
      counts: 'nmi',
    }),
  ],
};

// Linux: what patches its own text today.

import { textPoke } from '../text-poke.js';
import { poke, publish, put, state, sync, system, texts, trapByte, type Read } from '../system.js';
import type { Step } from '../../plan/protocol.js';

const read = (path: string, what: string, commit: string): Read => ({
  repository: 'torvalds/linux',
  path,
  what,
  commit,
  licence: 'GPL-2.0-only',
});

const begin = publish('from here a trap goes where the new text goes');
const first = trapByte('a thread that comes by traps');
const seen = sync('every CPU has seen the trap');
const paired = sync('no CPU pairs the new first byte with an old rest');
const last = sync('no CPU traps any more');
const put1 = put(0, 1, 'the new first byte');
const behind = put(1, 4, 'the other bytes, behind the trap');
const grace: Step = { do: 'grace', why: 'synchronize_rcu_tasks: no thread stands in the text' };

const TWO = texts([
  { ...state('nop', 'A', '66 90 e8 {A}'), trap: 2 },
  { ...state('jmp', 'null', 'eb 05 e8 {A}'), trap: 7 },
]);
const label = poke({
  name: 'linux-jump-label',
  about: 'two bytes, a nop or a short jump: trap, sync, second byte, sync, first byte, sync',
  handler: 'gap',
  text: TWO,
  steps: [begin, first, seen, put(1, 1, 'the second byte'), paired, put1, last],
});

const OLD = '90 0f 1f 00';
const optimise = poke({
  name: 'linux-kprobe-opt',
  about: 'a grace period, then a jump over several instructions, the first of which is a trap',
  handler: 'gap',
  text: texts(
    [{ ...state('probed', 'null', `cc ${OLD}`), trap: 1 }, state('jump', 'A', 'e9 {A}')],
    { ends: 'return' },
  ),
  steps: [begin, grace, seen, behind, paired, put1, last],
});
const unoptimise = {
  ...poke({
    name: 'linux-kprobe-unopt',
    about: 'the jump becomes a trap before its old instructions, and rests there',
    handler: 'gap',
    text: texts(
      [state('jump', 'A', 'e9 {A}'), { ...state('probed', 'null', `cc ${OLD}`), trap: 1 }],
      { ends: 'return' },
    ),
    steps: [first, seen, behind, paired, publish('traps take the detour no more')],
  }),
  promise: 'eventually',
} as const;

const CALL = state('call', 'A', 'e8 {A}');
const PROBED = { ...state('probed', 'null', 'cc 1f 44 00 00'), trap: 5 } as const;
const uprobe = poke({
  name: 'linux-uprobe',
  about: 'the trap is there: sync, the four bytes of a call behind it, sync, first byte, sync',
  handler: 'sigtrap',
  text: texts([PROBED, CALL]),
  steps: [begin, seen, behind, paired, put1, last],
});
const away = poke({
  name: 'linux-uprobe-away',
  about: 'a call becomes a trap again: the trap, sync, the four bytes of the nop, sync',
  handler: 'sigtrap',
  text: texts([CALL, PROBED]),
  steps: [begin, first, seen, behind, paired],
});

/** The trampoline of a key, and then each of its sites, goes through all steps. */
const staticCall = {
  ...poke({
    name: 'linux-static-call',
    about: 'the trampoline first, then the site: trap, sync, rest, sync, first byte, sync for each',
    handler: 'gap',
    steps: [begin, first, seen, behind, paired, put1, last],
  }),
  sites: 2,
  order: 'each',
} as const;

const uprobes: Read = {
  repository: 'https://lore.kernel.org/linux-trace-kernel',
  path: 'arch/x86/kernel/uprobes.c',
  what: 'int3_update, as posted in the series "uprobes/x86: add support to optimize uprobes" (2025)',
  commit: '',
  licence: 'GPL-2.0-only',
};

export const LINUX = [
  system({
    name: 'linux-text-poke',
    title: 'Linux, text_poke_bp: static calls, ftrace, jump labels',
    environment: 'kernel',
    read: [read('arch/x86/kernel/alternative.c', 'text_poke_bp', 'fd4363fff3d9')],
    protocol: { ...textPoke, name: 'linux-text-poke', steps: textPoke.steps.slice(0, -1) },
    broken: {
      says: 'without the synchronisation behind the trap',
      protocol: {
        ...textPoke,
        name: 'linux-text-poke',
        steps: textPoke.steps.filter((_, i) => i !== 2).slice(0, -1),
      },
    },
    leaves: 'The table of one update and its reference count: `check int3-gap/counted`.',
  }),
  system({
    name: 'linux-jcc',
    title: 'Linux, static calls in conditional tail calls',
    status: 'ships',
    environment: 'kernel',
    site: 'jcc',
    read: [read('arch/x86/kernel/static_call.c', '__static_call_transform', '0604aa87b098')],
    protocol: { ...textPoke, name: 'linux-jcc', steps: textPoke.steps.slice(0, -1) },
    broken: {
      says: 'without the synchronisation before the first byte',
      protocol: {
        ...textPoke,
        name: 'linux-jcc',
        steps: textPoke.steps.filter((_, i) => i !== 4).slice(0, -1),
      },
    },
  }),
  system({
    name: 'linux-jump-label',
    title: 'Linux, jump labels of two bytes',
    environment: 'kernel',
    read: [read('arch/x86/kernel/jump_label.c', 'arch_jump_label_transform_queue', '001951bea748')],
    protocol: label,
    broken: {
      says: 'two bytes by one store, wherever they lie',
      protocol: { ...label, steps: [begin, put(0, 2, 'both bytes'), last] },
    },
  }),
  system({
    name: 'linux-kprobe-opt',
    title: 'Linux, optimising a kprobe',
    environment: 'kernel',
    updates: 1,
    read: [
      read(
        'arch/x86/kernel/kprobes/opt.c',
        'arch_optimize_kprobes, setup_detour_execution',
        '00089c048eb4',
      ),
    ],
    protocol: optimise,
    broken: {
      says: 'without the grace period',
      protocol: { ...optimise, steps: optimise.steps.filter((step) => step.do !== 'grace') },
    },
    leaves: 'What the detour does with the displaced instructions.',
  }),
  system({
    name: 'linux-kprobe-unopt',
    title: 'Linux, taking an optimised kprobe back',
    environment: 'kernel',
    updates: 1,
    read: [read('arch/x86/kernel/kprobes/opt.c', 'arch_unoptimize_kprobe', '00089c048eb4')],
    protocol: unoptimise,
    broken: {
      says: 'a trap is emulated as the old instruction while the jump is still behind it',
      protocol: {
        ...unoptimise,
        steps: [publish('too early'), ...unoptimise.steps.slice(0, -1)],
      },
    },
  }),
  system({
    name: 'linux-uprobe',
    title: 'Linux, a uprobe on a nop becomes a call',
    environment: 'user',
    updates: 1,
    read: [uprobes],
    protocol: uprobe,
    broken: {
      says: 'the nop stands in a leaf function, which keeps data below its stack pointer',
      protocol: { ...uprobe, text: { ...texts([PROBED, CALL]), leaf: true } },
    },
    bugs: [
      'a CALL overwrites the red zone of a leaf: linux-trace-kernel, 2026; libbpf/usdt#16 has a nop of ' +
        'ten bytes for it',
    ],
    leaves: 'The kernel’s own #BP handler: the SIGTRAP handler of this project stands for it.',
  }),
  system({
    name: 'linux-uprobe-away',
    title: 'Linux, a uprobe that was a call becomes a trap again',
    environment: 'user',
    updates: 1,
    read: [uprobes],
    protocol: away,
    broken: {
      says: 'without the synchronisation behind the trap',
      protocol: { ...away, steps: away.steps.filter((step) => step !== seen) },
    },
  }),
  system({
    name: 'linux-static-call',
    title: 'Linux, static calls: the trampoline, then each site',
    environment: 'kernel',
    read: [read('kernel/static_call_inline.c', '__static_call_update', '9183c3f9ed71')],
    protocol: staticCall,
    broken: {
      says: 'without the synchronisation behind the trap',
      protocol: { ...staticCall, steps: staticCall.steps.filter((step) => step !== seen) },
    },
    leaves: 'A second call stands for the trampoline, and a thread calls both.',
  }),
];

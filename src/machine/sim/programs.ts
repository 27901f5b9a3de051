// The programs under test: a task that calls the site in a loop, what interrupts it, the targets,
// and the entry code of the environment. Everything that runs is bytes from the assembler.
// Registers hold sentinels, so that a handler that changes one is seen.

import { bytes, cfa, gs, label, mem, mem32, rip, type Program } from '../../asm/assembler.js';
import { SYS, UCONTEXT } from '../../base/linux.js';
import { FLAG } from '../../asm/flags.js';
import { INT3 } from '../../asm/table.js';
import { FRAME, PERCPU, POKE } from '../../trap/kernel.js';
import { retpoline } from '../../trap/retpoline.js';
import { type FixtureHandler, type FixtureOptions } from './options.js';
import { SHAPES, type Bound } from './settings.js';

/** In RAX before each call, so that "return 0" can be told from nothing. */
export const SENTINEL = 0x5a5a;

/** The function A, B or C. */
export const targetCode = (name: string): Program => [
  cfa({ kind: 'call', base: 'rsp', offset: 8 }),
  label(name),
  ['ret'],
];

/** Functions for the sites whose "nothing" and "return 0" are jumps (plan/transform.ts). */
export const STUBS: Readonly<Record<'return' | 'return0', Program>> = {
  return: targetCode('return'),
  return0: [
    cfa({ kind: 'call', base: 'rsp', offset: 8 }),
    label('return0'),
    ['xor', 'eax', 'eax'],
    ['ret'],
  ],
};

/**
 * A function that calls through a pointer. The pass begins at the nop and the pointer is read
 * behind it. R11 may change at a call.
 */
export const pointerCaller = (thunk: boolean): Program => [
  ['nop'],
  ['mov', 'r11', rip('pointer')],
  ['call', thunk ? 'thunk' : 'r11'],
  label('end'),
  ['ret'],
  ...(thunk ? [label('thunk'), ...retpoline('r11')] : []),
];

/** How the function with a site is called. */
type Pass = (name: string) => Program;

/**
 * Before a conditional jump the flags are set so that `jl` is taken in the last pass of a task and
 * in no other: RBX counts the passes that are left. An interrupt takes the count of what it
 * interrupted.
 */
const passOf =
  ({ site, second, text }: Pick<FixtureOptions, 'site' | 'second' | 'text'>): Pass =>
  (name) => [
    ['mov', 'eax', SENTINEL],
    // A conditional jump of such a text finds "below", in every pass.
    ...(text === null ? [] : ([['cmp', 'ebx', 0x7f]] as const)),
    // Below the return address: what a leaf function keeps there.
    ...(text?.leaf === true ? ([['mov', mem('rsp', -16), 'rax']] as const) : []),
    ...([site, second?.site ?? site].some((each) => SHAPES[each].kind === 'jcc')
      ? ([['cmp', 'ebx', 2]] as const)
      : []),
    ['call', name],
  ];

/**
 * The task that patches: its steps are taken while it stands at `patcher`. When an update has
 * returned it passes the site itself.
 */
const patcherTask = (round: Program): Program => [
  label('patcher'),
  ['ud2'],
  label('patcher.pass'),
  ...round,
  ['jmp', 'patcher'],
];

/**
 * An int3 of the program's own. The handler that it belongs to counts in the interrupted RBP, and
 * must do so exactly once each time.
 */
const foreignTrap = (foreign: boolean): Program =>
  foreign
    ? [['mov', 'ebp', 0], bytes(INT3), label('foreign'), ['cmp', 'ebp', 1], ['jne', 'stray']]
    : [];

/**
 * Where a trap goes that the handler does not claim: the kernel's notifiers, which claim the
 * program's own int3 and end by `resume`, and then die("int3").
 */
export const unclaimedCode = (resume: Program | null): Program =>
  resume === null
    ? [label('unclaimed'), label('stray'), ['ud2']]
    : [
        label('stray'),
        ['ud2'],
        label('unclaimed'),
        ['lea', 'rcx', rip('foreign')],
        ['cmp', 'rcx', mem('rsp', FRAME.rip)],
        ['jne', 'stray'],
        ['inc', mem('rsp', FRAME.rbp)],
        ...resume,
      ];

type Counts = FixtureHandler['counts'];

const counted = (when: boolean, how: 'inc' | 'dec', offset: number): Program =>
  when ? [[how, gs(offset)]] : [];

/** Waits with IF clear for the updater's lock, and tells lockdep. */
const SPIN: Program = [
  ['cli'],
  ['mov', gs(PERCPU.lockdep), 0],
  label('spin'),
  ['cmp', rip('table', POKE.lock), 0],
  ['jne', 'spin'],
  ['mov', gs(PERCPU.lockdep), 1],
  ['sti'],
  ['nop'],
];

/** Entry code saves what it and a call may change, an even number of words. */
const kernelIrq = (pass: Pass, counts: Counts): Program => [
  label('irq'),
  cfa({ kind: 'frame', base: 'rsp', offset: 0 }),
  ['mov', gs(PERCPU.lockdep), 0],
  ['push', 'r11'],
  ['push', 'rax'],
  ...counted(counts === 'level', 'inc', PERCPU.level),
  cfa({ kind: 'frame', base: 'rsp', offset: 16 }),
  ...pass('f'),
  label('irq.probe'),
  ...counted(counts === 'level', 'dec', PERCPU.level),
  ['pop', 'rax'],
  ['pop', 'r11'],
  ['test', mem32('rsp', 16), FLAG.if],
  ['je', 'irq.out'],
  ['mov', gs(PERCPU.lockdep), 1],
  label('irq.out'),
  ['iretq'],
  label('irq.end'),
];

/** An event that cannot be masked. */
function kernelNmiLike(
  name: 'nmi' | 'mc' | 'db',
  calls: Program,
  counts: Counts,
  again: Program,
): Program {
  const inNmi = counts === 'nmi' && name !== 'db';
  return [
    label(name),
    cfa({ kind: 'frame', base: 'rsp', offset: 0 }),
    // lockdep is off in an NMI (nmi_enter): whatever the code inside tells it is undone.
    ['push', gs(PERCPU.lockdep)],
    ['push', 'r11'],
    ['push', 'rax'],
    ['push', 'rax'],
    ...counted(counts === 'level', 'inc', PERCPU.level),
    ...counted(inNmi, 'inc', PERCPU.nmi),
    label(`${name}.again`),
    cfa({ kind: 'frame', base: 'rsp', offset: 32 }),
    ...calls,
    ...again,
    ...counted(inNmi, 'dec', PERCPU.nmi),
    ...counted(counts === 'level', 'dec', PERCPU.level),
    ['pop', 'rax'],
    ['pop', 'rax'],
    ['pop', 'r11'],
    ['pop', gs(PERCPU.lockdep)],
    ['iretq'],
    label(`${name}.end`),
  ];
}

/** From the end of a pass to the next one; RBX counts those that are left. */
const again = (passes: Bound, loop: string): Program =>
  passes === 'any'
    ? [label('again'), ['jmp', loop]]
    : [
        ['dec', 'ebx'],
        ['jne', loop],
      ];

/** What a task goes through in each of its passes. */
const roundOf = (pass: Pass, both: boolean): Program =>
  both ? [...pass('f'), ...pass('g')] : pass('f');

/** @param nmiCalls the function that NMIs and their like call */
export function kernelProgram(
  nmiCalls: string,
  counts: Counts,
  {
    spin,
    foreign,
    passes,
    passesBoth,
    ...sites
  }: Pick<
    FixtureOptions,
    'spin' | 'foreign' | 'passes' | 'passesBoth' | 'site' | 'second' | 'text'
  >,
): Program {
  const pass = passOf(sites);
  const round = roundOf(pass, passesBoth);
  const calls = pass(nmiCalls);
  return [
    label('task'),
    ...(spin ? SPIN : []),
    label('loop'),
    ...round,
    label('probe'),
    ...foreignTrap(foreign),
    ...again(passes, 'loop'),
    label('done'),
    ['ud2'], // never executed: a task that gets here is done
    ...patcherTask(round),
    label('bottom'),
    ...kernelIrq(pass, counts),
    ...kernelNmiLike('nmi', calls, counts, [
      ['cmp', gs(PERCPU.repeat), 0],
      ['je', 'nmi.tail'],
      ['mov', gs(PERCPU.repeat), 0],
      ['jmp', 'nmi.again'],
      label('nmi.tail'),
    ]),
    ...kernelNmiLike('mc', calls, counts, []),
    ...kernelNmiLike('db', calls, counts, []),
  ];
}

/** @param signalCalls the function that signal handlers call */
export function userProgram(
  signalCalls: string,
  {
    foreign,
    passes,
    passesBoth,
    ...sites
  }: Pick<FixtureOptions, 'foreign' | 'passes' | 'passesBoth' | 'site' | 'second' | 'text'>,
): Program {
  const pass = passOf(sites);
  const round = roundOf(pass, passesBoth);
  return [
    label('task'),
    ...round,
    label('probe'),
    ...foreignTrap(foreign),
    ...again(passes, 'task'),
    label('done'),
    ['ud2'],
    ...patcherTask(round),
    label('bottom'),
    ...(foreign ? ([label('previous'), ['inc', mem('rdx', UCONTEXT.rbp)], ['ret']] as const) : []),

    label('signal'),
    cfa({ kind: 'call', base: 'rsp', offset: 8 }),
    ...pass(signalCalls),
    ['ret'],
    label('restorer'),
    ['mov', 'rax', SYS.rt_sigreturn],
    ['syscall'],
  ];
}

// The #BP handler of a kernel but for the one thing that the thread argued about: how a CALL is emulated. Entry,
// look-up, the emulations that need no push (a JMP, a RET, nothing, return 0: editing pt_regs is a complete
// emulation of those) and the way out are the same for every proposal; each proposal is a file beside this one that
// fills in the rest. An interrupt gate: IF is clear from the trap until the IRET or a trampoline's STI.

import { cfa, gs, label, mem, mem32, word, type Program } from './assembler.js';
import { ENTRY, FRAME, IF, PERCPU, POKE, type Entry, type KernelHandler } from './kernel.js';
import { EMULATE } from './registry.js';
import { SHADOW } from './shadow.js';

export interface Body {
  readonly entry: Entry;
  /** Runs directly after the error code's place was pushed, before any register is saved. */
  readonly room?: Program;
  /** Emulates a CALL. rdi: end of the site, rsi: target, RSP: pt_regs, every register free. Falls through to the exit. */
  readonly call: Program;
  /** Emulates a JMP, likewise; sets the saved RIP unless told otherwise. */
  readonly jump?: Program;
  /** Keeps the supervisor shadow stack in step with the edited frame. */
  readonly shadow?: boolean;
  /** Trampolines and stubs, which no longer count as entry code. */
  readonly after?: Program;
  readonly stash?: readonly number[];
  readonly globals?: readonly Global[];
}

/** A word of the POKE table that `publish` writes for the site that it publishes. */
export interface Global {
  readonly offset: number;
  readonly holds: 'target' | 'end';
}

export interface BreakpointHandler extends KernelHandler {
  /** Empty but for the way of the first series, which has one pair for all. */
  readonly globals: readonly Global[];
}

const GENERAL = ['rdi', 'rsi', 'rdx', 'rcx', 'rax', 'r8', 'r9', 'r10', 'r11', 'rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'] as const;

/** All general registers, so that RSP points at a pt_regs. */
const saveRegisters: Program = GENERAL.map((name) => ['push', name] as const);
const restoreRegisters: Program = [...GENERAL].reverse().map((name) => ['pop', name] as const);

/** Finds the entry of the site in rax, or goes to `missing`. Afterwards rdx: form, rsi: target, rdi: end of the site. */
export function lookUp(missing: string): Program {
  return [
    ['movabs', 'rcx', word('table')],
    ['mov', 'rdx', mem('rcx', POKE.count)],
    ['add', 'rcx', POKE.entries],
    label('search'),
    ['test', 'rdx', 'rdx'],
    ['je', missing],
    ['cmp', mem('rcx', ENTRY.site), 'rax'],
    ['je', 'found'],
    ['add', 'rcx', ENTRY.size],
    ['dec', 'rdx'],
    ['jmp', 'search'],
    label('found'),
    ['mov', 'rdx', mem('rcx', ENTRY.word)], // read once: form and target belong together
    ['mov', 'rsi', 'rdx'],
    ['shl', 'rsi', 16],
    ['sar', 'rsi', 16],
    ['shr', 'rdx', 48],
    ['lea', 'rdi', mem('rax', 5)],
  ];
}

/** To the labels that emulate each form; falls through for a return, which is the last. */
export const dispatch = (missing: string): Program => [
  ['cmp', 'edx', EMULATE.call],
  ['je', 'call'],
  ['cmp', 'edx', EMULATE.jmp],
  ['je', 'jump'],
  ['cmp', 'edx', EMULATE.nop],
  ['je', 'skip'],
  ['cmp', 'edx', EMULATE.ret0],
  ['je', 'ret0'],
  ['cmp', 'edx', EMULATE.ret],
  ['jne', missing],
];

/** The saved RIP becomes that register's value. */
export const resumeAt = (register: 'rsi' | 'rdi'): Program => [['mov', mem('rsp', FRAME.rip), register]];

/** Pushes the end of the site on the interrupted stack, which must have room: see gap.ts. */
export const pushReturn: Program = [
  ['mov', 'rcx', mem('rsp', FRAME.rsp)],
  ['sub', 'rcx', 8],
  ['mov', mem('rcx'), 'rdi'],
  ['mov', mem('rsp', FRAME.rsp), 'rcx'],
];

/**
 * lockdep on the way out, as entry_64.S of 2019 had it: first "off" (TRACE_IRQS_OFF of error_exit), then "on"
 * if the saved flags have IF (TRACE_IRQS_IRETQ). The first of them undoes what a handler may have said.
 */
const traceExit: Program = [
  ['mov', gs(PERCPU.lockdep), 0],
  ['test', mem32('rsp', FRAME.flags), IF],
  ['je', 'told'],
  ['mov', gs(PERCPU.lockdep), 1],
  label('told'),
];

export function breakpoint(body: Body): BreakpointHandler {
  const { entry, room = [], call, jump = resumeAt('rsi'), shadow = false, after = [], stash = [], globals = [] } = body;
  const traced = entry === '2019';
  const program: Program = [
    label('entry'),
    cfa({ kind: 'frame', base: 'rsp', offset: 0 }),
    ['push', -1], // where other exceptions have an error code
    ...room,
    ...saveRegisters,
    ...(traced ? [['mov', gs(PERCPU.lockdep), 0] as const] : []),
    ['mov', 'rax', mem('rsp', FRAME.rip)],
    ['dec', 'rax'], // the saved address is behind the int3; rax: the site
    ...lookUp('unclaimed'),
    ...dispatch('unclaimed'),
    ['mov', 'rcx', mem('rsp', FRAME.rsp)],
    ['mov', 'rsi', mem('rcx')],
    ['add', 'rcx', 8],
    ['mov', mem('rsp', FRAME.rsp), 'rcx'],
    ...(shadow ? SHADOW.pop : []),
    ...resumeAt('rsi'),
    ['jmp', 'exit'],
    label('ret0'),
    ['mov', mem('rsp', FRAME.rax), 0],
    label('skip'),
    ...resumeAt('rdi'),
    ['jmp', 'exit'],
    label('jump'),
    ...jump,
    ['jmp', 'exit'],
    label('call'),
    ...call,
    label('exit'),
    ...(shadow ? SHADOW.resume : []),
    ...(traced ? traceExit : []),
    ...restoreRegisters,
    ['add', 'rsp', 8],
    ['iretq'],
    label('leave'),
    ...after,
  ];
  return { program, stash, globals };
}

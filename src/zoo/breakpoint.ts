// The #BP handler of a kernel but for the one thing that the thread argued about: how a CALL is
// emulated. Entry, look-up, the emulations that need no push (a JMP, a RET, nothing, return 0:
// editing pt_regs is a complete emulation of those) and the way out are the same for every
// proposal; each proposal is a file beside this one that fills in the rest. An interrupt gate: IF
// is clear from the trap until the IRET or a trampoline's STI.

import { cfa, gs, label, mem, mem32, word, type Program } from '../asm/assembler.js';
import { FLAG } from '../asm/flags.js';
import { ENTRY, FRAME, PERCPU, POKE, type KernelHandler } from '../trap/kernel.js';
import type { Entry } from '../trap/entry.js';
import { CONDITION, CONDITION_MASKS } from '../trap/condition.js';
import { EMULATE } from '../trap/registry.js';
import { SITE_FORMS } from '../x86/forms.js';
import { SHADOW } from './shadow.js';

/**
 * What is done with a trap whose site was found. RSP: pt_regs, every register free; falls through
 * to the exit.
 */
type Answer =
  | {
      /** Emulates a CALL. rdi: end of the site, rsi: target. */
      readonly call: Program;
      /** Emulates a JMP, likewise; sets the saved RIP unless told otherwise. */
      readonly jump?: Program;
    }
  | { /** Emulates nothing. rax: the site. */ readonly answer: Program };

export type Body = Answer & {
  readonly entry: Entry;
  /** Runs directly after the error code's place was pushed, before any register is saved. */
  readonly room?: Program;
  /**
   * Emulates sites of every length and conditional jumps, as Linux does since 6.3 (ac0ee0a9560c);
   * otherwise calls and jumps of five bytes.
   */
  readonly anySite?: boolean;
  /** Holds a reference to the table while it runs. */
  readonly counted?: boolean;
  /** Keeps the supervisor shadow stack in step with the edited frame. */
  readonly shadow?: boolean;
  /** Trampolines and stubs, which no longer count as entry code. */
  readonly after?: Program;
  readonly stash?: readonly number[];
  readonly globals?: readonly Global[];
  readonly words?: Readonly<Record<string, number>>;
};

/** A word of the POKE table that `publish` writes for the site that it publishes. */
export interface Global {
  readonly offset: number;
  readonly holds: 'target' | 'end' | 'bytes';
}

export interface BreakpointHandler extends KernelHandler {
  /** Empty but for the ways that describe one site at a time. */
  readonly globals: readonly Global[];
  /** Words of the POKE table that the protocol's steps name. */
  readonly words: Readonly<Record<string, number>>;
}

const GENERAL = [
  'rdi',
  'rsi',
  'rdx',
  'rcx',
  'rax',
  'r8',
  'r9',
  'r10',
  'r11',
  'rbx',
  'rbp',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;

/** All general registers, so that RSP points at a pt_regs. */
const saveRegisters: Program = GENERAL.map((name) => ['push', name] as const);
const restoreRegisters: Program = [...GENERAL].reverse().map((name) => ['pop', name] as const);

/**
 * Finds the entry of the site in rax, or goes to `missing`. Afterwards rdx: form, rsi: target, rdi:
 * end of the site.
 */
export function lookUp(missing: string, end: Program = END_OF_FIVE): Program {
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
    ...end,
  ];
}

/** What handlers before 2023 knew: five bytes, and no conditional jump. */
const END_OF_FIVE: Program = [['lea', 'rdi', mem('rax', SITE_FORMS.call.length)]];
const END_OF_ANY: Program = [
  ['mov', 'rdi', mem('rcx', ENTRY.shape)],
  ['and', 'edi', (1 << ENTRY.condition) - 1],
  ['add', 'rdi', 'rax'],
];

/** With rcx at the entry, as `lookUp` leaves it: a jump, or none, as the saved flags say. */
const conditional: Program = [
  label('jcc'),
  ['mov', 'r10', 'rdi'],
  ['mov', 'r11', 'rsi'],
  ['mov', 'rcx', mem('rcx', ENTRY.shape)],
  ['shr', 'ecx', ENTRY.condition],
  ['mov', 'rsi', mem('rsp', FRAME.flags)],
  ...CONDITION,
  ['mov', 'rdi', 'r10'],
  ['mov', 'rsi', 'r11'],
  ['jne', 'jump'],
  ['jmp', 'skip'],
];

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
export const resumeAt = (register: 'rsi' | 'rdi'): Program => [
  ['mov', mem('rsp', FRAME.rip), register],
];

/** Pushes the end of the site on the interrupted stack, which must have room: see int3-gap.ts. */
export const pushReturn: Program = [
  ['mov', 'rcx', mem('rsp', FRAME.rsp)],
  ['sub', 'rcx', 8],
  ['mov', mem('rcx'), 'rdi'],
  ['mov', mem('rsp', FRAME.rsp), 'rcx'],
];

/**
 * lockdep on the way out, as entry_64.S of 2019 had it: first "off" (TRACE_IRQS_OFF of error_exit),
 * then "on" if the saved flags have IF (TRACE_IRQS_IRETQ). The first of them undoes what a handler
 * may have said.
 */
const traceExit: Program = [
  ['mov', gs(PERCPU.lockdep), 0],
  ['test', mem32('rsp', FRAME.flags), FLAG.if],
  ['je', 'told'],
  ['mov', gs(PERCPU.lockdep), 1],
  label('told'),
];

/**
 * A reference to the table, or to `missing` where none is published: the counter of the
 * kernel's handler since v5.5, which took the place of one more synchronisation (285a54efe386).
 * Keeps rax, the site.
 */
export const takeReference = (missing: string): Program => [
  ['movabs', 'rcx', word('table')],
  ['mov', 'rdi', 'rax'],
  label('take'),
  ['mov', 'rax', mem('rcx', POKE.refs)],
  ['test', 'rax', 'rax'],
  ['je', missing],
  ['lea', 'rdx', mem('rax', 1)],
  ['lock', 'cmpxchg', mem('rcx', POKE.refs), 'rdx'],
  ['jne', 'take'],
  ['mov', 'rax', 'rdi'],
];
export const dropReference: Program = [
  ['movabs', 'rcx', word('table')],
  ['lock', 'dec', mem('rcx', POKE.refs)],
];

interface Emulations {
  readonly call: Program;
  readonly jump: Program;
  readonly shadow: boolean;
  readonly anySite: boolean;
}

/** The emulations that need no push, around the one that does. */
const emulate = ({ call, jump, shadow, anySite }: Emulations, missing: string): Program => [
  ...(anySite
    ? ([
        ['cmp', 'edx', EMULATE.jcc],
        ['je', 'jcc'],
      ] as const)
    : []),
  ...dispatch(missing),
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
  ...(anySite ? conditional : []),
  label('call'),
  ...call,
];

export function breakpoint(body: Body): BreakpointHandler {
  const {
    entry,
    room = [],
    counted = false,
    shadow = false,
    anySite = false,
    after = [],
    stash = [],
    globals = [],
    words = {},
  } = body;
  const traced = entry === '2019';
  const missing = counted ? 'release' : 'unclaimed';
  const out: Program = [
    ...(shadow ? SHADOW.resume : []),
    ...(traced ? traceExit : []),
    ...restoreRegisters,
    ['add', 'rsp', 8],
    ['iretq'],
  ];
  const program: Program = [
    label('entry'),
    cfa({ kind: 'frame', base: 'rsp', offset: 0 }),
    ['push', -1], // where other exceptions have an error code
    ...room,
    ...saveRegisters,
    ...(traced ? [['mov', gs(PERCPU.lockdep), 0] as const] : []),
    ['mov', 'rax', mem('rsp', FRAME.rip)],
    ['dec', 'rax'], // the saved address is behind the int3; rax: the site
    ...(counted ? takeReference('unclaimed') : []),
    ...lookUp(missing, anySite ? END_OF_ANY : END_OF_FIVE),
    ...('answer' in body
      ? body.answer
      : emulate({ call: body.call, jump: body.jump ?? resumeAt('rsi'), shadow, anySite }, missing)),
    label('exit'),
    ...(counted ? dropReference : []),
    ...out,
    ...(counted ? ([label('release'), ...dropReference, ['jmp', 'unclaimed']] as const) : []),
    ...(anySite ? CONDITION_MASKS : []),
    label('leave'),
    ...after,
  ];
  return { program, resume: out, stash, globals, words };
}

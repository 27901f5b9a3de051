// What the proposals of the thread have in common that plant a trap: the steps of text_poke_bp, and
// code that is entered with interrupts off.

import { poke, publish, put, sync, trapByte } from '../system.js';
import { FLAG } from '../../asm/flags.js';
import { FRAME } from '../../trap/kernel.js';
import type { OwnHandler, Protocol, Step, SyncKind } from '../../plan/protocol.js';

const seen = sync('every CPU has seen the trap');
const steps: readonly Step[] = [
  publish('from here a trap goes to the new target'),
  trapByte('a thread that comes by traps'),
  seen,
  put(1, 4, 'the other bytes, behind the trap'),
  sync('no CPU pairs the new first byte with an old rest'),
  put(0, 1, 'the new first byte'),
  sync('no CPU traps any more'),
];

export const trapped = (
  name: string,
  about: string,
  handler: OwnHandler,
  before: readonly Step[] = [],
): Protocol => poke({ name, about, handler, steps: [...before, ...steps] });

/** The same with another kind of synchronisation. */
export const synchronised = (protocol: Protocol, how: SyncKind): Protocol => ({
  ...protocol,
  steps: protocol.steps.map((step) => (step.do === 'sync' ? { ...step, how } : step)),
});

/** The same without the synchronisation behind the trap. */
export const hasty = (protocol: Protocol): Protocol => ({
  ...protocol,
  steps: protocol.steps.filter((step) => step !== seen),
});
export const HASTY = 'without the synchronisation behind the trap';

const TARGETS = ['A', 'B', 'C'] as const;
type Target = (typeof TARGETS)[number];

/** To the code of that suffix which is made for the target in RSI, and whose address RCX then is. */
const choose = (suffix: string): readonly string[] => [
  ...TARGETS.flatMap((name) => [
    `lea rcx, [rip.${name}_${suffix}]`,
    `movabs rdx, @${name}`,
    'cmp rsi, rdx',
    'je go',
  ]),
  'jmp unclaimed',
];

/** Sends the interrupted context, as it is, to the code that is made for its target. */
export const sent = (suffix: string): readonly string[] => [
  ...choose(suffix),
  'go:',
  'mov [saved.rip], rcx',
];

/** The same with interrupts off, to code that puts them on again where they were on. */
export const masked: readonly string[] = [
  'mov rcx, [saved.flags]',
  `test ecx, ${FLAG.if}`,
  'je stays',
  `and rcx, ${~FLAG.if}`,
  'mov [saved.flags], rcx',
  ...choose('on'),
  'stays:',
  ...choose('off'),
  'go:',
  'mov [saved.rip], rcx',
];

/** Code for each target. Which caller it has before it has pushed the return address, `rule` says. */
export const made = (
  suffix: string,
  code: (to: Target) => readonly string[],
  rule: string = UNKNOWN,
): readonly string[] => TARGETS.flatMap((to) => [rule, `${to}_${suffix}:`, ...code(to)]);

/** No unwind table has a rule for code that is entered on any caller's stack. */
export const UNKNOWN = '.caller none';
/** The caller of the function with the site. */
export const LEFT_OUT = '.caller rsp+8';
export const LEAVES_OUT =
  'the unwind table has a rule for it, by which the function that it was called from is left out';

/** RIP, CS, RFLAGS, RSP and SS. */
const FRAME_BYTES = 40;
const saved = (name: keyof typeof FRAME): string => `[rsp+${FRAME_BYTES + FRAME[name]}]`;
// prettier-ignore
const GENERAL = [
  'r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi',
] as const;

/** Emulates a call by a push over the handler's own frame, and leaves by an IRET frame further down. */
export const pushed: readonly string[] = [
  `sub rsp, ${FRAME_BYTES}`,
  'mov [rsp], rsi',
  ...(['cs', 'flags', 'rsp', 'ss'] as const).flatMap((name, i) => [
    `mov rcx, ${saved(name)}`,
    `mov [rsp+${8 + 8 * i}], rcx`,
  ]),
  // Where SS was saved, or the word that aligned the frame.
  'mov rcx, [rsp+24]',
  'sub rcx, 8',
  'mov [rcx], rdi',
  'mov [rsp+24], rcx',
  ...GENERAL.map((name) => `mov ${name}, ${saved(name)}`),
  'iretq',
];

/** Runs the instruction of the site again. */
export const anew: readonly string[] = ['lea rcx, [rdi-5]', 'mov [saved.rip], rcx'];

// What an emulation must do to the shadow stack. In the kernel #BP pushed CS, LIP and the old SSP
// there, and IRET compares CS:LIP with the frame on the ordinary stack, so every change of the
// saved RIP is #CP at once; and an emulated call leaves no return address for the target's
// RET to meet. Both can be mended by WRSS, which the kernel must then allow itself. No mail of the
// list has this: supervisor shadow stacks came later, and Linux does not enable them. The frame's
// form is the manual's (SDM volume 1, 17.2, and IRET, operation). In a process the kernel pushed a
// token and the restorer's address, and rt_sigreturn checks the token alone
// (Documentation/arch/x86/shstk.rst); WRSS must have been allowed by arch_prctl(ARCH_SHSTK_WRSS).

import { label, mem, type Program, type R64 } from '../asm/assembler.js';
import { FRAME } from '../trap/kernel.js';
import { SYS, UCONTEXT } from '../base/linux.js';

/** Of the frame at SSP. */
const [SSP, LIP, CS] = [0, 8, 16];
const FRAME_SIZE = 24;

/**
 * rax or rcx: SSP, or on to `off` where shadow stacks are off: RDSSP leaves its operand alone then.
 */
const current = (off: string): Program => [
  ['xor', 'eax', 'eax'],
  ['rdsspq', 'rax'],
  ['test', 'rax', 'rax'],
  ['je', off],
];

const currentUser = (off: string): Program => [
  ['xor', 'ecx', 'ecx'],
  ['rdsspq', 'rcx'],
  ['test', 'rcx', 'rcx'],
  ['je', off],
];

export const SHADOW = {
  /** LIP follows the saved RIP. */
  resume: [
    ...current('no_resume'),
    ['mov', 'rcx', mem('rsp', FRAME.rip)],
    ['wrssq', mem('rax', LIP), 'rcx'],
    label('no_resume'),
  ],

  /** For an emulated RET: the interrupted shadow stack loses one word. */
  pop: [
    ...current('no_pop'),
    ['mov', 'rcx', mem('rax', SSP)],
    ['add', 'rcx', 8],
    ['wrssq', mem('rax', SSP), 'rcx'],
    label('no_pop'),
  ],

  /**
   * The gap of int3-gap.ts once more: the frame moves one word down and rdi, the return address,
   * takes the place that becomes free above it. SSP itself can only be lowered by a CALL, and by
   * none that reads as "where am I": one to the next instruction leaves the shadow stack alone.
   * Until the IRET every word is above SSP.
   */
  push: [
    ...current('no_push'),
    ['call', 'lowered'],
    ['int3'],
    label('lowered'),
    ['add', 'rsp', 8],
    ['rdsspq', 'rax'],
    ['mov', 'rcx', mem('rax', 8 + CS)],
    ['wrssq', mem('rax', CS), 'rcx'],
    ['mov', 'rcx', mem('rax', 8 + SSP)],
    ['sub', 'rcx', 8],
    ['wrssq', mem('rax', SSP), 'rcx'],
    ['wrssq', mem('rax', FRAME_SIZE), 'rdi'],
    label('no_push'),
  ],
} as const satisfies Record<string, Program>;

const TOKEN_BIT = 63;

/** Registers of a SIGTRAP handler; rcx and rsi are free. */
export interface UserRegisters {
  readonly context: R64;
  /** End of the site. */
  readonly end: R64;
  readonly target: R64;
}

export const USER_SHADOW = {
  /**
   * Emulates a CALL and leaves the handler, or falls through where shadow stacks are off. At SSP
   * lies the restorer's address, above it the token. The return address belongs where the token is,
   * and the token where the restorer's address is, which no code needs if the handler makes the
   * system call itself.
   */
  call: ({ context, end, target }: UserRegisters): Program => [
    ...currentUser('no_shadow_call'),
    ['mov', 'rsi', mem(context, UCONTEXT.rsp)],
    ['lea', 'rsi', mem('rsi', -8)],
    ['mov', mem('rsi'), end],
    ['mov', mem(context, UCONTEXT.rsp), 'rsi'],
    ['mov', mem(context, UCONTEXT.rip), target],
    ['wrssq', mem('rcx', 8), end],
    ['lea', 'rsi', mem('rcx', 8)],
    ['bts', 'rsi', TOKEN_BIT],
    ['wrssq', mem('rcx'), 'rsi'],
    ['add', 'rsp', 8], // as the handler's RET would leave it for the restorer
    ['mov', 'eax', SYS.rt_sigreturn],
    ['syscall'],
    label('no_shadow_call'),
  ],
  /** For an emulated RET: the token, which says where SSP comes back to, is raised by one word. */
  ret: (): Program => [
    ...currentUser('no_shadow_ret'),
    ['mov', 'rsi', mem('rcx', 8)],
    ['add', 'rsi', 8],
    ['wrssq', mem('rcx', 8), 'rsi'],
    label('no_shadow_ret'),
  ],
} as const;

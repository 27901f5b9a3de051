// The signal frame of x86-64 Linux as a handler sees it: struct rt_sigframe {restorer, ucontext,
// siginfo} (arch/x86/include/asm/sigframe.h), offsets from the frame's start or, where said, from
// the ucontext.

import { W64 } from '../../asm/operand.js';
import { UCONTEXT } from '../../base/linux.js';

export const SIGFRAME = {
  ucontext: 8,
  siginfo: 8 + 304,
  size: 8 + 304 + 128,
  /** From the ucontext. */
  rsp: UCONTEXT.rsp,
  rip: UCONTEXT.rip,
  flags: UCONTEXT.flags,
  mask: UCONTEXT.mask,
} as const;

/** Offset in the ucontext of each register, by register number. */
export const UCONTEXT_REGS: readonly number[] = W64.map((name) => UCONTEXT[name]);

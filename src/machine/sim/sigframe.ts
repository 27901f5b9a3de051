// The signal frame of x86-64 Linux as a handler sees it: struct rt_sigframe {restorer, ucontext,
// siginfo} (arch/x86/include/asm/sigframe.h), offsets from the frame's start or, where said, from
// the ucontext.

export const SIGFRAME = {
  ucontext: 8,
  siginfo: 8 + 304,
  size: 8 + 304 + 128,
  /** From the ucontext. */
  rsp: 160,
  rip: 168,
  flags: 176,
  mask: 296,
} as const;

/** Offset in the ucontext of each register, by register number: gregs begin at 40 with r8. */
export const UCONTEXT_REGS: readonly number[] = [
  144, 152, 136, 128, 160, 120, 112, 104, 40, 48, 56, 64, 72, 80, 88, 96,
];

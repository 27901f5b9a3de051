// The signal frame of x86-64 Linux as a handler sees it: struct rt_sigframe {restorer, ucontext,
// siginfo} (arch/x86/include/asm/sigframe.h), offsets from the frame's start. Where the ucontext
// keeps each register says base/linux.ts.

export const SIGFRAME = {
  ucontext: 8,
  siginfo: 8 + 304,
  size: 8 + 304 + 128,
} as const;

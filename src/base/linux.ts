// Numbers of the x86-64 Linux ABI: what machine code that ships, the process machine and the
// simulator must agree on. Names are the kernel's.

/** System calls (arch/x86/entry/syscalls/syscall_64.tbl). */
export const SYS = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  poll: 7,
  lseek: 8,
  mmap: 9,
  mprotect: 10,
  munmap: 11,
  rt_sigaction: 13,
  rt_sigreturn: 15,
  pread: 17,
  pwrite: 18,
  readv: 19,
  writev: 20,
  select: 23,
  sched_yield: 24,
  mremap: 25,
  madvise: 28,
  pause: 34,
  nanosleep: 35,
  getpid: 39,
  connect: 42,
  accept: 43,
  sendto: 44,
  recvfrom: 45,
  sendmsg: 46,
  recvmsg: 47,
  clone: 56,
  exit: 60,
  wait4: 61,
  fcntl: 72,
  flock: 73,
  ftruncate: 77,
  ptrace: 101,
  rt_sigsuspend: 130,
  gettid: 186,
  futex: 202,
  sched_setaffinity: 203,
  clock_gettime: 228,
  clock_nanosleep: 230,
  epoll_wait: 232,
  tgkill: 234,
  waitid: 247,
  newfstatat: 262,
  pselect6: 270,
  ppoll: 271,
  epoll_pwait: 281,
  accept4: 288,
  process_vm_readv: 310,
  process_vm_writev: 311,
  memfd_create: 319,
  membarrier: 324,
  epoll_pwait2: 441,
} as const;

export const PROT = { none: 0, read: 1, write: 2, exec: 4 } as const;
export const MAP = {
  shared: 1,
  private: 2,
  fixed: 0x10,
  anonymous: 0x20,
  fixedNoReplace: 0x100000,
} as const;
export const MREMAP = { mayMove: 1, fixed: 2 } as const;
export const MADV = { dontFork: 10, wipeOnFork: 18 } as const;
export const SEEK = { set: 0, current: 1 } as const;
export const MFD = { cloExec: 1, allowSealing: 2 } as const;
/** Linux 5.1, ab3948f58ff8 ("mm/memfd: add an F_SEAL_FUTURE_WRITE seal to memfd"). */
export const SEAL = { add: 1033, futureWrite: 0x10 } as const;

/**
 * The private forms: the word belongs to one process. `waitUntilPrivate` (FUTEX_WAIT_BITSET) takes
 * a moment of the monotonic clock and not a duration.
 */
export const FUTEX = { waitPrivate: 128, wakePrivate: 129, waitUntilPrivate: 137 } as const;

/**
 * What pthread_create() asks for, without the words that libc keeps of a thread: CLONE_VM, _FS,
 * _FILES, _SIGHAND, _THREAD and _SYSVSEM.
 */
export const THREAD = 0x5_0f00;

/** PRIVATE_EXPEDITED_SYNC_CORE and its registration. */
export const MEMBARRIER = { syncCore: 1 << 5, registerSyncCore: 1 << 6 } as const;

export const SIGTRAP = 5;
export const SA = {
  siginfo: 4,
  restorer: 0x0400_0000,
  onStack: 0x0800_0000,
  restart: 0x1000_0000,
  noDefer: 0x4000_0000,
} as const;
/** siginfo_t.si_code, and its value for an int3: a debug exception or a sent signal has another. */
export const SIGINFO = { code: 8, fromKernel: 0x80 } as const;

/** Offsets of the saved registers in ucontext_t, whose gregs begin at 40; then the signal mask. */
export const UCONTEXT = {
  r8: 40,
  r9: 48,
  r10: 56,
  r11: 64,
  r12: 72,
  r13: 80,
  r14: 88,
  r15: 96,
  rdi: 104,
  rsi: 112,
  rbp: 120,
  rbx: 128,
  rdx: 136,
  rax: 144,
  rcx: 152,
  rsp: 160,
  rip: 168,
  flags: 176,
  mask: 296,
} as const;

export const ERRNO = {
  perm: 1,
  noEntry: 2,
  noProcess: 3,
  interrupted: 4,
  io: 5,
  badFile: 9,
  noChild: 10,
  noMemory: 12,
  access: 13,
  busy: 16,
  exists: 17,
  invalid: 22,
  tooManyFiles: 24,
  deadlock: 35,
  nosys: 38,
  timedOut: 110,
} as const;

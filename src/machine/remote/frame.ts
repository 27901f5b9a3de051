// The signal frame of a thread that is borrowed: what the kernel would write before it called a
// handler (arch/x86/kernel/signal_64.c), so that rt_sigreturn brings the thread back to where it was.

import type { Addr } from '../../base/addr.js';
import { ERRNO, SYS, UCONTEXT } from '../../base/linux.js';
import { REGISTER } from './door.js';

/** What a stopped thread is. */
export interface ThreadState {
  readonly registers: BigUint64Array;
  readonly extended: Uint8Array;
  readonly mask: bigint;
}

/** Offsets in the frame: the return address of a handler, then ucontext_t. */
const FRAME = { context: 8, extended: 512 } as const;
const CONTEXT = { flags: 0, stackFlags: 24, segments: 184, extended: 224 } as const;
/** UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS. */
const CONTEXT_FLAGS = 7n;
/**
 * No value that sigaltstack knows: the kernel refuses it and leaves the thread's alternate stack as
 * it is. SS_DISABLE would take it away.
 */
const STACK_AS_IT_IS = 0x40n;
/** The word of segments: CS in its lowest 16 bits, SS in its highest. */
const STACK_SEGMENT = 48n;
/** The kernel's marks around the extended state (struct _fpx_sw_bytes). */
const MARKS = { at: 464, first: 0x4650_5853, last: 0x4650_5845 } as const;
/**
 * Without the tiles of AMX, which only a thread that asked for them may hold. Their bit in
 * XSTATE_BV says whether they are in use.
 */
const WITHOUT_TILES = 2816;
const XSTATE = { inUse: 512, tiles: 18n } as const;

/** Bytes that a frame of any thread takes, with room to lie on a cache line. */
export const FRAME_ROOM = 16384 + 1024;

/** Where the stack pointer stands when `rt_sigreturn` is called. */
export const stackOf = (frame: Addr): Addr => frame + FRAME.context;

/** Frames begin eight bytes before a multiple of 64: the extended state must lie on one. */
export const frameAtOrBelow = (at: Addr): Addr => Math.floor(at / 64) * 64 - FRAME.context;

/** @param restorer what stands where a handler's return address would */
export function frameOf(
  { registers, extended, mask }: ThreadState,
  frame: Addr,
  restorer: Addr,
): Uint8Array {
  const size = extendedSize(extended);
  const at = FRAME.context + FRAME.extended;
  const bytes = new Uint8Array(at + size + 4);
  // By words, because a DataView takes longer than the rest while a thread is held.
  const words = new BigUint64Array(bytes.buffer, 0, at / 8);
  const context = FRAME.context / 8;
  words[0] = BigInt(restorer);
  words[context + CONTEXT.flags / 8] = CONTEXT_FLAGS;
  words[context + CONTEXT.stackFlags / 8] = STACK_AS_IT_IS;
  const back = resumption(registers);
  for (const { to, from } of SAVED) words[context + to] = registers[from] ?? 0n;
  words[context + UCONTEXT.rip / 8] = back.rip;
  words[context + UCONTEXT.rax / 8] = back.rax;
  words[context + CONTEXT.segments / 8] =
    (registers[REGISTER.cs] ?? 0n) | ((registers[REGISTER.ss] ?? 0n) << STACK_SEGMENT);
  words[context + CONTEXT.extended / 8] = BigInt(frame + at);
  words[context + UCONTEXT.mask / 8] = mask;
  bytes.set(extended.subarray(0, size), at);
  // The word behind these, which components the state has, stands there already.
  const view = new DataView(bytes.buffer);
  const components = view.getBigUint64(at + MARKS.at, true);
  view.setUint32(at + MARKS.at, MARKS.first, true);
  view.setUint32(at + MARKS.at + 4, size + 4, true);
  view.setBigUint64(at + MARKS.at + 8, components, true);
  view.setUint32(at + MARKS.at + 16, size, true);
  view.setUint32(at + size, MARKS.last, true);
  return bytes;
}

const SAVED = (
  [
    'r8',
    'r9',
    'r10',
    'r11',
    'r12',
    'r13',
    'r14',
    'r15',
    'rdi',
    'rsi',
    'rbp',
    'rbx',
    'rdx',
    'rcx',
    'rsp',
    'flags',
  ] as const
).map((name) => ({ to: UCONTEXT[name] / 8, from: REGISTER[name] }));

function extendedSize(extended: Uint8Array): number {
  const inUse = new DataView(extended.buffer, extended.byteOffset).getBigUint64(XSTATE.inUse, true);
  const tiles = ((inUse >> XSTATE.tiles) & 1n) !== 0n;
  return tiles ? extended.length : Math.min(extended.length, WITHOUT_TILES);
}

/** The kernel's own error numbers for a system call that it would begin again. */
const RESTART = { sys: 512n, noIntr: 513n, noHand: 514n, block: 516n } as const;
/** The length of the instruction `syscall`. */
const SYSCALL_LENGTH = 2n;

export interface Resumption {
  readonly rip: bigint;
  readonly rax: bigint;
  /** Whether the thread notices nothing: false where its system call returns EINTR. */
  readonly clean: boolean;
}

/**
 * Where the thread goes on. One that slept in a system call makes it again, as the kernel would have
 * it do. A call with a duration would begin its whole duration again: such a thread is told EINTR, and
 * is borrowed only where there is no other.
 */
export function resumption(registers: BigUint64Array): Resumption {
  const [rip, rax] = [registers[REGISTER.rip] ?? 0n, registers[REGISTER.rax] ?? 0n];
  const call = BigInt.asIntN(64, registers[REGISTER.originalRax] ?? 0n);
  const again = { rip: rip - SYSCALL_LENGTH, rax: BigInt.asUintN(64, call), clean: true };
  if (call < 0n) return { rip, rax, clean: true };
  const endless = (): boolean => isEndless(Number(call), argumentsIn(registers));
  switch (-BigInt.asIntN(64, rax)) {
    case RESTART.sys:
    case RESTART.noIntr:
    case RESTART.noHand:
      return again;
    case RESTART.block:
      return endless()
        ? again
        : { rip, rax: BigInt.asUintN(64, BigInt(-ERRNO.interrupted)), clean: false };
    case BigInt(ERRNO.interrupted):
      // The kernel never begins epoll_wait again. Without a limit of time it is the same call.
      return EPOLL.has(Number(call)) ? { ...again, clean: endless() } : { rip, rax, clean: true };
    default:
      return { rip, rax, clean: true };
  }
}

const argumentsIn = (registers: BigUint64Array): bigint[] =>
  (['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const).map(
    (name) => registers[REGISTER[name]] ?? 0n,
  );

/**
 * The registers of a thread that was stopped in epoll_wait, with which it makes the call again; null
 * where it was elsewhere.
 */
export function epollAgain(registers: BigUint64Array): BigUint64Array | null {
  const call = BigInt.asIntN(64, registers[REGISTER.originalRax] ?? 0n);
  const result = -BigInt.asIntN(64, registers[REGISTER.rax] ?? 0n);
  if (result !== BigInt(ERRNO.interrupted) || !EPOLL.has(Number(call))) return null;
  const again = registers.slice();
  again[REGISTER.rip] = (registers[REGISTER.rip] ?? 0n) - SYSCALL_LENGTH;
  again[REGISTER.rax] = BigInt.asUintN(64, call);
  again[REGISTER.originalRax] = BigInt.asUintN(64, -1n);
  return again;
}

export const EPOLL: ReadonlySet<number> = new Set([
  SYS.epoll_wait,
  SYS.epoll_pwait,
  SYS.epoll_pwait2,
]);
const FUTEX_WAIT_BITSET = 9n;
const FUTEX_COMMAND = 0x7fn;
const TIMER_ABSTIME = 1n;

/** Whether a system call, made again, waits for the same moment as before: none, or a fixed one. */
export function isEndless(call: number, args: readonly bigint[]): boolean {
  const [, operation = 0n, third = 0n, fourth = 0n] = args;
  switch (call) {
    case SYS.epoll_wait:
    case SYS.epoll_pwait:
      return BigInt.asIntN(32, fourth) < 0n;
    case SYS.epoll_pwait2:
      return fourth === 0n;
    case SYS.poll:
      return BigInt.asIntN(32, third) < 0n;
    case SYS.futex:
      return fourth === 0n || (operation & FUTEX_COMMAND) === FUTEX_WAIT_BITSET;
    case SYS.clock_nanosleep:
      return operation === TIMER_ABSTIME;
    default:
      return false;
  }
}

// What one instruction can see and change of a CPU, and the names of what can come of it. Nothing
// here knows of other CPUs, of time or of the operating system: the core acts on the outcome
// (act.ts).

import { FLAG } from '../../asm/flags.js';
import { W64 as REG_NAMES } from '../../asm/operand.js';
import type { Addr } from '../../base/addr.js';

export { FLAG } from '../../asm/flags.js';
export { REG_NAMES };

/** What ADD and its like define. */
export const ARITHMETIC: number = FLAG.cf | FLAG.pf | FLAG.af | FLAG.zf | FLAG.sf | FLAG.of;

/**
 * Selectors of Linux (arch/x86/include/asm/segment.h): IRET accepts these and, in the kernel, a
 * null SS.
 */
export const SELECTOR = {
  kernelCode: 0x10,
  kernelData: 0x18,
  userCode: 0x33,
  userData: 0x2b,
} as const;

export type RegName = (typeof REG_NAMES)[number];
/** The numbers of the general registers, as instructions encode them. */
export const REG = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
} as const satisfies Record<RegName, number>;
export type RegNumber = (typeof REG)[RegName];

/** All sixteen are there, which the type of an array does not say. */
export type Registers = BigUint64Array & Record<RegNumber, bigint>;

export interface Cpu {
  readonly r: Registers;
  /** The same as 32-bit halves, the low one first. */
  readonly halves: Uint32Array;
  rip: Addr;
  flags: number;
  /** Whether the current privilege level is 3. */
  user: boolean;
  fsBase: Addr;
  gsBase: Addr;
  /** What SWAPGS exchanges with gsBase. */
  kernelGsBase: Addr;
  /** The shadow stack pointer; null while shadow stacks are off at this privilege. */
  ssp: Addr | null;
  /** Whether WRSS is allowed. */
  wrss: boolean;
  /** By number. The model gives them no effect: it is their MOV that serialises. */
  readonly cr: BigUint64Array;
}

/** Registers zero, flags clear, no shadow stack. */
export function newCpu(user: boolean): Cpu {
  const r = new BigUint64Array(16) as Registers;
  return {
    r,
    halves: new Uint32Array(r.buffer),
    rip: 0,
    flags: FLAG.one,
    user,
    fsBase: 0,
    gsBase: 0,
    kernelGsBase: 0,
    ssp: null,
    wrss: false,
    cr: new BigUint64Array(16),
  };
}

export type Bytes = 1 | 2 | 4 | 8;

/**
 * Memory as the CPU sees it. A port that refuses an access throws; nothing of the CPU has changed
 * by then.
 */
export interface Port {
  read(address: Addr, bytes: Bytes): bigint;
  write(address: Addr, bytes: Bytes, value: bigint): void;
}

/**
 * What came of one instruction. Unless it says otherwise, registers, flags and RIP are as after it.
 *
 * | outcome | what is left for the core to do |
 * |---|---|
 * | next, jump, call, return | only the path; `-indirect`: the target is of a register or memory |
 * | fence | MFENCE: the store buffer drains. LOCKed instructions do too: ask `isLocked` |
 * | serialise | CPUID, SERIALIZE, MOV to a control register |
 * | iret | serialises, opens NMI again; IF is as the frame said, with no shadow |
 * | cli, sti, popf | IF may have changed; `sti` with IF clear before starts the shadow |
 * | swapgs, sysret | the GS base, the privilege, changed |
 * | syscall | RIP is behind it; the rest of its entry belongs to the system |
 * | int3 | RIP is behind it, as the frame of #BP will say (SDM volume 3, 6.15) |
 * | halt | RIP is behind it |
 * | undefined, general-protection, control-protection | #UD, #GP, #CP; RIP is at it |
 */
export type Outcome =
  | 'next'
  | 'jump'
  | 'jump-indirect'
  | 'call'
  | 'call-indirect'
  | 'return'
  | 'fence'
  | 'serialise'
  | 'iret'
  | 'cli'
  | 'sti'
  | 'popf'
  | 'swapgs'
  | 'sysret'
  | 'syscall'
  | 'int3'
  | 'halt'
  | 'undefined'
  | 'general-protection'
  | 'control-protection';

// What a trap handler inside a kernel and the machine around it agree on: the words of the per-CPU
// area, the table that says what stands at a patched address, and the labels that the handler must
// supply. The simulator lays this out; the handlers (zoo/) are the code that
// runs over it.

import type { Program } from '../asm/assembler.js';

/**
 * Offsets from the GS base. The environment keeps the first words; a protocol's stashes begin at
 * `slots`.
 */
export const PERCPU = {
  /** lockdep's idea of IF: 1 on, 0 off. */
  lockdep: 0,
  /** 1 while the body of an NMI runs, as in_nmi() of the day counted it; machine checks too. */
  nmi: 8,
  /** An NMI that came during the body of another: run it again (entry_64.S, repeat_nmi). */
  repeat: 16,
  /**
   * Nesting level of the context: 0 task, then one more for each interrupt, NMI or machine check
   * inside.
   */
  level: 24,
  slots: 64,
  size: 256,
} as const;

/** The table of patched addresses, as text_poke's vector: `count` is 0 while nothing is claimed. */
export const POKE = { count: 0, refs: 8, lock: 16, entries: 64, size: 256 } as const;
/**
 * `word` is an emulation word of registry.ts: form and target together, read once. `shape` never
 * changes: the site's length, and its condition above `condition` bits.
 */
export const ENTRY = { site: 0, word: 8, shape: 16, condition: 4, size: 24 } as const;

/** `struct pt_regs` of x86-64, from the stack pointer once all registers are pushed. */
export const FRAME = {
  r15: 0,
  r14: 8,
  r13: 16,
  r12: 24,
  rbp: 32,
  rbx: 40,
  r11: 48,
  r10: 56,
  r9: 64,
  r8: 72,
  rax: 80,
  rcx: 88,
  rdx: 96,
  rsi: 104,
  rdi: 112,
  orig: 120,
  rip: 128,
  cs: 136,
  flags: 144,
  rsp: 152,
  ss: 160,
} as const;

export interface KernelHandler {
  /**
   * Labels: `entry`, the gate of #BP; `leave`, the end of entry and exit code, from which lockdep,
   * call chain and flags are judged again (trampolines and stubs lie behind it). Outside symbols:
   * `unclaimed`, where a trap that is not the handler's own goes. A complete retpoline lies between
   * `retpoline` and `retpoline.end`, if there is one. Named word: `table`, the address of the POKE
   * table.
   */
  readonly program: Program;
  /**
   * From `unclaimed`, with RSP at a pt_regs, back behind an int3 that was another's: what do_int3
   * does when a notifier has claimed it.
   */
  readonly resume: Program;
  /** GS offsets of the eight-byte words in which it leaves data for one emulated call. */
  readonly stash: readonly number[];
}

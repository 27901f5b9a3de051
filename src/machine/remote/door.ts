// ptrace, never longer than it takes to exchange the registers of a thread, or to write what is
// written while all of them stand.
//
// Three mistakes were made and found by running. PTRACE_SINGLESTEP leaves the trap flag set where
// the tracer dies, and the kernel then kills the thread by SIGTRAP. PTRACE_SYSCALL without
// TRACESYSGOOD has the same end, because a stop that finds no tracer becomes the signal that it
// would have been told as. And a thread in state D does not stop, and cannot be let go before it
// does.

import type { Addr } from '../../base/addr.js';
import { memoryOf } from '../../base/bytes.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import { ERRNO } from '../../base/linux.js';
import { errorName, type Native } from '../linux/native.js';
import { readProcOrNone } from '../linux/proc.js';
import { pause } from './pause.js';

const PTRACE = {
  cont: 7,
  detach: 17,
  syscall: 24,
  getRegisters: 0x4204,
  setRegisters: 0x4205,
  seize: 0x4206,
  interrupt: 0x4207,
  getMask: 0x420a,
  setMask: 0x420b,
  getRseq: 0x420f,
} as const;
const TRACESYSGOOD = 1;
const NT = { general: 1, extended: 0x202 } as const;
const WAIT = { noHang: 1, all: 0x4000_0000 } as const;
const EVENT_STOP = 128;
const SYSCALL_STOP = 0x85;
const SIGTRAP = 5;

/** struct user_regs_struct, in words. */
export const REGISTER = {
  r15: 0,
  r14: 1,
  r13: 2,
  r12: 3,
  rbp: 4,
  rbx: 5,
  r11: 6,
  r10: 7,
  r9: 8,
  r8: 9,
  rax: 10,
  rcx: 11,
  rdx: 12,
  rsi: 13,
  rdi: 14,
  originalRax: 15,
  rip: 16,
  cs: 17,
  flags: 18,
  rsp: 19,
  ss: 20,
} as const;
const REGISTERS = 27;

/** Frame and mailbox. */
const MOST_PIECES = 2;

/** Bytes for a place in the target. */
export interface Piece {
  readonly at: Addr;
  readonly bytes: Uint8Array;
}

/**
 * How long a thread may take to stop, ms: one that can be stopped, and may wait for a CPU; and one
 * in state D, which a parent of vfork can be in for any time.
 */
const STOP_MS = { any: 10_000, asleep: 20 } as const;

/**
 * How long it is looked at again and again whether it has, ms, before the tool sleeps in between: a
 * thread that is queued behind the tool on its CPU is not run because the tool yields.
 */
const SPIN_MS = 0.1;
const SLEEP_MS = 0.05;

/** How long a thread that was killed may take to end, ms. */
const REAP_MS = 1000;

/** How often it is looked at a thread that has not stopped in time, ms. */
const LATE_MS = 20;

/** What became of a thread that was asked to stop. */
export type Stop = 'stopped' | 'gone' | 'group' | 'late' | 'refused';

export class Door {
  readonly #native: Pick<Native, 'call' | 'addressOf'>;
  readonly #status = new Int32Array(2);
  readonly #vector = new BigUint64Array(2);
  readonly #general = new BigUint64Array(REGISTERS);
  #read: BigUint64Array = new BigUint64Array(0);
  readonly #extended = new Uint8Array(16384);
  readonly #mask = new BigUint64Array(1);
  readonly #rseq = new BigUint64Array(3);
  /** Where pieces lie here, and then where they go. */
  readonly #pieces = new BigUint64Array(4 * MOST_PIECES);
  readonly #addresses = new WeakMap<Uint8Array, Addr>();
  /** Where these lie: to ask for an address takes longer than some of the calls. */
  readonly #at: Readonly<
    Record<'status' | 'vector' | 'general' | 'extended' | 'mask' | 'rseq' | 'pieces', Addr>
  >;
  /** Threads that were asked to stop and have not: they are let go as soon as they do. */
  #late = new Set<number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(native: Pick<Native, 'call' | 'addressOf'>) {
    this.#native = native;
    this.#at = {
      status: native.addressOf(this.#status),
      vector: native.addressOf(this.#vector),
      general: native.addressOf(this.#general),
      extended: native.addressOf(this.#extended),
      mask: native.addressOf(this.#mask),
      rseq: native.addressOf(this.#rseq),
      pieces: native.addressOf(this.#pieces),
    };
  }

  #ptrace(request: number, thread: number, address = 0, data = 0): number {
    return this.#native.call('ptrace', request, thread, address, data, 0, 0);
  }

  #wait(thread: number, flags: number): number {
    return this.#native.call('wait4', thread, this.#at.status, flags | WAIT.all, 0, 0, 0);
  }

  /** Stops a thread; all other answers leave it running, or going to be let go. */
  stop(thread: number): Stop {
    this.letLateGo();
    const asked = this.ask(thread);
    return asked === 'asked' ? this.answer(thread) : asked;
  }

  /** Asks a thread to stop, and does not wait: several stop at the same time. `answer` follows. */
  ask(thread: number): 'asked' | Exclude<Stop, 'stopped' | 'group'> {
    if (this.#late.has(thread)) return 'late';
    const seized = this.#ptrace(PTRACE.seize, thread, 0, TRACESYSGOOD);
    if (seized < 0) return seized === -ERRNO.noProcess ? 'gone' : 'refused';
    if (this.#ptrace(PTRACE.interrupt, thread) >= 0) return 'asked';
    this.letGoLater(thread);
    return 'refused';
  }

  /** Waits for a thread that was asked. */
  answer(thread: number): Exclude<Stop, 'refused'> {
    const began = performance.now();
    for (;;) {
      const found = this.#look(thread, WAIT.noHang);
      if (found === 'stopped' || found === 'gone') return found;
      if (found === 'group') {
        this.letGo(thread);
        return 'group';
      }
      const waited = performance.now() - began;
      const limit = waited > STOP_MS.asleep && this.#isStuck(thread) ? 0 : STOP_MS.any;
      if (waited > limit) {
        this.letGoLater(thread);
        return 'late';
      }
      if (waited < SPIN_MS) this.yield();
      else pause(SLEEP_MS);
    }
  }

  /** One answer of wait4; signals that are on their way to the thread are handed on. */
  #look(thread: number, flags: number): 'stopped' | 'syscall' | 'gone' | 'group' | 'none' {
    const waited = this.#wait(thread, flags);
    // Only "no such child" says that it is gone: a thread that is taken for gone and is not stays
    // stopped until this process ends.
    if (waited === -ERRNO.noChild) return 'gone';
    if (waited <= 0) return 'none';
    const status = this.#status[0] ?? 0;
    if ((status & 0xff) !== 0x7f) return 'gone';
    const signal = (status >> 8) & 0xff;
    if (status >> 16 === EVENT_STOP) return signal === SIGTRAP ? 'stopped' : 'group';
    if (signal === SYSCALL_STOP) return 'syscall';
    this.#ptrace(PTRACE.cont, thread, 0, status >> 16 === 0 ? signal : 0);
    return 'none';
  }

  #isStuck(thread: number): boolean {
    const stat = readProcOrNone(`/proc/${thread}/stat`);
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('D');
  }

  letGo(thread: number): void {
    if (this.#ptrace(PTRACE.detach, thread, 0, 0) < 0) this.#reap(thread);
  }

  /**
   * Asks for the end of a thread that was killed while it was stopped. Until its tracer has, the
   * process does not end, and an exec() of it by another thread does not return.
   */
  #reap(thread: number): void {
    for (const began = performance.now(); performance.now() - began < REAP_MS;) {
      if (this.#wait(thread, WAIT.noHang) !== 0) return;
      this.yield();
    }
    this.letGoLater(thread);
  }

  #refused(thread: number, what: string, result: number): Fault {
    if (result === -ERRNO.noProcess) this.#reap(thread);
    return refused(what, result);
  }

  /**
   * Lets a thread go that was asked to stop and has not: as soon as it does. That may be while the
   * tool does something else, or nothing.
   */
  letGoLater(thread: number): void {
    this.#late.add(thread);
    this.#timer ??= setInterval(() => this.letLateGo(), LATE_MS).unref();
  }

  letLateGo(): void {
    const late = this.#late;
    this.#late = new Set();
    for (const thread of late) {
      const found = this.#look(thread, WAIT.noHang);
      // It may never have been asked: the kernel can have refused that.
      if (found === 'none') {
        this.#ptrace(PTRACE.interrupt, thread);
        this.#late.add(thread);
      } else if (found !== 'gone') this.letGo(thread);
    }
    if (this.#late.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /**
   * The same array where they are what was read last: a thread that sleeps where it slept before
   * has the registers that it had, and what was made of them need not be made while it is held.
   */
  registers(thread: number): BigUint64Array {
    // Of a thread that runs 32-bit code the kernel tells fewer.
    this.#general.fill(0n);
    this.#regset(PTRACE.getRegisters, thread, 'general', this.#general);
    const now = memoryOf(this.#general);
    if (Buffer.compare(now, memoryOf(this.#read)) !== 0) this.#read = this.#general.slice();
    return this.#read;
  }
  setRegisters(thread: number, registers: BigUint64Array): void {
    this.#general.set(registers);
    this.#regset(PTRACE.setRegisters, thread, 'general', this.#general);
  }
  /**
   * x87, SSE and everything behind, as the CPU's XSAVE lays it out. It is not a copy: the next call
   * overwrites it.
   */
  extended(thread: number): Uint8Array {
    const length = this.#regset(PTRACE.getRegisters, thread, 'extended', this.#extended);
    return this.#extended.subarray(0, length);
  }
  #regset(
    request: number,
    thread: number,
    set: keyof typeof NT,
    { byteLength }: ArrayBufferView,
  ): number {
    this.#vector[0] = BigInt(this.#at[set]);
    this.#vector[1] = BigInt(byteLength);
    const done = this.#ptrace(request, thread, NT[set], this.#at.vector);
    if (done < 0) throw this.#refused(thread, 'its registers', done);
    return Number(this.#vector[1]);
  }

  /**
   * Writes memory of the process of a thread that stands, all by one call, where /proc/PID/mem
   * takes one for each place. The call names the process by a number, and may: no process is given
   * that number, and none of its threads executes another program, before this thread has been let
   * go.
   * @returns whether all was written
   */
  write(thread: number, pieces: readonly Piece[]): boolean {
    const { length } = pieces;
    invariant(length <= MOST_PIECES, 'there are as many as are written together');
    for (const [i, { at, bytes }] of pieces.entries()) {
      this.#pieces.set([BigInt(this.#addressOf(bytes)), BigInt(bytes.length)], 2 * i);
      this.#pieces.set([BigInt(at), BigInt(bytes.length)], 2 * (MOST_PIECES + i));
    }
    const there = this.#at.pieces + 16 * MOST_PIECES;
    const written = this.#native.call(
      'process_vm_writev',
      thread,
      this.#at.pieces,
      length,
      there,
      length,
      0,
    );
    return written === pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }
  #addressOf(bytes: Uint8Array): Addr {
    let at = this.#addresses.get(bytes);
    if (at === undefined) this.#addresses.set(bytes, (at = this.#native.addressOf(bytes)));
    return at;
  }

  mask(thread: number): bigint {
    const done = this.#ptrace(PTRACE.getMask, thread, 8, this.#at.mask);
    if (done < 0) throw this.#refused(thread, 'its signal mask', done);
    return this.#mask[0] ?? 0n;
  }
  setMask(thread: number, mask: bigint): void {
    this.#mask[0] = mask;
    const done = this.#ptrace(PTRACE.setMask, thread, 8, this.#at.mask);
    if (done < 0) throw this.#refused(thread, 'its signal mask', done);
  }

  /** Where the thread's rseq area lies; 0 where it has none, or the kernel is before 5.13. */
  rseq(thread: number): Addr {
    this.#rseq[0] = 0n;
    return this.#ptrace(PTRACE.getRseq, thread, 24, this.#at.rseq) < 0 ? 0 : Number(this.#rseq[0]);
  }

  /** Lets another thread that waits for this CPU have it. */
  yield(): void {
    this.#native.call('sched_yield');
  }

  /** Lets it run to the next end of a system call or begin of one. @returns whether it lives */
  toSyscall(thread: number): boolean {
    for (;;) {
      if (this.#ptrace(PTRACE.syscall, thread) < 0) {
        this.#reap(thread);
        return false;
      }
      let found = this.#look(thread, 0);
      while (found === 'none') found = this.#look(thread, 0);
      if (found === 'gone') return false;
      if (found === 'syscall') return true;
    }
  }
}

const refused = (what: string, result: number): Fault =>
  result === -ERRNO.noProcess
    ? new Fault('target-gone', 'the process has ended, with the thread that was stopped')
    : new Fault('call-refused', `ptrace gives no access to a stopped thread: ${what}`, {
        cause: new Error(errorName(result)),
      });

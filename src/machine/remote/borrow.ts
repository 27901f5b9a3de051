// Borrows a thread of another process, in one of two ways.
//
// `inside` keeps it stopped and makes system calls with it, one after the other, before there is
// code of ours in the process. `send` exchanges its registers and lets it go before it runs: it
// performs what lies in the scratch and leaves by sigreturn (native/borrow.ts).
//
// In both a signal frame of the thread's own state is in its memory before its registers change. A
// tool that is killed at any moment leaves a thread that finds its own way back. For that the order
// matters: registers first and the mask second on the way in, the mask first on the way back. The
// frame carries the mask; in the other order a killed tool leaves every signal blocked for ever.

import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { SYS } from '../../base/linux.js';
import { MAILBOX } from '../../native/borrow.js';
import type { Mapping } from '../linux/maps.js';
import type { Call, Native } from '../linux/native.js';
import { Door, REGISTER, type Piece } from './door.js';
import {
  FRAME_ROOM,
  frameAtOrBelow,
  frameOf,
  resumption,
  stackOf,
  type ThreadState,
} from './frame.js';
import { pause } from './pause.js';
import { Seizer, word, type Stopped } from './seize.js';
import { targetGone, type Target, type ThreadLook } from './target.js';

/** Where system calls can be made from, and what brings a thread back behind one. */
export interface WayIn {
  /** The instructions `syscall; ret`. */
  readonly syscall: Addr;
  /** What the `ret` pops, in order: the last of them makes the call rt_sigreturn. */
  readonly back: readonly Addr[];
}

export interface Held {
  readonly thread: number;
  /** How many were held at the same time; `thread` is one of them. */
  readonly threads: number;
  /** From the request to stop until it went its own way again. */
  readonly ns: number;
}

/** System calls in the target. */
export interface Inside {
  /** The result, or the negated error number. */
  call(name: Call, ...args: readonly number[]): number;
  /** Where a short text lies for it. */
  text(text: string): Addr;
}

/** A word of a mailbox that the borrowed thread has not written. */
export const NOT_YET = -2;
const EVERY_SIGNAL = 0xffff_ffff_ffff_ffffn;
/** The trap and the direction flag: neither is the borrowed code's. */
const FLAGS = ~0x500n;
const RED_ZONE = 128;
const TEXT_ROOM = 256;
/** What must be free below the stack pointer; coroutines have small stacks. */
const STACK_ROOM = 65_536;
/**
 * How long a run is waited for by looking again and again, ms, and then by sleeping, a little
 * longer each time. The tool gives its CPU away at each look: the thread that is awaited may be
 * queued behind it, where the scheduler lets it wait for some milliseconds. A thread that is queued
 * behind another one on another CPU is fetched by the tool's CPU when the tool sleeps.
 */
const SPIN_MS = 0.1;
const SLEEP_MS = { first: 0.05, most: 1 } as const;
const RESTART_SYSCALL = 219n;
const RESTART_BLOCK = -516n;

/** What a test or the benchmark does between two steps; `held`: the thread that was let go last. */
export type AtStep = (step: string, held: Held | null) => void;

/** Where a thread runs what it is sent to. */
interface Room {
  readonly start: Addr;
  readonly end: Addr;
  readonly mailbox: Addr;
  readonly frame: Addr;
}

interface SentAs {
  /** What the thread was. */
  readonly of: ThreadState;
  readonly scratch: Room;
  readonly frame: Uint8Array;
  readonly registers: BigUint64Array;
}

export class Borrower {
  readonly target: Target;
  readonly #door: Door;
  readonly #seizer: Seizer;
  readonly #step: AtStep;
  /** The thread that was sent last, until it was seen outside of what it was sent to. */
  #sent: number | null = null;
  #inScratch: (at: Addr) => boolean = () => false;
  /** How a thread was sent last. */
  #last: SentAs | null = null;
  held: Held | null = null;

  constructor(native: Pick<Native, 'call' | 'addressOf'>, target: Target, at: AtStep = () => {}) {
    this.target = target;
    this.#door = new Door(native);
    this.#seizer = new Seizer(target, this.#door);
    this.#step = at;
  }

  #at(step: string): void {
    this.#step(step, this.held);
  }

  /**
   * @throws Fault `traced`, `target-stopped`, `no-thread`, `call-refused`, `target-gone`
   */
  inside<T>(way: WayIn, body: (inside: Inside) => T): T {
    this.settle();
    const maps = this.target.maps();
    const thread = this.#seizer.stop((state) => hasRoom(state, maps));
    this.#at('stopped');
    const frame = frameAtOrBelow(Number(word(thread, 'rsp')) - RED_ZONE - TEXT_ROOM - FRAME_ROOM);
    const stack = frame - 8 * (way.back.length - 1);
    const [last = 0] = way.back.slice(-1);
    const chain = new BigUint64Array(way.back.map(BigInt));
    try {
      this.target.write(frame, frameOf(thread, frame, last));
      this.target.write(stack, new Uint8Array(chain.buffer));
    } catch (error) {
      this.#seizer.release(thread.id, thread.registers);
      throw error;
    }
    this.#at('framed');
    let entered = false;
    const call = (name: Call, ...args: readonly number[]): number => {
      const registers = thread.registers.slice();
      registers[REGISTER.rax] = BigInt(SYS[name]);
      for (const [i, argument] of (['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const).entries())
        registers[REGISTER[argument]] = BigInt.asUintN(64, BigInt(args[i] ?? 0));
      registers[REGISTER.rip] = BigInt(way.syscall);
      registers[REGISTER.rsp] = BigInt(stack);
      registers[REGISTER.originalRax] = BigInt.asUintN(64, -1n);
      const first = !entered;
      entered = true;
      this.#door.setRegisters(thread.id, registers);
      this.#at(`${name} set`);
      if (first) this.#door.setMask(thread.id, EVERY_SIGNAL);
      this.#at(`${name} masked`);
      if (!this.#door.toSyscall(thread.id) || !this.#door.toSyscall(thread.id))
        throw targetGone(this.target.pid);
      this.#at(`${name} made`);
      return Number(BigInt.asIntN(64, this.#door.registers(thread.id)[REGISTER.rax] ?? 0n));
    };
    let room = frame + FRAME_ROOM;
    const text = (words: string): Addr => {
      const bytes = new TextEncoder().encode(`${words}\0`);
      const at = room;
      room += bytes.length;
      this.target.write(at, bytes);
      return at;
    };
    try {
      return body({ call, text });
    } finally {
      if (entered) this.#back(thread);
      else this.#seizer.release(thread.id, thread.registers);
      this.#hold(thread);
      this.#at('let go');
    }
  }

  /** As if nothing had been. The kernel makes an interrupted call again only where it stopped it. */
  #back(thread: Stopped): void {
    try {
      this.#door.setMask(thread.id, thread.mask);
      this.#at('mask back');
      const registers = thread.registers.slice();
      const asleep = BigInt.asIntN(64, word(thread, 'rax')) === RESTART_BLOCK;
      const { rip, rax } = resumption(registers);
      registers[REGISTER.rip] = asleep ? word(thread, 'rip') - 2n : rip;
      registers[REGISTER.rax] = asleep ? RESTART_SYSCALL : rax;
      registers[REGISTER.originalRax] = BigInt.asUintN(64, -1n);
      this.#door.setRegisters(thread.id, registers);
      this.#at('registers back');
      this.#door.letGo(thread.id);
    } catch {
      // The process has ended, with this thread.
    }
  }

  #hold({ id, began }: Stopped): void {
    this.held = { thread: id, threads: 1, ns: Math.round((performance.now() - began) * 1e6) };
  }

  /**
   * Has a thread perform what lies in a scratch, and waits until it has.
   * @param code where the routine `borrow` lies, and the page around it
   * @param mailbox what is written there, and what lies behind; null where it was written
   * @param told what the mailbox holds in the end, as halves of its words
   * @throws Fault `traced`, `target-stopped`, `no-thread`, `target-gone`
   */
  send(
    code: {
      readonly entry: Addr;
      readonly restorer: Addr;
      readonly start: Addr;
      readonly end: Addr;
    },
    scratch: Room,
    mailbox: Uint8Array | null,
    told: Int32Array,
  ): void {
    const inFrame = this.#inScratch;
    this.#inScratch = (at) =>
      (at >= code.start && at < code.end) || (at >= scratch.start && at < scratch.end);
    const thread =
      this.#seizer.again(this.#sent, inFrame) ?? this.#seizer.stop(() => true, this.settle());
    this.#at('run stopped');
    const { frame, registers } = this.#sentAs(thread, code, scratch);
    const pieces: Piece[] = [{ at: scratch.frame, bytes: frame }];
    if (mailbox) pieces.push({ at: scratch.mailbox, bytes: mailbox });
    try {
      this.#write(thread.id, pieces);
    } catch (error) {
      this.#seizer.release(thread.id, thread.registers);
      throw error;
    }
    this.#at('run framed');
    try {
      this.#door.setRegisters(thread.id, registers);
      this.#at('run set');
      this.#door.setMask(thread.id, EVERY_SIGNAL);
      this.#at('run masked');
    } catch (error) {
      this.#back(thread);
      throw error;
    }
    this.#sent = thread.id;
    this.#door.letGo(thread.id);
    this.#at('run let go');
    this.#await(scratch.mailbox, told);
    this.#hold(thread);
    this.#at('run done');
  }

  /** A kernel may be built without the call that writes all at once. @throws Fault `target-gone` */
  #write(thread: number, pieces: readonly Piece[]): void {
    if (this.#door.write(thread, pieces)) return;
    for (const { at, bytes } of pieces) this.target.write(at, bytes);
  }

  /** Its frame, and the registers that it is given. */
  #sentAs(thread: Stopped, code: Parameters<Borrower['send']>[0], scratch: Room): SentAs {
    const last = this.#last;
    if (last?.scratch === scratch && isSame(last.of, thread)) return last;
    const registers = thread.registers.slice();
    registers[REGISTER.rip] = BigInt(code.entry);
    registers[REGISTER.rdi] = BigInt(scratch.mailbox);
    registers[REGISTER.rsp] = BigInt(stackOf(scratch.frame));
    registers[REGISTER.flags] = word(thread, 'flags') & FLAGS;
    registers[REGISTER.originalRax] = BigInt.asUintN(64, -1n);
    const frame = frameOf(thread, scratch.frame, code.restorer);
    const of = { ...thread, extended: thread.extended.slice() };
    return (this.#last = { of, scratch, frame, registers });
  }

  /**
   * A run that was begun is never given up: its thread may wait for a CPU for any time. It ends, or
   * the process does.
   */
  #await(mailbox: Addr, told: Int32Array): void {
    const began = performance.now();
    for (let sleep: number = SLEEP_MS.first; ;) {
      if (!this.target.fill(told, mailbox)) throw targetGone(this.target.pid);
      if (told[MAILBOX.done / 4] === 1) break;
      if (performance.now() - began < SPIN_MS) this.#door.yield();
      else {
        pause(sleep);
        sleep = Math.min(1.5 * sleep, SLEEP_MS.most);
        if (!this.target.alive) throw targetGone(this.target.pid);
      }
    }
    // The kernel copies in no certain order: what stands behind may have been read before it.
    if (told.includes(NOT_YET) && !this.target.fill(told, mailbox))
      throw targetGone(this.target.pid);
  }

  /**
   * The thread that was sent last tells that it is done before it has left its frame. Until it was
   * seen elsewhere the frame is not written again, and the scratch not taken away.
   * @returns the thread, where it sleeps elsewhere now
   */
  settle(): ThreadLook | null {
    const began = performance.now();
    while (this.#sent !== null) {
      const look = this.target.thread(this.#sent);
      if (look.sleepsIn && !this.#inScratch(look.sleepsIn.stack)) {
        this.#sent = null;
        return look;
      }
      const found = this.#seizer.isAt(this.#sent, this.#inScratch);
      if (found === 'gone' || found === false) this.#sent = null;
      else if (found !== true) this.#seizer.refuse(found, performance.now() - began);
      if (this.#sent !== null) pause(0.05);
    }
    return null;
  }

  /** Whether any thread is at one of these addresses: asked of what a killed tool left behind. */
  anyThreadAt(start: Addr, end: Addr): boolean {
    return this.target.threadIds().some((id) => {
      const found = this.#seizer.isAt(id, (at) => at >= start && at < end);
      return found !== 'gone' && found !== false;
    });
  }
}

/** A thread that sleeps where it slept: then what was made of it need not be made again. */
const isSame = (a: ThreadState, b: ThreadState): boolean =>
  a.registers === b.registers && a.mask === b.mask && Buffer.compare(a.extended, b.extended) === 0;

function hasRoom(state: ThreadState, maps: readonly Mapping[]): boolean {
  const stack = Number(word(state, 'rsp'));
  const map = maps.find((m) => stack >= m.start && stack < m.end);
  return map !== undefined && map.access[1] === 'w' && stack - map.start >= STACK_ROOM;
}

const SYSCALL_RET = Buffer.from([0x0f, 0x05, 0xc3]);
/** `mov rax, 15; syscall` and `mov eax, 15; syscall`: what libcs leave a handler by. */
const RESTORERS = [
  Buffer.from([0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]),
  Buffer.from([0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05]),
];
const POP_RAX_RET = Buffer.from([0x58, 0xc3]);
const MOST_TEXT = 1 << 26;

/** Looks for the instructions in what the process can execute. @throws Fault `no-way-in` */
export function findWayIn(target: Target, maps: readonly Mapping[]): WayIn {
  let syscall: Addr | null = null;
  let restorer: Addr | null = null;
  let pop: Addr | null = null;
  const texts = maps.filter((m) => m.access.includes('x') && m.access[0] === 'r');
  // The runtime's own page first: it has both.
  const own = (m: Mapping): number => (m.path.startsWith('/memfd:static-call ') ? 0 : 1);
  for (const { start, end } of texts.toSorted((a, b) => own(a) - own(b))) {
    const bytes = Buffer.from(target.read(start, Math.min(end - start, MOST_TEXT)).buffer);
    const find = (what: Buffer): Addr | null => {
      const at = bytes.indexOf(what);
      return at < 0 ? null : start + at;
    };
    syscall ??= find(SYSCALL_RET);
    restorer ??= RESTORERS.map(find).find((at) => at !== null) ?? null;
    pop ??= find(POP_RAX_RET);
    if (syscall !== null && restorer !== null) return { syscall, back: [restorer] };
  }
  if (syscall !== null && pop !== null) return { syscall, back: [pop, SYS.rt_sigreturn, syscall] };
  throw new Fault(
    'no-way-in',
    `the code of process ${target.pid} has no instructions to make a system call with` +
      (texts[0] ? ` (looked from ${hex(texts[0].start)} on)` : ''),
  );
}

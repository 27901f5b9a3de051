// Stops every thread of another process, and lets all of them go on, for a process that cannot have
// a trap handler. Nothing of it is changed but a register that its thread has lost already.
//
// A thread is made by another thread of its process. So where each of those that are listed stands,
// and a second list names no other, there is none that runs.
//
// They go on by IRET, which serialises their CPU. SYSRET would not, and takes RIP from RCX: a
// thread in which the two differ cannot go on by it, whatever the kernel prefers. A thread in which
// they are equal is behind the instruction `syscall`, which has left RIP in RCX: nothing was in it.

import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import type { Native } from '../linux/native.js';
import { readProcOrNone } from '../linux/proc.js';
import type { AtStep, Held } from './borrow.js';
import { Door, REGISTER, type Stop } from './door.js';
import { epollAgain } from './frame.js';
import { pause } from './pause.js';
import { checkStoppable } from './seize.js';
import { targetGone, type Target } from './target.js';

/** How long it is tried to have all threads stand at a place that they can go on from, ms. */
const PATIENCE_MS = 3000;
/** How long another try waits, ms: two tools that hold half of the threads each must not keep step. */
const AGAIN_MS = { least: 0.5, most: 4 } as const;
/** No process has a number above the kernel's limit, 2 to the power of 22. */
const NO_THREAD = 2 ** 22 + 1;
const REHEARSALS = 20;
/** The segment of 64-bit code. */
const LONG_MODE = 0x33n;

/** A stretch of text that is written. */
export interface Stretch {
  readonly at: Addr;
  readonly length: number;
}

/** A thread that stands, as it was when it stopped. */
interface Standing {
  readonly id: number;
  readonly registers: BigUint64Array;
}

/** Why they do not all stand; what stood was let go. */
class NotAll extends Error {}

/** What is asked of the process. */
export type Stoppable = Pick<Target, 'pid' | 'alive' | 'threadIds' | 'thread' | 'standing'>;

export class Holder {
  readonly target: Stoppable;
  readonly #door: Door;
  readonly #step: AtStep;
  #rehearsed = false;
  held: Held | null = null;

  /** @throws Fault `not-supported` where no manual says that a thread that goes on is serialised */
  constructor(
    native: Pick<Native, 'call' | 'addressOf'>,
    target: Stoppable,
    at: AtStep = () => {},
  ) {
    checkReturns(readProcOrNone('/proc/cpuinfo'));
    this.target = target;
    this.#door = new Door(native);
    this.#step = at;
  }

  /** Tells a test or the benchmark where it is. */
  at(step: string): void {
    this.#step(step, this.held);
  }

  /**
   * Does something while no thread runs, and none stands behind the begin of a stretch and before
   * its end.
   * @throws Fault `busy`, `traced`, `target-stopped`, `target-gone`, and what `body` throws
   */
  while<T>(stretches: readonly Stretch[], body: () => T): T {
    this.#rehearse();
    const first = performance.now();
    for (;;) {
      const began = performance.now();
      const standing: Standing[] = [];
      try {
        this.#stopAll(standing);
        this.at('all stopped');
        checkPlaces(this.target, standing, stretches);
        for (const { id, registers } of standing) {
          const other = goingOn(registers);
          if (other) this.#door.setRegisters(id, other);
        }
        this.at('all set');
        return body();
      } catch (error) {
        if (!(error instanceof NotAll)) throw error;
        this.#refuse(error, performance.now() - first);
      } finally {
        this.#release(standing);
        const [one] = standing;
        const ns = Math.round((performance.now() - began) * 1e6);
        if (one) this.held = { thread: one.id, threads: standing.length, ns };
        this.at('all let go');
      }
      pause(AGAIN_MS.least + Math.random() * (AGAIN_MS.most - AGAIN_MS.least));
    }
  }

  /**
   * Whatever is done while threads stand was done before, with a thread that there is not: the
   * first call of a function takes longer than a hundred later ones. Held 24 ms without, and 8
   * with.
   */
  #rehearse(): void {
    if (this.#rehearsed) return;
    this.#rehearsed = true;
    const registers = new BigUint64Array(REGISTER.ss + 1);
    for (let i = 0; i < REHEARSALS; i++) {
      this.#door.ask(NO_THREAD);
      this.#door.answer(NO_THREAD);
      this.#door.letLateGo();
      goingOn(registers);
      try {
        this.#door.registers(NO_THREAD);
      } catch {
        // There is no such thread.
      }
    }
  }

  /** @throws Fault, or nothing: then it is tried again */
  #refuse(why: NotAll, waited: number): void {
    if (!this.target.alive) throw targetGone(this.target.pid);
    checkStoppable(this.target);
    if (waited < PATIENCE_MS) return;
    throw new Fault('busy', why.message, {
      hint: 'try again, or without protocol stop, which waits for no other thread',
    });
  }

  /** @param standing what stands, also where it throws */
  #stopAll(standing: Standing[]): void {
    this.#door.letLateGo();
    this.#checkAwake();
    const known = new Set<number>();
    for (;;) {
      const asked: number[] = [];
      try {
        this.#ask(known, asked);
        if (asked.length === 0) return;
        this.at('asked');
        for (let id = asked[0]; id !== undefined; id = asked[0]) {
          this.#await(id, standing);
          asked.shift();
        }
      } catch (error) {
        for (const id of asked) this.#door.letGoLater(id);
        throw error;
      }
    }
  }

  /**
   * A thread in state D, as a parent of vfork is, would stop when it wakes, at any time: it is not
   * even asked.
   */
  #checkAwake(): void {
    for (const id of this.target.threadIds())
      if (this.target.thread(id).state === 'D') throw new NotAll(this.#why(id, 'late'));
  }

  /** Asks all that are not known yet to stop, before it waits for any. */
  #ask(known: Set<number>, asked: number[]): void {
    for (const id of this.target.threadIds()) {
      if (known.has(id)) continue;
      const found = this.#door.ask(id);
      if (found === 'asked') asked.push(id);
      // One that has ended stays in the list while its process has not, if it was the first.
      else if (!'ZX'.includes(this.target.thread(id).state)) throw new NotAll(this.#why(id, found));
      known.add(id);
    }
  }

  #await(id: number, standing: Standing[]): void {
    const found = this.#door.answer(id);
    if (found === 'gone') return;
    if (found !== 'stopped') throw new NotAll(this.#why(id, found));
    standing.push({ id, registers: this.#door.registers(id) });
  }

  #why(id: number, found: Exclude<Stop, 'stopped'>): string {
    return `thread ${id} of process ${this.target.pid} ${WHY[found]}`;
  }

  #release(standing: readonly Standing[]): void {
    for (const { id } of standing) this.#door.letGo(id);
  }
}

const WHY: Readonly<Record<Exclude<Stop, 'stopped'>, string>> = {
  gone: 'is about to end',
  group: 'is stopped by a signal',
  late: 'sleeps in the kernel, where nothing can stop it (state D)',
  refused: 'cannot be stopped: the kernel refuses it, or another tool has it',
};

/**
 * The registers with which a stopped thread goes on, where they are not those that it has.
 * @returns null where they are
 */
export function goingOn(registers: BigUint64Array): BigUint64Array | null {
  const again = epollAgain(registers);
  if (again) return again;
  if (registers[REGISTER.rcx] !== registers[REGISTER.rip]) return null;
  const other = registers.slice();
  other[REGISTER.rcx] = 0n;
  return other;
}

/**
 * A site is one instruction before and after, so a thread stands at its begin or at its end. One
 * that a debugger or a handler of the program's own has sent into the middle is let go.
 * @param stretches ascending by address
 */
function checkPlaces(
  { pid }: Stoppable,
  standing: readonly Standing[],
  stretches: readonly Stretch[],
): void {
  for (const { id, registers } of standing) {
    const at = Number(BigInt.asIntN(64, registers[REGISTER.rip] ?? 0n));
    if (registers[REGISTER.cs] !== LONG_MODE)
      throw new NotAll(`thread ${id} of process ${pid} runs 32-bit code`);
    if (isInside(at, stretches))
      throw new NotAll(
        `thread ${id} of process ${pid} stands in the middle of a site, at ${hex(at)}`,
      );
  }
}

/** Whether an address is behind the begin of a stretch and before its end; they ascend. */
export const isInside = (at: Addr, stretches: readonly Stretch[]): boolean =>
  reaches(stretches, at, at);
/** Whether so many bytes from an address share one with a stretch. */
export const overlaps = (at: Addr, length: number, stretches: readonly Stretch[]): boolean =>
  reaches(stretches, at + length, at);

/** Whether the last that begins before `limit` ends behind `at`. */
function reaches(stretches: readonly Stretch[], limit: Addr, at: Addr): boolean {
  let [low, high] = [0, stretches.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((stretches[middle]?.at ?? Infinity) < limit) low = middle + 1;
    else high = middle;
  }
  const last = stretches[low - 1];
  return last !== undefined && at < last.at + last.length;
}

/**
 * With FRED a kernel returns by ERETU in place of IRET.
 * @param info /proc/cpuinfo
 * @throws Fault `not-supported`
 */
export function checkReturns(info: string): void {
  if (!/^flags\s*:.*\bfred\b/m.test(info)) return;
  throw new Fault(
    'not-supported',
    'this CPU returns to programs by ERETU (FRED), and protocol stop counts on the serialisation of IRET',
    { hint: 'use the default protocol' },
  );
}

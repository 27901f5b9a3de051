// Installs the trap handler and keeps an eye on it. What an int3 batch needs of the process's
// signal state is checked before the batch and not after, for a thread that meets the trap with
// SIGTRAP blocked, or with somebody else's handler installed, dies of it.

import { readFileSync, readdirSync } from 'node:fs';
import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { SA, SIGTRAP, SYS } from '../../base/linux.js';
import type { Runtime } from './runtime.js';
import { readMaps } from '../linux/maps.js';

/**
 * SA_NODEFER: an asynchronous signal's handler may pass an armed site on top of ours. SA_ONSTACK: a
 * thread with an alternate stack (a coroutine runtime, say) has it because its ordinary stack has
 * no room for a frame.
 */
const HANDLER_FLAGS = SA.siginfo | SA.onStack | SA.restart | SA.noDefer;

/**
 * Puts our handler in front of whatever handles SIGTRAP now; once in a process. A handler that
 * somebody installs over ours later is his decision: it is reported and not undone, for his may
 * call ours and ours would call his.
 * @throws Fault `handler-replaced`
 */
function claimTrap(runtime: Runtime, flags: number): void {
  const now = runtime.native.sigaction(SIGTRAP, null);
  if (now.handler === runtime.handler) return;
  if (runtime.word('installed') !== 0n) throw replaced(now.handler);
  runtime.setWord('previous', BigInt(now.handler));
  runtime.native.sigaction(SIGTRAP, { handler: runtime.handler, flags });
  runtime.setWord('installed', 1n);
}

/** What to say where another handler than ours is found. */
export function replaced(handler: Addr): Fault {
  return new Fault(
    'handler-replaced',
    handler === 0
      ? 'the SIGTRAP handler was removed'
      : 'another SIGTRAP handler was installed over ours',
    { at: hex(handler) },
  );
}

/** The kernel's struct sigaction: handler, flags, restorer, and a mask of eight bytes. */
export const KERNEL_SIGACTION = { size: 32, mask: 8, handler: 0 } as const;

/**
 * How old a look at the threads may be, ms: reading /proc costs more than a whole batch of one
 * site.
 */
const LOOK_AGAIN_MS = 100;

export class TrapWatch {
  readonly #runtime: Runtime;
  readonly #flags: number;
  readonly #patienceMs: number;
  #claimed = false;
  #lookedAt: number = -Infinity;
  /**
   * Found at the first look: reading the maps costs more than the rest of it, and a program's own
   * data never move.
   */
  #own: readonly Range[] | null = null;

  /**
   * @param flags of the handler, and how long a thread without a CPU is waited for: other values are for tests that show why these are needed
   */
  constructor(runtime: Runtime, flags: number = HANDLER_FLAGS, patienceMs: number = PATIENCE_MS) {
    this.#runtime = runtime;
    this.#flags = flags;
    this.#patienceMs = patienceMs;
  }

  /**
   * Before every batch that plants traps. The look at the threads is racy by nature: one may block
   * SIGTRAP right after it. That the handler is still ours is asked in the batch's own run
   * (process.ts). @throws Fault `handler-replaced`, `trap-blocked`, `shadow-stack`
   */
  check(): void {
    if (!this.#claimed) claimTrap(this.#runtime, this.#flags);
    this.#claimed = true;
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_AGAIN_MS) return;
    const own = (this.#own ??= ownData());
    let blocked = lookAtThreads(own);
    // A thread that starts a program blocks every signal for a moment; who is still so after some
    // milliseconds means it.
    for (let looks = 1; blocked.length > 0 && looks < LOOKS;) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, looks);
      const still = new Map(lookAtThreads(own).map((t) => [t.id, t]));
      // Who waits for a CPU cannot put its mask back meanwhile: such a look counts for nothing.
      if (
        !blocked.some((t) => starved(t, still.get(t.id))) ||
        performance.now() - now > this.#patienceMs
      )
        looks++;
      blocked = blocked.flatMap((t) => still.get(t.id) ?? []);
    }
    const [thread] = blocked;
    if (thread)
      throw new Fault(
        'trap-blocked',
        `thread ${thread.id} (${thread.name}) has SIGTRAP blocked and would be killed by a trap`,
      );
    this.#lookedAt = now;
  }
}

/** Looks at a thread that seems to block SIGTRAP: some 20 ms in all. */
const LOOKS = 7;
/** On two busy CPUs a new thread of Node's was seen to wait 600 ms for its first turn. */
const PATIENCE_MS = 2000;

/** Whether a thread wanted to run since the look before and was not let. */
function starved(before: ThreadState, now: ThreadState | undefined): boolean {
  return now !== undefined && !now.asleep && now.ranNs === before.ranNs;
}

/** Threads that would be killed by a trap. @throws Fault `shadow-stack` */
function lookAtThreads(own: readonly Range[]): ThreadState[] {
  const threads = readThreads();
  const shadowed = threads.find((t) => t.shadowStack);
  if (shadowed)
    throw new Fault(
      'shadow-stack',
      `thread ${shadowed.id} (${shadowed.name}) has a shadow stack, which an emulated call would not match`,
    );
  return threads.filter((t) => t.trapBlocked && !waitsForInspector(t, own));
}

const bit = (signal: number): bigint => 1n << BigInt(signal - 1);
/**
 * Signals that libc keeps to itself (SIGCANCEL, SIGSETXID) and takes out of every mask that a
 * program sets. Where they are blocked, libc is just creating, ending or forking the thread:
 * nothing of the program runs before it has put the mask back.
 */
const LIBC_ONLY = bit(32) | bit(33);

export interface ThreadState {
  readonly id: number;
  readonly name: string;
  /** By the program, not by libc for a moment. */
  readonly trapBlocked: boolean;
  readonly shadowStack: boolean;
  /** Waits for something other than a CPU or a page. */
  readonly asleep: boolean;
  /** Time on a CPU, as the kernel prints it; the same for ever where it is built without. */
  readonly ranNs: string;
}

export function readThreads(): ThreadState[] {
  const threads: ThreadState[] = [];
  for (const id of readdirSync('/proc/self/task')) {
    const status = readOrNone(`/proc/self/task/${id}/status`);
    if (status === '') continue; // it ended meanwhile
    const field = (name: string): string =>
      new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
    const blocked = BigInt(`0x${field('SigBlk') || '0'}`);
    const trapBlocked = (blocked & bit(SIGTRAP)) !== 0n && (blocked & LIBC_ONLY) !== LIBC_ONLY;
    threads.push({
      id: Number(id),
      name: field('Name'),
      trapBlocked,
      shadowStack: /\bshstk\b/.test(field('x86_Thread_features')),
      asleep: !/^[RD]/.test(field('State')),
      ranNs: trapBlocked ? readOrNone(`/proc/self/task/${id}/schedstat`).split(' ')[0]! : '',
    });
  }
  return threads;
}

function readOrNone(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/**
 * Node has one thread with every signal blocked, which waits for SIGUSR1 to start the inspector and
 * never runs user code. Later versions name it; before, it is known by what it waits for: a
 * semaphore in Node's own data.
 */
function waitsForInspector(thread: ThreadState, own: readonly Range[]): boolean {
  if (thread.name === 'SignalInspector') return true;
  const [call, word] = readOrNone(`/proc/self/task/${thread.id}/syscall`).split(' ');
  if (call !== String(SYS.futex) || word === undefined) return false;
  const at = Number(word);
  return own.some(({ start, end }) => at >= start && at < end);
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * Where the executable of Node lies, its .bss too: that is the anonymous mapping right behind its
 * own.
 */
function ownData(): Range[] {
  const maps = readMaps();
  return maps.filter((map, i) => (map.path === '' ? maps[i - 1] : map)?.path === process.execPath);
}

// Installs the trap handler and keeps an eye on it. What an int3 batch needs of the process's
// signal state is checked before the batch and not after, because a thread that meets the trap with
// SIGTRAP blocked, or with a handler of other code installed, dies of it.

import { constants } from 'node:os';
import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { SA, SIGTRAP } from '../../base/linux.js';
import { isInspector, Objects } from './node.js';
import type { Runtime } from './runtime.js';
import {
  bit,
  isKernelWorker,
  lookAtThreads,
  ThreadWatch,
  type Look,
  type ThreadState,
} from './threads.js';

/**
 * SA_NODEFER: an asynchronous signal's handler may pass an armed site on top of ours. SA_ONSTACK: a
 * thread with an alternate stack (a coroutine runtime, say) has it because its ordinary stack has
 * no room for a frame.
 */
export const HANDLER_FLAGS: number = SA.siginfo | SA.onStack | SA.restart | SA.noDefer;

/**
 * Puts our handler in front of the present one; once in a process. A handler that other code
 * installs over ours later is reported and left alone: it may chain to ours, and reinstalling ours
 * would make the two call each other forever.
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
export const KERNEL_SIGACTION = { size: 32, mask: 8, handler: 0, blocked: 24 } as const;

/**
 * How old a look at the threads may be, ms: reading /proc costs more than a whole batch of one
 * site.
 */
const LOOK_AGAIN_MS = 100;
/** Looks at a thread that seems to block SIGTRAP: some 20 ms in all. */
const LOOKS = 7;
/** On two busy CPUs a new thread of Node's was seen to wait 600 ms for its first turn. */
const PATIENCE_MS = 2000;

export class TrapWatch {
  readonly #runtime: Runtime;
  readonly #flags: number;
  readonly #patienceMs: number;
  readonly #objects: Objects;
  readonly #threads: ThreadWatch;
  readonly #action: BigUint64Array = new BigUint64Array(KERNEL_SIGACTION.size / 8);
  readonly #actionAt: Addr;
  #claimed = false;
  #lookedAt: number = -Infinity;
  #toldOfTracer = false;

  /**
   * @param flags of the handler, and how long a thread without a CPU is waited for: other values
   *   are for tests that show why these are needed
   */
  constructor(runtime: Runtime, flags: number = HANDLER_FLAGS, patienceMs: number = PATIENCE_MS) {
    this.#runtime = runtime;
    this.#flags = flags;
    this.#patienceMs = patienceMs;
    this.#objects = new Objects(runtime.native);
    this.#threads = new ThreadWatch(runtime.native, runtime.thread);
    this.#actionAt = runtime.native.addressOf(this.#action);
  }

  /**
   * Before every batch that plants traps. The looks at the threads and at their handlers are racy
   * by nature: a thread may block SIGTRAP right afterwards. That the handler is still ours is asked
   * in the batch's own run (process.ts).
   * @throws Fault `handler-replaced`, `trap-blocked`, `shadow-stack`, `no-proc`
   */
  check(): void {
    if (!this.#claimed) claimTrap(this.#runtime, this.#flags);
    this.#claimed = true;
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_AGAIN_MS) return;
    const look = this.#threads.look();
    this.#tellOfTracer(look.tracer);
    this.#checkHandlers(look.caught);
    this.#checkThreads(look, now);
    this.#lookedAt = now;
  }

  /**
   * A thread that starts a program blocks every signal for a moment; one that is still so after
   * some milliseconds means it.
   */
  #checkThreads(first: Look, began: number): void {
    let blocked = this.#suspects(first);
    for (let looks = 1; blocked.length > 0 && looks < LOOKS;) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, looks);
      const still = new Map(this.#suspects(lookAtThreads()).map((t) => [t.id, t]));
      let waits = false;
      blocked = blocked.flatMap((before) => {
        const now = still.get(before.id);
        if (!now) return [];
        // Also one whose whole mask is blocked. As a rule libc is at work on it and puts the mask
        // back, but a raw system call leaves the same mask, and only its next turn tells them
        // apart.
        if (starved(before, now)) waits = true;
        return now;
      });
      // A thread that waits for a CPU cannot put its mask back: such a look counts for nothing.
      if (!waits || performance.now() - began > this.#patienceMs) looks++;
    }
    const [thread] = blocked;
    if (thread)
      throw new Fault(
        'trap-blocked',
        `thread ${thread.id} (${thread.name}) has SIGTRAP blocked and would be killed by a trap`,
      );
  }

  /** Threads that would be killed by a trap. @throws Fault `shadow-stack` */
  #suspects({ notable }: Look): ThreadState[] {
    const shadowed = notable.find((t) => t.shadowStack);
    if (shadowed)
      throw new Fault(
        'shadow-stack',
        `thread ${shadowed.id} (${shadowed.name}) has a shadow stack, ` +
          'which an emulated call would not match',
      );
    return notable.filter((t) => !this.#isInspector(t) && !(t.allBlocked && isKernelWorker(t.id)));
  }

  /**
   * Remembered for the whole process: a process that has changed its credentials or its root cannot
   * ask again.
   */
  #isInspector(thread: ThreadState): boolean {
    const known = Number(this.#runtime.word('inspector'));
    if (known !== 0) return thread.id === known;
    if (thread.allBlocked || !isInspector(thread)) return false;
    this.#runtime.setWord('inspector', BigInt(thread.id));
    return true;
  }

  /**
   * A handler runs with its sa_mask blocked, and the kernel kills a thread that meets a trap then.
   * Node's own handlers block everything, and call nothing of the program. Any other may pass a
   * site.
   * @throws Fault `trap-blocked`
   */
  #checkHandlers(caught: bigint): void {
    const { native } = this.#runtime;
    for (let signal = 1; signal <= 64; signal++) {
      if (signal === SIGTRAP || (caught & bit(signal)) === 0n) continue;
      const asked = native.call('rt_sigaction', signal, 0, this.#actionAt, KERNEL_SIGACTION.mask);
      const mask = this.#action[KERNEL_SIGACTION.blocked / 8] ?? 0n;
      if (asked !== 0 || (mask & bit(SIGTRAP)) === 0n) continue;
      const handler = Number(this.#action[KERNEL_SIGACTION.handler / 8]);
      if (handler <= 1 || this.#objects.isOfNode(handler)) continue;
      throw new Fault(
        'trap-blocked',
        `the handler of ${nameOf(signal)} runs with SIGTRAP blocked ` +
          'and would be killed by a trap on a site that it passes',
        {
          at: hex(handler),
          hint:
            'leave SIGTRAP out of its sa_mask (sigdelset after sigfillset), ' +
            'or use protocol store',
        },
      );
    }
  }

  /**
   * A tracer that stays and hands SIGTRAP on does no harm, and refusing would forbid every session
   * of gdb. One that leaves a thread just when it has trapped drops the trap, and the thread goes
   * on in the middle of an instruction: that cannot be prevented from here, so it is said.
   */
  #tellOfTracer(tracer: number): void {
    if (tracer === 0 || this.#toldOfTracer) return;
    this.#toldOfTracer = true;
    process.emitWarning(`process ${tracer} traces this one while traps are planted`, {
      code: 'STATIC_CALL_TRACED',
      detail:
        'a tracer that detaches by a signal (Ctrl-C of strace -p) may end the process; ' +
        'use protocol store while it is attached (docs/hazards.md)',
    });
  }
}

export const nameOf = (signal: number): string =>
  Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ??
  `real-time signal ${signal}`;

/** Whether a thread wanted to run since the look before and was not let. */
const starved = (before: ThreadState, now: ThreadState): boolean =>
  !now.asleep && now.ranNs === before.ranNs;

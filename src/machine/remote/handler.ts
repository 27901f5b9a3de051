// The trap handler of another process: installed by one of its threads, with a restorer of ours,
// because a static program may have none.

import { hex } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { MEMBARRIER, SIGTRAP } from '../../base/linux.js';
import { DATA } from '../../trap/registry.js';
import { Script } from '../process/script.js';
import { HANDLER_FLAGS, KERNEL_SIGACTION, nameOf, replaced } from '../process/signals.js';
import { bit } from '../process/threads.js';
import { blocksTrap } from './masks.js';
import { pause } from './pause.js';
import { Moved, Run } from './run.js';
import type { RemoteRuntime } from './runtime.js';

/** Does something again where others came in between. */
export type Trying = <T>(once: () => T) => T;

/** SA_RESTORER: the kernel's own flag, which libc sets for every handler. */
const SA_RESTORER = 0x0400_0000;

/**
 * What updates need, once for a process: membarrier, and the handler.
 * @param caught the signals that have a handler
 * @throws Fault `no-membarrier`, `call-refused`, `handler-replaced`, `trap-blocked`
 */
export function prepareHandler(runtime: RemoteRuntime, trying: Trying, caught: bigint): void {
  registerBarrier(runtime, trying);
  checkHandlers(runtime, trying, caught);
  trying(() => install(runtime));
}

/** How long the thread that registers may take, ms: it waits for the kernel, and then for a CPU. */
const REGISTERED_MS = 2000;

/**
 * The kernel registers a process of several threads for membarrier behind a grace period of RCU,
 * which is longer than the rest of a first attach. A borrowed thread would be held for as long, so
 * one that is made for it waits there, and ends. Where the process has a seccomp filter, which may
 * kill for a new thread, or cannot have one, the borrowed thread waits.
 * @throws Fault `no-membarrier`
 */
function registerBarrier(runtime: RemoteRuntime, trying: Trying): void {
  if (hasBarrier(runtime, trying)) return;
  const { target } = runtime;
  if (target.threadIds().length > 1 && target.field('Seccomp') === '0') {
    registerAside(runtime, trying);
    if (hasBarrier(runtime, trying)) return;
  }
  trying(() => {
    const script = new Script(new Run(runtime), runtime.routines);
    script.system('membarrier', 0, MEMBARRIER.registerSyncCore);
    const stop = script.perform();
    if (stop && 'call' in stop.what)
      throw new Fault('no-membarrier', 'membarrier is refused to the process');
  });
}

/** Whether it is registered already: the kernel refuses to synchronise where it is not. */
function hasBarrier(runtime: RemoteRuntime, trying: Trying): boolean {
  return trying(() => {
    const script = new Script(new Run(runtime), runtime.routines);
    script.system('membarrier', 0, MEMBARRIER.syncCore);
    return script.perform() === null;
  });
}

/** Returns when the thread has ended: it would be told as one that blocks SIGTRAP. */
function registerAside(runtime: RemoteRuntime, trying: Trying): void {
  const { target } = runtime;
  const before = new Set(target.threadIds());
  trying(() => {
    const script = new Script(new Run(runtime), runtime.routines);
    script.aside(runtime.aside, 'membarrier', MEMBARRIER.registerSyncCore);
    script.perform();
  });
  const isThere = (id: number): boolean => !before.has(id) && blocksTrap(target, id);
  const began = performance.now();
  while (target.threadIds().some(isThere) && performance.now() - began < REGISTERED_MS) pause(1);
}

/**
 * A handler runs with its sa_mask blocked, and a trap that is met then ends the process. Where Node
 * is in the process it has looked at its own.
 * @throws Fault `trap-blocked`
 */
function checkHandlers(runtime: RemoteRuntime, trying: Trying, caught: bigint): void {
  const signals = Array.from({ length: 64 }, (_, i) => i + 1).filter(
    (signal) => signal !== SIGTRAP && (caught & bit(signal)) !== 0n,
  );
  if (signals.length === 0 || runtime.word('ready') === 1n) return;
  const actions = signals.map(() => new BigUint64Array(KERNEL_SIGACTION.size / 8));
  trying(() => {
    const run = new Run(runtime);
    const script = new Script(run, runtime.routines);
    for (const [i, action] of actions.entries())
      script.system('rt_sigaction', 0, signals[i], 0, run.addressOf(action), KERNEL_SIGACTION.mask);
    script.perform();
    for (const action of actions) run.fetch(action);
  });
  for (const [i, action] of actions.entries()) {
    const handler = Number(action[KERNEL_SIGACTION.handler / 8]);
    const blocked = action[KERNEL_SIGACTION.blocked / 8] ?? 0n;
    if (handler <= 1 || (blocked & bit(SIGTRAP)) === 0n) continue;
    throw new Fault(
      'trap-blocked',
      `the handler of ${nameOf(signals[i] ?? 0)} runs with SIGTRAP blocked ` +
        'and would be killed by a trap on a site that it passes',
      { at: hex(handler), hint: 'leave SIGTRAP out of its sa_mask (sigdelset after sigfillset)' },
    );
  }
}

function install(runtime: RemoteRuntime): void {
  const { handler, data, routines, restorer } = runtime;
  const now = handlerOf(runtime, SIGTRAP);
  const seen = Number(now[KERNEL_SIGACTION.handler / 8]);
  if (seen === handler) return;
  if (runtime.word('installed') !== 0n) throw replaced(seen);
  const ours = BigUint64Array.of(
    BigInt(handler),
    BigInt(HANDLER_FLAGS | SA_RESTORER),
    BigInt(restorer),
    0n,
  );
  const again = new BigUint64Array(KERNEL_SIGACTION.size / 8);
  const run = new Run(runtime);
  const script = new Script(run, routines);
  script.system('rt_sigaction', 0, SIGTRAP, 0, run.addressOf(again), KERNEL_SIGACTION.mask);
  script.expect(run.addressOf(again) + KERNEL_SIGACTION.handler, seen);
  script.word(data + DATA.previous, seen);
  script.system('rt_sigaction', 0, SIGTRAP, run.addressOf(ours), 0, KERNEL_SIGACTION.mask);
  script.word(data + DATA.installed, 1);
  run.counts();
  if (script.perform() !== null) throw new Moved();
}

/** What the kernel says of a signal, in the target. */
function handlerOf(runtime: RemoteRuntime, signal: number): BigUint64Array {
  const action = new BigUint64Array(KERNEL_SIGACTION.size / 8);
  const run = new Run(runtime);
  const script = new Script(run, runtime.routines);
  script.system('rt_sigaction', 0, signal, 0, run.addressOf(action), KERNEL_SIGACTION.mask);
  const stop = script.perform();
  if (stop) throw new Fault('call-refused', 'rt_sigaction is refused to the process');
  run.fetch(action);
  return action;
}

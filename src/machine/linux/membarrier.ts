// Synchronisation of a process: membarrier(SYNC_CORE), Linux 4.16 (70216e18e519 ("membarrier:
// Provide core serializing command, *_SYNC_CORE")). On return every thread of the process that was
// running has executed a serialising instruction, every other one will before it runs user code
// again. It does not wait for a thread that has trapped and not yet run its handler.

import { Fault } from '../../base/fault.js';
import { ERRNO, MEMBARRIER } from '../../base/linux.js';
import { errorName, type Kernel } from './native.js';

export const SYNC_CORE: number = MEMBARRIER.syncCore;
export const EPERM: number = -ERRNO.perm;

/**
 * Once in a process, again in a forked child; registering twice is harmless. @throws Fault
 * `no-membarrier`
 */
export function registerBarrier(native: Pick<Kernel, 'call'>): void {
  const commands = native.call('membarrier', 0);
  if (commands < 0)
    throw new Fault('no-membarrier', `membarrier is refused: ${errorName(commands)}`);
  if ((commands & SYNC_CORE) === 0)
    throw new Fault('no-membarrier', `membarrier offers no SYNC_CORE here (commands ${commands})`);
  const registered = native.call('membarrier', MEMBARRIER.registerSyncCore);
  if (registered < 0)
    throw new Fault(
      'no-membarrier',
      `registering for SYNC_CORE is refused: ${errorName(registered)}`,
    );
}

/** @throws Fault `no-membarrier`, for a seccomp filter may be installed later. */
export function syncCores(native: Pick<Kernel, 'call'>): void {
  let result = native.call('membarrier', SYNC_CORE);
  // A child of fork has lost the registration of its parent.
  if (result === EPERM) {
    registerBarrier(native);
    result = native.call('membarrier', SYNC_CORE);
  }
  if (result < 0) throw new Fault('no-membarrier', `membarrier failed: ${errorName(result)}`);
}

// Whether a thread of a target would be killed by a trap: the same questions as of the threads of
// this process (machine/process/signals.ts), asked from outside.

import { PAGE } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { SIGTRAP } from '../../base/linux.js';
import { DATA } from '../../trap/registry.js';
import { bit } from '../process/threads.js';
import { pause } from './pause.js';
import { findRuntime } from './runtime.js';
import type { Target } from './target.js';

/** A thread that is being made or forked blocks everything for a moment. */
const LOOKS = 20;

/**
 * @param inspector the thread of Node's that waits to start the inspector, by its number in the
 *   target's own namespace, and 0 where there is none: it runs nothing of a program's
 * @throws Fault `trap-blocked`, `shadow-stack`, `target-gone`
 */
export function checkMasks(target: Target, inspector: number): void {
  let blocked = suspects(target, target.threadIds()).filter((id) => {
    const numbers = target.field('NSpid', id).split('\t');
    return inspector === 0 || Number(numbers.at(-1) ?? id) !== inspector;
  });
  for (let look = 1; blocked.length > 0 && look < LOOKS; look++) {
    pause(look);
    blocked = suspects(target, blocked);
  }
  const [thread] = blocked;
  if (thread !== undefined)
    throw new Fault(
      'trap-blocked',
      `thread ${thread} (${target.field('Name', thread)}) of process ${target.pid} has SIGTRAP ` +
        'blocked and would be killed by a trap',
      { hint: 'unblock SIGTRAP in that thread' },
    );
}

function suspects(target: Target, ids: readonly number[]): number[] {
  return ids.filter((id) => {
    if (/\bshstk\b/.test(target.field('x86_Thread_features', id)))
      throw new Fault(
        'shadow-stack',
        `thread ${id} of process ${target.pid} has a shadow stack, ` +
          'which an emulated call would not match',
        { hint: 'start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off' },
      );
    return blocksTrap(target, id);
  });
}

/** Not one that has ended. */
export function blocksTrap(target: Target, id: number): boolean {
  const mask = target.field('SigBlk', id);
  return mask !== '' && (BigInt(`0x${mask}`) & bit(SIGTRAP)) !== 0n;
}

/** That thread, where a runtime in the process has recognised it. */
export function inspectorOf(target: Target): number {
  const code = findRuntime(target, target.maps());
  return code === null ? 0 : Number(target.word(code + PAGE + DATA.inspector) ?? 0n);
}

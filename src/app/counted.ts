// Two users of one key who would switch each other off: the first to come sets the target, the last
// to go takes it back.

import { Fault } from '../base/fault.js';
import type { App, Keys, Unchecked, Update } from './types.js';

/** A target of a key that several users want at the same time. Made by `counted`. */
export interface Counted {
  /** How many have it set now. */
  readonly users: number;
  /**
   * Sets the target at the first such call. Disposing what it returns takes it back if no other user
   * has it; twice is once.
   */
  acquire(): Disposable;
}

/**
 * Counts the users of one target of a key.
 * @throws Fault `busy` from `acquire` and from disposing, where other code retargeted the key
 *   meanwhile: to take it back
 *   would switch him off
 * @example
 * const tracing = counted(app, 'trace', 'trace_ring');
 * const mine = tracing.acquire();
 * mine[Symbol.dispose]();
 */
export function counted<K extends Keys, N extends keyof K & string>(
  app: App<K>,
  key: N,
  target: K[N] | Unchecked,
): Counted {
  let users = 0;
  let update: Update | null = null;
  const check = (): void => {
    const [change] = update?.changes ?? [];
    if (change && app.keys[key].target !== change.to) {
      throw new Fault(
        'busy',
        `${key} was retargeted to ${String(app.keys[key].target)} ` +
          `while ${users} users have it at ${String(change.to)}`,
        { hint: 'retarget it through one counter only' },
      );
    }
  };
  return {
    get users() {
      return users;
    },
    acquire() {
      if (users === 0) update = app.update({ [key]: target } as Parameters<App<K>['update']>[0]);
      else check();
      users++;
      let held = true;
      return {
        [Symbol.dispose]() {
          if (!held) return;
          held = false;
          users--;
          if (users > 0) return;
          check();
          update?.undo();
          update = null;
        },
      };
    },
  };
}

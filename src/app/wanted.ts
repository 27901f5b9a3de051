// What a caller writes where a target has no declared name.

import type { FunctionTarget, Unchecked } from './types.js';

/**
 * A target that the program did not declare, by symbol (in the object, what it depends on, or the
 * main program; `f@V1` is one of several versions) or by address. Its type is on the caller: a
 * wrong one breaks the program as a wrong cast in C does. Whether there is such a function is asked
 * by `update`, which throws Fault `unknown-target` where there is none.
 * @example app.update({ trace: unchecked('my_ring') })
 */
export function unchecked(symbolOrAddress: string | bigint): Unchecked {
  return { unchecked: symbolOrAddress };
}

export function isUnchecked(wanted: unknown): wanted is Unchecked {
  if (typeof wanted !== 'object' || wanted === null || !('unchecked' in wanted)) return false;
  return typeof wanted.unchecked === 'string' || typeof wanted.unchecked === 'bigint';
}

/**
 * A JavaScript function as a target, with the C type of the key: `update` makes machine code of it,
 * which stays until the update is undone or the program closed. The type is on the caller, as with
 * `unchecked`; koffi reads it and converts the arguments (https://github.com/Koromix/koffi).
 *
 * What the function throws arrives where JavaScript called into C. A call from another thread waits
 * until the event loop of the main thread comes by, so a thread that JavaScript waits for must not
 * make one; what the function throws then has no caller, is an uncaught exception, and leaves C
 * an undefined result. Worker threads cannot make such a target, because one that is terminated
 * would leave the calls nothing to run.
 * @param type as C writes a function's type: `int (int, const char *)`
 * @throws Fault from `update`: `bad-option` for a type that is not understood, `not-supported` in a
 *   worker thread, `unknown-target` in another process
 * @example
 * const calls: number[] = [];
 * const spy = (a: number, b: number): number => calls.push(a, b);
 * using update = app.update({ blend: target(spy, 'int (int, int)') });
 */
export function target<F extends (...args: never[]) => unknown>(
  body: F,
  type: string,
): FunctionTarget<F> {
  return { function: body, type };
}

export function isFunctionTarget(wanted: unknown): wanted is FunctionTarget {
  if (typeof wanted !== 'object' || wanted === null) return false;
  if (!('function' in wanted && 'type' in wanted)) return false;
  return typeof wanted.function === 'function' && typeof wanted.type === 'string';
}

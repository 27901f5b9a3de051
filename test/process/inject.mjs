// Effects of a runtime in a test's hands: `Native` is the only door to the operating system, so a
// wrapper of it sees every effect, counted from 0, and can let it through, refuse it, or keep it
// waiting while the test looks at the process.

import { Fault } from '#base/fault';
import { intercepted } from '#machine/linux/native';

/**
 * Asking who one is or what is installed, and giving back what one has, a kernel does not refuse.
 * Without the clocks and the links of the threads, the status of each is read.
 */
const NEVER_REFUSED = new Set([
  'gettid',
  'rt_sigaction',
  'pread',
  'close',
  'munmap',
  'clock_gettime',
  'newfstatat',
]);

/** @param told called before each call into machine code, with the code and what it is handed */
export const observed = (native, told) => ({
  ...native,
  procedure(at) {
    const call = native.procedure(at);
    return (handed) => {
      told(at, handed);
      return call(handed);
    };
  },
});

/**
 * @param decide called before each effect with {n, name, args}; what it returns, unless undefined, becomes the
 *   result of a system call in place of the call (a negated error number), and makes any other effect throw the fault
 *   that its refusal is told by
 */
export function intercept(native, decide) {
  let n = 0;
  const call = (name, ...args) =>
    (NEVER_REFUSED.has(name) ? undefined : decide({ n: n++, name, args })) ??
    native.call(name, ...args);
  const effect =
    (name, code) =>
    (...args) => {
      const decided = decide({ n: n++, name, args });
      if (decided !== undefined) throw new Fault(code, `${name} was refused by a test`);
      return native[name](...args);
    };
  return {
    ...intercepted(native, call),
    load: effect('load', 'not-loaded'),
    atFork: effect('atFork', 'no-memory'),
    createThreadKey: effect('createThreadKey', 'no-memory'),
    setThreadValue: effect('setThreadValue', 'no-memory'),
    sigaction: (signal, action) =>
      (action === null ? native.sigaction : effect('sigaction', 'not-supported'))(signal, action),
  };
}

/**
 * Calls `look` once, before the k-th synchronisation after `arm()`: all stores of the steps before
 * it are visible.
 */
export function holdAtSync(native, k, look) {
  let left = -1;
  const held = intercept(native, ({ name }) => {
    if (name === 'membarrier' && left >= 0 && left-- === 0) look();
  });
  return { native: held, arm: () => (left = k) };
}

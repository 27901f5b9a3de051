// Effects of a runtime in a test's hands: `Native` is the only door to the operating system, so a wrapper of it sees every
// effect, counted from 0, and can let it through, refuse it, or keep it waiting while the test looks at the process.

/** Effects that change the process; reading is not counted. */
const READS = new Set(['gettid', 'view', 'addressOf', 'linkMap', 'symbol']);

/**
 * @param decide called before each effect with {n, name, args}; what it returns, unless undefined, becomes the
 *   result in place of the effect (a system call's negated error number); what it throws is thrown
 */
export function intercept(native, decide) {
  let n = 0;
  const effect = (name, args, perform) => {
    if (READS.has(name)) return perform();
    const decided = decide({ n: n++, name, args });
    return decided === undefined ? perform() : decided;
  };
  return {
    ...native,
    call: (name, ...args) => effect(name, args, () => native.call(name, ...args)),
    load: (path) => effect('load', [path], () => native.load(path)),
    sigaction: (signal, action) => (action === null ? native.sigaction(signal, action) : effect('sigaction', [signal, action], () => native.sigaction(signal, action))),
  };
}

/** Calls `look` once, before the k-th synchronisation after `arm()`: all stores of the steps before it are visible. */
export function holdAtSync(native, k, look) {
  let left = -1;
  const held = intercept(native, ({ name }) => {
    if (name === 'membarrier' && left >= 0 && left-- === 0) look();
  });
  return { native: held, arm: () => (left = k) };
}

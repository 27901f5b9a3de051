// One campaign: `count` cases of a target, watched from outside. A case that does not end, or that
// makes the process grow beyond a gibibyte, is a finding like an exception; so is a crash of the
// thread.

import { Worker } from 'node:worker_threads';

const MIB = 1 << 20;

/**
 * `targets` is the module that lists the target; the other bounds are lowered by the test of this
 * file alone.
 * @param {{ target: string, seed?: number, first?: number, count: number, targets?: URL, slowMs?: number, stuckMs?: number, growthMib?: number }} options
 * @returns {Promise<{ target: string, cases: number, ok: number, refused: Record<string, number>, findings: { case: number, what: string }[] }>}
 */
export function campaign({
  target,
  seed = 1,
  first = 0,
  count,
  targets = new URL('./targets.mjs', import.meta.url),
  slowMs = 1000,
  stuckMs = 20_000,
  growthMib = 1024,
}) {
  const at = new SharedArrayBuffer(4);
  const current = new Int32Array(at);
  current[0] = first;
  const worker = new Worker(new URL('./worker.mjs', import.meta.url), {
    workerData: { targets: targets.href, target, seed, first, last: first + count, at, slowMs },
    resourceLimits: { maxOldGenerationSizeMb: 1024 },
  });
  const base = process.memoryUsage.rss();
  return new Promise((resolve) => {
    const report = { target, cases: count, ok: 0, refused: {}, findings: [] };
    let seen = -1;
    let since = performance.now();
    const end = (what) => {
      clearInterval(watch);
      if (what) report.findings.push({ case: Atomics.load(current, 0), what });
      void worker.terminate().then(() => resolve(report));
    };
    const watch = setInterval(() => {
      const now = Atomics.load(current, 0);
      if (now !== seen) [seen, since] = [now, performance.now()];
      else if (performance.now() - since > stuckMs) end(`does not end within ${stuckMs / 1000} s`);
      if (process.memoryUsage.rss() - base > growthMib * MIB)
        end(`the process grew by more than ${growthMib} MiB`);
    }, 50);
    worker.on('message', (tally) => {
      Object.assign(report, tally);
      end();
    });
    worker.on('error', (error) => end(`the thread died: ${error.stack ?? error}`));
  });
}

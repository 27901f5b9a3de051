// Searches side by side, one worker thread for each CPU of this machine: configurations are
// independent of each other, and some take a thousand times as long as others, so each thread takes
// the next one when it is free. An abort is a word of shared memory that a search looks at, so that
// it ends with what it knows; a thread that does not is ended.

import { availableParallelism } from 'node:os';
import type { RunReport } from '../result.js';
import { grouped } from './alike.js';
import type { Job } from './asked.js';
import { HEAP_MB, Thread } from './thread.js';

/**
 * A thread that has not answered an abort by then is ended. Most answer at once; on a busy machine
 * it takes longer.
 */
const GRACE_MS = 15_000;

/** On this machine. */
export async function runAll(
  jobs: readonly Job[],
  signal: AbortSignal | undefined,
  each: (report: RunReport, index: number) => void,
  heapMb: number = HEAP_MB,
): Promise<(RunReport | null)[]> {
  const reports = jobs.map((): RunReport | null => null);
  // Jobs that may be one search are for one thread.
  const groups = grouped(jobs);
  const queue = groups.values();
  const aborted = new Int32Array(new SharedArrayBuffer(4));
  const size = Math.min(groups.length, availableParallelism());
  // A search that is alone has every CPU; beside others it has one.
  const hands = { aborted, threads: Math.floor(availableParallelism() / size) };
  const threads = Array.from({ length: size }, () => new Thread(hands, heapMb));
  const serve = async (thread: Thread): Promise<void> => {
    for (const group of queue)
      for (const [index, job] of group) {
        if (signal?.aborted === true) return;
        const report = await thread.judge(job);
        if (report === null) return;
        reports[index] = report;
        each(report, index);
      }
  };
  const stop = (): void => threads.forEach((thread) => thread.end());
  let grace: NodeJS.Timeout | undefined;
  const ask = (): void => {
    Atomics.store(aborted, 0, 1);
    grace = setTimeout(stop, GRACE_MS);
  };
  signal?.addEventListener('abort', ask, { once: true });
  try {
    await Promise.all(threads.map(serve));
  } finally {
    stop();
    clearTimeout(grace);
    signal?.removeEventListener('abort', ask);
  }
  return reports;
}

// Searches side by side, one worker thread for each CPU of this machine: configurations are
// independent of each other, and some take a thousand times as long as others, so each worker takes
// the next one when it is free. An abort is a word of shared memory that a search looks at, so that
// it ends with what it knows; a thread that does not is ended.

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { Fault, type FaultCode } from '../../base/fault.js';
import { unknownReport, type RunReport } from '../explain/report.js';
import type { Answer, Hands, Job } from './job.js';

/**
 * A thread that has not said by then what it knows is ended. Most say it at once; a busy machine
 * takes longer.
 */
const GRACE_MS = 15_000;
/** The heap of the main thread is no guide for a thread that interns millions of parts. */
const HEAP_MB = 3072;

/** Calls `each` as reports come in; what was not begun before an abort is null in the list. */
export async function runAll(
  jobs: readonly Job[],
  signal: AbortSignal | undefined,
  each: (report: RunReport, index: number) => void,
  heapMb: number = HEAP_MB,
): Promise<(RunReport | null)[]> {
  const reports: (RunReport | null)[] = jobs.map(() => null);
  let next = 0;
  const workers = new Set<Worker>();
  const resourceLimits = { maxOldGenerationSizeMb: heapMb };
  const aborted = new Int32Array(new SharedArrayBuffer(4));

  const serve = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./worker.js', import.meta.url), {
        resourceLimits,
        workerData: { aborted } satisfies Hands,
      });
      workers.add(worker);
      let current = -1;
      const give = () => {
        if (next >= jobs.length || signal?.aborted === true) {
          void worker.terminate();
          return;
        }
        current = next++;
        worker.postMessage({ job: current, work: jobs[current] });
      };
      worker.on('message', (answer: Answer) => {
        if ('report' in answer) {
          reports[answer.job] = answer.report;
          each(answer.report, answer.job);
          give();
        } else if ('fault' in answer)
          reject(
            new Fault(answer.fault.code as FaultCode, answer.fault.message, {
              hint: answer.fault.hint,
              ...(answer.fault.at === undefined ? {} : { at: answer.fault.at }),
            }),
          );
        else reject(new Error(answer.error));
      });
      worker.on('error', (error: Error & { code?: string }) => {
        // Out of memory is a bound like the others: that run is unknown, the rest goes on with a
        // fresh thread.
        workers.delete(worker);
        if (error.code !== 'ERR_WORKER_OUT_OF_MEMORY') {
          reject(error);
          return;
        }
        const job = jobs[current] as Job;
        each((reports[current] = unknownReport(job, 'out of memory')), current);
        resolve(serve());
      });
      worker.on('exit', () => {
        workers.delete(worker);
        resolve();
      });
      give();
    });

  const stop = () => {
    for (const worker of workers) void worker.terminate();
  };
  let grace: NodeJS.Timeout | undefined;
  const ask = () => {
    Atomics.store(aborted, 0, 1);
    grace = setTimeout(stop, GRACE_MS);
  };
  signal?.addEventListener('abort', ask, { once: true });
  try {
    await Promise.all(Array.from({ length: Math.min(jobs.length, availableParallelism()) }, serve));
  } finally {
    stop();
    clearTimeout(grace);
    signal?.removeEventListener('abort', ask);
  }
  return reports;
}

// Searches side by side, one worker thread for each CPU of this machine: configurations are
// independent of each other, and some take a thousand times as long as others, so each worker takes
// the next one when it is free. An abort is a word of shared memory that a search looks at, so that
// it ends with what it knows; a thread that does not is ended.

import { availableParallelism } from 'node:os';
import { Worker, type ResourceLimits } from 'node:worker_threads';
import { Fault } from '../../base/fault.js';
import { unknownReport, type RunReport } from '../explain/report.js';
import { grouped, type Numbered } from './alike.js';
import type { Answer, Hands, Job } from './job.js';

/**
 * A thread that has not answered an abort by then is ended. Most answer at once; on a busy machine
 * it takes longer.
 */
const GRACE_MS = 15_000;
/** The heap of the main thread is no guide for a thread that interns millions of parts. */
const HEAP_MB = 3072;
/**
 * What a search makes and drops between two collections of young objects. With V8's own 48 MB the
 * default table took 8 % more CPU time.
 */
const YOUNG_MB = 128;

/** Calls `each` as reports come in; what was not begun before an abort is null in the list. */
export async function runAll(
  jobs: readonly Job[],
  signal: AbortSignal | undefined,
  each: (report: RunReport, index: number) => void,
  heapMb: number = HEAP_MB,
): Promise<(RunReport | null)[]> {
  const pool = new Pool(jobs, signal, each, heapMb);
  return pool.run();
}

class Pool {
  /** Jobs that may be one search, for one thread. */
  readonly #queue: IterableIterator<readonly Numbered[]>;
  readonly #reports: (RunReport | null)[];
  readonly #signal: AbortSignal | undefined;
  readonly #each: (report: RunReport, index: number) => void;
  readonly #resourceLimits: ResourceLimits;
  readonly #aborted = new Int32Array(new SharedArrayBuffer(4));
  readonly #workers = new Set<Worker>();
  readonly #size: number;

  constructor(
    jobs: readonly Job[],
    signal: AbortSignal | undefined,
    each: (report: RunReport, index: number) => void,
    heapMb: number,
  ) {
    const groups = grouped(jobs);
    this.#queue = groups.values();
    this.#reports = jobs.map(() => null);
    this.#signal = signal;
    this.#each = each;
    this.#resourceLimits = {
      maxOldGenerationSizeMb: heapMb,
      maxYoungGenerationSizeMb: YOUNG_MB,
    };
    this.#size = Math.min(groups.length, availableParallelism());
  }

  async run(): Promise<(RunReport | null)[]> {
    let grace: NodeJS.Timeout | undefined;
    const ask = () => {
      Atomics.store(this.#aborted, 0, 1);
      grace = setTimeout(() => this.#stop(), GRACE_MS);
    };
    this.#signal?.addEventListener('abort', ask, { once: true });
    try {
      await Promise.all(Array.from({ length: this.#size }, () => this.#serve()));
    } finally {
      this.#stop();
      clearTimeout(grace);
      this.#signal?.removeEventListener('abort', ask);
    }
    return this.#reports;
  }

  #stop(): void {
    for (const worker of this.#workers) void worker.terminate();
  }

  /** One thread, until the queue is empty. `own` are jobs that it has taken already. */
  #serve(own: readonly Numbered[] = []): Promise<void> {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      resourceLimits: this.#resourceLimits,
      workerData: { aborted: this.#aborted } satisfies Hands,
    });
    this.#workers.add(worker);
    let current: Numbered | null = null;
    let rest = own;
    const give = () => {
      if (rest.length === 0) rest = this.#queue.next().value ?? [];
      const [next, ...later] = this.#signal?.aborted === true ? [] : rest;
      if (next === undefined) {
        void worker.terminate();
        return;
      }
      current = next;
      rest = later;
      worker.postMessage({ job: next[0], work: next[1] });
    };
    return new Promise((resolve, reject) => {
      worker.on('message', (answer: Answer) => {
        if ('report' in answer) {
          this.#keep(answer.report, answer.job);
          give();
        } else reject(thrown(answer));
      });
      worker.on('error', (error: Error & { code?: string }) => {
        this.#workers.delete(worker);
        if (error.code !== 'ERR_WORKER_OUT_OF_MEMORY' || current === null) {
          reject(error);
          return;
        }
        // Out of memory is a bound like the others: that run is unknown, and the rest goes on with
        // a fresh thread.
        const [index, job] = current;
        this.#keep(unknownReport(job, 'out of memory'), index);
        resolve(this.#serve(rest));
      });
      worker.on('exit', () => {
        this.#workers.delete(worker);
        resolve();
      });
      give();
    });
  }

  #keep(report: RunReport, index: number): void {
    this.#reports[index] = report;
    this.#each(report, index);
  }
}

/** What a thread threw, which reached this one as data. */
function thrown(answer: Exclude<Answer, { readonly report: RunReport }>): Error {
  if ('error' in answer) return new Error(answer.error);
  const { code, message, hint, at } = answer.fault;
  return new Fault(code, message, { hint, ...(at === undefined ? {} : { at }) });
}

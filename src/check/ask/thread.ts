// A thread that makes one search after the other, for the searches of this machine (pool.ts) and of
// a queue alike. A search is one long computation that no event loop could interrupt, so it looks
// at a word of shared memory now and then.

import { Worker } from 'node:worker_threads';
import { Fault } from '../../base/fault.js';
import { unknownReport } from '../explain/report.js';
import type { RunReport } from '../result.js';
import type { Answer, FaultFields, Hands } from './job.js';
import type { Job } from './asked.js';

/** The heap of the main thread is no guide for a thread that interns millions of parts. */
export const HEAP_MB = 3072;
/**
 * What a search makes and drops between two collections of young objects. With V8's own 48 MB the
 * default table took 8 % more CPU time.
 */
const YOUNG_MB = 128;

interface Asked {
  readonly job: Job;
  readonly resolve: (report: RunReport | null) => void;
  readonly reject: (error: Error) => void;
}

export class Thread {
  readonly #hands: Hands;
  readonly #heapMb: number;
  #worker: Worker | null = null;
  #asked: Asked | null = null;

  constructor(hands: Hands, heapMb: number = HEAP_MB) {
    this.#hands = hands;
    this.#heapMb = heapMb;
  }

  /**
   * One job at a time.
   * @returns null where the thread was ended before it knew
   */
  judge(job: Job): Promise<RunReport | null> {
    const worker = (this.#worker ??= this.#begin());
    return new Promise((resolve, reject) => {
      this.#asked = { job, resolve, reject };
      worker.postMessage(job);
    });
  }

  end(): void {
    void this.#worker?.terminate();
  }

  #begin(): Worker {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      resourceLimits: {
        maxOldGenerationSizeMb: this.#heapMb,
        maxYoungGenerationSizeMb: YOUNG_MB,
      },
      workerData: this.#hands,
    });
    worker.on('message', (answer: Answer) => {
      const asked = this.#take();
      if ('report' in answer) asked?.resolve(answer.report);
      else asked?.reject(thrown(answer));
    });
    worker.on('error', (error: Error & { code?: string }) => {
      this.#worker = null;
      const asked = this.#take();
      // Out of memory is a bound like the others: that run is unknown, and the next one gets a
      // fresh thread.
      if (asked !== null && error.code === 'ERR_WORKER_OUT_OF_MEMORY')
        asked.resolve(unknownReport(asked.job, 'out of memory'));
      else asked?.reject(error);
    });
    worker.on('exit', () => {
      if (this.#worker !== worker) return;
      this.#worker = null;
      this.#take()?.resolve(null);
    });
    return worker;
  }

  #take(): Asked | null {
    const asked = this.#asked;
    this.#asked = null;
    return asked;
  }
}

/** What a thread threw, which reached this one as data. */
function thrown(answer: Exclude<Answer, { readonly report: RunReport }>): Error {
  return 'error' in answer ? new Error(answer.error) : restored(answer.fault);
}

/** A Fault out of its fields. */
export function restored({ code, message, hint, at }: FaultFields): Fault {
  return new Fault(code, message, { hint, ...(at === undefined ? {} : { at }) });
}

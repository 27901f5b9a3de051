// A worker of a queue: as many searches at a time as it has threads, until it is stopped. The main
// thread searches nothing, so it renews the locks of what its threads hold; a worker that is killed
// renews none, and another one begins its searches again.

import { INTERRUPTED } from '../search/explore.js';
import { isFault, type Fault } from '../../base/fault.js';
import { fieldsOf } from '../ask/job.js';
import type { Job } from '../ask/asked.js';
import { Thread } from '../ask/thread.js';
import type { RunReport } from '../result.js';
import { TRIES } from './asker.js';
import { Connection, type BullQueue, type QueuedJob } from './bull.js';
import { otherVersion, titled, type Reply } from './envelope.js';

/** Why a search failed that no asker waits for any more. */
const CANCELLED = 'cancelled';
/** Between two looks whether what is searched is still asked for. */
const LOOK_MS = 1000;
/** A search that has not answered an abort by then is ended with its thread. */
const GRACE_MS = 15_000;

export interface WorkerOptions {
  readonly address: string;
  readonly version: string;
  /** In the figures of the asker. */
  readonly name: string;
  readonly threads: number;
  /** A worker that was silent for so long is taken for dead, and its searches are begun again. */
  readonly silentMs: number;
  readonly signal: AbortSignal;
  /** A line for what begins and ends. */
  readonly say: (text: string) => void;
}

/**
 * Returns when the signal aborts; what is searched then goes back to the queue.
 * @throws Fault `no-queue`, `no-queue-client`, `queue-lost`, `queue-version`, `bad-usage`
 */
export async function work(options: WorkerOptions): Promise<void> {
  const connection = await Connection.open(options.address);
  const shift = new Shift(connection, options);
  try {
    await shift.run();
  } finally {
    connection.close();
  }
}

/** A thread, what it searches, and the word that ends that. */
interface Bench {
  readonly thread: Thread;
  readonly aborted: Int32Array;
  job: QueuedJob | null;
  cancelled: boolean;
}

class Shift {
  readonly #connection: Connection;
  readonly #options: WorkerOptions;
  readonly #queue: BullQueue;
  readonly #benches: readonly Bench[];
  #leaving = false;
  #leave: (fault?: Fault) => void = () => {};

  constructor(connection: Connection, options: WorkerOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#queue = connection.queue();
    this.#benches = Array.from({ length: options.threads }, () => {
      const aborted = new Int32Array(new SharedArrayBuffer(4));
      return { thread: new Thread({ aborted, threads: 1 }), aborted, job: null, cancelled: false };
    });
  }

  async run(): Promise<void> {
    const { signal, silentMs, threads, name, say } = this.#options;
    const ended = new Promise<void>((resolve, reject) => {
      this.#leave = (fault) => {
        this.#leaving = true;
        for (const { aborted } of this.#benches) Atomics.store(aborted, 0, 1);
        if (fault === undefined) resolve();
        else reject(fault);
      };
    });
    const stop = (): void => this.#leave();
    if (signal.aborted) return;
    signal.addEventListener('abort', stop, { once: true });
    const worker = this.#connection.worker((job, token) => this.#process(job, token), {
      name,
      concurrency: threads,
      lockDuration: silentMs,
      stalledInterval: silentMs / 2,
      maxStalledCount: TRIES - 1,
    });
    // Its asker has gone, or will not wait for it.
    worker.on('failed', (job: QueuedJob | undefined, error: Error) => {
      if (error.message === CANCELLED) void job?.remove().catch(() => {});
    });
    const timer = setInterval(() => void this.#look().catch(() => {}), LOOK_MS);
    say(`listens at ${this.#connection.where} with ${threads} threads`);
    let reachable = true;
    try {
      await Promise.race([ended, this.#connection.lost]);
    } catch (error) {
      reachable = isFault(error) && error.code !== 'queue-lost';
      throw error;
    } finally {
      clearInterval(timer);
      signal.removeEventListener('abort', stop);
      this.#leave();
      const grace = setTimeout(() => this.#end(), GRACE_MS);
      if (reachable) await Promise.race([worker.close(), this.#connection.lost]).catch(() => {});
      clearTimeout(grace);
      this.#end();
      void this.#queue.close().catch(() => {});
    }
  }

  #end(): void {
    for (const { thread } of this.#benches) thread.end();
  }

  async #process(job: QueuedJob, token: string): Promise<Reply> {
    const { version, name, say } = this.#options;
    const { WaitingError, UnrecoverableError } = this.#connection.bull;
    const back = async (): Promise<never> => {
      await job.moveToWait(token);
      throw new WaitingError();
    };
    const other = otherVersion(job.data, version, this.#connection.where);
    if (other !== null) this.#leave(other);
    const bench = this.#benches.find((each) => each.job === null);
    if (this.#leaving || bench === undefined) return back();
    Object.assign(bench, { job, cancelled: false });
    Atomics.store(bench.aborted, 0, 0);
    say(`begins ${job.id} ${titled(job.data)}`);
    try {
      const reports = await this.#judge(bench, job.data.jobs);
      if (bench.cancelled) throw new UnrecoverableError(CANCELLED);
      if (reports === null) return await back();
      say(`ends ${job.id}`);
      return { by: name, reports };
    } catch (error) {
      if (isFault(error)) return { by: name, reports: fieldsOf(error) };
      throw error;
    } finally {
      bench.job = null;
    }
  }

  /** @returns null where it was interrupted */
  async #judge(bench: Bench, jobs: readonly Job[]): Promise<readonly RunReport[] | null> {
    const reports: RunReport[] = [];
    for (const each of jobs) {
      const report = bench.cancelled || this.#leaving ? null : await bench.thread.judge(each);
      if (report === null || report.stopped === INTERRUPTED) return null;
      reports.push(report);
    }
    return reports;
  }

  /** Ends the searches that no asker waits for any more. */
  async #look(): Promise<void> {
    for (const bench of this.#benches) {
      const { job } = bench;
      if (job === null) continue;
      const now = await this.#queue.getJob(job.id);
      if (bench.job !== job || (now !== undefined && now.data.cancelled !== true)) continue;
      bench.cancelled = true;
      Atomics.store(bench.aborted, 0, 1);
    }
  }
}

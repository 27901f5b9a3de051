// Searches by whichever workers listen at a queue. The asker holds the truth: it knows which
// searches it still waits for, and looks now and then whether the queue still knows them too. So an
// event that was missed, a Redis that was restarted without what it held, and a search that another
// asker took back all come to the same: the search is put there again, under the same name.

import { Fault, isFault } from '../../base/fault.js';
import { grouped, type Numbered } from '../ask/alike.js';
import type { Job, Runner } from '../ask/asked.js';
import { restored } from '../ask/thread.js';
import { unknownReport } from '../explain/report.js';
import type { RunReport } from '../result.js';
import { Connection, type BullQueue, type QueuedJob } from './bull.js';
import { envelope, idOf, otherVersion, titled, type Envelope } from './envelope.js';

/** How often a search is begun before it is given up. */
export const TRIES = 3;
/** Between two looks at what is waited for. */
const LOOK_MS = 3000;
/** So long a worker has to let go of what was cancelled. */
const CANCEL_MS = 5000;
const CANCEL_LOOK_MS = 100;
const PENDING = ['wait', 'active', 'delayed', 'prioritized', 'paused'] as const;

/** What came of the searches beside their results. */
export interface Figures {
  searches: number;
  readonly workers: Set<string>;
  /** Begun again because they failed, or because their worker was lost. */
  retried: number;
  stalled: number;
  /** Titles and reasons of those that were given up. */
  readonly givenUp: string[];
  /** Jobs of this run that are still in the queue, because a worker held them. */
  left: number;
}

export interface QueueRunner {
  readonly run: Runner;
  readonly figures: Readonly<Figures>;
  close(): Promise<void>;
}

/**
 * @param lostMs how long a Redis that went away is waited for
 * @throws Fault `no-queue`, `no-queue-client`, `bad-usage`; a run throws `queue-version`,
 *   `queue-lost`, and what a search was refused with
 */
export async function openQueue(
  address: string,
  version: string,
  lostMs?: number,
): Promise<QueueRunner> {
  const connection = await Connection.open(address, lostMs);
  const queue = connection.queue();
  const figures: Figures = {
    searches: 0,
    workers: new Set(),
    retried: 0,
    stalled: 0,
    givenUp: [],
    left: 0,
  };
  return {
    figures,
    run: (jobs, signal, each) =>
      new Asking({ connection, queue, version, figures, signal, each }, jobs).run(),
    async close() {
      await Promise.race([queue.close(), connection.lost.catch(() => {})]);
      connection.close();
    },
  };
}

interface Desk {
  readonly connection: Connection;
  readonly queue: BullQueue;
  readonly version: string;
  readonly figures: Figures;
  readonly signal: AbortSignal | undefined;
  readonly each: (report: RunReport, index: number) => void;
}

interface Asked {
  readonly data: Envelope;
  readonly group: readonly Numbered[];
}

/** One list of jobs, from the queue and back. */
class Asking {
  readonly #desk: Desk;
  readonly #reports: (RunReport | null)[];
  /** By the names that they have in the queue; those that are waited for; all. */
  readonly #waited = new Map<string, Asked>();
  readonly #all: readonly string[];
  #end: (error?: Error) => void = () => {};

  constructor(desk: Desk, jobs: readonly Job[]) {
    this.#desk = desk;
    this.#reports = jobs.map(() => null);
    for (const group of grouped(jobs)) {
      const data = envelope(
        desk.version,
        group.map(([, job]) => job),
      );
      this.#waited.set(idOf(data), { data, group });
    }
    this.#all = [...this.#waited.keys()];
  }

  async run(): Promise<(RunReport | null)[]> {
    const { connection, queue, signal } = this.#desk;
    const ended = new Promise<void>((resolve, reject) => {
      this.#end = (error) => (error === undefined ? resolve() : reject(error));
    });
    if (this.#waited.size === 0 || signal?.aborted === true) return this.#reports;
    await this.#refuseOthers();
    const events = connection.events();
    const look = (): void => void this.#look().catch((error: Error) => this.#end(error));
    const arrived = ({ jobId }: { readonly jobId: string }): void => {
      if (this.#waited.has(jobId))
        void queue.getJob(jobId).then(
          (job) => this.#take(job),
          (error: Error) => this.#end(error),
        );
    };
    events.on('completed', arrived);
    events.on('failed', arrived);
    connection.onReturn = look;
    const timer = setInterval(look, LOOK_MS);
    const stop = (): void => this.#end();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      await events.waitUntilReady();
      await this.#begin();
      await Promise.race([ended, connection.lost]);
    } catch (error) {
      // What is in a queue that is lost stays there for the same command again.
      if (isFault(error) && error.code === 'queue-lost') throw this.#unfinished(error);
      await this.#clean();
      throw error;
    } finally {
      clearInterval(timer);
      signal?.removeEventListener('abort', stop);
      void events.close().catch(() => {});
    }
    await this.#clean();
    return this.#reports;
  }

  #unfinished({ code, message }: Fault): Fault {
    const done = this.#all.length - this.#waited.size;
    return new Fault(code, `${message}; ${done} of ${this.#all.length} searches were answered`);
  }

  async #refuseOthers(): Promise<void> {
    const { connection, queue, version } = this.#desk;
    for (const job of await queue.getJobs(PENDING)) {
      const fault = job === undefined ? null : otherVersion(job.data, version, connection.where);
      if (fault !== null) throw fault;
    }
  }

  /** Takes what an earlier run left there, and puts the rest. What failed then is tried anew. */
  async #begin(): Promise<void> {
    for (const job of await this.#desk.queue.getJobs(['failed']))
      if (job !== undefined && this.#waited.has(job.id)) await job.remove();
    await this.#look();
  }

  /** Whether each search that is waited for is still in the queue, or has come out of it. */
  async #look(): Promise<void> {
    const { queue } = this.#desk;
    const ids = [...this.#waited.keys()];
    const jobs = await Promise.all(ids.map((id) => queue.getJob(id)));
    const missing: string[] = [];
    for (const [i, id] of ids.entries()) {
      const job = jobs[i];
      if (job === undefined) missing.push(id);
      else this.#take(job);
    }
    await queue.addBulk(
      missing.flatMap((id) => {
        const asked = this.#waited.get(id);
        const opts = { jobId: id, attempts: TRIES };
        return asked === undefined ? [] : [{ name: titled(asked.data), data: asked.data, opts }];
      }),
    );
  }

  /** A result is taken once, however often events and looks tell of it. */
  #take(job: QueuedJob | undefined): void {
    const asked = job === undefined ? undefined : this.#waited.get(job.id);
    if (job?.finishedOn === undefined || asked === undefined) return;
    // Another asker of the same search went: it is put there again at the next look.
    if (job.data.cancelled === true) return void job.remove().catch(() => {});
    const { id, returnvalue: reply, failedReason } = job;
    this.#waited.delete(id);
    const { figures } = this.#desk;
    figures.searches += asked.group.length;
    figures.stalled += job.stalledCounter;
    figures.retried += Math.max(0, job.attemptsMade - 1) + job.stalledCounter;
    if (reply === null) {
      figures.givenUp.push(`${titled(asked.data)}, after ${TRIES} tries: ${failedReason}`);
      for (const [index, each] of asked.group)
        this.#keep(unknownReport(each, `given up after ${TRIES} tries`), index);
    } else {
      figures.workers.add(reply.by);
      if (!isReports(reply.reports)) return this.#end(restored(reply.reports));
      for (const [i, report] of reply.reports.entries()) {
        const [index] = asked.group[i] ?? [];
        if (index !== undefined) this.#keep(report, index);
      }
    }
    if (this.#waited.size === 0) this.#end();
  }

  #keep(report: RunReport, index: number): void {
    this.#reports[index] = report;
    this.#desk.each(report, index);
  }

  /** Removes what this run put there. What a worker holds is cancelled first. */
  async #clean(): Promise<void> {
    const { queue, figures, connection } = this.#desk;
    const left = new Set(this.#all);
    const waited = [...this.#waited];
    this.#waited.clear();
    const removal = async (): Promise<void> => {
      for (const [id, { data }] of waited) {
        const job = await queue.getJob(id);
        await job?.updateData({ ...data, cancelled: true }).catch(() => {});
      }
      const end = performance.now() + CANCEL_MS;
      for (;;) {
        await Promise.all([...left].map((id) => removed(queue, id, left)));
        if (left.size === 0 || performance.now() > end) break;
        await new Promise((resolve) => setTimeout(resolve, CANCEL_LOOK_MS));
      }
      await queue.trimEvents(0);
    };
    await Promise.race([removal(), connection.lost]).catch(() => {});
    figures.left = left.size;
  }
}

async function removed(queue: BullQueue, id: string, left: Set<string>): Promise<void> {
  const job = await queue.getJob(id);
  // One that a worker holds cannot be removed.
  const gone =
    job === undefined ||
    (await job.remove().then(
      () => true,
      () => false,
    ));
  if (gone) left.delete(id);
}

const isReports = (said: object): said is readonly RunReport[] => Array.isArray(said);

// BullMQ on Redis, which are optional: this is the one file that knows them, and they are loaded by
// the first command that is given a queue. Nothing else would have to be installed for searches on
// one machine. Retries, locks that a killed worker no longer renews, and a result that is taken
// from the holder of the lock alone are BullMQ's; its types are written down here as far as they
// are used, so that the package builds without it.

import { createRequire } from 'node:module';
import { Fault } from '../../base/fault.js';
import type { Envelope, Reply } from './envelope.js';

/** A job as BullMQ gives it. */
export interface QueuedJob {
  readonly id: string;
  readonly data: Envelope;
  readonly returnvalue: Reply | null;
  readonly failedReason?: string;
  /** How often it ended, for better or worse; how often its worker was lost. */
  readonly attemptsMade: number;
  readonly stalledCounter: number;
  /** Of one that completed, or failed and is not tried again. */
  readonly finishedOn?: number;
  getState(): Promise<string>;
  remove(): Promise<void>;
  updateData(data: Envelope): Promise<void>;
  moveToWait(token: string): Promise<unknown>;
}
type Listener = (...said: never[]) => void;
interface Emitter {
  on(event: string, listener: Listener): unknown;
  close(): Promise<void>;
}
interface Events extends Emitter {
  waitUntilReady(): Promise<unknown>;
}
export interface BullQueue extends Emitter {
  addBulk(
    jobs: readonly { readonly name: string; readonly data: Envelope; readonly opts: object }[],
  ): Promise<unknown>;
  getJob(id: string): Promise<QueuedJob | undefined>;
  getJobs(states: readonly string[]): Promise<(QueuedJob | undefined)[]>;
  trimEvents(most: number): Promise<unknown>;
}
type Processor = (job: QueuedJob, token: string) => Promise<Reply>;
interface Bull {
  readonly Queue: new (name: string, options: object) => BullQueue;
  readonly QueueEvents: new (name: string, options: object) => Events;
  readonly Worker: new (name: string, process: Processor, options: object) => Emitter;
  /** Thrown by a processor that has put its job back. */
  readonly WaitingError: new () => Error;
  /** Thrown by one that will not be tried again. */
  readonly UnrecoverableError: new (message: string) => Error;
}
interface RedisClient {
  connect(): Promise<void>;
  ping(): Promise<string>;
  disconnect(): void;
  on(event: string, listener: Listener): unknown;
}
interface IoRedis {
  readonly Redis: new (options: object) => RedisClient;
}

/** Where a Redis listens, and what it is told. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  readonly tls?: object;
}

const PORT = 6379;
/** In BullMQ's keys behind its own prefix. */
const NAME = 'static-call';
/** A Redis that has not answered by then is none. */
const ANSWER_MS = 5000;
/** One that was there is waited for so long: a restart takes seconds. */
export const LOST_MS = 60_000;
/** Between two attempts to connect again. */
const RETRY_MS = 250;

/** @throws Fault `bad-usage` */
export function addressOf(text: string): Address {
  const url = URL.canParse(text) ? new URL(text) : null;
  const tls = url?.protocol === 'rediss:';
  const [, db = ''] = /^\/?(\d*)$/.exec(url?.pathname ?? '?') ?? [undefined, undefined];
  const known = tls || url?.protocol === 'redis:';
  if (url === null || !known || url.hostname === '' || !/^\/?\d*$/.test(url.pathname))
    throw new Fault('bad-usage', '--queue is given no address of a Redis', {
      hint: 'redis://HOST:PORT, or redis://USER:PASSWORD@HOST:PORT/DATABASE',
    });
  const { username, password } = url;
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? PORT : Number(url.port),
    db: Number(db),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(tls ? { tls: {} } : {}),
  };
}

/** Without its password. */
const wordsOf = ({ host, port }: Address): string => `${host}:${port}`;

function load<T>(name: string, require: () => unknown): T {
  try {
    return require() as T;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw cause;
    throw new Fault('no-queue-client', `${name} is not installed`, { cause });
  }
}
const loadBull = (): Bull => load('bullmq', () => createRequire(import.meta.url)('bullmq'));
const loadRedis = (): IoRedis => load('ioredis', () => createRequire(import.meta.url)('ioredis'));

/** A Redis that answered, and what to make of it. */
export class Connection {
  readonly bull: Bull;
  readonly where: string;
  /** Rejects once it was away for too long. */
  readonly lost: Promise<never>;
  readonly #options: object;
  readonly #watch: RedisClient;
  /** Called when it is there again. */
  onReturn: () => void = () => {};

  /** @throws Fault `no-queue`, `no-queue-client`, `bad-usage` */
  static async open(text: string, lostMs = LOST_MS): Promise<Connection> {
    const address = addressOf(text);
    const { Redis } = loadRedis();
    const bull = loadBull();
    await probe(Redis, address);
    return new Connection(bull, Redis, address, lostMs);
  }

  private constructor(bull: Bull, Redis: IoRedis['Redis'], address: Address, lostMs: number) {
    this.bull = bull;
    this.where = wordsOf(address);
    this.#options = { ...address, maxRetriesPerRequest: null, retryStrategy: () => RETRY_MS };
    this.#watch = new Redis(this.#options);
    let [away, timer] = [false, undefined as NodeJS.Timeout | undefined];
    this.lost = new Promise((_, reject) => {
      this.#watch.on('close', () => {
        if (away || this.#closed) return;
        away = true;
        const fault = new Fault(
          'queue-lost',
          `the Redis at ${this.where} has been away for ${lostMs / 1000} s`,
        );
        timer = setTimeout(() => reject(fault), lostMs);
      });
    });
    // Where nothing waits for it, it is no unhandled rejection.
    this.lost.catch(() => {});
    this.#watch.on('ready', () => {
      clearTimeout(timer);
      if (away) this.onReturn();
      away = false;
    });
    this.#watch.on('error', () => {});
    this.#stop = () => clearTimeout(timer);
  }
  readonly #stop: () => void;
  #closed = false;

  queue(): BullQueue {
    return quiet(new this.bull.Queue(NAME, { connection: this.#options }));
  }
  events(): Events {
    return quiet(new this.bull.QueueEvents(NAME, { connection: this.#options }));
  }
  worker(process: Processor, options: object): Emitter {
    return quiet(new this.bull.Worker(NAME, process, { connection: this.#options, ...options }));
  }

  close(): void {
    this.#closed = true;
    this.#watch.disconnect();
    this.#stop();
  }
}

/** A connection that breaks is mended by its client, and `lost` says when that takes too long. */
function quiet<T extends Emitter>(emitter: T): T {
  emitter.on('error', () => {});
  return emitter;
}

/** @throws Fault `no-queue` */
async function probe(Redis: IoRedis['Redis'], address: Address): Promise<void> {
  const client = new Redis({
    ...address,
    lazyConnect: true,
    connectTimeout: ANSWER_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  let said: Error | undefined;
  client.on('error', (error: Error) => (said ??= error));
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    const late = () => reject(new Error(`no answer within ${ANSWER_MS / 1000} s`));
    timer = setTimeout(late, ANSWER_MS);
  });
  try {
    const pong = client.connect().then(() => client.ping());
    await Promise.race([pong, silence]);
  } catch (error) {
    const cause = said ?? (error as Error);
    throw new Fault(
      'no-queue',
      `no Redis can be used at ${wordsOf(address)}: ${cause.message || 'it refused'}`,
      { cause },
    );
  } finally {
    clearTimeout(timer);
    client.disconnect();
  }
}

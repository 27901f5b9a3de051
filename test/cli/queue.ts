// Queues for tests: a Redis of its own for each, workers that are processes, hosts that are network
// namespaces where this machine lets a test make some.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, onTestFinished } from 'vitest';
import type { Job } from '#check/ask/asked';
import type { RunReport } from '#check/result';
import { openQueue, type Figures } from '#check/queue/asker';
import { version } from '#host/version';
import { Folder, tool } from '../build.js';

const redis = tool('redis-server');
const client = ['bullmq', 'ioredis'].every((name) => {
  try {
    return createRequire(import.meta.url).resolve(name) !== '';
  } catch {
    return false;
  }
});

export const folder = new Folder();
const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  folder[Symbol.dispose]();
});
export function started(command: string, words: readonly string[]): ChildProcess {
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  void once(child, 'close').then(() => children.delete(child));
  return child;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A Redis that keeps in `name` what it holds. */
export async function redisAt(
  port: number,
  name: string,
  hosts: readonly string[] = [],
  ...more: readonly string[]
): Promise<ChildProcess> {
  const dir = join(folder.path, name);
  spawnSync('mkdir', ['-p', dir]);
  const kept = ['--dir', dir, '--appendonly', 'yes', '--save', ''];
  const bound = ['--bind', '127.0.0.1', ...hosts, '--protected-mode', 'no'];
  const child = started('redis-server', ['--port', String(port), ...kept, ...bound, ...more]);
  for await (const said of createInterface({ input: child.stdout! }))
    if (/Ready to accept connections/.test(said)) break;
  child.stdout!.resume();
  return child;
}

export const BIN = join(process.cwd(), 'bin', 'static-call');
/** A worker, and what it says as it says it. */
export function worker(
  address: string,
  said: (text: string, child: ChildProcess) => void,
  { words = [], inside = [] }: { words?: readonly string[]; inside?: readonly string[] } = {},
): ChildProcess {
  const all = [...inside, process.execPath, BIN, 'worker', '--queue', address, '--threads', '1'];
  const [command = '', ...rest] = [...all, ...words];
  const child = started(command, rest);
  createInterface({ input: child.stderr! }).on('line', (text) => said(text, child));
  return child;
}

/** What is the same on every machine and at every time. */
export const bytes = (reports: readonly (RunReport | null)[]): string =>
  JSON.stringify(reports.map((report) => report && { ...report, seconds: 0 }));

interface Answered {
  readonly reports: readonly (RunReport | null)[];
  readonly figures: Readonly<Figures>;
}
export async function asked(
  address: string,
  jobs: readonly Job[],
  each: (report: RunReport, index: number) => void = () => {},
  lostMs?: number,
): Promise<Answered> {
  const { run, figures, close } = await openQueue(address, version(), lostMs);
  try {
    return { reports: await run(jobs, undefined, each), figures };
  } finally {
    await close();
  }
}

interface Client {
  keys(pattern: string): Promise<string[]>;
  disconnect(): void;
}
/** What a queue holds. */
export class Held implements Disposable {
  readonly #client: Client;
  constructor(address: string) {
    const { Redis } = createRequire(import.meta.url)('ioredis') as {
      Redis: new (url: string) => Client;
    };
    this.#client = new Redis(address);
  }
  async jobs(): Promise<string[]> {
    const keys = await this.#client.keys('bull:static-call:s*');
    return keys.filter((key) => /:s[0-9a-f]{24}$/.test(key));
  }
  [Symbol.dispose](): void {
    this.#client.disconnect();
  }
}

export const ignore = (): void => {};
/** Seeded: the same for the same words. */
export const chance = (...words: readonly string[]): number =>
  createHash('sha256').update(words.join()).digest().readUInt32LE() / 2 ** 32;

/** Hosts of their own for workers, where this machine lets us make some; else null. */
export function hosts(count: number): { inside: readonly string[]; address: string }[] | null {
  const ip = (...words: readonly string[]): boolean =>
    spawnSync('ip', words, { stdio: 'ignore' }).status === 0;
  // Files of tests run beside each other.
  const own = Number(process.env['VITEST_POOL_ID'] ?? 0) % 40;
  const made = Array.from({ length: count }, (_, i) => ({
    name: `sc${process.pid}n${i}`,
    link: `sc${process.pid % 10_000}v${i}`,
    net: `10.${210 + own}.${i}`,
  }));
  onTestFinished(() => made.forEach(({ name }) => void ip('netns', 'del', name)));
  const works = made.every(
    ({ name, link, net }) =>
      ip('netns', 'add', name) &&
      ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name) &&
      ip('addr', 'add', `${net}.1/24`, 'dev', link) &&
      ip('link', 'set', link, 'up') &&
      ip('-n', name, 'addr', 'add', `${net}.2/24`, 'dev', 'eth0') &&
      ip('-n', name, 'link', 'set', 'eth0', 'up'),
  );
  if (!works) return null;
  return made.map(({ name, net }) => ({
    inside: ['ip', 'netns', 'exec', name],
    address: `${net}.1`,
  }));
}

/** Whether this machine has what a queue needs. */
export const able = redis !== null && client;

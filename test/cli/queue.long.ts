// Searches by workers of a queue, which are processes of their own: the answer is that of one
// machine, whatever becomes of the workers and of Redis meanwhile.

import { spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { matrixJobs } from '#check/ask/matrix';
import { runAll } from '#check/ask/pool';
import type { Job } from '#check/ask/asked';
import { openQueue } from '#check/queue/asker';
import { line } from './line.js';
import {
  BIN,
  Held,
  able,
  asked,
  bytes,
  chance,
  folder,
  freePort,
  hosts,
  ignore,
  redisAt,
  started,
  worker,
} from './queue.js';

const JOBS: readonly Job[] = matrixJobs()
  .filter(
    ({ protocol, configuration: { updates, contexts } }) =>
      ['naive', 'store', 'int3-gap', 'int3', 'stop-machine'].includes(protocol) &&
      updates === 1 &&
      contexts.length <= 2,
  )
  .slice(0, 16);
let known: Promise<string> | undefined;
const alone = (): Promise<string> => (known ??= runAll(JOBS, undefined, () => {}).then(bytes));

describe.skipIf(!able)('a queue (skipped without redis-server, bullmq or ioredis)', () => {
  it('answers with one, two and four workers what one machine does', async () => {
    const port = await freePort();
    const far = hosts(4);
    await redisAt(
      port,
      'count',
      far?.map(({ address }) => address),
    );
    const address = `redis://127.0.0.1:${port}`;
    const workers: ChildProcess[] = [];
    for (const count of [1, 2, 4]) {
      while (workers.length < count) {
        const host = far?.[workers.length];
        const where = host === undefined ? address : `redis://${host.address}:${port}`;
        await new Promise<void>((resolve) => {
          const said = (text: string): void => void (text.startsWith('listens') && resolve());
          workers.push(worker(where, said, { inside: host?.inside ?? [] }));
        });
      }
      const { reports, figures } = await asked(address, JOBS);
      expect(bytes(reports), `${count} workers`).toBe(await alone());
      expect(figures).toMatchObject({ searches: JOBS.length, givenUp: [], left: 0 });
    }
    const exits = workers.map((each) => once(each, 'exit'));
    for (const each of workers) each.kill('SIGINT');
    expect(await Promise.all(exits)).toEqual(workers.map(() => [130, null]));
  });

  // A search that takes minutes cannot end before its worker does.
  const poison: Job = {
    ...JOBS[0]!,
    protocol: 'auto',
    variant: '',
    configuration: {
      ...JOBS[0]!.configuration,
      environment: 'user',
      contexts: ['task', 'signal'],
      cpus: 4,
      passes: 4,
      chunk: 'byte',
      reduce: 'none',
    },
  };

  it('answers the same where workers are killed or held up, and gives a poisonous search up', async () => {
    const port = await freePort();
    await redisAt(port, 'kill');
    const address = `redis://127.0.0.1:${port}`;
    const words = ['--silent', '5'];
    let open = true;
    const begun = new Map<string, number>();
    const lives: ChildProcess[] = [];
    const live = (): void => {
      if (open) lives.push(worker(address, said, { words }).once('exit', live));
    };
    const said = (text: string, child: ChildProcess): void => {
      const [, id = '', title = ''] = /^begins (\S+) (\S+)/.exec(text) ?? [];
      if (id === '') return;
      const times = (begun.get(id) ?? 0) + 1;
      begun.set(id, times);
      if (title === 'auto') child.kill('SIGKILL');
      const fate = chance('seed 5', id);
      if (times === 1 && fate < 0.15) child.kill('SIGKILL');
      else if (times === 1 && fate < 0.2) {
        // Its search is begun again, and what it then says of it is not taken.
        child.kill('SIGSTOP');
        void setTimeout(12_000).then(() => child.kill('SIGCONT'));
      }
    };
    for (let i = 0; i < 3; i++) live();
    const taken = new Map<number, number>();
    const { reports, figures } = await asked(address, [...JOBS, poison], (_, index) => {
      taken.set(index, (taken.get(index) ?? 0) + 1);
    });
    open = false;
    for (const each of lives) each.kill('SIGKILL');
    expect(bytes(reports.slice(0, -1))).toBe(await alone());
    expect(reports.at(-1)?.stopped).toBe('given up after 3 tries');
    expect(figures.givenUp).toHaveLength(1);
    expect(figures.stalled).toBeGreaterThanOrEqual(2);
    expect([...taken.values()].every((times) => times === 1)).toBe(true);
    expect(taken.size).toBe(JOBS.length + 1);
  });

  it.each([
    ['with what it held', 'SIGTERM', 'same'],
    ['without', 'SIGKILL', 'other'],
  ] as const)('answers the same when Redis is restarted %s', async (_, signal, kept) => {
    const port = await freePort();
    let server = await redisAt(port, 'restart');
    const address = `redis://127.0.0.1:${port}`;
    const workers = [1, 2].map(() => worker(address, ignore));
    let [count, restarted] = [0, Promise.resolve()];
    const { reports } = await asked(address, JOBS, () => {
      if (++count !== 5) return;
      restarted = (async () => {
        server.kill(signal);
        await once(server, 'exit');
        server = await redisAt(port, kept === 'same' ? 'restart' : 'restart-empty');
      })();
    });
    await restarted;
    for (const each of workers) each.kill('SIGKILL');
    server.kill('SIGKILL');
    expect(bytes(reports)).toBe(await alone());
  });

  it('that stays away is an end, from which the same command goes on', async () => {
    const port = await freePort();
    let server = await redisAt(port, 'away');
    const address = `redis://127.0.0.1:${port}`;
    const begun: string[] = [];
    worker(address, (text) => text.startsWith('begins') && begun.push(text));
    let count = 0;
    const first = asked(address, JOBS, () => void (++count === 8 && server.kill('SIGTERM')), 1000);
    await expect(first).rejects.toMatchObject({
      code: 'queue-lost',
      exit: 4,
      message: expect.stringMatching(/ of \d+ searches were answered$/),
    });
    server = await redisAt(port, 'away');
    const { reports, figures } = await asked(address, JOBS);
    expect(bytes(reports)).toBe(await alone());
    expect(figures.searches).toBe(JOBS.length);
    // One that was searched while Redis went is begun again, and no other.
    const groups = new Set(begun).size;
    expect(begun.length).toBeLessThanOrEqual(groups + 1);
  });

  it('is left as it was by Ctrl-C, and the worker lets go', async () => {
    const port = await freePort();
    await redisAt(port, 'clean');
    const address = `redis://127.0.0.1:${port}`;
    const begins = new Promise<void>((resolve) => {
      worker(address, (text) => text.startsWith('begins') && resolve());
    });
    const asker = started(process.execPath, [BIN, 'check', '--matrix', '--queue', address]);
    asker.stdout!.resume();
    using held = new Held(address);
    await begins;
    expect((await held.jobs()).length).toBeGreaterThan(10);
    asker.kill('SIGINT');
    const [status] = (await once(asker, 'exit')) as [number | null];
    expect(status).toBe(130);
    // What a worker held is dropped by it, when it has heard.
    while ((await held.jobs()).length > 0) await setTimeout(50);
  });

  it('that holds searches of another version is refused by asker and worker', async () => {
    const port = await freePort();
    await redisAt(port, 'version');
    const address = `redis://127.0.0.1:${port}`;
    const other = await openQueue(address, '99.0.0');
    const leave = new AbortController();
    const waits = other.run(JOBS.slice(0, 1), leave.signal, ignore);
    using held = new Held(address);
    while ((await held.jobs()).length === 0) await setTimeout(50);
    const refused = { code: 'queue-version', exit: 3 };
    await expect(asked(address, JOBS)).rejects.toMatchObject(refused);
    const lines: string[] = [];
    const child = worker(address, (text) => lines.push(text));
    const [status] = (await once(child, 'exit')) as [number | null];
    expect(status).toBe(3);
    expect(lines.join('\n')).toMatch(
      /error\[queue-version\]: the queue holds searches of static-call 99/,
    );
    leave.abort();
    expect(await waits).toEqual([null]);
    await other.close();
  });

  it('that refuses, is none, or never answers is a fault with its address', async () => {
    const port = await freePort();
    const said = async (address: string) => {
      const { status, stderr } = await line(['check', '--zoo', '--queue', address]);
      return `${status} ${stderr}`;
    };
    expect(await said(`redis://127.0.0.1:${port}`)).toMatch(/^4 error\[no-queue\].*ECONNREFUSED/);
    await redisAt(port, 'secret', [], '--requirepass', 'hidden');
    expect(await said(`redis://127.0.0.1:${port}`)).toMatch(/^4 error\[no-queue\].*NOAUTH/);
    const wrong = await said(`redis://:guess@127.0.0.1:${port}`);
    expect(wrong).toMatch(/^4 error\[no-queue\].*WRONGPASS/);
    expect(wrong).not.toMatch(/guess|hidden/);
    const serve = async (answer: string): Promise<Server> => {
      const server = createServer((socket) => {
        socket.on('error', ignore);
        if (answer !== '') socket.end(answer);
      });
      await once(server.listen(0, '127.0.0.1'), 'listening');
      return server;
    };
    for (const [answer, why] of [
      ['HTTP/1.1 400 Bad Request\r\n\r\n', /^4 error\[no-queue\]/],
      ['', /^4 error\[no-queue\].*no answer within/],
    ] as const) {
      const server = await serve(answer);
      const { port: there } = server.address() as AddressInfo;
      expect(await said(`redis://127.0.0.1:${there}`)).toMatch(why);
      server.close();
    }
    expect(await said('ftp://127.0.0.1')).toMatch(/^2 error\[bad-usage\]/);
  });

  it('without its client names what to install', () => {
    const none = folder.write(
      'none.cjs',
      `const { Module } = require('node:module');
      const load = Module._load;
      Module._load = (name, ...rest) => {
        if (name !== 'ioredis') return load(name, ...rest);
        throw Object.assign(new Error('no ioredis'), { code: 'MODULE_NOT_FOUND' });
      };`,
    );
    const words = ['--require', none, BIN, 'worker', '--queue', 'redis://127.0.0.1:1'];
    const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    expect(stderr).toMatch(/error\[no-queue-client\]: ioredis is not installed/);
    expect(stderr).toMatch(/npm install bullmq/);
    expect(status).toBe(4);
  });
});

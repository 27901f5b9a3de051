// The whole default matrix by workers of a queue: two of them, killed at random throughout, and
// two whose Redis is restarted in the middle, first with what it held and then without; and a tenth
// of it by one and by four workers. Each answer has the bytes of one machine.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '#check/ask/asked';
import { formJobs } from '#check/ask/forms';
import { matrixJobs } from '#check/ask/matrix';
import { runAll } from '#check/ask/pool';
import type { RunReport } from '#check/result';
import { able, asked, bytes, chance, freePort, hosts, redisAt, worker, ignore } from './queue.js';

const JOBS: readonly Job[] = [...matrixJobs(), ...formJobs()];
const isTenth = (_: unknown, i: number): boolean => i % 10 === 0;
const HALF_AN_HOUR = 1_800_000;
/** Of the searches, how many lose their worker when they are first begun. */
const KILLED = 0.05;

/** Figures of a run, in a line of the test's output. */
const figured = (what: string, ...figures: readonly string[]): void =>
  console.log(`queue, ${what}: ${figures.join(', ')}`);

describe.skipIf(!able)(
  'the default matrix by a queue (skipped without redis-server, bullmq or ioredis)',
  () => {
    let known: readonly (RunReport | null)[] = [];
    beforeAll(async () => {
      known = await runAll(JOBS, undefined, ignore);
    }, HALF_AN_HOUR);

    it('has the bytes of one machine where two workers are killed at random throughout', async () => {
      const port = await freePort();
      const far = hosts(2);
      await redisAt(
        port,
        'killed',
        far?.map(({ address }) => address),
      );
      const begun = new Set<string>();
      let [open, kills] = [true, 0];
      const lives: ChildProcess[] = [];
      const said = (text: string, child: ChildProcess): void => {
        const [, id = ''] = /^begins (\S+)/.exec(text) ?? [];
        if (id === '' || begun.has(id)) return;
        begun.add(id);
        if (chance('throughout', id) >= KILLED) return;
        kills++;
        child.kill('SIGKILL');
      };
      const live = (i: number): void => {
        if (!open) return;
        const { address = '127.0.0.1', inside = [] } = far?.[i] ?? {};
        const child = worker(`redis://${address}:${port}`, said, {
          // A worker that has no CPU for so long is no dead one, however busy the machine is.
          words: ['--silent', '20'],
          inside,
        });
        lives.push(child.once('exit', () => live(i)));
      };
      live(0);
      live(1);
      const times = new Map<number, number>();
      const { reports, figures } = await asked(`redis://127.0.0.1:${port}`, JOBS, (_, index) => {
        times.set(index, (times.get(index) ?? 0) + 1);
      });
      open = false;
      for (const each of lives) each.kill('SIGKILL');
      const { searches, retried, stalled, givenUp, workers } = figures;
      figured(
        `workers killed, ${far === null ? 'loopback' : 'network namespaces'}`,
        `${searches} searches by ${workers.size} workers`,
        `${kills} killed`,
        `${retried} begun again, ${stalled} of them after their worker was lost`,
      );
      expect(bytes(reports)).toBe(bytes(known));
      expect([searches, givenUp]).toEqual([JOBS.length, []]);
      expect([times.size, ...new Set(times.values())]).toEqual([JOBS.length, 1]);
      expect(kills).toBeGreaterThan(10);
      // A search of milliseconds ends before its worker does.
      expect(stalled).toBeGreaterThan(0);
    });

    it('has the bytes of one machine where Redis is restarted in the middle', async () => {
      const port = await freePort();
      const address = `redis://127.0.0.1:${port}`;
      let server = await redisAt(port, 'restarted');
      const workers = [1, 2].map(() => worker(address, ignore, { words: ['--silent', '20'] }));
      const restart = async (signal: NodeJS.Signals, name: string): Promise<void> => {
        server.kill(signal);
        await once(server, 'exit');
        server = await redisAt(port, name);
      };
      let [count, restarted] = [0, Promise.resolve()];
      const third = Math.floor(JOBS.length / 3);
      const { reports, figures } = await asked(address, JOBS, () => {
        count++;
        if (count === third) restarted = restart('SIGTERM', 'restarted');
        if (count === 2 * third) restarted = restarted.then(() => restart('SIGKILL', 'empty'));
      });
      await restarted;
      for (const each of workers) each.kill('SIGKILL');
      server.kill('SIGKILL');
      const { searches, retried, stalled, givenUp } = figures;
      figured(
        'Redis restarted with what it held and without',
        `${searches} searches`,
        `${retried} begun again, ${stalled} of them after their worker was lost`,
      );
      expect(bytes(reports)).toBe(bytes(known));
      expect([searches, givenUp]).toEqual([JOBS.length, []]);
    });

    it.each([1, 4])('a tenth of it has the bytes of one machine with %i workers', async (count) => {
      const port = await freePort();
      const address = `redis://127.0.0.1:${port}`;
      const far = hosts(count);
      await redisAt(
        port,
        `count-${count}`,
        far?.map((each) => each.address),
      );
      const workers = Array.from({ length: count }, (_, i) =>
        worker(`redis://${far?.[i]?.address ?? '127.0.0.1'}:${port}`, ignore, {
          inside: far?.[i]?.inside ?? [],
        }),
      );
      const { reports, figures } = await asked(address, JOBS.filter(isTenth));
      for (const each of workers) each.kill('SIGKILL');
      figured(
        `${count} workers`,
        `${figures.searches} searches by ${figures.workers.size}`,
        `${figures.retried} begun again`,
      );
      expect(bytes(reports)).toBe(bytes(known.filter(isTenth)));
      expect(figures.givenUp).toEqual([]);
    });
  },
);

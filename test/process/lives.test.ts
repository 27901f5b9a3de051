// Environments come and go while C updates and forks. Nothing hangs: a story that does is ended, and
// that is a failure. Each story runs in a process of its own.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { LONG } from '../more.js';
import { answer, child, type Ended } from './child.js';
import { compileProgram } from './programs.js';

const folder = new Folder();
let library = '';
beforeAll(() => {
  if (gcc) library = compileProgram(folder, 'lives.c');
});
afterAll(() => folder[Symbol.dispose]());
const run = (what: string): Ended =>
  child('lives.mjs', [JSON.stringify({ library, what, long: LONG })], { timeoutMs: 40_000 });
const told = <T>(what: string): T => answer<T>(run(what));
/** Negated, as C is told. */
const [ENOENT, EACCES, EMFILE, EDEADLK, ENOSYS, ETIMEDOUT] = [-2, -13, -24, -35, -38, -110];
/** What a call of 1 returns. */
const [ONE, TWO] = [2, 3];

describe.skipIf(!gcc)('an environment that has a library open ends', () => {
  it('when a test runner terminates its worker: terminate() returns, and the server ends', () => {
    expect(told('a worker that has it open is terminated')).toEqual({ fewer: 2 });
  });
  if (LONG)
    it('when the process exits meanwhile', () => {
      expect(run('the process exits while a worker has it open')).toMatchObject({ status: 7 });
    });
  if (LONG)
    it('and C is served for the next that has it open, until the last one closes it', () => {
      expect(told('a worker opens first and exits')).toEqual({
        answers: [0, TWO, 0, ONE],
        after: ENOSYS,
      });
    });
  if (LONG)
    it('while its server has requests: they are refused, because no other server is left', () => {
      expect(told('a worker is terminated while its server has a request')).toEqual({
        before: [0, 0, 0],
        after: [ENOSYS, ENOSYS, ENOSYS],
      });
    });
  if (LONG)
    it('while one of two servers has requests: the other one answers them', () => {
      expect(told('of two that serve, the one with the requests is terminated')).toEqual({
        answers: [0, 0, 0, 0, 0, 0, 0, 0],
        app: true,
      });
    });
  if (LONG)
    it('in the middle of an update, and the program forks', () => {
      const got = told<{ worst: number; call: number[] }>(
        'a worker is terminated in an update, then the program forks',
      );
      expect(got.call).toEqual([0, ONE, 0, TWO]);
      expect(got.worst).toBeLessThan(5000);
    });
  if (LONG)
    it('in the first open of the process, with the runtime half made', () => {
      expect(told('a worker is terminated in the first open')).toEqual({
        first: [0, TWO, -ENOSYS],
        again: 'live_one',
      });
    });
});

describe.skipIf(!gcc)('a request from C is answered', () => {
  if (LONG)
    it('when descriptors are used up, and served again when there are some', () => {
      const got = told<{ refused: number[]; then: number[] }>('descriptors are used up');
      for (const errno of got.refused) expect([0, EMFILE]).toContain(errno);
      expect(got.then).toEqual([0, TWO, 0]);
    });
  if (LONG)
    it('when /proc is gone, because the program changed its root', ({ skip }) => {
      const got = told<{ answers?: number[] }>('its root is changed');
      skip(!got.answers, 'chroot is refused');
      for (const errno of got.answers ?? []) expect([0, ENOENT]).toContain(errno);
    });
  if (LONG)
    it('when a filter refuses to open files', ({ skip }) => {
      const got = told<{ answers?: number[] }>('a filter refuses openat');
      skip(!got.answers, 'seccomp is refused');
      for (const errno of got.answers ?? []) expect([0, EACCES]).toContain(errno);
    });
  if (LONG)
    it('when another request comes between its look at the list and its exchange', () => {
      expect(
        told('another request comes between the look at the list and the exchange'),
      ).toMatchObject({ answers: [0, 0, 0] });
    });
  it('when many threads ask at once', () => {
    const got = told<{ bad: number[]; drift: number }>('many threads update at once');
    expect(got).toEqual({ bad: got.bad.map(() => 0), drift: 0 });
  });
  if (LONG)
    it('and not before it is done, when its thread gets a signal meanwhile', () => {
      const got = told<{ early: number; answer: number; call: number }>(
        'a thread that waits for its update gets a signal',
      );
      expect(got).toEqual({ early: 1000, answer: 0, call: TWO });
    });
  it('when a signal handler asks: refused on a thread that would wait for itself', () => {
    const got = told<{ inside: number; onServer: number; served: number }>(
      'a signal handler updates',
    );
    expect(got).toMatchObject({ inside: EDEADLK, onServer: EDEADLK });
    expect(got.served).toBeGreaterThan(0);
  });
  if (LONG)
    it('after ten seconds, when the server cannot come to it', () => {
      const got = told<{ answers: number[]; seconds: number; bad: number[] }>('nobody answers');
      expect(got).toMatchObject({ answers: [ETIMEDOUT, ETIMEDOUT], bad: [0, 0, 0] });
      expect(got.seconds).toBeGreaterThan(9);
    });
});

describe.skipIf(!gcc)('a fork', () => {
  it('waits until the update is over, and leaves nobody counted as waiting', () => {
    expect(told('a fork comes in an update')).toEqual({
      during: 1000,
      after: -ENOSYS,
      waiters: 0,
      then: [0, TWO],
    });
  });
  if (LONG)
    it('leaves the child no request of its parent', () => {
      expect(told('a fork comes while requests wait')).toEqual({
        waiting: true,
        child: -ENOSYS,
        answers: [0, 0],
      });
    });
  if (LONG)
    it('leaves no copy of a text behind, and does without one where memory is short', () => {
      expect(told('forks under the writer alias')).toEqual({ left: 0, calls: [1, 2, 1, 1, 2] });
    });
});

describe.skipIf(!gcc)('what else a process may do', () => {
  if (LONG)
    it('the address at which earlier versions made the runtime is taken, as by a sanitizer', () => {
      expect(told('the fixed address of earlier versions is taken')).toEqual({
        taken: true,
        answers: [0, TWO],
      });
    });
  it('two threads pass one trap: every pass is counted', () => {
    const got = told<{ traps: number; calls: number }>('threads pass a trap');
    expect(got.traps).toBe(got.calls);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { LONG, more } from '../more.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

interface Told {
  readonly code?: string;
  readonly raw?: string;
  readonly message?: string;
  readonly hint?: string;
}
interface Lost {
  readonly skipped?: string;
  readonly update: Told | null;
  readonly undo: Told | null;
  readonly unchecked: Told | null;
  readonly close: Told | null;
  readonly passed: number;
  readonly last: number;
  /** With it given back. */
  readonly then?: number;
}

const folder = new Folder();
let library = '';
beforeAll(() => {
  if (gcc) library = compileProgram(folder, 'losses.c');
});
afterAll(() => folder[Symbol.dispose]());
const lose = <T>(what: string, options: object = { protocol: 'int3' }): T => {
  const ended = child('losses.mjs', [JSON.stringify({ library, what, options })]);
  return answer<T>(ended);
};
/** What pass(1) returns when the key has its first, its second target. */
const [ONE, TWO] = [12, 13];
const unread = (errno: string): RegExp =>
  new RegExp(`^/proc/self/task(/\\d+/status)? cannot be read: ${errno}$`);

describe.skipIf(!gcc)('after open, a process loses what int3 needs to look at:', () => {
  it.for([
    ['descriptors are used up', unread('EMFILE'), /ulimit -n/],
    ...more(
      ['another root without /proc', unread('ENOENT'), /mount \/proc/],
      ['seccomp refuses openat', unread('EACCES'), /protocol store/],
      ['Landlock refuses to read', unread('EACCES'), /protocol store/],
    ),
  ] as const)(
    '%s: update, undo, unchecked and close are refused by a Fault that names the file and the cure, and change nothing',
    ([what, message, hint], { skip }) => {
      const got = lose<Lost>(what);
      if (got.skipped) skip(got.skipped);
      for (const told of [got.update, got.close]) {
        expect(told).toMatchObject({ code: 'no-proc' });
        expect(told?.message).toMatch(message);
        expect(told?.hint).toMatch(hint);
      }
      expect(got.unchecked?.code).toBe('no-proc');
      expect(got.undo?.code).toBe('no-proc');
      expect([got.passed, got.last]).toEqual([ONE, ONE]);
      expect(got.then ?? TWO).toBe(TWO);
    },
  );
  it.for([
    'credentials are given up',
    ...more('it is not dumpable any more', 'seccomp refuses getdents64'),
  ])('%s: nothing is refused, because nothing more is needed', (what, { skip }) => {
    const got = lose<Lost>(what);
    if (got.skipped) skip(got.skipped);
    expect(got).toMatchObject({ update: null, undo: null, unchecked: null, close: null });
    expect([got.passed, got.last]).toEqual([TWO, ONE]);
  });
  if (LONG)
    it('without /proc, protocol store with writer alias updates and closes as before', ({
      skip,
    }) => {
      const got = lose<Record<string, unknown>>(
        'without /proc, an update that reads nothing of it',
      );
      if (got['skipped']) skip(String(got['skipped']));
      expect(got).toEqual({ refused: null, passed: TWO, closed: null, last: ONE });
    });
  it('every descriptor is closed and its number belongs to another file: that file is left alone', () => {
    expect(lose('every descriptor is closed and its number belongs to another file')).toEqual({
      passed: TWO,
      written: 0,
      drift: 0,
    });
  });
});

describe.skipIf(!gcc)('a trap would kill', () => {
  it('a signal handler that blocks every signal while it runs: refused by its name, and `store` goes on', () => {
    const got = lose<{ refused: Told; passed: number; ticks: number }>(
      'a signal handler that blocks every signal while it runs',
      { protocol: 'int3', writer: 'alias' },
    );
    expect(got.refused.code).toBe('trap-blocked');
    expect(got.refused.message).toMatch(/SIGALRM/);
    expect(got.refused.hint).toMatch(/sa_mask/);
    expect(got.passed).toBe(ONE);
    expect(got.ticks).toBeGreaterThan(0);
  });
  if (LONG)
    it('no signal handler with an empty mask', () => {
      const got = lose<{ updates: number; ticks: number }>('a signal handler with an empty mask');
      expect(got.updates).toBeGreaterThan(0);
      expect(got.ticks).toBeGreaterThan(0);
    });
  if (LONG)
    it("none of Node's own signal handlers, which block everything and call nothing of the program", () => {
      expect(lose("Node's own signal handlers")).toMatchObject({ passed: TWO });
    });
  if (LONG)
    it('a thread that blocks every signal by a raw system call, as it could not through libc: refused', () => {
      const got = lose<{ refused: Told; passed: number; after: number }>(
        'a thread that blocks every signal by a raw system call',
      );
      expect(got.refused.code).toBe('trap-blocked');
      expect([got.passed, got.after]).toEqual([ONE, TWO]);
    });
});

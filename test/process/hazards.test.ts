import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { LONG, more } from '../more.js';
import { answer, child, type Ended } from './child.js';
import { compileProgram } from './programs.js';

interface Refused {
  code: string;
  message: string;
  cause: string | null;
}

const folder = new Folder();
let library = '';
beforeAll(() => {
  if (gcc) library = compileProgram(folder, 'hazards.c');
});
afterAll(() => folder[Symbol.dispose]());
const run = (what: string): Ended => child('hazards.mjs', [JSON.stringify({ library, what })]);
const told = <T>(what: string): T => answer<T>(run(what));
/** What pass(1) returns when the key has its first, its second target. */
const [ONE, TWO] = [12, 13];

describe.skipIf(!gcc)('what a process does to itself', () => {
  it('a thread that blocks SIGTRAP is found before the batch; `store` goes on', () => {
    const got = told<{ refused: Refused; after: number; stored: number; then: number }>(
      'a thread blocks SIGTRAP',
    );
    expect(got).toMatchObject({
      refused: { code: 'trap-blocked' },
      after: ONE,
      stored: TWO,
      then: ONE,
    });
    expect(got.refused.message).toMatch(/thread \d+/);
  });

  if (LONG)
    it('a thread that slept through three looks and then blocks SIGTRAP is found by the next one', () => {
      expect(told('a thread that was looked at blocks SIGTRAP')).toEqual({
        looked: [TWO, ONE, TWO],
        code: 'trap-blocked',
        again: 'trap-blocked',
        then: ONE,
      });
    });

  if (LONG)
    it('a thread that is about to unblock SIGTRAP and waits for a CPU is waited for; by the clock alone it would be refused', () => {
      const got = told<{ patient: number; refused?: number; after: number }>(
        'a thread that would unblock SIGTRAP waits for a CPU',
      );
      expect(got).toMatchObject({ patient: 3, after: TWO });
      expect(got.refused).toBeGreaterThan(0);
    });

  if (LONG)
    it('a thread whose alternate stack has room for little more than a frame passes traps', () => {
      const got = told<{ traps: number; passed: number }>('a small alternate stack');
      expect(got.traps).toBeGreaterThan(0);
      expect(got.passed).toBeGreaterThan(0);
    });

  it('a handler that was there before gets every trap that is not ours, and none that is', () => {
    const got = told<{
      untouched: number;
      theirs: number;
      code: number;
      passed: number;
      traps: number;
      strays: { foreign: number };
    }>('a handler before ours');
    expect(got).toMatchObject({
      untouched: 0,
      theirs: 2,
      code: -6 /* SI_TKILL */,
      strays: { foreign: 2 },
    });
    expect(got.traps).toBeGreaterThan(0);
    expect(got.passed).toBeGreaterThan(0);
  });

  it.each(['a handler after ours', ...more('process.on SIGTRAP')])(
    '%s is noticed before the next batch',
    (what) => {
      expect(told(what)).toMatchObject({ refused: { code: 'handler-replaced' } });
    },
  );
  it('and a batch without traps is still done', () => {
    expect(told('a handler after ours')).toMatchObject({ after: TWO, stored: ONE });
  });

  it.each(['a trap of nobody', ...more('a sent SIGTRAP', 'an ignored SIGTRAP and an int3')])(
    '%s ends the process by SIGTRAP, as without us',
    (what) => {
      const got = run(what);
      expect([got.status, got.signal]).toEqual([null, 'SIGTRAP']);
      expect(got.stdout).not.toContain('survived');
    },
  );
  if (LONG)
    it('a SIGTRAP that is sent and was ignored stays ignored', () => {
      expect(told('an ignored SIGTRAP that is sent')).toEqual({ foreign: 1 });
    });

  if (LONG)
    it('longjmp leaves a target that was reached through a trap', () => {
      expect(told('longjmp out of a target')).toEqual({
        during: 100,
        after: 100,
        traps: 100,
        drift: 0,
      });
    });

  it('without membarrier nothing is opened', ({ skip }) => {
    const got = told<{ skipped?: string }>('seccomp without membarrier, before');
    if (got.skipped) skip(got.skipped);
    expect(got).toMatchObject({ refused: { code: 'no-membarrier' }, after: ONE });
  });
  it.for([
    ['seccomp without membarrier, later', 'no-membarrier'],
    ...more(['seccomp without pwrite, later', 'no-text-write'] as const),
  ])('%s: the update is taken back', ([what, cause], { skip }) => {
    const got = told<{ skipped?: string; passed: number }>(what!);
    if (got.skipped) skip(got.skipped);
    expect(got).toMatchObject({
      refused: { code: 'update-failed', cause },
      after: ONE,
      target: 'act_one',
      drift: 0,
    });
    expect(got.passed).toBeGreaterThan(0);
  });

  if (LONG)
    it("a debugger's breakpoint on a site is refused and left alone; without it the update goes through", () => {
      expect(told('a breakpoint of a debugger on a site')).toEqual({
        codes: ['foreign-trap', 'foreign-trap'],
        stands: true,
        drifts: ['foreign'],
        after: TWO,
      });
    });

  if (LONG)
    it('where memory runs out nothing is opened, what is open goes on, and a child of fork keeps the text that it shares', () => {
      const roomy = compileProgram(folder, 'hazards.c', [
        '-DROOM="0x2000000"',
        '-Wl,--no-gc-sections',
      ]);
      const got = answer<{
        limits: number[];
        refused: { message: string }[];
        child: number;
        passed: number;
      }>(
        child('hazards.mjs', [
          JSON.stringify({ library: roomy, what: 'memory runs out', other: library }),
        ]),
      );
      expect(got).toMatchObject({
        limits: [0, 0, 0, 0, 0, 0, 0, 0],
        after: ONE,
        updates: true,
        then: TWO,
        drift: 0,
      });
      expect(got.refused).toMatchObject(Array(3).fill({ code: 'no-memory' }));
      expect(got.refused.map(({ message }) => message)).toEqual([
        expect.stringMatching(/^the decoder was refused its memory/),
        'the file does not fit into memory',
        expect.stringMatching(/a second time failed: ENOMEM$/),
      ]);
      expect([ONE, TWO]).toContain(got.child);
      expect(got.passed).toBeGreaterThan(0);
    });

  if (LONG)
    it('a process may end in the middle of an update', () => {
      expect(told('the process ends in the middle of an update')).toEqual({ ended: true });
    });

  if (LONG)
    it('a worker that is terminated in the middle of an update leaves the lock to the next, who mends what it left', () => {
      const got = told<{ passed: number }>('a worker is terminated in the middle of an update');
      expect(got).toMatchObject({ during: TWO, after: [ONE, 0], then: [TWO, 0] });
      expect(got.passed).toBeGreaterThan(0);
    });

  if (LONG)
    it('an object that is opened twice has one state, and is put back when the last one closes', () => {
      expect(told('the same object opened twice')).toEqual({
        seen: ['act_two', TWO],
        back: ['act_one', ONE, 0, 0],
        open: ['act_two', TWO],
        closed: ONE,
      });
    });
  if (LONG)
    it('two copies of an object have two', () => {
      expect(told('two objects that are copies')).toEqual({
        first: [TWO, ONE],
        second: [ONE, TWO],
      });
    });
  it('a library that is unloaded by whoever loaded it stays where its sites and targets are in use', () => {
    expect(told('a library is unloaded by whoever loaded it')).toEqual({
      left: [false, true, true],
      passed: 12 + 10,
      then: [13, 0],
      closed: 12,
    });
    if (!LONG) return;
    const unpinned = child(
      'hazards.mjs',
      [JSON.stringify({ library, what: 'a library is unloaded by whoever loaded it' })],
      { mistake: { file: 'app/target.js', edits: [['this.#pin(map.path);', '']] } },
    );
    expect(unpinned.signal).toBe('SIGSEGV');
  });
  if (LONG)
    it('two copies of the library share the handler, the keys and their state', () => {
      expect(told('two copies of the library')).toEqual({
        different: true,
        seen: ['act_two', TWO],
        passed: true,
        back: ['act_one', ONE, 0, 0],
        refused: 'no-such-file',
        runtimes: 1,
        open: TWO,
        closed: ONE,
      });
    });
  if (LONG)
    it('workers that open and update the same object take turns', () => {
      const got = told<{ updates: number; drifts: number[]; passed: number; drift: number }>(
        'workers that open the same object',
      );
      expect(got).toMatchObject({ drifts: [0, 0, 0], drift: 0 });
      expect(got.passed).toBeGreaterThan(0);
    });
});

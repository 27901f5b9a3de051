import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

interface Answer {
  first: number;
  again: unknown[];
  hook: number[];
  foreign: unknown[];
  unsynced: unknown[];
  copied: unknown[] | null;
  closed: unknown[] | null;
  between: unknown[];
}

/** Calls into machine code, and after each of two updates the target, what runs, and drifts. */
const both = (there: unknown, back: unknown): unknown[] => [
  there,
  'step_two',
  12,
  0,
  back,
  'step_one',
  11,
  0,
];

describe.skipIf(!gcc).each(['alias', 'procmem'])('an update that is repeated, %s', (writer) => {
  const ask = (): Answer => {
    const library = compileProgram(folder, 'updates.c');
    return answer<Answer>(child('repeat.mjs', [JSON.stringify({ library, writer })]));
  };
  let said: Answer | null = null;
  const told = (): Answer => (said ??= ask());

  it('is one call into machine code from the third time on, and two before', () => {
    expect(told().first).toBe(2);
    expect(told().again).toEqual(both(1, 1));
  });
  it('is that too for a hook that is off, whichever of its targets it had before', () => {
    expect(told().hook).toEqual(new Array(8).fill(1));
  });
  it('leaves a site alone that other code has written meanwhile', () => {
    expect(told().foreign).toEqual(['drift', true, 'step_one', ...both(1, 1)]);
  });
  it('ends as any other where its synchronisation is refused, and the next is made anew', () => {
    // Behind its one store the way is forward, and from a trap it is back: where one byte or one
    // quadword holds what changes is up to the linker.
    const { unsynced } = told();
    const forward = unsynced[1] === 'step_two';
    const ended = ['update-failed', forward ? 'step_two' : 'step_one', 0];
    const next = forward ? both(1, 2) : both(2, 1);
    expect(unsynced).toEqual([...ended, ...next, ...both(1, 1)]);
  });
  it.skipIf(writer === 'alias')('does not write to the file that has its descriptor now', () => {
    expect(told().closed).toEqual([true, 3, 'step_two', 12, 0, 'not ours', ...both(1, 1)]);
  });
  it.skipIf(writer === 'alias')(
    'does nothing in a copy of the process, whose descriptor is of the one that was copied',
    () => {
      expect(told().copied).toEqual([0, 11, 1, 'step_one', 11, 0]);
    },
  );
  it('sees what another program of the process did to the key and to the text', () => {
    const { between } = told();
    expect(between.filter((_, k) => k % 4 !== 0)).toEqual([
      ...Array.from({ length: 3 }, () => ['step_one', 11, 0]).flat(),
      ...both(0, 0).filter((_, k) => k % 4 !== 0),
    ]);
  });
});

describe.skipIf(!gcc).each(['alias', 'procmem'])(
  'two keys that are updated again, %s',
  (writer) => {
    it('go together or apart, whatever came in between', () => {
      const library = compileProgram(folder, 'updates.c');
      const told = answer<{
        together: number;
        between: Record<string, number>;
        wrong: string[];
        drifts: number;
      }>(
        child('repeat-together.mjs', [JSON.stringify({ library, writer, seed: 1, updates: 1000 })]),
      );
      expect(told).toMatchObject({ wrong: [], drifts: 0 });
      expect(told.together).toBeGreaterThan(100);
      expect(Object.values(told.between).every((times) => times > 20)).toBe(true);
      expect(Object.keys(told.between)).toHaveLength(3);
    });
  },
);

describe.skipIf(!gcc)('an update of a thousand sites that is repeated', () => {
  const told = (writer: string): unknown => {
    const library = compileProgram(folder, 'many.c', ['-DSITES=1000']);
    return answer(child('repeat-large.mjs', [JSON.stringify({ library, writer })]));
  };
  const [two, one] = [
    [0, 1000, 0],
    [1000, 0, 0],
  ];
  it('is one call where a step is one operation, and sees what others wrote', () => {
    const pairs = [2, 2, 2, 2, 1, 1].map((calls, k) => [calls, ...(k % 2 === 0 ? two : one)!]);
    expect(told('alias')).toEqual([...pairs, ['drift', true], [1, ...two!]]);
  });
  it('is drawn anew through the file, where each site is an operation', () => {
    const pairs = Array.from({ length: 6 }, (_, k) => [2, ...(k % 2 === 0 ? two : one)!]);
    expect(told('procmem')).toEqual(pairs);
  });
});

describe.skipIf(!gcc)('an update that is repeated, and the page of the mark', () => {
  it.for([
    ['mmap', 2, 0],
    ['madvise', 2, 0],
    ['nothing', 1, 1],
  ] as const)(
    '%s is refused for the page: the update takes %i calls, and %i pages stay mapped',
    ([refused, calls, pages]) => {
      const library = compileProgram(folder, 'updates.c');
      const lived = (count: number, left: number): unknown => ({
        updates: both(count, count),
        runs: 11,
        pages: left,
      });
      expect(answer(child('unmarked.mjs', [JSON.stringify({ library, refused })]))).toEqual({
        first: lived(calls, pages),
        // What was refused is asked for again.
        then: lived(1, 1),
      });
    },
  );
});

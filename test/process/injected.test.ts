import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import type { Mistake } from '../mistake/mistake.js';
import { LONG, more } from '../more.js';
import { answer, child } from './child.js';
import { drifting, driftingChild, expectInjected, inject, type Drifting } from './injected.js';
import { NO_CHUNKS, opening, type Opening } from './opening.js';
import { compileProgram } from './programs.js';
import { WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)(
  'every effect of a batch refused in turn, with two threads passing its sites',
  () => {
    // Through /proc/self/mem each site is an effect of its own: 36 sites there, 204 otherwise.
    const library = gcc ? compileProgram(folder, 'grid.c') : '';
    const few = gcc ? compileProgram(folder, 'grid.c', ['-DEACH=6']) : '';
    const gridOf = ({ writer }: { writer: string }): string =>
      writer === 'procmem' ? few : library;
    const all = WAYS.flatMap((way) => ['once', 'good'].map((how) => ({ ...way, how })));
    // One of each protocol, writer and way to fail.
    const short = all.filter((_, i) => i === 1 || i === 4);
    const rows = [...short, ...more(...all.filter((row) => !short.includes(row)))];

    it.each(rows)(
      '$protocol, $writer, refused $how: sites, keys and tables agree, threads are right, the next update mends',
      ({ how, ...options }) => {
        expectInjected(inject(gridOf(options), options, how), options, how);
      },
    );

    if (LONG)
      it.each([WAYS[0], ...more(WAYS[2])])(
        '$protocol, $writer, a registration for membarrier that is gone (a child of fork has none): it is made again',
        (options) => {
          const got = inject(gridOf(options), options, 'unregistered');
          expect(got.problems).toEqual([]);
          expect([got.ends, got.tried]).toEqual([{}, options.protocol === 'int3' ? 3 : 1]);
        },
      );

    if (LONG)
      it('a runtime that forgets its parked sites is noticed', () => {
        expect(inject(few, WAYS[0], 'good', 'forgets-parked').problems).not.toEqual([]);
      });
  },
);

describe.skipIf(!gcc)(
  'a byte of each site in turn changed by somebody while the batch is written',
  () => {
    it('store: a site that is exchanged is left to him and named, the others go back; one of which only the displacement is stored goes on', () => {
      const got = drifting(folder, 'store', 0);
      expect(got.problems).toEqual([]);
      expect(got.noticed + got.written).toBe(got.sites);
      expect(got.noticed).toBeGreaterThan(50);
      expect(got.written).toBeGreaterThan(30);
    });
    if (LONG)
      it.each<[string, Mistake]>([
        [
          "what is somebody else's is taken for ours",
          {
            file: 'machine/process/records.js',
            edits: [['if (site.every(', 'if (true || site.every(']],
          },
        ],
        [
          'the way back stops where it cannot go',
          {
            file: 'machine/transact.js',
            edits: [
              [
                'const changed = protocol.handler === null ? ours(others, machine) : others;',
                'const changed = others;',
              ],
            ],
          },
        ],
        [
          'a changed site makes the update a mixed one',
          {
            file: 'machine/transact.js',
            edits: [
              [
                "return isEmpty(ours(others, machine)) ? end : 'mixed';",
                "return isEmpty(others) ? end : 'mixed';",
              ],
            ],
          },
        ],
      ])('is noticed where %s', (_, mistake) => {
        const ended = driftingChild(folder, 'store', 0, 6, mistake);
        if (ended.status === 0) expect(answer<Drifting>(ended).failed).toBeGreaterThan(0);
      });
  },
);

if (LONG)
  describe.skipIf(!gcc)('every effect of opening and of closing refused in turn', () => {
    it.each([
      { writer: 'procmem', memory: 'as it is' },
      { writer: 'alias', memory: 'mapped anew for each allocation' },
    ])(
      '$writer, memory $memory: nothing is changed, no file is left open, and it can be opened or closed again',
      ({ writer, memory }) => {
        const got = answer<Opening>(
          opening(folder, writer, memory === 'as it is' ? undefined : NO_CHUNKS),
        );
        expect(got.problems).toEqual([]);
        expect(Object.keys(got.codes.open).sort()).toEqual(
          [
            'no-membarrier',
            'no-memory',
            'not-loaded',
            'not-supported',
            'update-failed',
            ...(writer === 'procmem' ? ['no-text-write'] : []),
          ].sort(),
        );
        expect(Object.keys(got.codes.close)).toEqual(['update-failed']);
        expect(got.closed).toBeGreaterThan(0);
        // Runtime, key records, columns of both keys, table: where each allocation maps, each was
        // refused.
        if (memory !== 'as it is') expect(got.codes.open['no-memory']).toBeGreaterThan(20);
      },
    );
  });

it.skipIf(!gcc)('an update after one whose synchronisation was refused begins with one', () => {
  const library = compileProgram(folder, 'grid.c');
  const got = answer<Record<string, unknown>>(child('owed.mjs', [JSON.stringify({ library })]));
  const before = Number(got['before']);
  expect(before).toBeGreaterThan(0);
  expect(got).toMatchObject({ code: 'update-failed', after: before + 1, again: before });
});

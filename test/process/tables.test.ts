// Tables as tools other than ours may leave them: in any order, with an entry twice, with two
// entries that cannot both be.

import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { LONG, more } from '../more.js';
import { expectRight, soak } from './soaked.js';
import { backwards, COUNT, everySecondTwice, withTable } from './tables.js';
import { WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const EXPORTED = ['work', 'hook', 'filter'].map((key) => `-DSTATIC_CALL_EXPORTED_${key}=1`);

describe.skipIf(!gcc)('a table of sites', () => {
  it.each([WAYS[0], ...more(WAYS[2])])(
    'that lists sites twice and others not at all: each site is patched once: $protocol, $writer',
    (way) => {
      const library = withTable(folder, `twice-${way.protocol}`, [], everySecondTwice);
      const got = soak(library, way, 0.4);
      expectRight(got);
      expect(Object.values(got.sites).reduce((a, b) => a + b)).toBe(COUNT + 5);
    },
  );

  if (LONG)
    it('in any order is the same table', () => {
      const library = withTable(folder, 'backwards', [], backwards);
      const got = soak(library, WAYS[0], 0.4);
      expectRight(got);
      expect(Object.values(got.sites).reduce((a, b) => a + b)).toBe(COUNT + 5);
    });

  if (LONG)
    it('with two sites that overlap is refused', () => {
      const library = withTable(
        folder,
        'overlapping',
        ['-fno-plt', ...EXPORTED],
        (table, byteAt) => {
          // Behind the prefix of a six-byte call another call seems to begin.
          const six = [...table.sites].findIndex((at) => byteAt(at) === 0x67);
          for (const column of [table.sites, table.keys, table.flags])
            column[six === 0 ? 1 : 0] = column[six]!;
          table.sites[six === 0 ? 1 : 0]!++;
        },
      );
      expect(() => soak(library, WAYS[0], 0.4)).toThrow(/two sites overlap[^]*bad-site/);
    });
});

import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { more } from '../more.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';
import { WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)('an update of two keys with 204 sites', () => {
  const library = gcc ? compileProgram(folder, 'grid.c') : '';

  it.each([WAYS[2], ...more(WAYS[0], WAYS[1], WAYS[3])])(
    '$protocol, $writer: leaves JavaScript once to look, whatever the number of keys, and once for all that it does',
    (options) => {
      const { each, sites, journal } = answer<{
        each: Record<string, number>;
        sites: number;
        journal: { length: number; last: unknown[] };
      }>(child('crossings.mjs', [JSON.stringify({ library, options })]));
      expect(sites).toBeGreaterThan(200);
      // The writer procmem asks once whether its descriptor is still its own.
      const calls = options.writer === 'procmem' ? 1 : 0;
      expect(each).toEqual({ code: 2, calls, others: 0 });
      // 1,110 updates, of which the journal keeps the last thousand at most.
      expect(journal).toEqual({ length: 610, last: ['work_three', null] });
    },
  );
});

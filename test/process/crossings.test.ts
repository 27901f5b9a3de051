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
    '$protocol, $writer: leaves JavaScript once for all that it does, and at most once to look',
    (options) => {
      const { each, sites, journal } = answer<{
        each: Record<string, number>;
        sites: number;
        journal: { length: number; last: unknown[] };
      }>(child('crossings.mjs', [JSON.stringify({ library, options })]));
      expect(sites).toBeGreaterThan(200);
      // The writer procmem asks once whether its descriptor is still its own, and writes to so many
      // sites one by one, which is not kept. Under `store` some sites are left to their trampoline.
      const calls = options.writer === 'procmem' ? 1 : 0;
      const isKept = calls === 0 && options.protocol === 'int3';
      expect(each).toEqual({ code: isKept ? 1 : 2, calls, others: 0 });
      // 1,110 updates, of which the journal keeps the last thousand at most.
      expect(journal).toEqual({ length: 610, last: ['work_three', null] });
    },
  );
});

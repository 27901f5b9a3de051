import { cpus } from 'node:os';
import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { more } from '../more.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

interface Torn {
  skipped?: string;
  offset: number;
  updates: number;
  during: number[];
  calls: number;
  wrong: number;
  ms: number;
}

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

function torn(offset: number, way: string, updates: number, untilTorn = false): Torn {
  const library = compileProgram(folder, 'torn.c', [`-DOFFSET=${offset}`]);
  return answer<Torn>(
    child('torn.mjs', [JSON.stringify({ library, way, updates, untilTorn })], {
      timeoutMs: 120_000,
    }),
  );
}

describe.skipIf(!gcc || cpus().length < 2)(
  'a site near the end of its cache line, swapped while the other CPU runs it',
  () => {
    it.for([61, ...more(60, 62)])(
      'five stores, unpaced, at byte %i: calls are torn',
      (offset, { skip }) => {
        const got = torn(offset, 'naive-unpaced', 1_000_000, true);
        if (got.skipped !== undefined) skip(got.skipped);
        expect(got.offset).toBe(offset);
        expect(got.calls, 'the other CPU was seen running').toBeGreaterThan(0);
        expect(got.during[0]! + got.during[7]!).toBeGreaterThan(0);
        expect(got.wrong).toBeGreaterThan(0);
      },
    );

    it('the same site under int3: none is', () => {
      const got = torn(61, 'int3', 15_000);
      expect(got.calls).toBeGreaterThan(0);
      expect(got.wrong).toBe(0);
    });

    it('one store inside one quadword: none is', () => {
      const got = torn(8, 'store', 15_000);
      expect(got.calls).toBeGreaterThan(0);
      expect(got.wrong).toBe(0);
    });
  },
);

import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

interface Row {
  distance: number;
  skipped?: number;
  fault?: string;
  adds: number;
  got: number[];
  veneer: boolean;
  drift: number;
  target: boolean;
}

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const far = (mutant?: string): Row[] =>
  answer<Row[]>(
    child('far.mjs', [JSON.stringify({ library: compileProgram(folder, 'far.c'), mutant })]),
  ).filter((row) => row.skipped === undefined);

describe.skipIf(!gcc)('targets at any distance', () => {
  it('are reached directly within 2 GiB and through a veneer beyond, from call and tail sites and by the pointer', () => {
    const rows = far();
    expect(rows.filter((row) => row.veneer).length).toBeGreaterThanOrEqual(2);
    for (const row of rows) {
      expect(row, String(row.distance)).toMatchObject({
        veneer: Math.abs(row.distance) > 2 ** 31 - 4096,
        drift: 0,
        target: true,
      });
      expect(row.got, String(row.distance)).toEqual([
        1000 + row.adds + 100,
        1000 + row.adds,
        1000 + row.adds,
      ]);
    }
  });

  it('without the check of the range a far one is not reached', () => {
    expect(
      far('no-range-check').filter((row) => row.fault === 'out-of-reach').length,
    ).toBeGreaterThanOrEqual(2);
  });
});

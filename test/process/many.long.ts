import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { expectMany, many } from './many.js';
import { WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)('a million sites of one key', () => {
  it.each(WAYS)('$protocol, $writer: opened within 500 MB, retargeted and put back', (way) => {
    const got = many(folder, 1_000_000, way);
    expectMany(got, 1_000_000);
    expect(got.peakMB).toBeLessThan(500);
    console.log(
      `${way.protocol}, ${way.writer}: opened in ${(got.openMs / 1000).toFixed(2)} s and ${got.peakMB.toFixed(0)} MB, a batch takes ${got.best.toFixed(1)} ms at best, ${got.median.toFixed(1)} ms as a rule`,
    );
  });
});

describe.skipIf(!gcc)('a hundred thousand sites of one key', () => {
  it.each(WAYS)('$protocol, $writer', (way) => {
    const got = many(folder, 100_000, way);
    expectMany(got, 100_000);
    console.log(
      `${way.protocol}, ${way.writer}: a batch takes ${got.best.toFixed(1)} ms at best, ${got.median.toFixed(1)} ms as a rule`,
    );
  });
});

// The storm of lives and deaths as a test: short in `npm test`, five minutes in the long run.

import { expect } from 'vitest';
import { Folder } from '../build.js';
import { answer, child, type Ended } from './child.js';
import { compileProgram } from './programs.js';

export interface Lives {
  died: number;
  wrong: { what: string; got: number; expected: number; after: number }[];
  slowest: number;
  left: { mappings: number; files: number };
}

/** At least so many deaths, at least so long, and after each a pause, ms. */
export function lifestorm(deaths: number, seconds: number, seed: number, pause = 0): Ended {
  using folder = new Folder();
  const library = compileProgram(folder, 'lives.c');
  return child('lifestorm.mjs', [JSON.stringify({ library, deaths, seconds, seed, pause })], {
    timeoutMs: 60_000 + 2000 * seconds + 5000 * deaths,
  });
}

/** What must have come of it. The seed is told where it did not. */
export function expectLived(ended: Ended, seed: number): void {
  const got = answer<Lives>(ended);
  const about = `seed ${seed}: ${JSON.stringify(got)}`;
  expect(got.wrong, about).toEqual([]);
  expect(got.slowest, about).toBeLessThan(5000);
  // What the first deaths left for good does not grow with the others.
  expect(got.left.mappings, about).toBeLessThanOrEqual(0);
}

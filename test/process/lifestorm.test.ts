// That this can fail is shown by a row of test/mutants/table.mjs: without what a thread gives back as
// it ends, the first fork after a death hangs.

import { it } from 'vitest';
import { gcc } from '../build.js';
import { expectLived, lifestorm } from './lifestorm.js';

/** The other tests want the CPUs meanwhile. */
const PAUSE_MS = 700;
const seed = Date.now() % 1_000_000;

it.skipIf(!gcc)('workers die wherever they are for thirty seconds: forks and updates go on', () => {
  expectLived(lifestorm(3, 30, seed, PAUSE_MS), seed);
});

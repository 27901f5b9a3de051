import { it } from 'vitest';
import { gcc } from '../build.js';
import { expectLived, lifestorm } from './lifestorm.js';

const seed = Date.now() % 1_000_000;

it.skipIf(!gcc)('five minutes of workers that are terminated, and at least two hundred', () => {
  expectLived(lifestorm(200, 300, seed), seed);
});

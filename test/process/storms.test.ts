import { expect, it } from 'vitest';
import { gcc } from '../build.js';
import { expectWeathered, storms } from './storms.js';

it.skipIf(!gcc)('eight seconds of four threads, every protocol and writer and every storm: no wrong result, no lost call, no crash', () => {
  const got = storms(8);
  expectWeathered(got);
  expect(got.turns).toBeGreaterThanOrEqual(24);
});

import { expect, it } from 'vitest';
import { gcc } from '../build.js';
import { expectWeathered, storms } from './storms.js';

it.skipIf(!gcc)('five minutes of four threads through every storm: no wrong result, and no growth after the first minute', () => {
  const got = storms(300);
  expectWeathered(got);
  expect(got.last.heapMB / got.settled.heapMB).toBeLessThan(1.05);
  expect(got.last.residentMB - got.settled.residentMB).toBeLessThan(16);
});

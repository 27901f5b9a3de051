import { expect, it } from 'vitest';
import { gcc } from '../build.js';
import { expectWeathered, storms } from './storms.js';

it.skipIf(!gcc)(
  'five minutes of four threads through every storm: no wrong result, and no growth after the first minute',
  () => {
    const got = storms(300);
    expect(got.seconds).toBeGreaterThanOrEqual(300);
    expectWeathered(got);
  },
);

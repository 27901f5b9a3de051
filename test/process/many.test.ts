import { afterAll, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { expectMany, many } from './many.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

it.skipIf(!gcc)(
  'a hundred thousand sites of one key are retargeted in one batch, again and again, with a thread passing them',
  () => {
    // Whether the thread was on a CPU just in one of these few batches, and met a trap, is the
    // scheduler's affair.
    expectMany(many(folder, 100_000, { protocol: 'int3', writer: 'alias' }), 100_000);
  },
);

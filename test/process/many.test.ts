import { afterAll, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { expectMany, many } from './many.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

it.skipIf(!gcc)('a hundred thousand sites of one key are retargeted in one batch, again and again, with a thread passing them', () => {
  const got = many(folder, 100_000, { protocol: 'int3', writer: 'alias' });
  expectMany(got, 100_000);
  expect(got.traps).toBeGreaterThan(0);
});

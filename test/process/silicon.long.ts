import { expect, test } from 'vitest';
import { ROWS } from '#x86/isa/table';
import { compare, here } from './silicon.js';

test.skipIf(!here)('100,000 random instructions do the same on the real CPU and on the simulator', ({ skip }) => {
  const result = compare(100_000, 1);
  if (result.skipped !== undefined) skip(result.skipped);
  expect(result.disagreements).toEqual([]);
  expect(result.cases).toBe(100_000);
});

test.skipIf(!here).each([...new Set<string>(ROWS.filter(([, , , runs]) => runs === 'user').map(([name]) => name))])('%s without its effect is noticed', (key) => {
  const result = compare(200, 3, key, 'no-effect');
  if (result.skipped === undefined) expect(result.problems).toBeGreaterThan(0);
});

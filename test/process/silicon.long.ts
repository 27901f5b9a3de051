import { expect, test } from 'vitest';
import { ROWS } from '#asm/table';
import { contexts, here, instructions } from './silicon.js';

test.skipIf(!here)(
  '100,000 random instructions do the same on the real CPU and on the simulator',
  ({ skip }) => {
    const result = instructions(100_000, 1);
    if (result.skipped !== undefined) skip(result.skipped);
    expect(result.disagreements).toEqual([]);
    expect(result.cases).toBe(100_000);
  },
);

test
  .skipIf(!here)
  .each([...new Set<string>(ROWS.filter(([, , , runs]) => runs === 'user').map(([name]) => name))])(
  '%s without its effect is noticed',
  (key) => {
    const result = instructions(200, 3, key, 'no-effect');
    if (result.skipped === undefined) expect(result.problems).toBeGreaterThan(0);
  },
);

test.skipIf(!here)('10,000 random contexts through the whole SIGTRAP handler', ({ skip }) => {
  const result = contexts(10_000, 1);
  if (result.skipped !== undefined) skip(result.skipped);
  expect(result.disagreements).toEqual([]);
});

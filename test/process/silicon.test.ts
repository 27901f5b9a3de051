import { expect, test } from 'vitest';
import { ROWS } from '#x86/isa/table';
import { compare, here } from './silicon.js';

/** Rows that the real CPU is not asked about, with where the manual says why. */
const apart = ROWS.filter(([, , , runs]) => runs !== 'user').map(([name]) => name as string);

test.skipIf(!here)('5,000 random instructions do the same on the real CPU and on the simulator, over every row that runs at user privilege', ({ skip }) => {
  const result = compare(5000, 20261123);
  if (result.skipped !== undefined) skip(result.skipped);
  expect(result.disagreements).toEqual([]);
  expect(result.cases).toBe(5000);
  const compared = Object.keys(result.rows);
  const names = new Set<string>(ROWS.map(([name]) => name));
  expect([...new Set([...compared, ...apart])].sort()).toEqual([...names].sort());
});

test('the rows that are not compared say where the manual has them', () => {
  for (const [name, , , runs, manual] of ROWS) if (runs !== 'user') expect(manual, name).toMatch(/volume|#GP|enters/);
  expect(apart).toEqual(['serialize', 'cpuid', 'int3', 'ud1', 'ud2', 'syscall', 'cli', 'sti', 'hlt', 'sysretq', 'swapgs', 'mov', 'mov', 'rdsspq', 'incsspq', 'wrssq']);
});

const keys = [...new Set<string>(ROWS.filter(([, , , runs]) => runs === 'user').map(([name]) => name))];

test.skipIf(!here)('a row that does nothing is noticed, whichever it is', ({ skip }) => {
  // One process for all of them would hide a second failure behind the first; a few rows stand for each family of effect,
  // and the long run takes every row.
  for (const key of ['{alu}', 'push', 'call', 'cmpxchg']) {
    const result = compare(60, 7, key, 'no-effect');
    if (result.skipped !== undefined) skip(result.skipped);
    expect(result.problems, key).toBeGreaterThan(0);
  }
  expect(keys).toContain('{alu}');
});

test.skipIf(!here).each(['sub-carry', 'keeps-upper-half'])('the mutant %s is noticed', (mutant) => {
  const result = compare(1000, 7, '{alu}', mutant);
  if (result.skipped === undefined) expect(result.problems).toBeGreaterThan(0);
});

import { expect, test } from 'vitest';
import { ROWS } from '#asm/table';
import { contexts, here, instructions } from './silicon.js';
import { LONG, more } from '../more.js';

/** Rows that the real CPU is not asked about, with where the manual says why. */
const apart = ROWS.filter(([, , , runs]) => runs !== 'user').map(([name]) => name as string);

test.skipIf(!here)(
  '5,000 random instructions do the same on the real CPU and on the simulator, over every row that runs at user privilege',
  ({ skip }) => {
    const result = instructions(5000, 20261123);
    if (result.skipped !== undefined) skip(result.skipped);
    expect(result.disagreements).toEqual([]);
    expect(result.cases).toBe(5000);
    const compared = Object.keys(result.rows);
    const names = new Set<string>(ROWS.map(([name]) => name));
    expect([...new Set([...compared, ...apart])].sort()).toEqual([...names].sort());
  },
);

test('the rows that are not compared say where the manual has them', () => {
  for (const [name, , , runs, manual] of ROWS)
    if (runs !== 'user') expect(manual, name).toMatch(/volume|#GP|enters/);
  expect(apart).toEqual([
    'serialize',
    'cpuid',
    'int3',
    'ud1',
    'ud2',
    'syscall',
    'cli',
    'sti',
    'hlt',
    'sysretq',
    'swapgs',
    'mov',
    'mov',
    'rdsspq',
    'incsspq',
    'wrssq',
  ]);
});

if (LONG)
  test.skipIf(!here)('a row that does nothing is noticed', ({ skip }) => {
    // A few rows here, one for each way of having an effect; the long run takes every row.
    for (const key of ['{alu}', 'push', 'call', 'cmpxchg']) {
      const result = instructions(60, 7, key, 'no-effect');
      if (result.skipped !== undefined) skip(result.skipped);
      expect(result.problems, key).toBeGreaterThan(0);
    }
  });

test.skipIf(!here).each(['sub-carry', ...more('keeps-upper-half')])(
  'the mutant %s is noticed',
  (mutant) => {
    const result = instructions(1000, 7, '{alu}', mutant);
    if (result.skipped === undefined) expect(result.problems).toBeGreaterThan(0);
  },
);

test.skipIf(!here)(
  'the whole SIGTRAP handler does the same on the real CPU and on the simulator, and what the table says',
  ({ skip }) => {
    const result = contexts(1000, 20261123);
    if (result.skipped !== undefined) skip(result.skipped);
    expect(result.disagreements).toEqual([]);
    expect(Object.keys(result.rows).sort()).toEqual([
      'call',
      'elsewhere',
      'jcc',
      'jmp',
      'none',
      'nop',
      'passed',
      'ret',
      'ret0',
      'taken',
    ]);
  },
);

test.skipIf(!here)(
  'the handler takes all sixteen conditions with every combination of their flags as the real CPU and the simulator do',
  ({ skip }) => {
    const result = contexts(0, 20261126);
    if (result.skipped !== undefined) skip(result.skipped);
    expect(result.conditions).toBe(16 * 32);
    expect(result.disagreements).toEqual([]);
    const eight = contexts(0, 20261126, 'eight-conditions');
    if (eight.skipped === undefined) expect(eight.problems).toBeGreaterThan(0);
  },
);

test.skipIf(!here)('a wrong SETcc in the simulated handler is noticed', () => {
  const result = contexts(200, 7, 'setcc');
  if (result.skipped === undefined) expect(result.problems).toBeGreaterThan(0);
});

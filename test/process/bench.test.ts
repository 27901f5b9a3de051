import { cpus } from 'node:os';
import { describe, expect, it } from 'vitest';
import { answer, child } from './child.js';

interface Answer {
  rows: Record<string, Record<string, { rows: number; missing: string[] }>>;
  again: { compared: number; regressions: unknown[] };
  slowed: { compared: number; regressions: { row: string }[] };
}
const RUNNING = [
  'An update: one thread running, elsewhere in the program',
  'An update: one thread calling through the sites all the time',
  'An update: two threads calling through the sites all the time',
  'The pause: the longest gap between two passes of the running thread, while',
];
const WHY = 'a thread that should run was not on a CPU just before a sample';

// Chance can lift a ratio on a machine that does much else; a build that is slower is slower every time.
describe('the benchmark', { retry: 2, timeout: 180_000 }, () => {
  it('refuses the running rows when the thread does not run, fails the gate when a path is slow, and passes it again when nothing changed', () => {
    const { rows, again, slowed } = answer<Answer>(child('bench.mjs', [], { timeoutMs: 150_000 }));
    for (const title of RUNNING) {
      expect(rows['stopped']![title]!.rows, title).toBe(0);
      if (cpus().length > 1) expect(rows['stopped']![title]!.missing.join(), title).toContain(WHY);
    }
    // The other rows are there: what was refused is the claim and not the run.
    expect(rows['stopped']!['An update: no thread running']!.rows).toBeGreaterThan(2);
    expect(rows['first']!['An update: no thread running']!.rows).toBeGreaterThan(2);
    expect(slowed.compared).toBeGreaterThan(2);
    expect(slowed.regressions.length).toBeGreaterThan(2);
    expect(again.compared).toBeGreaterThan(2);
    expect(again.regressions).toEqual([]);
  });
});

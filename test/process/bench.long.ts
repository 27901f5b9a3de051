import { describe, expect, it } from 'vitest';
import { bench, expectRefused } from './bench.js';

// Chance can lift a ratio on a machine that does much else; a build that is slower is slower every time.
describe('the benchmark and its gate', { retry: 2, timeout: 180_000 }, () => {
  it('refuses the running rows when the thread does not run, fails the gate when a path is slow, and passes it again when nothing changed', () => {
    const said = bench('first', 'second', 'stopped', 'slowed');
    expectRefused(said);
    expect(said.rows['first']!['An update: no thread running']!.rows).toBeGreaterThan(2);
    expect(said.slowed!.compared).toBeGreaterThan(2);
    expect(said.slowed!.regressions.length).toBeGreaterThan(2);
    expect(said.again!.compared).toBeGreaterThan(2);
    expect(said.again!.regressions).toEqual([]);
  });
});

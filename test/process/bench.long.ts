import { describe, expect, it } from 'vitest';
import { bench, expectRefused, type Benched } from './bench.js';

/**
 * The gate's own tolerance is a matter of the machine; what a slow path does to a ratio (9 was
 * measured) is told from chance by a wide margin.
 */
const MUCH = 3;
const grown = (verdict: Benched['again']): unknown[] =>
  verdict!.regressions.filter(({ before, after }) => after > MUCH * before);

describe('the benchmark and its gate', () => {
  it('refuses the running rows when the thread does not run, fails the gate when a path is slow, and passes it again when nothing changed', () => {
    const said = bench('first', 'second', 'stopped', 'slowed');
    expectRefused(said);
    expect(said.rows['first']!['An update: no thread running']!.rows).toBeGreaterThan(2);
    expect(said.slowed!.compared).toBeGreaterThan(2);
    expect(grown(said.slowed).length).toBeGreaterThan(2);
    expect(said.again!.compared).toBeGreaterThan(2);
    expect(grown(said.again)).toEqual([]);
  });
});

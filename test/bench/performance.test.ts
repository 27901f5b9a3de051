// docs/performance.md is a run of the benchmark and words about it; both come from
// docs/performance.json.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readStored } from '#bench/gate';
import { GROUPS, type BenchResult } from '#bench/result';
import { kept, performancePage } from '../../scripts/performance.mjs';

const run = readStored('docs/performance.json');
const page = readFileSync('docs/performance.md', 'utf8');

describe('the record of a run', () => {
  it('and its page are of the same run, figure by figure', () => {
    expect(page, 'run node scripts/performance.mjs docs/performance.json').toBe(
      performancePage(run),
    );
  });

  it('a figure that is changed in the one is missed in the other', () => {
    const changed = (
      change: (row: BenchResult['tables'][number]['rows'][number]) => object,
    ): BenchResult => ({
      ...run,
      tables: run.tables.map((table) => ({
        ...table,
        rows: table.rows.map((row) => ({
          ...row,
          ...(row.id === '1/alias/store' ? change(row) : {}),
        })),
      })),
    });
    expect(performancePage(changed((row) => ({ median: row.median * 1.1 })))).not.toBe(page);
    expect(performancePage(changed((row) => ({ p99: row.p99 * 1.1 })))).not.toBe(page);
    expect(() => performancePage({ ...run, tables: run.tables.slice(1) })).toThrow('no table');
  });

  it('is whole: every group, and a control in each but for what has nothing to be held against', () => {
    // A record of before 2026-11-27 has no updates from outside.
    const groups = new Set<string>(run.tables.map(({ group }) => group).concat('outside'));
    expect(groups).toEqual(new Set(GROUPS));
    expect(run.tables.filter(({ noise }) => noise === null).map(({ title }) => title)).toEqual([]);
  });

  it('is kept as it was printed, a row a line', () => {
    expect(JSON.parse(kept(run))).toEqual(
      JSON.parse(readFileSync('docs/performance.json', 'utf8')),
    );
    expect(kept(run).split('\n').length).toBeGreaterThan(
      run.tables.reduce((sum, { rows }) => sum + rows.length, 0),
    );
  });
});

// scripts/since.mjs holds one revision against another: what it calls slower, and that it measures.

import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { isWorse, judge, table, REASONS } from '../../scripts/since/judge.mjs';

const before = [100, 101, 99, 102, 100];
const times = (factor: number): number[] => before.map((value) => value * factor);
const reasons = [{ row: /^known$/, why: 'it was decided', commit: 'abcdef0', most: 4 }];

describe('one row of two revisions', () => {
  it.each([
    ['same', 1],
    ['same', 1.08],
    ['same', 0.93],
    ['slower', 1.3],
    ['faster', 0.7],
  ])('is %s at %f times as long', (word, factor) => {
    const judged = judge('row', before, times(factor), reasons);
    expect(judged.word).toBe(word);
    expect(isWorse(judged)).toBe(word === 'slower');
  });

  it('that got slower is no failure where a decision says why', () => {
    const judged = judge('known', before, times(3), reasons);
    expect(isWorse(judged)).toBe(false);
    expect(table([judged])).toContain('slower, on purpose: it was decided (abcdef0)');
    expect(isWorse(judge('known', before, times(5), reasons))).toBe(true);
    expect(isWorse(judge('known too', before, times(3), reasons))).toBe(true);
  });

  it('is not told from noise where the rounds lie far apart', () => {
    expect(judge('row', before, [80, 95, 130, 165, 190]).word).toBe('same');
  });

  it('is not told from a moment that was slow for both', () => {
    const slow = before.map((value, round) => value * (round + 1));
    expect(judge('row', slow, slow).word).toBe('same');
    const worse = judge(
      'row',
      slow,
      slow.map((value) => value * 1.3),
    );
    expect(worse.word).toBe('slower');
  });

  it('is not judged by one round that was disturbed', () => {
    expect(judge('row', before, [...times(1).slice(1), 500]).word).toBe('same');
  });
});

it('a decision is about rows that there are, and not about a single site', () => {
  const { row } = REASONS[0]!;
  expect(row.test('update, int3, procmem, sites: 10')).toBe(true);
  expect(row.test('update, int3, procmem, sites: 1')).toBe(false);
  expect(row.test('update, int3, alias, sites: 10')).toBe(false);
});

it(
  'this build beside itself: every row that was asked for is measured',
  { timeout: 60_000 },
  () => {
    const words = ['scripts/since.mjs', '.', '.', '--rounds', '1', '--rows', 'alias, sites: 1'];
    const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    expect(stderr).toBe('');
    const rows = ['int3', 'store'].flatMap((protocol) =>
      ['1', '10', '100', '1000', '10000'].map(
        (sites) => `update, ${protocol}, alias, sites: ${sites}`,
      ),
    );
    for (const row of rows)
      expect(stdout).toMatch(new RegExp(`^${row} .* (same|faster|slower)(,.*)?$`, 'm'));
  },
);

it('what names no revision and no built folder is refused', () => {
  const words = ['scripts/since.mjs', 'no-such-revision'];
  const { status } = spawnSync(process.execPath, words, { stdio: 'ignore' });
  expect(status).toBe(2);
});

// A short campaign of every target; `npm run fuzz` runs a hundred thousand cases.

import { describe, expect, test } from 'vitest';
import { campaign } from './campaign.mjs';
import { smallObject } from '../elf/builder.mjs';
import { sectionsOf } from './elf.mjs';
import { Random } from './random.mjs';
import { TARGETS } from './targets.mjs';
import { LONG } from '../more.js';

interface Target {
  readonly name: string;
  /** Whatever `mutate` takes. */
  seeds(): unknown[] | Promise<unknown[]>;
  mutate(seed: unknown, random: Random): Buffer;
}

describe.each(TARGETS as Target[])('damaged inputs of $name', ({ name, seeds, mutate }) => {
  test('end in an answer or a fault, in time and in bounds', async () => {
    const report = await campaign({ target: name, count: LONG ? 1000 : 170 });
    expect(report.findings).toEqual([]);
    // Both ends were reached: damage that is always refused, or never, tests little.
    expect(report.ok).toBeGreaterThan(LONG ? 20 : 10);
    expect(Object.keys(report.refused).length).toBeGreaterThan(2);
  });

  test('are the same ones each time', async () => {
    const [first] = await seeds();
    for (const n of [1, 2, 3])
      expect(mutate(first, new Random(n)).equals(mutate(first, new Random(n)))).toBe(true);
  });
});

test('the generator of numbers gives what it gave before: a case number must mean the same on every machine', () => {
  const random = new Random(1);
  expect([random.next(), random.next(), random.next()]).toEqual([
    3358359462, 2925401225, 3618654255,
  ]);
});

describe('a campaign reports a target that', () => {
  const broken = new URL('./broken.mjs', import.meta.url);
  test.each([
    ['throws', {}, /TypeError: not a fault/],
    ['rejects', {}, /Error: later/],
    ['is slow', { count: 1, slowMs: 100 }, /takes more than 100 ms/],
    ['hangs', { stuckMs: 500 }, /does not end within 0.5 s/],
    ['grows', { growthMib: 300 }, /grew by more than 300 MiB/],
    ['is not there', {}, /the thread died/],
  ])('%s', async (target, options, what) => {
    const { findings } = await campaign({ target, count: 50, targets: broken, ...options });
    expect(findings.length).toBeGreaterThan(0);
    expect(findings[0]!.what).toMatch(what);
  });
});

test('the mutator sees the sections that a file has', () => {
  expect(sectionsOf(smallObject())).toHaveLength(10);
});

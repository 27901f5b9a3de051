// A short campaign of every target; `npm run fuzz` runs a hundred thousand cases.

import { describe, expect, test } from 'vitest';
import { campaign } from './campaign.mjs';
import { smallObject } from '../elf/builder.mjs';
import { sectionsOf } from './elf.mjs';
import { Random } from './random.mjs';
import { TARGETS } from './targets.mjs';

interface Target {
  readonly name: string;
  /** Whatever `mutate` takes. */
  seeds(): unknown[] | Promise<unknown[]>;
  mutate(seed: unknown, random: Random): Buffer;
}

describe.each(TARGETS as Target[])('damaged inputs of $name', ({ name, seeds, mutate }) => {
  test('end in an answer or a fault, in time and in bounds', async () => {
    const report = await campaign({ target: name, count: 2000 });
    expect(report.findings).toEqual([]);
    // Both ends were reached: damage that is always refused, or never, tests little.
    expect(report.ok).toBeGreaterThan(100);
    expect(Object.keys(report.refused).length).toBeGreaterThan(2);
  });

  test('are the same ones each time', async () => {
    const [first] = await seeds();
    for (const n of [1, 2, 3]) expect(mutate(first, new Random(n)).equals(mutate(first, new Random(n)))).toBe(true);
  });
});

test('the generator of numbers gives what it gave before: a case number must mean the same on every machine', () => {
  const random = new Random(1);
  expect([random.next(), random.next(), random.next()]).toEqual([3358359462, 2925401225, 3618654255]);
});

test('a thread that dies is a finding, not a crash of the campaign', async () => {
  const report = await campaign({ target: 'no such target', count: 1 });
  expect(report.findings).toHaveLength(1);
});

test('the mutator sees the sections that a file has', () => {
  expect(sectionsOf(smallObject())).toHaveLength(10);
});

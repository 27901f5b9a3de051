import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { ladder, zooPage } from '#check/index';

it('docs/zoo.md is what the searches say now, and each known bug put back changes a verdict (node scripts/zoo.mjs writes it)', async () => {
  const found = await ladder();
  expect(zooPage(found)).toBe(readFileSync('docs/zoo.md', 'utf8'));
  for (const { system, standing, mended, broken } of found.rows) {
    const stands = [standing.rung, standing.stops];
    if (broken !== null) expect([broken.rung, broken.stops], system.name).not.toEqual(stands);
    expect(mended ?? broken, system.name).not.toBeNull();
    if (mended !== null) expect([mended.rung, mended.stops], system.name).not.toEqual(stands);
  }
}, 900_000);

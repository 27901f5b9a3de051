import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { checkDocument, checkMatrix } from '#check/index';

it('docs/verdicts.md is what the search says now (node scripts/verdicts.mjs writes it)', async () => {
  expect(await checkDocument()).toBe(readFileSync('docs/verdicts.md', 'utf8'));
});

it('every setting of the full matrix is searched to its end', async () => {
  const { runs, incomplete } = await checkMatrix('full');
  expect(incomplete).toBe(false);
  expect(
    runs
      .filter(({ exhaustive }) => !exhaustive)
      .map(({ protocol, variant, stopped }) => `${protocol}/${variant}: ${stopped}`),
  ).toEqual([]);
  const pictures = runs.flatMap(({ properties }) =>
    Object.values(properties).flatMap(({ picture }) => picture ?? []),
  );
  expect(pictures.length).toBeGreaterThan(1000);
  for (const picture of pictures) {
    const lines = picture.split('\n');
    expect(lines.length, picture).toBeLessThanOrEqual(15);
    expect(Math.max(...lines.map((line) => line.length)), picture).toBeLessThanOrEqual(100);
  }
});

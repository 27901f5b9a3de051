import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { checkDocument, checkMatrix } from '#check/index';

it('the pages of verdicts and counterexamples are what the search says now (node scripts/verdicts.mjs writes them)', async () => {
  for (const [name, page] of Object.entries(await checkDocument()))
    expect(page, name).toBe(readFileSync(`docs/${name}`, 'utf8'));
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

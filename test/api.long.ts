import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { apiPage } from '../scripts/api.mjs';

it('docs/api.md is what scripts/api.mjs writes', async () => {
  expect(readFileSync('docs/api.md', 'utf8'), 'run node scripts/api.mjs').toBe(await apiPage());
});

// scripts/since.mjs makes the matrix of both sides, which takes a minute.

import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

it('the matrix of this build beside itself has the same rows, and one is no faster', () => {
  const words = ['scripts/since.mjs', '.', '.', '--checks', '1', '--rows', 'check'];
  const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  expect(stderr).toBe('');
  const [, rows, old, now] =
    /^check --matrix, (\d+) rows that both have, seconds +([\d.]+) s +([\d.]+) s /m.exec(stdout)!;
  expect(Number(rows)).toBeGreaterThan(700);
  // No goal, but what a comparison of one side with itself would have to be wrong for.
  expect(Number(now)).toBeLessThan(3 * Number(old));
  expect(Number(old)).toBeLessThan(3 * Number(now));
  expect(stdout).toMatch(/^check --matrix, the whole command, seconds /m);
});

// The table of docs/attach.md beside Frida is of the run that is kept as docs/frida.json.

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { written } from '../../scripts/frida/table.mjs';

it('the table beside Frida and its record are of the same run', () => {
  const run = JSON.parse(readFileSync('docs/frida.json', 'utf8')) as { rounds: number };
  const page = readFileSync('docs/attach.md', 'utf8');
  expect(written(page, run)).toBe(page);
  expect(written(page, { ...run, rounds: run.rounds + 1 })).not.toBe(page);
});

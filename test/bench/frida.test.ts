// The table of docs/attach.md beside Frida and the README's row are of the run that is kept as
// docs/frida.json.

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { inReadme, written } from '../../scripts/frida/table.mjs';

interface Kept {
  readonly rounds: number;
  readonly tools: { readonly attach: object; readonly frida: object };
  readonly missing: null;
}
const kept = (): Kept => JSON.parse(readFileSync('docs/frida.json', 'utf8')) as Kept;

it('the table beside Frida and its record are of the same run', () => {
  const run = kept();
  const page = readFileSync('docs/attach.md', 'utf8');
  expect(written(page, run)).toBe(page);
  expect(written(page, { ...run, rounds: run.rounds + 1 })).not.toBe(page);
});

it("the README's row beside Frida is of that run too", () => {
  const run = kept();
  const page = readFileSync('README.md', 'utf8');
  expect(inReadme(page, run)).toBe(page);
  const slower = { ...run.tools.attach, callChanged: 100 };
  expect(inReadme(page, { ...run, tools: { ...run.tools, attach: slower } })).not.toBe(page);
});

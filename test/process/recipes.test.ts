// The page for adopting static calls: its C is compiled and its recipes are performed,
// without root.

import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc, owner } from '../build.js';
import { blocks } from '../readme.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

const page = readFileSync('docs/adopting.md', 'utf8');
const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe('docs/adopting.md', () => {
  it('shows what the program and the child of this test have', () => {
    const [program, performed] = [
      'test/process/programs/recipes.c',
      'test/process/children/recipes.mjs',
    ].map((file) => readFileSync(file, 'utf8'));
    const shown = blocks(page).filter(({ name }) => name.startsWith('recipes.'));
    expect(shown.map(({ name }) => name).sort()).toEqual(['recipes.c', 'recipes.c', 'recipes.mjs']);
    const words = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();
    for (const { name, body } of shown)
      expect(words(name === 'recipes.c' ? program! : performed!)).toContain(words(body));
  });

  it.skipIf(!gcc)('has recipes that work: a table, a JavaScript function, a switch', () => {
    const library = compileProgram(folder, 'recipes.c');
    const user = owner(folder, library);
    const env = { HOME: folder.path };
    expect(answer(child('recipes.mjs', [library], { user, env }))).toEqual({
      // Without a runtime the table decides, and after it again.
      table: [6, 1006, 1006],
      opened: ['sum_table', ['sum_c', 'sum_table', 'sum_wide'], 6],
      spied: [21, 0, 6, [3, 3]],
      thrown: 'RangeError: too long',
      switched: [
        [6, 0],
        [6, 5],
        [6, 5],
      ],
      bytes: [['if', 'a9']],
    });
  });
});

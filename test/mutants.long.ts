// The runner of mistakes is itself shown some: a small project whose test notices one of them. Then
// every mistake of the table is noticed by the test that its row names.

import { mkdirSync, symlinkSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { Folder } from './build.js';
import { judge, type Mutant } from './mutants/run.mjs';
import { MUTANTS } from './mutants/table.mjs';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

it('a mistake that its test does not notice is named, and so is one that cannot be judged', async () => {
  for (const name of ['test', 'dist']) mkdirSync(folder.file(name));
  symlinkSync(`${process.cwd()}/node_modules`, folder.file('node_modules'));
  folder.write('package.json', '{ "type": "module" }');
  folder.write('vitest.config.mjs', 'export default {};');
  folder.write('dist/sum.js', 'export const sum = (a, b) => a + b;\nexport const zero = 0;\n');
  folder.write(
    'test/sum.test.mjs',
    "import { expect, it } from 'vitest';\nimport { sum } from '../dist/sum.js';\nit('adds', () => expect(sum(1, 2)).toBe(3));\nit('fails', () => expect(1).toBe(2));\n",
  );
  const mutant = (name: string, from: string, to: string, test: string | null): Mutant => ({
    name,
    file: 'dist/sum.js',
    edits: [[from, to]],
    test: { file: 'test/sum.test.mjs', ...(test === null ? {} : { name: test }) },
  });
  const outcomes = await judge(
    folder.path,
    [
      mutant('noticed', 'a + b', 'a - b', 'adds'),
      mutant('survives', 'zero = 0', 'zero = 1', 'adds'),
      mutant('gone', 'a * b', 'a - b', 'adds'),
      mutant('there twice', 'export', '', 'adds'),
      mutant('no program', 'a + b', 'a +', 'adds'),
      mutant('its test is named wrongly', 'a + b', 'a - b', 'subtracts'),
      mutant('its test fails anyway', 'a + b', 'a - b', 'fails'),
    ],
    undefined,
    { copied: ['dist', 'test', 'package.json', 'vitest.config.mjs'] },
  );
  expect(outcomes.map(({ mutant: { name }, verdict }) => [name, verdict])).toEqual([
    ['noticed', 'noticed'],
    ['survives', 'survived'],
    ['gone', 'impossible'],
    ['there twice', 'impossible'],
    ['no program', 'impossible'],
    ['its test is named wrongly', 'unfit'],
    ['its test fails anyway', 'unfit'],
  ]);
});

describe('the table of mistakes', () => {
  it('has its rows in the order of their files and names', () => {
    const words = MUTANTS.map(({ file, name }) => `${file} ${name}`);
    expect(words).toEqual([...words].sort());
  });
  it('has none that its test does not notice', async () => {
    const outcomes = await judge(process.cwd(), MUTANTS);
    expect(
      outcomes
        .filter(({ verdict }) => verdict !== 'noticed')
        .map(({ mutant, verdict, why }) => `${verdict}: ${mutant.file}: ${mutant.name}: ${why}`),
    ).toEqual([]);
  });
});

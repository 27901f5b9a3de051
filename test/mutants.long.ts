// Every mistake of the table is noticed by the test that its row names.

import { describe, expect, it } from 'vitest';
import { judge } from './mutants/run.mjs';
import { MUTANTS } from './mutants/table.mjs';

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

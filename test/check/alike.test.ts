// Rows that differ in their unit alone are searched once where their units cut the bytes alike.

import { describe, expect, it } from 'vitest';
import { grouped, restated } from '#check/ask/alike';
import { job } from '#check/ask/matrix';
import { answer } from '#check/ask/proof';
import type { RunReport } from '#check/result';
import type { Configuration } from '#check/configuration';
import { findProposal } from '#zoo/index';

const naive = findProposal('naive', '', 'user');
const asked = (given: Partial<Configuration>) =>
  job(naive, { contexts: ['task'], passes: 1, updates: 1, ...given });
const made = async (given: Partial<Configuration>) => {
  const { found, report } = await answer(asked(given));
  return { job: asked(given), text: found.model.text, report };
};
/** Bytes are of the table that was searched, and seconds of its search. */
const told = ({ seconds: _, ...rest }: RunReport): string => JSON.stringify(rest);

describe('a row of the matrix', () => {
  it('says of another unit what a search of its own says, in the same bytes', async () => {
    const first = await made({ chunk: 'qword' });
    expect(first.report.properties.torn.path).toMatch(/^path/);
    for (const chunk of ['fetch16', 'fetch32', 'line'] as const) {
      const again = restated(first, asked({ chunk }));
      expect(again && told(again)).toBe(told((await made({ chunk })).report));
    }
  });

  it('is searched where its unit ends elsewhere, or anything else differs', async () => {
    const first = await made({ chunk: 'line' });
    expect(restated(first, asked({ chunk: 'byte' }))).toBeNull();
    expect(restated(first, asked({ chunk: 'line', tso: false }))).toBeNull();
    const inside = await made({ chunk: 'line', offset: 6 });
    expect(restated(inside, asked({ chunk: 'fetch32', offset: 6 }))).not.toBeNull();
    expect(restated(inside, asked({ chunk: 'qword', offset: 6 }))).toBeNull();
  });

  it('is the same for every unit where an instruction is fetched at one instant', async () => {
    const first = await made({ fetch: 'F0', chunk: 'byte' });
    const again = restated(first, asked({ fetch: 'F0', chunk: 'line' }));
    expect(again && told(again)).toBe(told((await made({ fetch: 'F0', chunk: 'line' })).report));
  });

  it('stands beside those that may be the same search', () => {
    const jobs = [
      asked({ chunk: 'byte' }),
      asked({ chunk: 'byte', tso: false }),
      asked({ chunk: 'line' }),
    ];
    expect(grouped(jobs).map((group) => group.map(([number]) => number))).toEqual([[0, 2], [1]]);
  });
});

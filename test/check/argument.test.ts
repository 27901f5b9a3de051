import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { protocols } from '#check/index';
import { IDEAS } from '#zoo/index';
import { withAnswers } from '../../scripts/argument.mjs';
import { LONG } from '../more.js';

const PAGE = readFileSync('docs/argument.md', 'utf8');
/** These alone in the short run; the others take a minute together. */
const QUICK = /^check (naive|int3-gap\/no-gap|store\/in-line --chunk fetch32)/;

it('the argument says what the search answers now (node scripts/argument.mjs writes it)', async () => {
  const asked: string[] = [];
  const page = await withAnswers(PAGE, (command) => {
    const taken = LONG || QUICK.test(command);
    if (taken) asked.push(command);
    return taken;
  });
  expect(asked.length).toBeGreaterThanOrEqual(LONG ? 20 : 3);
  expect(page).toBe(PAGE);
});

it('an answer that was changed by hand is noticed', async () => {
  const changed = PAGE.replace('fails: torn', 'holds: torn');
  expect(await withAnswers(changed, (command) => command.startsWith('check naive'))).toBe(PAGE);
});

it('the argument links every mail of the zoo', () => {
  const mails = IDEAS.flatMap(({ proposed }) => proposed.map(({ url }) => url)).filter((url) =>
    /lore|lkml/.test(url),
  );
  expect(mails.length).toBeGreaterThan(5);
  expect([...new Set(mails)].filter((url) => !PAGE.includes(`(${url})`))).toEqual([]);
});

it('each name that can be checked has a line of its own', () => {
  for (const where of ['kernel', 'user']) {
    const lines = protocols()
      .filter(({ environment }) => environment === where)
      .map(({ about }) => about);
    expect(new Set(lines).size).toBe(lines.length);
  }
});

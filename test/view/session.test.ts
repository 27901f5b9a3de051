// What the page does, without a browser: the session that every click changes, the search in
// slices, the address, and the map of a file.

import { beforeAll, describe, expect, it } from 'vitest';
import { LONG } from '../more.js';
import { check } from '#check/ask/check';
import { replayToken } from '#check/explain/replay';
import type { Configuration } from '#check/configuration';
import { addressOf, begin, comparable, reduce, type Action, type Session } from '#view/session';
import { decodeAddress, encodeAddress } from '#view/address';
import { crossedBy, linesOf } from '#view/map';
import { optionsOf } from '#view/film';
import { ask, isEditable } from '#view/question';
import { LIMITS, search, type Limits, type News } from '#view/search';
import { findProposal, PROPOSALS } from '#zoo/index';

const SMALL: Partial<Configuration> = { contexts: ['task'], passes: 1, updates: 1 };
let example: string;
let first: Session;

beforeAll(async () => {
  const { runs } = await check(['naive'], { environment: 'user', ...SMALL, explained: ['torn'] });
  example = runs[0]?.properties.torn.path ?? '';
  first = begin('', example);
});

const after = (session: Session, ...actions: readonly Action[]): Session =>
  actions.reduce(reduce, session);

async function searched(
  session: Session,
  stopAfter = Infinity,
  limits: Limits = LIMITS,
): Promise<readonly News[]> {
  const news: News[] = [];
  let breaths = 0;
  const listener = {
    tell: (each: News) => void news.push(each),
    breathe: async () => void breaths++,
    isStopped: () => breaths >= stopAfter,
  };
  // A slice ends by its states alone, so that a fast machine is stopped in the middle too.
  await search(session.question, limits, listener, 0);
  return news;
}

describe('the first visit', () => {
  it('shows a torn call at its crux, and the same schedule under int3 beside it', () => {
    expect(first.film.title).toBe('naive');
    expect(first.film.broken?.property).toBe('torn');
    expect(first.film.rows.filter(({ culprit }) => culprit).map(({ who }) => who)).toEqual([-1, 0]);
    expect(first.film.rows[first.at - 1]?.whole).toBe('mixture');
    expect(first.beside?.title).toBe('int3');
    expect(first.beside?.broken).toBeNull();
    expect(first.beside?.rows.some(({ whole }) => whole === 'trap')).toBe(true);
    expect(first.refusal).toBeNull();
  });
});

describe('an address', () => {
  it("is the command line's token, and shows the same again", () => {
    const moved = after(first, { do: 'go', to: 3 });
    const address = addressOf(moved);
    expect(replayToken(decodeAddress(address).token).property).toBe('torn');
    const again = begin(address, example);
    expect([again.at, again.under, again.film.rows]).toEqual([3, 'int3', moved.film.rows]);
    expect(begin(`#${example}`, example).film.rows).toEqual(first.film.rows);
    const parts = { token: example, at: null, under: null };
    expect(decodeAddress(encodeAddress(parts))).toEqual(parts);
  });

  it.each([
    ['of another version', '#path1.e30', /made by version 1/],
    ['that is damaged', '#path2.AAAA', /damaged/],
    ['that is none', '#hello', /no path of check/],
    ['with no number for a step', '#path2.e30;at=x', /no number/],
  ])('%s says so, and what was there stays', (_, fragment, message) => {
    const refused = begin(fragment, example);
    expect(refused.refusal?.message).toMatch(message);
    expect(refused.refusal?.hint).not.toBe('');
    expect(refused.film).toBe(reduce(refused, { do: 'forgive' }).film);
    expect(refused.film.title).toBe('naive');
  });

  it('carries a protocol that was edited', () => {
    const steps = findProposal('int3', '', 'user').protocol.steps;
    const edited = after(
      first,
      { do: 'choose', name: 'int3', environment: 'user' },
      { do: 'edit', steps: steps.filter((_, i) => i !== 2) },
    );
    const again = begin(addressOf(edited), example);
    expect(again.question.own?.name).toBe('int3-edited');
    expect(again.question.own?.steps).toHaveLength(6);
  });
});

describe('the scheduler', () => {
  it('tears a call by hand, is told at which move, and can take it back', () => {
    let session = after(
      first,
      { do: 'choose', name: 'naive', environment: 'user' },
      { do: 'configure', given: SMALL },
      { do: 'schedule', on: true },
    );
    expect(optionsOf(session.film).map(({ who }) => who)).toEqual(expect.arrayContaining([-1, 0]));
    session = reduce(session, { do: 'look' });
    const torn = session.ahead?.found.find(({ property }) => property === 'torn');
    expect(session.ahead?.whole).toBe(true);
    expect(torn?.path.length).toBeGreaterThan(2);
    // Up to the last move, which the page says would break it.
    session = reduce(session, { do: 'follow', path: torn?.path.slice(0, -1) ?? [] });
    const breaking = optionsOf(session.film).find(({ breaks }) =>
      breaks.some(({ property }) => property === 'torn'),
    );
    expect(breaking?.whole).toBe('mixture');
    if (breaking === undefined) return;
    const broken = reduce(session, { do: 'move', choice: breaking.choice });
    expect(broken.film.broken?.property).toBe('torn');
    expect(optionsOf(broken.film)).toEqual([]);
    expect(begin(addressOf(broken), example).film.broken?.property).toBe('torn');
    const back = reduce(broken, { do: 'undo' });
    expect(back.film.rows).toHaveLength(session.film.rows.length);
    expect(back.film.broken).toBeNull();
  });

  it('finds nothing to break in int3, having looked at everything that can follow', () => {
    const session = after(
      first,
      { do: 'choose', name: 'int3', environment: 'user' },
      { do: 'configure', given: { ...SMALL, cpus: 1 } },
      { do: 'look' },
    );
    expect(session.ahead?.found.map(({ property }) => property)).not.toContain('torn');
  });
});

describe('a question', () => {
  it('of every row of the zoo can be opened', () => {
    for (const { name, variant, environment } of PROPOSALS) {
      const title = variant === '' ? name : `${name}/${variant}`;
      const chosen = reduce(first, { do: 'choose', name: title, environment });
      expect([title, chosen.refusal]).toEqual([title, null]);
      expect(chosen.question.protocol).toBe(name);
    }
  });

  it('that cannot be is refused in words, and changes nothing', () => {
    const bad = reduce(first, { do: 'configure', given: { offset: 99 } });
    expect(bad.refusal?.message).toBe('offset is 99; it can be 0 to 63');
    expect(bad.question).toBe(first.question);
    expect(reduce(first, { do: 'type', text: '{' }).refusal?.code).toBe('bad-protocol');
    expect(reduce(first, { do: 'edit', steps: [] }).refusal?.code).toBe('bad-protocol');
  });

  it('may be edited where its handler has a name', () => {
    expect(isEditable(findProposal('int3', '', 'user'))).toBe(true);
    expect(isEditable(findProposal('naive', '', 'kernel'))).toBe(true);
    expect(isEditable(findProposal('int3-stub', '', 'kernel'))).toBe(false);
  });

  it('is compared with the protocols of its own environment', () => {
    expect(comparable(first)).toContain('int3');
    expect(comparable(first)).not.toContain('int3-gap');
  });
});

describe('a search', () => {
  const SETTINGS: readonly (readonly [string, Partial<Configuration>])[] = [
    ['naive', { environment: 'user', ...SMALL }],
    ['int3', { environment: 'user', ...SMALL }],
    ['int3', { environment: 'user', contexts: ['task', 'signal'], passes: 1, updates: 1 }],
    ['store', { environment: 'user', ...SMALL }],
    ['naive', { environment: 'kernel', ...SMALL, fetch: 'F0' }],
    ['int3-gap', { environment: 'kernel', contexts: ['task', 'irq'], passes: 1, updates: 1 }],
    ['int3-gap/no-gap', { environment: 'kernel', ...SMALL }],
    ['int3-skip', { environment: 'kernel', ...SMALL }],
    ['int3-stub', { environment: 'kernel', ...SMALL }],
    ['trampoline', { environment: 'kernel', ...SMALL }],
  ];

  it.each(LONG ? SETTINGS : SETTINGS.slice(0, 4))(
    'of %s %j says what check says',
    async (title, given) => {
      const [name = title, variant = ''] = title.split('/');
      const proposal = findProposal(name, variant, given.environment);
      const news = await searched({ ...first, question: ask(proposal, given) });
      const report = news.find((each) => each.news === 'verdict')?.report;
      const [run] = (await check([title], { ...given, explained: [] })).runs;
      expect(report?.properties).toEqual(run?.properties);
      expect([report?.states, report?.transitions]).toEqual([run?.states, run?.transitions]);
      expect(news.at(-1)).toEqual({ news: 'done' });
    },
  );

  it('brings its nearest failure into the middle, at the crux', async () => {
    const begun = after(
      first,
      { do: 'choose', name: 'naive', environment: 'user' },
      { do: 'configure', given: SMALL },
      { do: 'search' },
    );
    expect(begun.searching).not.toBeNull();
    const news = await searched(begun);
    const told = after(begun, ...news.map((each): Action => ({ do: 'news', news: each })));
    expect(told.searching).toBeNull();
    expect(told.shown).toBe('torn');
    expect(told.film.broken?.property).toBe('torn');
    expect(told.film.rows[told.at - 1]?.culprit).toBe(true);
  });

  it('that is stopped keeps what it knew', async () => {
    const kernel: Partial<Configuration> = { contexts: ['task', 'irq', 'nmi'] };
    const question = ask(findProposal('int3-gap', '', 'kernel'), kernel);
    const news = await searched({ ...first, question }, 1);
    const report = news.find((each) => each.news === 'verdict')?.report;
    expect(report?.stopped).toBe('interrupted');
    expect(report?.exhaustive).toBe(false);
    expect(report?.states).toBeGreaterThan(100);
  });

  it('that would go on ends at the limit of a page, and says at which', async () => {
    const kernel: Partial<Configuration> = { contexts: ['task', 'irq', 'nmi'] };
    const question = ask(findProposal('int3-gap', '', 'kernel'), kernel);
    const few: Limits = { ...LIMITS, states: 500 };
    const news = await searched({ ...first, question }, Infinity, few);
    const report = news.find((each) => each.news === 'verdict')?.report;
    expect(report).toMatchObject({ stopped: 'more than 500 states', exhaustive: false });
    expect(news.at(-1)).toEqual({ news: 'done' });
  });

  it('that its thread refuses ends, and the page says why', () => {
    const refusal = { code: 'no-memory', message: 'none is left', hint: 'ask for less' };
    const refused = after(
      first,
      { do: 'search' },
      { do: 'news', news: { news: 'refused', refusal } },
    );
    expect([refused.searching, refused.refusal]).toEqual([null, refusal]);
    expect(reduce(refused, { do: 'forgive' }).refusal).toBeNull();
  });

  it('of a machine that cannot be is refused', async () => {
    const question = { ...first.question, protocol: 'nothing' };
    expect((await searched({ ...first, question })).at(-1)).toMatchObject({
      news: 'refused',
      refusal: { code: 'unknown-protocol' },
    });
  });
});

describe('the map of a file', () => {
  const site = (address: number, bytes = 'e8 00 00 00 00') => ({
    section: '.text',
    offset: address,
    address,
    function: 'f',
    functionOffset: 0,
    key: 'k',
    keySymbol: '__SCK__k',
    kind: 'call' as const,
    tail: false,
    init: false,
    crossesLine: false,
    destinationCrossesLine: false,
    lineCertain: true,
    bytes,
    protocols: [],
  });

  it('puts a call that crosses a line on both lines', () => {
    const lines = linesOf({ sites: [site(0x7e), site(0x40)] });
    expect(lines.map(({ at, marks }) => [at, marks.map(({ from, to }) => [from, to])])).toEqual([
      [
        0x40,
        [
          [62, 64],
          [0, 5],
        ],
      ],
      [0x80, [[0, 3]]],
    ]);
    expect(lines[1]?.marks[0]).toMatchObject({ crossed: 64, continued: true });
  });

  it('names the largest unit that a call crosses, also at the addresses of a kernel', () => {
    expect([0, 6, 14, 30, 62].map((at) => crossedBy(at, 5))).toEqual([null, 8, 16, 32, 64]);
    expect(linesOf({ sites: [site(-0x7f000000 + 62)] }).map(({ at }) => at)).toEqual([
      -0x7f000000,
      -0x7f000000 + 64,
    ]);
  });
});

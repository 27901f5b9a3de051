// Every way to fail of the default table, as it is drawn: small enough, joined, with its reasons,
// and in the words of its story.

import { describe, expect, it } from 'vitest';
import { LONG } from '../more.js';
import { replayToken, replayUnder } from '#check/index';
import { drawSvg } from '#check/explain/svg';
import { draw, rowsOf, story } from '#check/explain/timeline';
import { matrixJobs } from '#check/ask/matrix';
import { changes, endOf, fewestChanges, firstPath, shorten, slice } from '#check/explain/shorten';
import type { Choice } from '#check/search/expand';
import { unsorted, type Shape } from '#check/search/state';
import { choices, replay } from '#check/search/path';
import { shapeOf as shapeOfRun } from '#check/search/build';
import { run, type Run } from '#check/search/run';
import { findProposal } from '#zoo/index';
import { trace } from '#check/explain/trace';
import { report } from '#check/explain/report';
import type { PropertyName } from '#check/properties';
import type { Finding } from '#check/search/explore';
import { inTurn } from '../sim/livelocks.js';
import { configure, type Configuration } from '#check/configuration';

interface Failure {
  readonly title: string;
  readonly of: Run;
  readonly shape: Shape;
  readonly finding: Finding;
}
const shapeOf = ({ reduce, configuration }: Run): Shape =>
  unsorted(shapeOfRun(configuration, reduce));
function failures(done: Run, title: string): Failure[] {
  return [...done.properties].flatMap(([name, { verdict }]) => {
    const of = name === 'after-update-strict' ? (done.strict ?? done) : done;
    const finding = of.search.findings.get(name);
    return verdict === 'fails' && finding !== undefined
      ? [{ title: `${title}: ${name}`, of, shape: shapeOf(of), finding }]
      : [];
  });
}
/** Protocols that fail in every way that is drawn. */
const FEW = ['naive', 'int3-skip', 'int3-stub', 'int3-percpu', 'int3-retire'];
/**
 * Each protocol once in its environment and once with NMIs: all pictures of the page, but for
 * settings that repeat them.
 */
const jobs = matrixJobs().filter(
  ({ protocol, configuration: { contexts, fetch, chunk, updates } }) =>
    (LONG || FEW.includes(protocol)) &&
    fetch === 'F3' &&
    chunk === 'byte' &&
    !contexts.includes('mc') &&
    updates === (contexts.includes('nmi') ? 1 : 2),
);
const all = jobs.flatMap(({ protocol, variant, configuration, limits }) =>
  failures(
    run(findProposal(protocol, variant, configuration.environment), configuration, limits),
    `${protocol}/${variant} ${configuration.contexts.join()}`,
  ),
);
const drawn = all.map((failure) => {
  const { of, shape, finding } = failure;
  const { path } = shorten(of.model, of.search, finding, shape);
  return {
    ...failure,
    path,
    told: trace(of.model, path, shape, `${finding.property}: ${finding.text}`),
  };
});

describe('the second pass', () => {
  it('has something to do', () => {
    expect(new Set(all.map(({ finding }) => finding.property)).size).toBeGreaterThan(8);
    const better = drawn.filter(
      ({ of, shape, finding, path }) =>
        changes(path) < changes(firstPath(of.model, of.search, finding, shape)),
    );
    expect(better.length).toBeGreaterThan(LONG ? 10 : 3);
  });

  if (LONG)
    it('ends where the search did, with no more changes of who moves, and leaves nothing that could be left out', () => {
      for (const { title, of, shape, finding, path } of drawn) {
        const first = firstPath(of.model, of.search, finding, shape);
        const end = endOf(of.search, finding);
        const steps = replay(of.model, path, shape);
        expect(end(steps.at(-1)!), title).toBe(true);
        expect(steps.slice(0, -1).some(end), title).toBe(false);
        expect(changes(path), title).toBeLessThanOrEqual(changes(first));
        // A reduced search may take moves that no path needs, so its first path is no lower bound;
        // it is an upper one here.
        expect(path.length, title).toBeLessThanOrEqual(first.length);
        expect(slice(of.model, path, end, shape), title).toEqual(path);
      }
    });

  it('is bounded: beyond the bound the first path stands, and is sliced', () => {
    const longer = drawn.filter(({ path }) => path.length > 12).slice(0, 6);
    expect(longer.length).toBe(6);
    for (const { title, of, shape, finding } of longer) {
      const first = firstPath(of.model, of.search, finding, shape);
      const end = endOf(of.search, finding);
      expect(fewestChanges(of.model, first, end, shape, 3), title).toBe(null);
      const { path } = shorten(of.model, of.search, finding, shape, 3);
      expect(path, title).toEqual(slice(of.model, first, end, shape));
      expect(end(replay(of.model, path, shape).at(-1)!), title).toBe(true);
      expect(path.length, title).toBeLessThanOrEqual(first.length);
      expect(changes(path), title).toBeLessThanOrEqual(changes(first));
    }
  });

  it('beyond its bound keeps a path that can be followed, also where the patcher has a CPU among equals', () => {
    const done = run(
      findProposal('naive', '', 'kernel'),
      configure({
        contexts: ['task', 'irq'],
        cpus: 3,
        passes: 1,
        updates: 1,
        patcher: 'task',
        reduce: 'sym',
      }),
      { states: 1e6, seconds: 60 },
    );
    const { of, shape, finding } = failures(done, 'naive')[0]!;
    const { path } = shorten(of.model, of.search, finding, shape, 0);
    expect(
      replay(of.model, path, shape)
        .at(-1)!
        .move!.bad.map(({ property }) => property),
    ).toContain(finding.property);
  });

  it('slices away what another lane did for itself', () => {
    const { of, shape, finding, path } = failures(
      run(
        findProposal('naive', '', 'kernel'),
        configure({ contexts: ['task'], cpus: 2, passes: 2, updates: 1, reduce: 'sym' }),
        { states: 1e6, seconds: 60 },
      ),
      'naive',
    ).map((each) => ({
      ...each,
      path: shorten(each.of.model, each.of.search, each.finding, each.shape).path,
    }))[0]!;
    const end = endOf(of.search, finding);
    // CPU 1 passes the site once before anything happens, which the end does not ask for.
    const idle: Choice[] = [];
    let state = of.model.initial(shape.cpus, shape.waiting);
    const idler = (path.at(-1)!.who + 1) % 2;
    for (let i = 0; i < 3; i++) {
      const done = choices(of.model, state, shape).find(({ choice }) => choice.who === idler)!;
      idle.push(done.choice);
      state = done.after!;
    }
    const padded = [...idle, ...path];
    expect(end(replay(of.model, padded, shape).at(-1)!)).toBe(true);
    expect(slice(of.model, padded, end, shape)).toEqual(path);
  });

  /** Depth first, every path with at most so many changes and moves. */
  function reachable({ of, shape, finding }: Failure, most: number, moves: number): boolean {
    const end = endOf(of.search, finding);
    const seen = new Map<string, number>();
    const walk = (state: Int32Array, who: number | null, left: number, room: number): boolean => {
      const key = `${state.join()} ${who} ${left}`;
      if ((seen.get(key) ?? -1) >= room) return false;
      seen.set(key, room);
      return (
        room > 0 &&
        choices(of.model, state, shape).some((done) => {
          const { choice } = done;
          const rest = who === null || choice.who === who ? left : left - 1;
          return (
            rest >= 0 &&
            (end(done) || (done.after !== null && walk(done.after, choice.who, rest, room - 1)))
          );
        })
      );
    };
    return walk(of.model.initial(shape.cpus, shape.waiting), null, most, moves);
  }

  const small = { contexts: ['task'], cpus: 2, passes: 1, updates: 1, tso: false } as const;
  it.for([
    ['naive', { ...small, reduce: 'sym' }],
    ['int3-skip', { ...small, reduce: 'sym' }],
    ['int3-gap/spin', { ...small, reduce: 'por' }],
    ['stop-machine/plain', { ...small, reduce: 'sym' }],
    ['int3-retire', { ...small, environment: 'user', reduce: 'sym' }],
  ] as const satisfies readonly (readonly [string, Partial<Configuration>])[])(
    'finds for %s the fewest changes, and with these the fewest moves: trying all finds no less',
    ([name, given]) => {
      const [protocol, variant = ''] = name.split('/') as [string, string?];
      const found = failures(
        run(
          findProposal(protocol, variant, undefined),
          configure({
            environment: findProposal(protocol, variant, undefined).environment,
            ...given,
          }),
          { states: 1e6, seconds: 60 },
        ),
        name,
      );
      expect(found.length).toBeGreaterThan(0);
      for (const failure of found) {
        const { path } = shorten(
          failure.of.model,
          failure.of.search,
          failure.finding,
          failure.shape,
        );
        expect(reachable(failure, changes(path), path.length), failure.title).toBe(true);
        expect(reachable(failure, changes(path), path.length - 1), failure.title).toBe(false);
        if (changes(path) > 0)
          expect(reachable(failure, changes(path) - 1, 60), failure.title).toBe(false);
      }
    },
  );

  it('draws a round by two CPUs to where it began, each of them moving', () => {
    const [failure] = failures(
      run(
        inTurn,
        configure({ environment: 'user', contexts: ['task'], cpus: 2, passes: 1, updates: 1 }),
        { states: 1e6, seconds: 60 },
      ),
      'in turn',
    ).filter(({ finding }) => finding.property === 'livelock');
    const { of, shape, finding } = failure!;
    expect(shape.cpus).toBe(2);
    const { path, cycle } = shorten(of.model, of.search, finding, shape);
    const steps = replay(of.model, path, shape);
    expect(steps.at(-1)!.after).toEqual(steps[path.length - cycle.length]!.before);
    expect(new Set(cycle.map(({ who }) => who))).toEqual(new Set([0, 1]));
    expect(steps.slice(-cycle.length).some(({ move }) => move?.passed)).toBe(false);
  });
});

describe('a picture', () => {
  const text = (picture: string): string =>
    picture.replaceAll(/^(?:[ *][0-9a-f]{2})*[ ]*[│●○┌┐┼─ ]*/gm, '').replaceAll(/\s+/g, ' ');

  it('has at most fifteen lines of a hundred columns', () => {
    for (const { title, told } of drawn) {
      const lines = draw(told).split('\n');
      expect(lines.length, title).toBeLessThanOrEqual(15);
      expect(Math.max(...lines.map((line) => line.length)), title).toBeLessThanOrEqual(100);
    }
  });

  it('joins the two that make the trouble, wherever somebody else moved too', () => {
    let joined = 0;
    for (const { title, told } of drawn) {
      const picture = draw(told);
      const pair =
        new Set(
          told.steps
            .filter(({ minor }, i) => !minor || i === told.steps.length - 1)
            .map(({ who }) => who),
        ).size > 1;
      expect(picture.match(/●/g), title).toHaveLength(pair ? 2 : 1);
      expect(picture.match(/[┌┐]/g)?.length ?? 0, title).toBe(pair ? 1 : 0);
      if (pair) joined++;
    }
    expect(joined).toBeGreaterThan(20);
  });

  it('gives the reason for each step of the protocol that it shows, whole', () => {
    let reasons = 0;
    for (const { title, told } of drawn) {
      // A row begins at its mark and goes on to the next one.
      const shown = draw(told)
        .split('\n')
        .slice(2)
        .filter((line) => !/^= |^ {2}\S/.test(line))
        .join('\n')
        .split(/^(?=.*[●○])/m)
        .map((part) => text(part.replace(/^.*\(\d+ steps? not shown\)$/gm, '')).trim())
        .filter((part) => part !== '');
      const rows = rowsOf(told);
      const given = new Set<string | null>();
      for (const part of shown) {
        const whole = rows.find(({ what, why }) => part === `${what}: ${why}`);
        given.add(whole?.why ?? null);
        if (whole !== undefined) reasons++;
        else
          expect(
            rows.filter(({ what }) => part === what).some(({ why }) => given.has(why)),
            `${title}: ${part}`,
          ).toBe(true);
      }
    }
    expect(reasons).toBeGreaterThan(50);
    expect(text('*cc 04     ○       │    one two\n           │       │      three\n= four')).toBe(
      'one two three = four',
    );
  });

  it('says what came of it, and its story is in its words', () => {
    for (const { title, told, finding } of drawn) {
      const said = text(draw(told));
      expect(said, title).toContain(`= ${told.end!}`.replaceAll(/\s+/g, ' '));
      const sentence = story(told, finding.text);
      expect(sentence, title).toContain(finding.text);
      for (const [, quoted] of sentence.matchAll(/«(.*?)»/g))
        if (!finding.text.includes('«')) expect(said, title).toContain(quoted);
      for (const [, fetched] of sentence.matchAll(/CPU \d: ([^,]*)/g))
        expect(said, title).toContain(fetched);
    }
  });

  it('is drawn for a page in the same words', () => {
    for (const { title, told } of drawn) {
      const svg = drawSvg({ heading: title, broken: true, trace: told });
      expect(svg, title).toMatch(/^<svg .*<\/svg>\n$/s);
      expect((svg.match(/<circle/g) ?? []).length, title).toBe(
        (draw(told).match(/[●○]/g) ?? []).length + 2,
      );
      const words = (part: string) =>
        part
          .replaceAll(/<text [^>]*>|<\/text>/g, ' ')
          .replaceAll('&lt;', '<')
          .replaceAll('&gt;', '>')
          .replaceAll('&amp;', '&')
          .replaceAll(/\s+/g, ' ');
      const shown = words(svg);
      for (const line of draw(told).split('\n').slice(2))
        expect(shown, title).toContain(text(line).trim());
    }
  });

  it("comes again from its token, for a protocol of one's own too", () => {
    const proposal = {
      ...findProposal('naive', '', 'user'),
      protocol: { ...findProposal('naive', '', 'user').protocol, name: 'mine' },
      name: 'mine',
    };
    for (const each of [findProposal('int3-retire', '', 'user'), proposal]) {
      const configuration = configure({ environment: 'user', updates: 1 });
      const { properties } = report(run(each, configuration, { states: 1e6, seconds: 60 }));
      for (const [name, { verdict, path, picture, steps }] of Object.entries(properties)) {
        if (verdict !== 'fails') continue;
        const again = replayToken(path!);
        expect([again.property, again.picture, again.steps.length]).toEqual([name, picture, steps]);
      }
    }
  });
});

describe('the same schedule under another protocol', () => {
  const under = (
    of: string,
    property: PropertyName,
    name: string,
    given: Partial<Configuration> = {},
  ) => {
    const [protocol, variant = ''] = of.split('/') as [string, string?];
    const proposal = findProposal(protocol, variant, given.environment);
    const configuration = configure({
      environment: proposal.environment,
      passes: 1,
      updates: 1,
      ...given,
    });
    const { properties } = report(run(proposal, configuration, { states: 1e6, seconds: 60 }));
    return replayUnder(properties[property].path!, name);
  };
  it('fetches after as many stores, and runs one target', () => {
    const { property, steps } = under('naive', 'torn', 'int3', { environment: 'user' });
    expect(property).toBe('none');
    const fetch = steps.findIndex(({ fetched }) => fetched !== null);
    expect(steps.slice(0, fetch).filter(({ stored }) => stored !== null)).toHaveLength(2);
    expect(steps[fetch]!.fetched).toEqual([0xcc, 0x08, 3, 2, 1]);
    expect(steps.flatMap(({ entered }) => entered ?? [])).toEqual(['B']);
    expect(steps.at(-1)!.what).toBe('update 1 returns');
  });
  it('answers an IPI on the way', () => {
    const { property, steps } = under('naive', 'torn', 'int3-gap', { environment: 'kernel' });
    expect(property).toBe('none');
    expect(steps.some(({ what }) => what.startsWith('answers the IPI'))).toBe(true);
  });
  it('may fail there too, and says so', () => {
    expect(under('int3-gap/no-gap', 'stack', 'int3-skip').property).toBe('target');
    expect(under('naive', 'torn', 'naive').property).toBe('torn');
  });
});

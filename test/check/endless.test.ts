// Any number of CPUs, passes, updates and events: what closes is proved, and each of the
// abstractions that make it close is held against the machine without it. docs/proof.md has the
// arguments.

import { describe, expect, it } from 'vitest';
import { BOUNDS_ANY, configure, type Configuration } from '#check/configuration';
import { job } from '#check/ask/matrix';
import { build, shapeOf } from '#check/search/build';
import { watched } from '#check/search/endless';
import { explore } from '#check/search/explore';
import { run, type Run } from '#check/search/run';
import { TARGETS, type TargetName } from '#machine/sim/settings';
import { inAnyOrder } from '#machine/sim/segments';
import { tour } from '#machine/sim/tour';
import { PROPOSALS, findProposal, type Proposal } from '#zoo/index';
import { titled } from '#zoo/proposal';
import { LONG, more } from '../more.js';

const LIMITS = { states: 5_000_000, seconds: 300 };
const MINUTE = 60_000;

const of = (name: string): Proposal => {
  const [protocol = name, variant = ''] = name.split('/');
  return findProposal(protocol, variant, undefined);
};
/** What a search without bounds says of a protocol. */
function endless(proposal: Proposal, given: Partial<Configuration> = {}): Run {
  const { environment } = proposal;
  return run(proposal, configure({ environment, ...BOUNDS_ANY, ...given }), LIMITS);
}
const words = ({ properties }: Run): Record<string, string> =>
  Object.fromEntries([...properties].map(([name, { verdict }]) => [name, verdict]));
const FUNCTIONS: readonly TargetName[] = ['A', 'B', 'C'];
const ALL: readonly TargetName[] = [...FUNCTIONS, 'null', 'ret0'];
const QWORD = { environment: 'user', chunk: 'qword' } as const;

describe('without bounds', () => {
  it.for<[string, Partial<Configuration>]>([
    ['int3-gap', {}],
    ['store', QWORD],
    ...more<[string, Partial<Configuration>][]>(
      ['int3', {}],
      ['auto', {}],
      ['auto/in-quadword', { chunk: 'qword' }],
      ['int3-gap', { contexts: ['task', 'irq', 'nmi', 'mc'] }],
      ['int3-gap', { targets: ALL }],
      ['int3', { targets: ALL }],
      ['store', { ...QWORD, targets: ALL }],
    ),
  ])('%s is proved, with %o', { timeout: 10 * MINUTE }, ([name, given]) => {
    const { environment = of(name).environment } = given;
    const found = endless(
      findProposal(name.split('/')[0] ?? '', name.split('/')[1] ?? '', environment),
      given,
    );
    expect(found.claim).toEqual({ word: 'proved', within: [] });
    const failed = [...found.properties].filter(([, { verdict }]) => verdict === 'fails');
    const apart = ['after-update-strict', 'indirect-branch-strict'];
    expect(failed.map(([property]) => property).filter((each) => !apart.includes(each))).toEqual(
      [],
    );
  });

  if (LONG)
    it('what is counted is said, and nothing is proved then', () => {
      const fewer = endless(of('int3-gap'), { cpus: 2, passes: 1 });
      expect(fewer.claim).toEqual({ word: 'checked', within: ['2 CPUs', '1 pass'] });
      const pointer = endless(of('pointer'), { contexts: ['task'] });
      expect(pointer.claim.word).toBe('checked');
      expect(pointer.claim.within.join()).toContain("the patcher's buffer, which nothing drains");
      const { claim } = endless(of('int3-gap'), { contexts: ['task', 'preempt'], tasks: 2 });
      expect(claim).toEqual({ word: 'checked', within: ['2 tasks'] });
    });

  it('a search that is cut short proves nothing', () => {
    const proposal = of('int3-gap');
    const configuration = configure(BOUNDS_ANY);
    const { claim, exhaustive } = run(proposal, configuration, { states: 100, seconds: 60 });
    expect([claim.word, exhaustive]).toEqual(['checked', false]);
  });

  it('CPUs whose handlers write for each other are counted, because one does not stand for all', () => {
    const { claim, configuration } = endless(of('int3-gap/counted'), { contexts: ['task'] });
    expect(configuration.cpus).toBe(2);
    expect(claim).toEqual({ word: 'checked', within: ['2 CPUs'] });
  });

  it.for<[string, Partial<Configuration>, RegExp]>([
    ['int3-retire/versioned', {}, /each of them counts the word version up by 1/],
    ['int3/no-lock', {}, /two updaters make one each/],
    ['int3', { site: 'jcc' }, /RBX counts them/],
    ['auto/byte-and-trap', {}, /RBX counts them/],
  ])('%s is refused with what counts up: %o', ([name, given, why]) => {
    expect(() => endless(of(name), given)).toThrow(why);
  });

  it('targets are named once each, two or more, and only for any number of updates', () => {
    const asked =
      (targets: readonly TargetName[], given: Partial<Configuration> = {}) =>
      () =>
        configure({ ...BOUNDS_ANY, targets, ...given });
    expect(asked(['A'])).toThrow(/two or more/);
    expect(asked(['A', 'B', 'A'])).toThrow(/each once/);
    expect(asked(['A', 'B'], { updates: 2 })).toThrow(/any number of updates only/);
    expect(asked(['null', 'B'], { site: 'if' })).toThrow(/never sent to B/);
    expect(asked(['A', 'E' as 'A'])).toThrow(/unknown target E/);
  });
});

describe('any sequence of updates', () => {
  const pairs = (targets: readonly unknown[]): string[] =>
    targets.slice(1).map((to, i) => `${String(targets[i])}>${String(to)}`);

  it('has a segment for every ordered pair of targets', () => {
    const { targets } = tour(ALL, null, () => null);
    const wanted = ALL.flatMap((a) => ALL.filter((b) => b !== a).map((b) => `${a}>${b}`));
    expect([...new Set(pairs(targets))].sort()).toEqual(wanted.sort());
  });

  it('has one for every content of the sites that a target can be reached from', () => {
    // Nothing keeps what stood there before it.
    const after = (held: string, target: TargetName) => (target === 'null' ? held : target);
    const { targets, nodes, restarts } = tour<string>(['null', 'A', 'B'], 'x', after);
    const states = new Set(nodes);
    // null over x, A and B; A; B.
    expect(states.size).toBe(5);
    // No update leads back to the first of them, and both that leave it are made.
    const made = pairs(nodes ?? []).filter((_, i) => !restarts.has(i + 1));
    expect(restarts.size).toBe(1);
    expect(new Set(made).size).toBe(3 * 2 + 2 * 2);
    expect(targets).toHaveLength(nodes?.length ?? 0);
  });

  it('goes on from where a segment leads, with every segment that begins there and no other', () => {
    const configuration = configure({ ...BOUNDS_ANY, targets: ALL });
    const { ops, fixture } = build(of('int3-gap'), configuration, { plain: false, split: false });
    const { sequence, nodes } = fixture;
    const { initial, after, from } = inAnyOrder(ops, nodes ?? []);
    const chosen = (pc: number): string[] =>
      from(pc).map((op) => TARGETS[sequence[ops[op]!.update]!]!);
    expect(chosen(initial).sort()).toEqual(ALL.filter((name) => name !== 'A').sort());
    const last = ops.flatMap(({ op }, i) => (op === 'return' ? [i] : []));
    expect(last.length).toBeGreaterThan(ALL.length);
    for (const op of last) {
      const to = TARGETS[sequence[ops[op]!.update]!];
      expect(chosen(after(op)).sort()).toEqual(ALL.filter((name) => name !== to).sort());
    }
  });
});

describe('an abstraction changes no verdict', () => {
  it.for(['int3-gap', ...more('int3-shift', 'stop-machine', 'int3', 'int3-gap/no-gap', 'naive')])(
    '%s with a fourth function has the verdicts that it has with three',
    { timeout: 10 * MINUTE },
    (name) => {
      const four = endless(of(name), { targets: [...FUNCTIONS, 'D'] });
      expect(four.exhaustive).toBe(true);
      expect(words(four)).toEqual(words(endless(of(name))));
    },
  );

  it('functions that can be exchanged for each other have as many states when watched', () => {
    const proposal = of('int3-gap');
    const configuration = configure(BOUNDS_ANY);
    expect(watched(configuration)).toEqual(['A', 'B']);
    const whole = build(proposal, configuration, { plain: false, split: true });
    const [a, b, c] = FUNCTIONS.map((target) => {
      const model = whole.watching({ level: 0, targets: 1 << TARGETS.indexOf(target) });
      return statesOf(model, configuration);
    });
    expect(c).toBe(b);
    expect(a).not.toBe(b);
  });

  it('one search that watches everything says what the searches of one bit each say', () => {
    for (const name of ['int3-gap', 'int3-gap/no-gap', ...more('int3-percpu/fixed')]) {
      const configuration = configure(BOUNDS_ANY);
      const whole = build(of(name), configuration, { plain: false, split: true });
      const found = exhausted(whole, configuration).findings;
      const apart = endless(of(name)).properties;
      const failed = [...apart].filter(([, { verdict }]) => verdict === 'fails');
      expect(failed.map(([property]) => property).sort(), name).toEqual([...found.keys()].sort());
      for (const [property, { steps }] of failed)
        expect(steps, property).toBe(found.get(property)?.depth);
    }
  });

  it.for<[string, Partial<Configuration>, number]>([
    ['int3-gap', { contexts: ['task'] }, 2],
    ['int3-gap', { contexts: ['task'], dropSync: 3 }, 2],
    ...more<[string, Partial<Configuration>, number][]>(
      ['int3-gap', { contexts: ['task', 'irq'] }, 2],
      ['int3-gap', { contexts: ['task'] }, 3],
      ['int3', { contexts: ['task'] }, 2],
      ['int3-gap', { contexts: ['task'], dropSync: 2 }, 3],
      ['store', { contexts: ['task'], chunk: 'qword' }, 3],
    ),
  ])(
    '%s with %o has the verdicts of one CPU with %i',
    { timeout: 10 * MINUTE },
    ([name, given, cpus]) => {
      const one = endless(of(name), given);
      const several = endless(of(name), { ...given, cpus, reduce: 'sym' });
      expect(several.reduce).toBe('sym');
      expect(words(several)).toEqual(words(one));
    },
  );

  const rows = PROPOSALS.filter(({ name, variant }) =>
    LONG ? true : variant === '' && ['naive', 'store', 'int3-shift', 'stop-machine'].includes(name),
  );
  it.for(rows.map((proposal) => [titled(proposal), proposal] as const))(
    '%s holds without bounds what it holds within them',
    { timeout: 10 * MINUTE },
    ([, proposal]) => {
      const bounded = job(proposal, {}).configuration;
      const asked = {
        ...bounded,
        ...BOUNDS_ANY,
        ...(proposal.coupled ? { cpus: bounded.cpus } : {}),
      };
      const limits = { states: 1_000_000, seconds: 120 };
      let found: Run;
      try {
        found = run(proposal, asked, limits);
      } catch (error) {
        expect(String(error)).toMatch(/any number of (updates|passes) cannot be searched/);
        return;
      }
      const expected = words(run(proposal, bounded, limits));
      // Behind a failure that no machine goes on from, more is unknown than in a program that ends.
      for (const [property, { beyond }] of found.properties)
        if (beyond !== undefined && expected[property] === 'holds') expected[property] = 'unknown';
      expect(words(found)).toEqual(expected);
    },
  );
});

function exhausted(model: ReturnType<typeof build>, configuration: Configuration) {
  const search = explore(model, shapeOf(configuration, 'por'), true, LIMITS);
  for (;;) {
    const { done, value } = search.next();
    if (done === true) return value;
  }
}
const statesOf = (...asked: Parameters<typeof exhausted>): number => exhausted(...asked).states;

// A verdict depends on nothing that was not asked: a broken promise ends no path that the machine
// goes on from, and where the machine cannot go on nothing else is said to hold.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { configure, titleOf, type Configuration } from '#check/configuration';
import { check } from '#check/index';
import type { PropertyName } from '#check/properties';
import { build, shapeOf } from '#check/search/build';
import { explore } from '#check/search/explore';
import { run, type Run } from '#check/search/run';
import type { Model } from '#machine/sim/model';
import type { Step } from '#plan/protocol';
import { store } from '#plan/protocols/store';
import { int3 } from '#plan/protocols/int3';
import { PROPOSALS, findProposal, proposalOf, type Proposal } from '#zoo/index';
import { offsetsOf, placesOf } from '#zoo/place';
import { isFault } from '#base/fault';
import { LONG, more } from '../more.js';

const LIMITS = { states: 2_000_000, seconds: 60 };
const SMALL = { passes: 1, updates: 1, cpus: 1, contexts: ['task'] } as const;

const ran = (proposal: Proposal, given: Partial<Configuration> = {}): Run =>
  run(proposal, configure({ environment: proposal.environment, ...given }), LIMITS);
const word = ({ properties }: Run, name: PropertyName): string => properties.get(name)!.verdict;
const named = (name: string, variant = '', environment?: Proposal['environment']) =>
  findProposal(name, variant, environment);

const step = (rest: object): Step => ({ why: 'to see what happens', ...rest }) as Step;
const publish = step({ do: 'publish' });
const sync = step({ do: 'sync' });
const own = (steps: readonly Step[], rest: object = {}): Proposal =>
  proposalOf({
    name: 'own',
    about: 'a test',
    accepts: { bytes: 'whole', within: null },
    handler: null,
    steps,
    ...rest,
  });

describe('a promise that is broken', () => {
  it('ends no path: an NMI that takes the return address sends the task to the wrong place', async () => {
    const { runs } = await check(['int3-percpu/fixed'], {
      environment: 'kernel',
      fetch: 'F0',
      contexts: ['task', 'nmi'],
      passes: 1,
      updates: 1,
      explained: ['target'],
    });
    const { slot, target, flags, torn } = runs[0]!.properties;
    expect([slot.verdict, target.verdict, flags.verdict]).toEqual(['fails', 'fails', 'fails']);
    expect(target.story).toMatch(/control goes to 0x[0-9a-f]+, where no code lies/);
    expect([torn.verdict, torn.beyond]).toEqual(['unknown', expect.arrayContaining(['target'])]);
  });
  it('says nothing of the others where the machine cannot go on, and never that they hold', () => {
    const naive = ran(named('naive', '', 'user'), SMALL);
    expect(naive.properties.get('torn')!.verdict).toBe('fails');
    for (const name of ['target', 'stack', 'deadlock'] as const)
      expect(naive.properties.get(name)).toEqual({ verdict: 'unknown', beyond: ['torn'] });
  });
  it('lets every state be seen that there is without it: a stub that changes the return address', () => {
    // Where `stack` ended a path, the states behind the first emulated call were missing.
    const proposal = named('int3-stub');
    const { states, search } = ran(proposal, { contexts: ['task'], updates: 1 });
    expect(search.findings.has('stack')).toBe(true);
    expect([...search.cut]).toEqual([]);
    const right = ran(named('int3-gap'), { contexts: ['task'], updates: 1 }).states;
    expect(states).toBeGreaterThan(right / 2);
  });
});

function toEnd<T>(slices: Generator<unknown, T>): T {
  for (;;) {
    const { done, value } = slices.next();
    if (done === true) return value as T;
  }
}

/** An object with some of its members in place of its own, which has private fields. */
function overlaid<T extends object>(object: T, members: Partial<T>): T {
  return new Proxy(object, {
    get(target, name) {
      if (Object.hasOwn(members, name)) return members[name as keyof T];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** The model with nothing judged: the machine alone, with the paths that it cannot go on from. */
function unjudged(model: Model): Model {
  const { table } = model;
  const silent = overlaid(table, {
    isBad: () => false,
    get: (move) => ({ ...table.get(move), bad: [] }),
  });
  return overlaid(model, { table: silent });
}

describe('every row of the matrix', () => {
  const rows = PROPOSALS.filter(({ full }) => !full);
  const asked = LONG
    ? rows
    : rows.filter(({ name }) =>
        ['naive', 'store', 'int3-stub', 'int3-skip', 'int3'].includes(name),
      );
  it.for(
    asked.map(
      (each) =>
        [
          `${titleOf({ protocol: each.name, variant: each.variant })} ${each.environment}`,
          each,
        ] as const,
    ),
  )('%s: a property asked alone has the verdict that it has with all', ([, proposal]) => {
    const configuration = configure({
      environment: proposal.environment,
      updates: 1,
      ...(proposal.coupled ? { passes: 1, cpus: 1 } : {}),
    });
    const { properties, search, reduce } = run(proposal, configuration, LIMITS);
    const model = build(proposal, configuration, { plain: false, split: true });
    const shape = shapeOf(configuration, reduce);
    const alone = toEnd(explore(unjudged(model), shape, reduce === 'por', LIMITS));
    // The same states and edges, so that whichever property is asked, the same is found.
    expect([alone.states, alone.transitions]).toEqual([search.states, search.transitions]);
    const holds = [...properties].filter(([, { verdict }]) => verdict === 'holds');
    expect(search.cut.size === 0 || holds.length === 0).toBe(true);
  });
});

describe("a protocol of one's own", () => {
  const folder = mkdtempSync(join(tmpdir(), 'alone-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (name: string, protocol: object): string => {
    const path = join(folder, `${name}.mjs`);
    writeFileSync(path, `export default ${JSON.stringify({ ...protocol, name })};`);
    return path;
  };
  const verdicts = async (name: string, options: Parameters<typeof check>[1]) => {
    const { runs } = await check([name], { ...options, explained: [] });
    return runs.map(({ offset, properties }) => [
      offset,
      Object.entries(properties).flatMap(([property, { verdict }]) =>
        verdict === 'fails' ? [property] : [],
      ),
    ]);
  };

  it('is checked where its accepts says: a copy of store answers as store does, everywhere', async () => {
    const copy = file('copy-of-store', store);
    const settings = { environment: 'user', passes: 1, updates: 1 } as const;
    for (const chunk of ['qword', ...more('byte', 'fetch16', 'fetch32', 'line')] as const) {
      const options = { ...settings, chunk, offset: 'all' } as const;
      const mine = await verdicts(copy, options);
      expect(mine).toEqual(await verdicts('store', options));
      expect(mine.flatMap(([, failing]) => failing)).toEqual(
        chunk === 'byte' ? mine.flatMap(() => ['torn']) : [],
      );
    }
    const { runs } = await check([copy], { ...settings, chunk: 'qword' });
    expect(runs[0]!.offset).toBe(32);
  });
  it('is refused at an offset that it does not accept', async () => {
    const copy = file('refused', store);
    const refusal = await check([copy], { environment: 'user', offset: 61 }).catch(
      (error: unknown) => (isFault(error) ? `${error.message} (${error.hint})` : error),
    );
    expect(refusal).toBe(
      'refused takes no site at offset 61 of its line: the bytes that change cross a quadword ' +
        '(it takes offsets 0-3, 7-11, 15-19, 23-27, 31-35, 39-43, 47-51, 55-59, 63)',
    );
  });
  it('stands at the worst offset that it accepts, over the end of the largest unit', () => {
    const within = (unit: string | null) =>
      own([publish], { accepts: { bytes: 'changed', within: unit } });
    const at = (unit: string | null) => ran(within(unit), SMALL).model.fixture.options.offset;
    expect([at(null), at('line'), at('fetch32'), at('fetch16')]).toEqual([61, 29, 44, 36]);
    expect(offsetsOf(within('line'), 'call')).toHaveLength(61);
    expect(placesOf(within(null), 'call', [64, 64]).map(([first]) => first)).toEqual([
      0, 60, 61, 62, 63,
    ]);
  });

  const trap = step({ do: 'store', part: 'first', bytes: 'trap', as: 'one' });
  const rest = step({ do: 'store', part: 'rest', bytes: 'new', as: 'bytes' });
  const first = step({ do: 'store', part: 'first', bytes: 'new', as: 'one' });
  it('makes its target current by publish alone', () => {
    const late = own([trap, sync, rest, sync, first, sync, publish], { handler: 'sigtrap' });
    expect(word(ran(late, SMALL), 'target')).toBe('fails');
    expect(word(ran(own(int3.steps, { handler: 'sigtrap' }), SMALL), 'target')).toBe('holds');
  });
  it('has a target that is never current where it never publishes', async () => {
    const never = file('never', { ...store, steps: store.steps.slice(1) });
    const options = { environment: 'user', chunk: 'qword', passes: 1, updates: 1 } as const;
    expect(await verdicts(never, options)).toEqual([[32, ['target']]]);
  });
});

describe('a thread that is stopped', () => {
  const suspended = own([
    publish,
    step({ do: 'stop' }),
    step({ do: 'store', part: 'whole', bytes: 'new', as: 'bytes' }),
    step({ do: 'release', serialise: true }),
  ]);
  it('is stopped in a signal handler too, and takes no signal', () => {
    for (const fetch of ['F0', 'F3'] as const) {
      const { properties } = ran(suspended, { fetch, contexts: ['task', 'signal'], cpus: 1 });
      expect([...properties].filter(([, { verdict }]) => verdict === 'fails')).toEqual([]);
    }
  });
  it('is not the one that stops the others, whose own signals come meanwhile', () => {
    const hosted = { patcher: 'task', cpus: 1, passes: 1, updates: 1 } as const;
    expect(word(ran(suspended, { ...hosted, contexts: ['task', 'signal'] }), 'torn')).toBe('fails');
    expect(word(ran(suspended, { ...hosted, contexts: ['task'] }), 'torn')).toBe('holds');
  });
});

describe('the CPU that stores', () => {
  const one = step({ do: 'store', part: 'changed', bytes: 'new', as: 'one' });
  const rest = { accepts: { bytes: 'changed', within: 'line' } };
  const hosted = { patcher: 'task', cpus: 1, contexts: ['task'], chunk: 'line' } as const;
  const failing = (from: string): string[] =>
    [...ran(own([publish, one], { ...rest, place: { from } }), hosted).properties]
      .filter(([, { verdict }]) => verdict === 'fails')
      .map(([name]) => name);
  it('runs what it stored at the address where it runs, and may not through another one', () => {
    expect(failing('same-address')).toEqual([]);
    expect(failing('alias')).toEqual(['target', 'after-update', 'after-update-strict']);
  });
});

describe('membarrier beside a second writer', () => {
  it('reaches each CPU at a moment of its own', () => {
    const ops = (variant: string) =>
      new Set(
        build(named('int3', variant, 'user'), configure({ environment: 'user' }), {
          plain: false,
          split: false,
        }).ops.map(({ op }) => op),
      );
    expect(ops('').has('barrier')).toBe(true);
    expect([ops('no-lock').has('barrier'), ops('no-lock').has('wait')]).toEqual([false, true]);
  });
});

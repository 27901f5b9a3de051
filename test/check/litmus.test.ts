import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { allowed, CLAIMED, Explanations, MODELS, type LitmusModel } from '#check/litmus/allowed';
import { DEPARTURES, departuresOf } from '#check/litmus/departures';
import { LITMUS, type LitmusOutcome, type LitmusProgram } from '#plan/litmus';
import { RULES, type Rules, type Serialising } from '#machine/sim/rules';
import { LONG } from '../more.js';

const program = (name: string): LitmusProgram => LITMUS.find((each) => each.name === name)!;
type Level = LitmusModel['fetch'];
type Unit = LitmusModel['chunk'];
const model = (fetch: Level, chunk: Unit, store: Unit = 'line'): LitmusModel => {
  return { fetch, chunk, store };
};
const may = (name: string, fetch: Level, chunk: Unit, store: Unit = 'line'): LitmusOutcome[] =>
  [...allowed(program(name), model(fetch, chunk, store))].sort();
const explanations = new Explanations();
const explained = (...seen: [string, LitmusOutcome][]) =>
  explanations.strictest(
    seen.map(([name, outcome]) => ({ program: program(name), outcomes: [outcome] })),
  );
const WIDE = MODELS.filter(({ store }) => store === 'line');

describe('what the model allows of the programs that CPUs are asked', () => {
  it('several stores are torn whatever the level, one store only where chunks are small', () => {
    for (const { fetch, chunk } of WIDE)
      expect(may('bytes', fetch, chunk)).toEqual(['mixed', 'whole']);
    expect(may('one', 'F3', 'qword')).toEqual(['whole']);
    expect(may('one', 'F3', 'byte')).toEqual(['mixed', 'whole']);
    expect(may('one-line', 'F0', 'line')).toEqual(['mixed', 'whole']);
  });
  it('int3 with its synchronisations is whole under every one of them, and torn without the first or the second', () => {
    for (const { fetch, chunk } of WIDE)
      expect(may('int3', fetch, chunk)).toEqual(['trap', 'whole']);
    for (const name of ['int3-no-1', 'int3-no-2', 'int3-none'])
      expect(may(name, 'F3', 'byte')).toEqual(['mixed', 'trap', 'whole']);
    expect(may('int3-no-3', 'F3', 'byte')).toEqual(['trap', 'whole']);
  });
  it('a call is late where fetching may be, goes backwards where the mark stays, and neither behind a synchronisation', () => {
    expect(may('order', 'F1a', 'line')).toEqual(['in order']);
    expect(may('order', 'F2', 'line')).toEqual(['in order', 'late']);
    expect(may('order', 'F3', 'line')).toEqual(['backwards', 'in order', 'late']);
    expect(may('order-sync', 'F3', 'line')).not.toContain('late');
  });
  it('a load is torn where the store is in pieces, whatever the fetcher may', () => {
    expect(may('one-fetch32-data', 'F3', 'byte')).toEqual(['whole']);
    expect(may('one-fetch32-data', 'F0', 'line', 'fetch32')).toEqual(['mixed', 'whole']);
    expect(may('one-data', 'F3', 'byte', 'qword')).toEqual(['whole']);
  });
  it('a LOCKed store is whole at every width: what is torn then, the fetcher has torn', () => {
    expect(may('one-fetch32-locked', 'F0', 'line', 'fetch32')).toEqual(['whole']);
    expect(may('one-fetch32-locked', 'F1', 'fetch32')).toEqual(['mixed', 'whole']);
  });
  it('a fetcher that is held up is allowed no more than another', () => {
    for (const unit of ['one', 'one-qword', 'one-fetch16', 'one-fetch32', 'one-line'])
      for (const chunk of ['byte', 'fetch16', 'line'] as const)
        expect(may(`${unit}-stalled`, 'F3', chunk)).toEqual(may(unit, 'F3', chunk));
  });
  it('allows more the later it stands in the list, within its size of chunk', () => {
    const some = ['one', 'int3-none', 'order', 'mp-ff', 'sm-alias'].map(program);
    for (const each of LONG ? LITMUS : some) {
      for (const chunk of ['line', 'byte'] as const) {
        const levels = (['F1a', 'F2', 'F3'] as const).map((fetch) =>
          allowed(each, model(fetch, chunk)),
        );
        for (const i of [1, 2])
          expect([...levels[i]!], each.name).toEqual(expect.arrayContaining([...levels[i - 1]!]));
      }
    }
  });
});

describe('shapes that separate one level from the one below it', () => {
  it.for<[string, LitmusOutcome, forbids: Level, allows: Level]>([
    ['mp-ff', 'late', 'F1a', 'F2'],
    ['mp-df', 'late', 'F1a', 'F2'],
    ['co-ff', 'backwards', 'F2', 'F3'],
    ['co-ff-branch', 'backwards', 'F2', 'F3'],
    ['sm-alias', 'late', 'F1a', 'F2'],
  ])('%s: %s not at %s, but at %s', ([name, outcome, forbids, allows]) => {
    expect(may(name, forbids, 'line')).not.toContain(outcome);
    expect(may(name, allows, 'line')).toContain(outcome);
  });
  it.for([
    'mp-df-cpuid',
    'mp-df-iret',
    'mp-df-serialize',
    'mp-fd',
    'sm',
    'sm-jump',
    'trap-then-rest',
  ])('%s: in order at every level', (name) => {
    for (const outcome of ['late', 'backwards'])
      expect(may(name, 'F3', 'line')).not.toContain(outcome);
  });
});

describe('shapes that separate a rule', () => {
  const without = (...names: Serialising[]): Rules => ({
    ...RULES,
    serialising: new Set([...RULES.serialising].filter((name) => !names.includes(name))),
  });
  it.for<[string, Serialising]>([
    ['mp-df-cpuid', 'instruction'],
    ['mp-df-serialize', 'instruction'],
    ['mp-df-iret', 'iret'],
    ['trap-then-rest', 'iret'],
  ])('%s: late where the %s does not serialise', ([name, rule]) => {
    const machine = { ...model('F3', 'line'), rules: without(rule) };
    expect([...allowed(program(name), machine)]).toContain('late');
  });
});

describe('what explains a CPU', () => {
  it('is every model that allows all that it showed and that none undercuts', () => {
    expect(explained(['bytes', 'mixed'], ['one', 'whole'])).toEqual([model('F0', 'line')]);
    expect(explained(['int3-no-1', 'mixed'])).toEqual([model('F1', 'line')]);
    expect(explained(['one-qword', 'mixed'])).toEqual([
      model('F0', 'line', 'qword'),
      model('F1', 'qword'),
      model('F1d', 'qword'),
    ]);
    expect(explained(['order', 'backwards'])).toEqual([model('F3', 'line')]);
  });
  it('is in-order fetches where the trap byte was torn for want of its synchronisation', () => {
    for (const name of ['int3-no-1', 'int3-none'])
      expect(explained([name, 'mixed'])[0], name).toEqual(model('F1', 'line'));
    expect(explained(['int3-no-1', 'mixed'], ['one-fetch32', 'mixed'])).toEqual([
      model('F1', 'line', 'fetch32'),
      model('F1', 'fetch32'),
    ]);
  });
  it('is a store in pieces where a load sees half of it', () => {
    expect(
      explained(['int3-no-1', 'mixed'], ['one-fetch32', 'mixed'], ['one-fetch32-data', 'mixed']),
    ).toEqual([model('F1', 'line', 'fetch32')]);
  });
  it('is none of them where a CPU shows what no model allows: a conflict', () => {
    expect(explained(['order-sync', 'late'])).toEqual([]);
    expect(explained(['int3', 'mixed'])).toEqual([]);
    expect(allowed(program('int3'), CLAIMED).has('mixed')).toBe(false);
  });
});

describe('docs/silicon.md', () => {
  it('names every program and every record that is kept', () => {
    const page = readFileSync('docs/silicon.md', 'utf8');
    for (const { name } of LITMUS) expect(page).toContain(`| \`${name}\` |`);
    for (const name of readdirSync('docs/silicon')) expect(page).toContain(`silicon/${name}`);
  });
  it.runIf(LONG)(
    'is what the records and the model say now (node scripts/silicon.mjs)',
    async () => {
      const { siliconPage } = (await import('../../scripts/silicon.mjs')) as {
        siliconPage: () => string;
      };
      expect(readFileSync('docs/silicon.md', 'utf8')).toBe(siliconPage());
    },
  );
});

describe('what a CPU is known to do against every model', () => {
  it.for(
    DEPARTURES.flatMap(({ programs, ...more }) => programs.map((name) => ({ name, ...more }))),
  )(
    '$outcome in $name: no model allows it, and it is known of this CPU and program alone',
    ({ name, outcome, family, model: number }) => {
      expect(explained([name, outcome])).toEqual([]);
      const cpu = { family, model: number };
      expect([...departuresOf(cpu, name)]).toEqual([outcome]);
      expect([...departuresOf({ ...cpu, model: `${number}0` }, name)]).toEqual([]);
      expect([...departuresOf(cpu, 'int3')]).toEqual([]);
    },
  );
});

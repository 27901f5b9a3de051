// What `check` says of a protocol where no bounds are named: the answer without bounds where there
// is one, else the one within them and why it says no more.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BOUNDS_ANY, configure, type Configuration } from '#check/configuration';
import type { CheckOptions, Job } from '#check/ask/asked';
import { jobsOf } from '#check/ask/jobs';
import { ENDLESS_STATES } from '#check/ask/matrix';
import { answer } from '#check/ask/proof';
import { check } from '#check/index';
import { PROPERTIES } from '#check/properties';
import type { RunReport } from '#check/result';
import { obstacleOf } from '#check/search/endless';
import { run } from '#check/search/run';
import { PROPOSALS } from '#zoo/index';
import { titled } from '#zoo/proposal';
import { LONG, more } from '../more.js';

const MINUTE = 60_000;
const LIMITS = { states: 1_000_000, seconds: 600 };
const WITHIN = { cpus: 2, passes: 2, updates: 2 };

async function told(name: string, options: CheckOptions = {}): Promise<RunReport> {
  const { runs } = await check([name], { explained: [], ...options });
  return runs[0]!;
}
const boundsOf = ({ cpus, passes, updates }: RunReport) => ({ cpus, passes, updates });
const failing = ({ properties }: RunReport): string[] =>
  PROPERTIES.filter(({ name, apart }) => !apart && properties[name].verdict === 'fails').map(
    ({ name }) => name,
  );
const jobOf = async (name: string, options: CheckOptions = {}): Promise<Job> =>
  (await jobsOf(name, options))[0]!;

describe('a protocol of which no bounds are named', () => {
  it.for<[string, CheckOptions]>([
    ['int3', {}],
    ['int3-gap', {}],
    ['auto', {}],
    ['store', { environment: 'user', chunk: 'qword' }],
    ...more<[string, CheckOptions][]>(
      ['auto/procmem', {}],
      ['auto/in-quadword', { chunk: 'qword' }],
      ['auto/store-and-trap', { chunk: 'qword' }],
      ['stop', {}],
      ['int3-shift', {}],
      ['stop-machine', {}],
    ),
  ])('%s is proved: %o', { timeout: 10 * MINUTE }, async ([name, options]) => {
    const run = await told(name, options);
    expect(boundsOf(run)).toEqual(BOUNDS_ANY);
    expect(run.claim).toEqual({ word: 'proved', within: [] });
    expect([run.exhaustive, failing(run)]).toEqual([true, []]);
  });

  it.for<[string, CheckOptions, RegExp]>([
    ['int3-retire/versioned', {}, /updates .* each of them counts the word version up by 1$/],
    ['int3', { site: 'jcc' }, /passes .* RBX counts them/],
  ])('%s is checked, and says what counts up: %o', async ([name, options, why]) => {
    const run = await told(name, options);
    expect(boundsOf(run)).toEqual(WITHIN);
    expect([run.claim.word, run.exhaustive]).toEqual(['checked', true]);
    expect(run.claim.because).toMatch(why);
  });

  it('that does not close by the limit is checked, and says at how many states', async () => {
    const run = await told('int3-retire');
    expect(boundsOf(run)).toEqual(WITHIN);
    expect([run.claim.word, failing(run)]).toEqual(['checked', ['stray-trap']]);
    const [, states] = /met ([\d,]+) states and was not at an end$/.exec(run.claim.because!)!;
    expect(Number(states!.replaceAll(',', ''))).toBeGreaterThan(ENDLESS_STATES);
  });

  it('that breaks a promise is drawn from the search without bounds', async () => {
    const run = await told('int3-gap/no-gap', { explained: ['stack'] });
    expect([boundsOf(run), failing(run)]).toEqual([BOUNDS_ANY, ['stack']]);
    expect(run.properties.stack.picture).toMatch(/^= stack: /m);
  });

  it('is judged within bounds where a failure hides more without them', async () => {
    const run = await told('int3-stub');
    expect([boundsOf(run), run.properties.torn.verdict]).toEqual([WITHIN, 'holds']);
    expect(run.claim.because).toMatch(/leaves 12 properties unknown behind the failure of stack$/);
    // Here bounds would tell no more.
    expect(boundsOf(await told('naive'))).toEqual(BOUNDS_ANY);
  });

  it.for<CheckOptions>([{ passes: 1 }, { updates: 2 }, { cpus: 2 }])(
    'is checked within those that are: %o',
    async (given) => {
      const run = await told('int3-gap', given);
      expect(boundsOf(run)).toEqual({ ...WITHIN, ...given });
      expect(run.claim).not.toHaveProperty('because');
    },
  );

  it('is searched without bounds where targets are named, because no others choose', async () => {
    const run = await told('int3-gap', { targets: ['A', 'B'] });
    expect([boundsOf(run), run.targets]).toEqual([BOUNDS_ANY, ['A', 'B']]);
  });

  it('is not searched within bounds where a user interrupted the first search', async () => {
    let looks = 0;
    const signal = {
      get aborted() {
        return ++looks > 1;
      },
    };
    const { report } = await answer(await jobOf('int3'), { signal });
    expect([boundsOf(report), report.stopped]).toEqual([BOUNDS_ANY, 'interrupted']);
    expect(report.claim).toEqual({ word: 'checked', within: [] });
  });

  it('keeps a failure that only the search without bounds met', async () => {
    const job = await jobOf('naive', { environment: 'kernel' });
    const cut = { ...job, limits: { ...LIMITS, states: 1 }, proof: { ...LIMITS, states: 2000 } };
    const { properties, claim } = (await answer(cut)).report;
    expect(claim.word).toBe('checked');
    expect(properties.torn).toMatchObject({ verdict: 'fails', bounds: 'any' });
    expect(properties.torn.picture).toMatch(/^= torn: /m);
    expect(properties.stack.verdict).toBe('unknown');
    const whole = { ...job, proof: { ...LIMITS, states: 100 } };
    expect((await answer(whole)).report.properties.torn).not.toHaveProperty('bounds');
  });
});

if (LONG)
  it(
    'those that do not close without bounds are the ones that docs/proof.md lists',
    async () => {
      const found = { obstructed: [] as string[], open: [] as string[] };
      for (const proposal of PROPOSALS) {
        const { environment } = proposal;
        const configuration = configure({ environment, ...BOUNDS_ANY });
        if (obstacleOf(proposal, configuration) !== null) found.obstructed.push(titled(proposal));
        else if (!run(proposal, configuration, { ...LIMITS, states: ENDLESS_STATES }).exhaustive)
          found.open.push(titled(proposal));
      }
      const text = readFileSync('docs/proof.md', 'utf8').replaceAll('\n', ' ');
      const named = (sentence: RegExp): string[] =>
        [...sentence.exec(text)![1]!.matchAll(/`([^`]*)`/g)].map(([, name]) => name!);
      expect({
        obstructed: named(/Something counts up in (.*?)\. /),
        open: named(/More than 250,000 states have (.*?)\. /),
      }).toEqual(found);
    },
    10 * MINUTE,
  );

describe('a search that closes without bounds', () => {
  const rows = PROPOSALS.filter(({ name }) => LONG || name === 'pointer');
  it.for(rows.map((proposal) => [titled(proposal), proposal] as const))(
    'of %s draws nothing longer than within bounds',
    { timeout: 10 * MINUTE },
    async ([, proposal]) => {
      const { name: protocol, variant, environment } = proposal;
      const configuration: Configuration = configure({ environment });
      const job: Job = { file: null, protocol, variant, configuration, limits: LIMITS };
      const proof = { ...LIMITS, states: ENDLESS_STATES };
      const { report } = await answer({ ...job, proof });
      if (report.passes !== 'any') return;
      const bounded = (await answer(job)).report.properties;
      for (const { name } of PROPERTIES) {
        const { verdict, steps } = report.properties[name];
        if (bounded[name].verdict === 'fails') expect(verdict, name).toBe('fails');
        if (verdict !== 'fails' || bounded[name].verdict !== 'fails') continue;
        expect(steps, name).toBeLessThanOrEqual(bounded[name].steps!);
      }
    },
  );
});

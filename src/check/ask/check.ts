// Asks for a check, and gives the reports as they come: of named protocols, of the matrix, of all
// runs that the page of verdicts needs.

import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import { configure, titleOf, type Configuration } from '../configuration.js';
import { document, documentJobs, type Pages } from './document.js';
import type { Protocol } from '../../plan/protocol.js';
import { syncsOf } from '../../plan/protocols/index.js';
import { INTERRUPTED } from '../search/explore.js';
import { certificate } from './certificate.js';
import { loadProtocol, namesFile } from './load.js';
import { formJobs } from './forms.js';
import { fullJobs, matrixJobs } from './matrix.js';
import { proposalFor, type Job } from './job.js';
import { promela, type PromelaModel } from './promela.js';
import { runAll, type Runner } from './pool.js';
import type { RunReport } from '../explain/report.js';
import type { PropertyName } from '../properties.js';
import { CHUNKS, STORES } from '../../machine/sim/text.js';
import { aboutOf } from '../../zoo/about.js';
import { PROPOSALS, findProposal, proposalOf } from '../../zoo/index.js';
import { placeOf, placesOf } from '../../zoo/place.js';
import type { Proposal } from '../../zoo/proposal.js';

/** What to check; everything that is left out has the default that the report names. */
export interface CheckOptions extends Omit<Partial<Configuration>, 'offset'> {
  /**
   * Offset of the site in its cache line, `all` that the protocol takes, or null for the worst of
   * them. With `all` there is a run for each set of offsets between which nothing differs.
   */
  readonly offset?: Configuration['offset'] | 'all';
  /**
   * Bounds of each search; one that exceeds them ends as `unknown`. The number of states is
   * compared after each state is expanded, so a few more may have been found.
   */
  readonly statesMax?: number;
  readonly secondsMax?: number;
  /**
   * Properties to explain where they fail, with a story, a path and a picture. Each takes a second
   * search; with none, verdicts come from the first search alone. All if left out.
   */
  readonly explained?: readonly PropertyName[];
  /**
   * Ends the searches with what they know by then; those that were not begun are missing from the
   * report.
   */
  readonly signal?: AbortSignal;
  /** Called as each run ends. */
  readonly onRun?: (run: RunReport, done: number, all: number) => void;
}

/** What came of all the runs. */
export interface CheckReport {
  readonly runs: readonly RunReport[];
  /** The signal aborted: not every run was made to its end. */
  readonly incomplete: boolean;
}

/**
 * Protocols that can be named: `int3-gap`, `int3-gap/no-gap`.
 * @example
 * const forProcesses = protocols().filter(({ environment }) => environment === 'user');
 */
export function protocols(): {
  readonly name: string;
  readonly environment: 'kernel' | 'user';
  readonly about: string;
}[] {
  return PROPOSALS.map((proposal) => ({
    name: titleOf({ protocol: proposal.name, variant: proposal.variant }),
    environment: proposal.environment,
    about: aboutOf(proposal),
  }));
}

/**
 * Explores everything that each protocol can do in one configuration. A name is one of
 * `protocols()`, or the path of an `.mjs` file whose default export is a `Protocol`.
 * @throws Fault `unknown-protocol`, `bad-protocol`, `bad-usage`
 * @example
 * const { runs } = await check(['naive'], { environment: 'user', updates: 1 });
 * if (runs[0]!.properties.torn.verdict !== 'fails') throw new Error('it cannot be right');
 */
export async function check(
  names: readonly string[],
  options: CheckOptions = {},
): Promise<CheckReport> {
  if (names.length === 0) throw new Fault('bad-usage', 'no protocol is named');
  const jobs = await Promise.all(names.map((name) => jobsOf(name, options)));
  return perform(jobs.flat(), options);
}

/**
 * Every protocol against every property; `full` adds every other thing that a verdict may depend
 * on. `runner` makes the searches elsewhere than on this machine.
 * @example
 * const { incomplete } = await checkMatrix('default', { signal: AbortSignal.timeout(1) });
 * if (!incomplete) throw new Error('in a millisecond?');
 */
export async function checkMatrix(
  which: 'default' | 'full',
  {
    explained,
    runner,
    ...options
  }: Pick<CheckOptions, 'signal' | 'onRun' | 'explained'> & { readonly runner?: Runner } = {},
): Promise<CheckReport> {
  const jobs = which === 'full' ? fullJobs() : [...matrixJobs(), ...formJobs()];
  return perform(
    explained === undefined ? jobs : jobs.map((each) => ({ ...each, explained })),
    options,
    runner,
  );
}

/**
 * The pages docs/verdicts.md and docs/counterexamples.md, by the names of their files, from runs
 * made now. They are whole or not at all.
 * @throws Fault `bad-usage` when the signal ended the runs before the last one
 * @example
 * const pages = await checkDocument({ signal: AbortSignal.timeout(1) }).catch(() => null);
 * if (pages !== null) throw new Error('in a millisecond?');
 */
export async function checkDocument(
  options: Pick<CheckOptions, 'signal' | 'onRun'> = {},
): Promise<Pages> {
  const { runs, incomplete } = await perform(documentJobs(), options);
  if (incomplete) throw new Fault('bad-usage', 'not every run was finished, so there is no page');
  return document(runs);
}

async function perform(
  jobs: readonly Job[],
  { signal, onRun }: Pick<CheckOptions, 'signal' | 'onRun'>,
  runner: Runner = runAll,
): Promise<CheckReport> {
  let done = 0;
  const runs = await runner(jobs, signal, (run) => onRun?.(run, ++done, jobs.length));
  return {
    runs: runs.flatMap((run, i) => {
      const { offsets } = jobs[i]!;
      return run === null ? [] : [offsets === undefined ? run : { ...run, offsets }];
    }),
    incomplete: runs.some((run) => run === null || run.stopped === INTERRUPTED),
  };
}

/** @throws Fault `unknown-protocol`, `bad-protocol`, `no-such-file` */
export async function proposalNamed(
  name: string,
  environment: Configuration['environment'] | undefined,
): Promise<Proposal> {
  if (namesFile(name)) return proposalOf(await loadProtocol(name), environment);
  const [protocol = name, variant = ''] = name.split('/');
  return findProposal(protocol, variant, environment);
}

/**
 * A report that says "without sync 4" of a protocol with three would be a verdict on something
 * else.
 */
export function checkDropped(name: string, protocol: Protocol, dropSync: number | null): void {
  const syncs = syncsOf(protocol);
  if ((dropSync ?? 0) > syncs)
    throw new Fault('bad-usage', `drop-sync is ${dropSync}; ${name} has ${syncs} synchronisations`);
}

/**
 * What a search without bounds found, as the text of a file that `scripts/certify.mjs` verifies.
 * @throws Fault `bad-usage` where the protocol does not hold for any number of everything
 */
export async function certify(name: string, options: CheckOptions): Promise<string> {
  const job = await oneJobOf(name, options, 'a certificate');
  return certificate(await proposalFor(job), job.configuration, job.limits.states);
}

/**
 * A protocol as a model that SPIN searches, and what SPIN must count.
 * @throws Fault `bad-usage` where what the protocol does is no table
 */
export async function promelaOf(name: string, options: CheckOptions): Promise<PromelaModel> {
  const { reduce = 'macro' } = options;
  const job = await oneJobOf(name, { ...options, reduce }, 'a model for SPIN');
  return promela(await proposalFor(job), job.configuration, job.limits.states);
}

async function oneJobOf(name: string, options: CheckOptions, what: string): Promise<Job> {
  const [job, ...more] = await jobsOf(name, options);
  invariant(job !== undefined, 'a name is a job');
  if (more.length > 0)
    throw new Fault('bad-usage', `${what} is about one offset, and --offset names several`);
  return job;
}

async function jobsOf(name: string, options: CheckOptions): Promise<readonly Job[]> {
  const { statesMax = 20_000_000, secondsMax = 600, explained, ...rest } = options;
  const { signal: _, onRun: __, offset = null, ...given } = rest;
  const isFile = namesFile(name);
  const proposal = await proposalNamed(name, given.environment);
  if (given.environment !== undefined && given.environment !== proposal.environment)
    throw new Fault('bad-usage', `${name} is for --env ${proposal.environment}`);
  checkDropped(name, proposal.protocol, given.dropSync ?? null);
  const configuration = configure({
    ...given,
    environment: proposal.environment,
    offset: offset === 'all' ? null : offset,
  });
  const { site, chunk, store } = configuration;
  const job: Job = {
    file: isFile ? name : null,
    protocol: proposal.name,
    variant: proposal.variant,
    configuration,
    limits: { states: statesMax, seconds: secondsMax },
    ...(explained === undefined ? {} : { explained }),
  };
  // Refused here, because a worker would refuse it after the others have run.
  placeOf(proposal, site, configuration.offset);
  if (offset !== 'all') return [job];
  return placesOf(proposal, site, [CHUNKS[chunk], STORES[store]]).map((offsets) => ({
    ...job,
    offsets,
    configuration: { ...configuration, offset: offsets[0]! },
  }));
}

// From a name and options to the jobs of a check, and the two answers that are about one job: a
// certificate, and a model for SPIN.

import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import { CHUNKS, STORES } from '../../machine/sim/settings.js';
import type { Protocol } from '../../plan/protocol.js';
import { syncsOf } from '../../plan/protocols/index.js';
import { findProposal, proposalOf } from '../../zoo/index.js';
import { placeOf, placesOf } from '../../zoo/place.js';
import type { Proposal } from '../../zoo/proposal.js';
import { BOUNDS_ANY, configure, type Configuration } from '../configuration.js';
import type { CheckOptions, Job } from './asked.js';
import { certificate } from './certificate.js';
import { proposalFor } from './job.js';
import { loadProtocol, namesFile } from './load.js';
import { ENDLESS_STATES, MATRIX_LIMITS } from './matrix.js';
import { promela, type PromelaModel } from './promela.js';

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
  const endless = countsNothing(options) ? { ...options, ...BOUNDS_ANY } : options;
  const job = await oneJobOf(name, endless, 'a certificate');
  return certificate(await proposalFor(job), job.configuration, job.limits.states);
}

/**
 * A protocol as a model that SPIN searches, and what SPIN must count; within bounds where none are
 * named.
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

/** Whether no number is named of what `--bounds` counts. */
const countsNothing = ({ cpus, passes, updates }: CheckOptions): boolean =>
  cpus === undefined && passes === undefined && updates === undefined;

/** The jobs that a name and options come to: one for each set of offsets that is asked for. */
export async function jobsOf(name: string, options: CheckOptions): Promise<readonly Job[]> {
  const { statesMax, secondsMax = MATRIX_LIMITS.seconds, explained, ...rest } = options;
  const { signal: _, onRun: __, offset = null, ...given } = rest;
  const isFile = namesFile(name);
  const proposal = await proposalNamed(name, given.environment);
  if (given.environment !== undefined && given.environment !== proposal.environment)
    throw new Fault('bad-usage', `${name} is for --env ${proposal.environment}`);
  checkDropped(name, proposal.protocol, given.dropSync ?? null);
  // Only any number of updates chooses among targets.
  const endless = countsNothing(given) && given.targets !== undefined;
  const configuration = configure({
    ...given,
    ...(endless ? BOUNDS_ANY : {}),
    environment: proposal.environment,
    offset: offset === 'all' ? null : offset,
  });
  const { site, chunk, store } = configuration;
  const job: Job = {
    file: isFile ? name : null,
    protocol: proposal.name,
    variant: proposal.variant,
    configuration,
    limits: { states: statesMax ?? MATRIX_LIMITS.states, seconds: secondsMax },
    ...(countsNothing(given) && !endless
      ? { proof: { states: statesMax ?? ENDLESS_STATES, seconds: secondsMax } }
      : {}),
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

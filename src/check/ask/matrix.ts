// Every protocol against every property: which configurations make up the table, and what is read
// off it.

import {
  BOUNDS_ANY,
  DEFAULTS,
  configure,
  isEndless,
  keyOf,
  type Configuration,
  type ContextName,
} from '../configuration.js';
import type { Job } from './asked.js';
import { PROPERTIES } from '../properties.js';
import type { RunReport } from '../result.js';
import { obstacleOf } from '../search/endless.js';
import { syncsOf } from '../../plan/protocols/index.js';
import { PROPOSALS, findProposal, type Proposal } from '../../zoo/index.js';
import { CHUNKS, FETCH_LEVELS, type Chunk } from '../../machine/sim/settings.js';

export const MATRIX_LIMITS = { states: 20_000_000, seconds: 600 } as const;

/** Contexts that a CPU can mask. */
const MASKABLE: Readonly<Record<Proposal['environment'], readonly ContextName[]>> = {
  kernel: ['task', 'irq'],
  user: ['task', 'signal'],
};

const BLOCKS: Readonly<Record<Proposal['environment'], readonly (readonly ContextName[])[]>> = {
  kernel: [
    ['task', 'irq'],
    ['task', 'irq', 'nmi'],
    ['task', 'irq', 'nmi', 'mc'],
  ],
  user: [['task', 'signal']],
};

/**
 * The model in which the hardware promises least comes first: a protocol that holds in one of these
 * holds wherever more is promised. F1 and F2 with single bytes lie between; what tells protocols
 * apart is whether stale bytes may be used and what is fetched whole.
 */
export const MODELS = [
  { name: 'F4/byte', fetch: 'F4', chunk: 'byte' },
  { name: 'F3/byte', fetch: 'F3', chunk: 'byte' },
  { name: 'F3/qword', fetch: 'F3', chunk: 'qword' },
  { name: 'F3/fetch16', fetch: 'F3', chunk: 'fetch16' },
  { name: 'F3/fetch32', fetch: 'F3', chunk: 'fetch32' },
  { name: 'F3/line', fetch: 'F3', chunk: 'line' },
  { name: 'F1a/byte', fetch: 'F1a', chunk: 'byte' },
  { name: 'F1/line', fetch: 'F1', chunk: 'line' },
  { name: 'F0/byte', fetch: 'F0', chunk: 'byte' },
] as const satisfies readonly ({ name: string } & Pick<Configuration, 'fetch' | 'chunk'>)[];
export type ModelName = (typeof MODELS)[number]['name'];

/**
 * One row. Where CPUs are coupled one does not stand for all, and two are within reach for a single
 * pass beside nothing else; what comes on top of a task is tried on one.
 */
export function job(proposal: Proposal, given: Partial<Configuration>): Job {
  const { contexts = MASKABLE[proposal.environment], patcher } = given;
  const alone = patcher === 'task' ? contexts.length > 2 : contexts.length > 1;
  const coupled: Partial<Configuration> = alone ? { cpus: 1 } : { passes: 1, updates: 1 };
  return {
    file: null,
    protocol: proposal.name,
    variant: proposal.variant,
    configuration: configure({
      environment: proposal.environment,
      ...given,
      ...(proposal.coupled ? coupled : {}),
    }),
    limits: MATRIX_LIMITS,
  };
}

/**
 * More than any row needs that closes and does not fail. Only the count ends a search of the pages:
 * a clock would end it elsewhere on every machine.
 */
export const ENDLESS_STATES = 250_000;

/**
 * The row of a protocol without bounds, of which only the verdict is asked; null where something of
 * the protocol counts up.
 */
export function endlessJob(proposal: Proposal, contexts: readonly ContextName[]): Job | null {
  const { environment } = proposal;
  // Where CPUs are coupled, one does not stand for any number of them.
  const cpus = proposal.coupled ? 2 : 'any';
  const configuration = configure({ ...BOUNDS_ANY, cpus, environment, contexts });
  if (obstacleOf(proposal, configuration) !== null) return null;
  return {
    file: null,
    protocol: proposal.name,
    variant: proposal.variant,
    configuration,
    limits: { ...MATRIX_LIMITS, states: ENDLESS_STATES },
    explained: [],
  };
}

/** Each once, and the long ones first, so that none is left alone at the end. */
function ordered(jobs: readonly Job[]): Job[] {
  const distinct = new Map(jobs.map((each) => [JSON.stringify(each), each]));
  return [...distinct.values()].sort(
    (a, b) => b.configuration.contexts.length - a.configuration.contexts.length,
  );
}

/**
 * The default table. A machine check multiplies the states by ten, so its block has one pass and
 * one update.
 */
export function matrixJobs(): Job[] {
  const rows = PROPOSALS.filter(({ full }) => !full);
  const blocks = rows.flatMap((proposal) =>
    // A machine check on top of an NMI adds nothing to what these do, and most of the states.
    (proposal.coupled
      ? [['task'] as const, ...BLOCKS[proposal.environment].slice(0, 2)]
      : BLOCKS[proposal.environment]
    ).flatMap((contexts: readonly ContextName[]) =>
      contexts.includes('mc')
        ? [job(proposal, { contexts, passes: 1, updates: 1 })]
        : [1, 2].map((updates) => job(proposal, { contexts, updates })),
    ),
  );
  const weakest = rows.flatMap((proposal) =>
    MODELS.filter(({ fetch }) => fetch !== 'F3').map(({ fetch, chunk }) =>
      job(proposal, { fetch, chunk, updates: 1 }),
    ),
  );
  const chunks = rows.flatMap((proposal) =>
    MODELS.filter(({ fetch, chunk }) => fetch === 'F3' && chunk !== 'byte').map(
      ({ fetch, chunk }) => job(proposal, { fetch, chunk, updates: 1 }),
    ),
  );
  return ordered([...blocks, ...weakest, ...chunks]);
}

/**
 * The patcher as a task on one of two CPUs: beside what interrupts it, and preempted by a second
 * task on its CPU. What it shares its CPU with multiplies the states, so there is one pass and one
 * update.
 */
export function hostedConfigurations(
  environment: Proposal['environment'],
): Partial<Configuration>[] {
  const hosted = { patcher: 'task', passes: 1, updates: 1 } as const;
  const beside: readonly (readonly ContextName[])[] =
    environment === 'kernel'
      ? [
          ['task', 'irq'],
          ['task', 'irq', 'nmi'],
        ]
      : [['task', 'signal']];
  return [
    ...beside.map((contexts) => ({ ...hosted, contexts })),
    { ...hosted, contexts: ['task', 'preempt'], cpus: 1, tasks: 1 },
  ];
}

/** Everything else that a verdict may depend on. */
export function fullJobs(): Job[] {
  const jobs = [...matrixJobs()];
  for (const proposal of PROPOSALS) {
    const { environment } = proposal;
    const syncs = syncsOf(proposal.protocol);
    if (proposal.full)
      for (const contexts of BLOCKS[environment].slice(0, 2))
        jobs.push(job(proposal, { contexts }));
    if (!proposal.full)
      for (const fetch of FETCH_LEVELS)
        for (const chunk of Object.keys(CHUNKS) as Chunk[])
          jobs.push(job(proposal, { fetch, chunk, updates: 1 }));
    // The other forms stand in the plain matrix, under every protocol that takes them.
    for (const site of ['call', 'jmp', 'null', 'ret0'] as const) {
      if (proposal.via !== 'site' && site !== 'call') continue;
      // Each of two keys goes from one function to another.
      if (proposal.keys === 2 && (site === 'null' || site === 'ret0')) continue;
      for (const fetch of ['F1', 'F3'] as const)
        for (let dropSync = 0; dropSync <= syncs; dropSync++)
          jobs.push(job(proposal, { site, fetch, dropSync: dropSync === 0 ? null : dropSync }));
    }
    jobs.push(
      job(proposal, { shadowStack: true }),
      job(proposal, { store: 'byte' }),
      job(proposal, { store: 'qword' }),
      job(proposal, { tso: false }),
    );
    if (environment === 'kernel')
      jobs.push(
        job(proposal, { entry: '2019' }),
        job(proposal, { contexts: ['task', 'irq', 'db'], passes: 1, updates: 1 }),
        job(proposal, { contexts: ['task', 'irq', 'nested-nmi'], passes: 1, updates: 1 }),
      );
    jobs.push(
      job(proposal, { contexts: ['task', 'preempt'], cpus: 1, tasks: 2, passes: 1, updates: 2 }),
    );
    if (proposal.updaters === 'one')
      jobs.push(...hostedConfigurations(environment).map((given) => job(proposal, given)));
  }
  return ordered(jobs);
}

/**
 * A run of the default table: every setting that the page's tables do not name is the usual one.
 */
export const isDefault = (run: Omit<Configuration, 'reduce' | 'offset'>): boolean =>
  !isEndless(run) &&
  run.fetch === DEFAULTS.fetch &&
  run.chunk === DEFAULTS.chunk &&
  run.site === DEFAULTS.site &&
  run.entry === DEFAULTS.entry &&
  run.patcher === DEFAULTS.patcher &&
  run.dropSync === null &&
  !run.shadowStack &&
  !run.contexts.includes('preempt');

/** Whether every property that counts holds or does not apply. */
export function holds(run: RunReport): boolean {
  return PROPERTIES.every(
    ({ name, apart }) =>
      apart ||
      run.properties[name].verdict === 'holds' ||
      run.properties[name].verdict === 'not-applicable',
  );
}

/**
 * The least that the hardware must promise for a protocol to hold, or null where nothing in the
 * list is enough.
 */
export function weakestModel(
  runs: readonly RunReport[],
  protocol: string,
  variant: string,
  environment: Proposal['environment'],
): ModelName | null {
  const proposal = findProposal(protocol, variant, environment);
  const byKey = new Map(runs.map((run) => [keyOf(run, run), run]));
  for (const { name, fetch, chunk } of MODELS) {
    const asked = job(proposal, { fetch, chunk, updates: 1 });
    const run = byKey.get(keyOf(asked, asked.configuration));
    if (run !== undefined && holds(run)) return name;
  }
  return null;
}

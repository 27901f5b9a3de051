// Asks for a check, and gives the reports as they come: of named protocols, of the matrix, of all
// runs that the page of verdicts needs.

import { Fault } from '../../base/fault.js';
import { titleOf } from '../configuration.js';
import { document, documentJobs } from './document.js';
import type { Pages, RunReport } from '../result.js';
import { INTERRUPTED } from '../search/explore.js';
import { formJobs } from './forms.js';
import { fullJobs, matrixJobs } from './matrix.js';
import type { CheckOptions, Job, Runner } from './asked.js';
import { runAll } from './pool.js';
import { aboutOf } from '../../zoo/about.js';
import { PROPOSALS } from '../../zoo/index.js';
import { jobsOf } from './jobs.js';

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

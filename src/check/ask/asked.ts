// What is asked of the checker: the options of a check, the jobs that come of them, and who runs
// those.

import type { Configuration } from '../configuration.js';
import type { PropertyName } from '../properties.js';
import type { RunReport } from '../result.js';

/**
 * What to check; everything that is left out has the default that the report names. Where `cpus`,
 * `passes` and `updates` are all left out, any number of each is searched first, and 2 of each
 * where that search does not decide everything.
 */
export interface CheckOptions extends Omit<Partial<Configuration>, 'offset'> {
  /**
   * Offset of the site in its cache line, `all` that the protocol takes, or null for the worst of
   * them. With `all` there is a run for each set of offsets between which nothing differs.
   */
  readonly offset?: Configuration['offset'] | 'all';
  /**
   * Bounds of each search; one that exceeds them ends as `unknown`. The number of states is
   * compared after each state is expanded, so a few more may have been found. Left out, they are
   * 20 million states and ten minutes, and 250,000 states of a search that tries for a proof first.
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

/** One configuration to judge. */
export interface Job {
  /** A user's protocol, else null. */
  readonly file: string | null;
  readonly protocol: string;
  readonly variant: string;
  readonly configuration: Configuration;
  /** Offsets of the site that this one stands for, where all were asked for. */
  readonly offsets?: readonly number[];
  readonly limits: { readonly states: number; readonly seconds: number };
  /**
   * Any number of CPUs, passes and updates is searched first, within these limits: where that
   * decides everything, it is the answer, and `configuration` where it does not (proof.ts).
   */
  readonly proof?: Job['limits'];
  /**
   * Which properties are explained where they fail, with a second search for each; all if left out.
   */
  readonly explained?: readonly PropertyName[];
}

/**
 * Makes the runs of jobs, here or elsewhere. Calls `each` as reports come in; what was not begun
 * before an abort is null in the list.
 */
export type Runner = (
  jobs: readonly Job[],
  signal: AbortSignal | undefined,
  each: (report: RunReport, index: number) => void,
) => Promise<(RunReport | null)[]>;

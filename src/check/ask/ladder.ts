// Who stands on which promise: for each system of the zoo the least that the hardware must promise
// so that it holds at every place where it puts its text, found by searching from the weakest
// promise up.

import { Fault } from '../../base/fault.js';
import { configure, type Configuration } from '../configuration.js';
import { INTERRUPTED } from '../search/explore.js';
import { PROPERTIES, type PropertyName } from '../properties.js';
import type { RunReport } from '../result.js';
import { CHUNKS, STORES, type Chunk, type FetchLevel } from '../../machine/sim/settings.js';
import { SYSTEMS, findProposal, type Variant } from '../../zoo/index.js';
import type { System } from '../../zoo/system.js';
import { offsetsOf, placesOf } from '../../zoo/place.js';
import type { Job, Runner } from './asked.js';
import { holds } from './matrix.js';
import { runAll } from './pool.js';

/** From the least that a CPU may promise; the last two are no promise of a CPU. */
export const RUNGS = [
  'byte',
  'qword',
  'fetch16',
  'fetch32',
  'line',
  'in-order',
  'instant',
  'stopped',
  'nothing',
] as const;
/** A promise of the ladder, by its short name. */
export type Rung = (typeof RUNGS)[number];

interface Model {
  readonly fetch: FetchLevel;
  readonly chunk: Chunk;
}
/** What is searched for each; `stopped` is the weakest one while everybody else stands. */
const MODELS: Readonly<Record<Exclude<Rung, 'nothing'>, Model>> = {
  byte: { fetch: 'F3', chunk: 'byte' },
  qword: { fetch: 'F3', chunk: 'qword' },
  fetch16: { fetch: 'F3', chunk: 'fetch16' },
  fetch32: { fetch: 'F3', chunk: 'fetch32' },
  line: { fetch: 'F3', chunk: 'line' },
  'in-order': { fetch: 'F1', chunk: 'line' },
  instant: { fetch: 'F0', chunk: 'byte' },
  stopped: { fetch: 'F3', chunk: 'byte' },
};
const SEARCHED = Object.keys(MODELS) as (keyof typeof MODELS)[];

/** Bounds of every search of the ladder. */
export const LADDER_BOUNDS = { passes: 1, cpus: 2, states: 200_000, seconds: 120 } as const;

/** The shortest way to the first failure below the rung. */
export interface Failure {
  readonly property: PropertyName;
  readonly below: Rung;
  readonly story: string;
  readonly picture: string;
  readonly path: string;
}

/** Where one system stands, with or without its change. */
export interface Standing {
  readonly rung: Rung;
  /** Offset in its line at which it needs that, in the middle of those at which it does. */
  readonly worst: number;
  /** How many offsets it takes, and at how many it needs the rung. */
  readonly places: number;
  readonly needed: number;
  /** Its own steps stop everybody. */
  readonly stops: boolean;
  readonly failure: Failure | null;
}

/** A system with where it stands, and with its change for better or worse where one is known. */
export interface LadderRow {
  readonly system: System;
  readonly standing: Standing;
  readonly mended: Standing | null;
  readonly broken: Standing | null;
}

/** What `ladder` found: every system, and how much was searched for it. */
export interface Ladder {
  readonly rows: readonly LadderRow[];
  readonly searches: number;
  readonly states: number;
}

interface LadderOptions {
  readonly signal?: AbortSignal;
  /** Names of systems; all if left out. */
  readonly only?: readonly string[];
  readonly onRun?: (run: RunReport, done: number) => void;
  /** Makes the searches; on this machine if left out. */
  readonly runner?: Runner;
}

type Changed = 'mended' | 'broken' | '';

/** One system, or it with a change, while its rung is sought. */
class Climber {
  readonly system: System;
  readonly variant: Changed;
  readonly all: readonly number[];
  readonly stops: boolean;
  /** Offsets at which nothing sufficed yet. */
  left: readonly number[];
  rung: Rung = 'byte';
  needing: readonly number[];
  failure: Failure | null = null;

  constructor(system: System, variant: Changed) {
    this.system = system;
    this.variant = variant;
    const proposal = findProposal(system.name, variant, system.environment);
    this.all = offsetsOf(proposal, system.site);
    this.left = this.needing = this.all;
    this.stops = proposal.protocol.steps.some((step) => step.do === 'stop');
  }

  /** A search for each set of the offsets left between which nothing differs. */
  jobs(at: keyof typeof MODELS): readonly Job[] {
    const variant = (at === 'stopped' ? joined(this.variant, 'stopped') : this.variant) as Variant;
    const proposal = findProposal(this.system.name, variant, this.system.environment);
    const pieces = [CHUNKS[MODELS[at].chunk], STORES.line];
    return placesOf(proposal, this.system.site, pieces)
      .map((offsets) => offsets.filter((offset) => this.left.includes(offset)))
      .filter((offsets) => offsets.length > 0)
      .map((offsets) => this.job(at, variant, offsets, []));
  }

  job(
    at: keyof typeof MODELS,
    variant: string,
    offsets: readonly number[],
    explained: readonly PropertyName[],
  ): Job {
    const { name, environment, site, updates, protocol } = this.system;
    const { passes, cpus, states, seconds } = LADDER_BOUNDS;
    const asked: Partial<Configuration> = {
      environment,
      site,
      updates,
      passes,
      cpus,
      // What interrupts a task meets nothing new where no trap is handled.
      ...(protocol.handler === null ? { contexts: ['task'] } : {}),
    };
    return {
      file: null,
      protocol: name,
      variant,
      configuration: configure({ ...asked, ...MODELS[at], offset: offsets[0]! }),
      offsets,
      limits: { states, seconds },
      explained,
    };
  }

  /** What is left above a rung needs the next one. */
  pass(at: keyof typeof MODELS, failed: readonly number[]): void {
    this.left = failed;
    if (failed.length === 0) return;
    this.needing = failed;
    this.rung = RUNGS[RUNGS.indexOf(at) + 1]!;
  }

  get standing(): Standing {
    // Steps that stop everybody, and then ask nothing of a CPU, hold because they do.
    const stands = this.stops && this.rung === 'byte';
    return {
      rung: stands ? 'stopped' : this.rung,
      worst: this.worst,
      places: this.all.length,
      needed: this.needing.length,
      stops: this.stops,
      failure: this.failure,
    };
  }
  get worst(): number {
    return this.needing[this.needing.length >> 1]!;
  }
}

const joined = (...words: readonly string[]): string =>
  words.filter((word) => word !== '').join('-');

/**
 * Searches the ladder for every system of the zoo, and for each with its change.
 * @throws Fault `bad-usage` where a search did not end: a rung would be a guess
 * @example
 * const { rows } = await ladder({ only: ['qemu'] });
 * if (rows[0]!.standing.rung !== 'qword') throw new Error('its jumps are aligned');
 */
export async function ladder({
  signal,
  only,
  onRun,
  runner = runAll,
}: LadderOptions = {}): Promise<Ladder> {
  const systems = SYSTEMS.filter(({ name }) => only?.includes(name) ?? true);
  const climbers = systems.flatMap((system) => [
    new Climber(system, ''),
    ...(system.mended === null ? [] : [new Climber(system, 'mended')]),
    ...(system.broken === null ? [] : [new Climber(system, 'broken')]),
  ]);
  const totals = { searches: 0, states: 0 };
  const perform = async (jobs: readonly Job[]): Promise<readonly RunReport[]> => {
    const runs = await runner(jobs, signal, (run) => {
      totals.searches++;
      onRun?.(run, totals.searches);
    });
    return runs.map((run) => {
      if (run === null || (run.stopped !== null && !fails(run))) throw unfinished(run);
      totals.states += run.states;
      return run;
    });
  };
  for (const at of SEARCHED) {
    const asked = climbers.flatMap((climber) => climber.jobs(at).map((job) => ({ climber, job })));
    const runs = await perform(asked.map(({ job }) => job));
    for (const climber of new Set(asked.map((each) => each.climber))) {
      const failed = asked.flatMap(({ climber: who, job }, i) =>
        who === climber && !holds(runs[i]!) ? [{ job, run: runs[i]! }] : [],
      );
      climber.pass(
        at,
        failed.flatMap(({ job }) => job.offsets ?? []).sort((a, b) => a - b),
      );
    }
  }
  await explainAll(climbers, perform);
  return {
    ...totals,
    rows: systems.map((system) => {
      const of = (variant: Changed) =>
        climbers.find((each) => each.system === system && each.variant === variant)?.standing ??
        null;
      return { system, standing: of('')!, mended: of('mended'), broken: of('broken') };
    }),
  };
}

/** Found broken, which more states would not mend. */
const fails = (run: RunReport): boolean =>
  run.stopped !== INTERRUPTED &&
  PROPERTIES.some(({ name, apart }) => !apart && run.properties[name].verdict === 'fails');

const unfinished = (run: RunReport | null): Fault =>
  new Fault(
    'bad-usage',
    run === null || run.stopped === INTERRUPTED
      ? 'the searches were interrupted, so there is no ladder'
      : `the search of ${run.protocol} did not end: ${run.stopped}`,
  );

/** The failure one rung below, at the worst place, of each system as it is. */
async function explainAll(
  climbers: readonly Climber[],
  perform: (jobs: readonly Job[]) => Promise<readonly RunReport[]>,
): Promise<void> {
  const failing = climbers.flatMap((climber) => {
    const below = RUNGS[RUNGS.indexOf(climber.rung) - 1];
    if (climber.variant !== '' || below === undefined || below === 'nothing') return [];
    const at: keyof typeof MODELS = below === 'stopped' ? 'instant' : below;
    return [{ climber, at }];
  });
  const names = PROPERTIES.filter(({ apart }) => !apart).map(({ name }) => name);
  const runs = await perform(
    failing.map(({ climber, at }) => climber.job(at, climber.variant, [climber.worst], names)),
  );
  for (const [i, { climber, at }] of failing.entries()) {
    const { properties } = runs[i]!;
    const [property] = names
      .filter((name) => properties[name].verdict === 'fails')
      .sort((a, b) => (properties[a].steps ?? 0) - (properties[b].steps ?? 0));
    if (property === undefined) continue;
    const { story = '', picture = '', path = '' } = properties[property];
    climber.failure = { property, below: at, story, picture, path };
  }
}

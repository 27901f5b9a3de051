// One configuration of the machine and the program under test: everything that a verdict depends on
// and names.

import { Fault } from '../base/fault.js';
import { didYouMean } from '../base/nearest.js';
import {
  type Bound,
  type Chunk,
  CHUNKS,
  type Environment,
  FETCH_LEVELS,
  type FetchLevel,
  SITE_SHAPES,
  type SiteShape,
  STORES,
  type StoreWidth,
  type TargetName,
  TARGETS,
} from '../machine/sim/settings.js';
import { choicesOf } from '../machine/sim/options.js';
import type { Entry } from '../trap/entry.js';

/**
 * Who runs code: the task, and what may interrupt it; each in its environment (`configure` refuses
 * the others).
 */
export const CONTEXT_NAMES = [
  'task',
  'irq',
  'nmi',
  'nested-nmi',
  'mc',
  'db',
  'preempt',
  'signal',
] as const;
/** One of CONTEXT_NAMES. */
export type ContextName = (typeof CONTEXT_NAMES)[number];

/**
 * `por`: one CPU beside the patcher, where CPUs write nothing that another one reads. Each includes
 * the ones before it.
 */
export const REDUCTIONS = ['none', 'macro', 'sym', 'por'] as const;
/** One of REDUCTIONS. */
export type Reduction = (typeof REDUCTIONS)[number];

/** One machine and program under test. `configure` fills in what is left out. */
export interface Configuration {
  readonly environment: Environment;
  readonly fetch: FetchLevel;
  readonly chunk: Chunk;
  readonly store: StoreWidth;
  readonly contexts: readonly ContextName[];
  /** `any` for any number of these: docs/proof.md says how one search answers for all. */
  readonly cpus: Bound;
  readonly tasks: number;
  readonly passes: Bound;
  readonly updates: Bound;
  /**
   * What any number of updates choose among, in any order, the initial one first. Left out, as many
   * functions as there need be, and what the site's shape says besides.
   */
  readonly targets?: readonly TargetName[];
  readonly site: SiteShape;
  /** Offset of the site in its cache line; null for the worst one that the protocol takes. */
  readonly offset: number | null;
  readonly dropSync: number | null;
  readonly tso: boolean;
  readonly entry: Entry;
  /**
   * The patcher is beside the CPUs, or a task on one of them that is interrupted, preempted, and
   * passes the site itself.
   */
  readonly patcher: 'beside' | 'task';
  readonly shadowStack: boolean;
  readonly reduce: Reduction;
}

export const DEFAULTS: Omit<Configuration, 'environment' | 'contexts'> = {
  fetch: 'F3',
  chunk: 'byte',
  store: 'line',
  cpus: 2,
  tasks: 2,
  passes: 2,
  updates: 2,
  site: 'call',
  offset: null,
  dropSync: null,
  tso: true,
  entry: 'today',
  patcher: 'beside',
  shadowStack: false,
  reduce: 'por',
};

/** Bounds that hold whatever the configuration, named beside every verdict. */
export const BOUNDS = {
  nmis: 2,
  machineChecks: 1,
  debugExceptions: 1,
  interruptsAtOnce: 1,
} as const;

const WORDS = {
  environment: ['kernel', 'user'],
  fetch: FETCH_LEVELS,
  chunk: Object.keys(CHUNKS),
  store: Object.keys(STORES),
  site: SITE_SHAPES,
  entry: ['2019', 'today'],
  patcher: ['beside', 'task'],
  reduce: REDUCTIONS,
} as const;

/** Fills in the defaults and refuses what cannot be, naming the nearest word. */
export function configure(given: Partial<Configuration>): Configuration {
  const environment = given.environment ?? 'kernel';
  const contexts =
    given.contexts ?? (environment === 'kernel' ? ['task', 'irq'] : ['task', 'signal']);
  const configuration: Configuration = {
    ...DEFAULTS,
    environment,
    contexts,
    ...given,
    tasks: given.tasks ?? (given.cpus === 'any' ? undefined : given.cpus) ?? DEFAULTS.tasks,
  };
  for (const [field, words] of Object.entries(WORDS))
    word(field, String(configuration[field as keyof typeof WORDS]), words);
  for (const context of contexts) {
    word('context', context, CONTEXT_NAMES);
    const kernelOnly = context !== 'task' && context !== 'signal' && context !== 'preempt';
    if (environment === 'user' && kernelOnly)
      throw new Fault(
        'bad-usage',
        `context ${context} is the kernel's; a process has task, signal and preempt`,
      );
    if (environment === 'kernel' && context === 'signal')
      throw new Fault('bad-usage', 'context signal belongs to --env user');
  }
  if (!contexts.includes('task'))
    throw new Fault('bad-usage', 'contexts must include task: a task has to run the program');
  bound('cpus', configuration.cpus, 4);
  count('tasks', configuration.tasks, 1, 4);
  bound('passes', configuration.passes, 4);
  bound('updates', configuration.updates, 2);
  checkTargets(configuration);
  if (configuration.offset !== null) count('offset', configuration.offset, 0, 63);
  if (configuration.dropSync !== null) count('drop-sync', configuration.dropSync, 1, 9);
  return configuration;
}

function word(field: string, value: string, words: readonly string[]): void {
  if (words.includes(value)) return;
  const hint = didYouMean(value, words);
  throw new Fault('bad-usage', `unknown ${field} ${value}`, {
    hint: hint ?? `one of ${words.join(', ')}`,
  });
}

function bound(field: string, value: Bound, high: number): void {
  if (value !== 'any') count(field, value, 1, high);
}

/** What updates choose among, where their number is not bounded. */
export const targetsOf = ({
  site,
  targets,
}: Pick<Configuration, 'site' | 'targets'>): readonly TargetName[] => targets ?? choicesOf(site);

function checkTargets({ targets, updates, site }: Configuration): void {
  if (targets === undefined) return;
  if (updates !== 'any')
    throw new Fault('bad-usage', 'targets are chosen among by any number of updates only', {
      hint: 'ask for --updates any or --bounds any',
    });
  for (const name of targets) word('target', name, TARGETS);
  if (new Set(targets).size < Math.max(targets.length, 2))
    throw new Fault('bad-usage', 'targets must name two or more, each once');
  const branch = targets.find(
    (name) => !choicesOf(site).includes('B') && !choicesOf(site).includes(name),
  );
  if (branch !== undefined)
    throw new Fault('bad-usage', `a site of the shape ${site} is never sent to ${branch}`);
}

function count(field: string, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high)
    throw new Fault('bad-usage', `${field} is ${value}; it can be ${low} to ${high}`);
}

/** Something of it is without a bound. */
export const isEndless = ({ cpus, passes, updates }: Endless): boolean =>
  cpus === 'any' || passes === 'any' || updates === 'any';
type Endless = Pick<Configuration, 'cpus' | 'passes' | 'updates'>;
/** What `--bounds any` asks for. */
export const BOUNDS_ANY: Endless = { cpus: 'any', passes: 'any', updates: 'any' };

/** Every setting that makes two runs different; a reduction and an offset do not. */
const SETTINGS = [
  'environment',
  'fetch',
  'chunk',
  'store',
  'contexts',
  'cpus',
  'tasks',
  'passes',
  'updates',
  'targets',
  'site',
  'dropSync',
  'tso',
  'entry',
  'patcher',
  'shadowStack',
] as const satisfies readonly (keyof Configuration)[];
type Settings = Pick<Configuration, (typeof SETTINGS)[number]>;
/** A job or the report of its run. */
export type Named = { readonly protocol: string; readonly variant: string };

/** Equal for a job and the report of its run, and for nothing else. */
export function keyOf({ protocol, variant }: Named, settings: Settings): string {
  return JSON.stringify([protocol, variant, ...SETTINGS.map((name) => settings[name])]);
}

/** `int3-gap/no-gap`: what is typed to check it. */
export const titleOf = ({ protocol, variant }: Named): string =>
  variant === '' ? protocol : `${protocol}/${variant}`;

// Any number of CPUs, passes, updates and events, in one search that closes. docs/proof.md has the
// argument for each of the abstractions:
//
//   passes   the task loops, and nothing counts its passes (machine/sim/programs.ts, judge.ts)
//   updates  any sequence of them, from a segment for each (machine/sim/tour.ts, segments.ts)
//   targets  three functions stand for any number
//   CPUs     one beside the patcher stands for any number, where CPUs write nothing for each other
//   events   each is masked while its own kind runs, and none is counted
//
// What a pass may run is watched in searches of their own, one for each depth of nesting and each
// target (machine/sim/window.ts), which have fewer states together than the one that watches all.

import { Fault } from '../../base/fault.js';
import { FUNCTIONS, SHAPES, TARGETS, type TargetName } from '../../machine/sim/settings.js';
import type { Model } from '../../machine/sim/model.js';
import { titled, type Proposal } from '../../zoo/proposal.js';
import { isEndless, targetsOf, type Configuration } from '../configuration.js';
import { explore, type Limits, type Progress, type Search } from './explore.js';
import type { Shape } from './state.js';

/** What of a protocol or of its sites counts up, so that no search of any number would close. */
export interface Obstacle {
  readonly what: 'passes' | 'updates';
  readonly why: string;
  readonly hint: string;
}

/** @throws Fault `bad-usage` where something of the protocol or of its sites counts up */
export function checkEndless(proposal: Proposal, configuration: Configuration): void {
  const obstacle = obstacleOf(proposal, configuration);
  if (obstacle === null) return;
  throw new Fault('bad-usage', `${titled(proposal)}: ${obstructed(obstacle)}`, {
    hint: obstacle.hint,
  });
}

/** An obstacle as a sentence. */
export const obstructed = ({ what, why }: Obstacle): string =>
  `any number of ${what} cannot be searched, because ${why}`;

/** Null where nothing stands in the way of a search without bounds. */
export function obstacleOf(
  proposal: Proposal,
  { passes, updates, site }: Configuration,
): Obstacle | null {
  const shapes = [site, proposal.second?.site ?? site];
  if (passes === 'any' && shapes.some((each) => SHAPES[each].kind === 'jcc'))
    return {
      what: 'passes',
      why: 'RBX counts them, and a conditional jump is taken by that count',
      hint: 'give --passes a number, or choose another --site',
    };
  const why = updates === 'any' ? countedUpdates(proposal) : null;
  return why === null ? null : { what: 'updates', why, hint: 'give --updates a number' };
}

function countedUpdates(proposal: Proposal): string | null {
  if (proposal.protocol.text?.states !== undefined)
    return 'the text that it brings goes through its states in turn';
  if (proposal.keys === 2) return 'its two keys are updated in turn';
  if (proposal.updaters === 'unlocked') return 'two updaters make one each, at the same time';
  const [counted] = countedUp(proposal);
  return counted === undefined
    ? null
    : `each of them counts the word ${counted[0]} up by ${counted[1]}`;
}

/** Words that an update leaves at another value than it found. */
function countedUp({ protocol: { steps } }: Proposal): ReadonlyMap<string, number> {
  const by = new Map<string, number>();
  for (const step of steps)
    if (step.do === 'count') by.set(step.word, (by.get(step.word) ?? 0) + step.by);
  return new Map([...by].filter(([, sum]) => sum !== 0));
}

/** What was counted in a search without bounds, in words; empty where nothing was. */
export function remaining(model: Model, configuration: Configuration): readonly string[] {
  const { cpus, tasks, passes, updates, contexts } = configuration;
  return [
    ...(cpus === 'any' ? [] : [`${cpus} CPU${cpus === 1 ? '' : 's'}`]),
    ...(passes === 'any' ? [] : [`${passes} pass${passes === 1 ? '' : 'es'}`]),
    ...(updates === 'any' ? [] : [`${updates} update${updates === 1 ? '' : 's'}`]),
    ...(contexts.includes('preempt') ? [`${tasks} tasks`] : []),
    ...model.ops
      .flatMap((op) => (op.op === 'retry' ? [`${op.times} attempts of an update`] : []))
      .slice(0, 1),
    ...(model.bufferMax === Infinity
      ? []
      : [`${model.bufferMax} stores in the patcher's buffer, which nothing drains`]),
  ];
}

/** A search of its own, and the model that it was made on. */
export interface Part {
  readonly model: Model;
  readonly search: Search;
}

/**
 * The searches that answer together for a configuration: one, or where something has no bound, one
 * for each bit of what is watched.
 */
export function* exploreParts(
  whole: Model,
  configuration: Configuration,
  shape: Shape,
  partial: boolean,
  limits: Limits,
): Generator<Progress, readonly Part[]> {
  if (!isEndless(configuration))
    return [{ model: whole, search: yield* explore(whole, shape, partial, limits) }];
  const parts: Part[] = [];
  const levels = new Set([0]);
  // A pass may also run what no update ever set: that is watched in each search, and never current.
  const chosen = targetsOf(configuration).reduce((set, target) => set | setOf(target), 0);
  // Iterating a Set goes on to what is added meanwhile.
  for (const level of levels)
    for (const target of watched(configuration)) {
      const model = whole.watching({ level, targets: setOf(target) | ~chosen });
      const left = {
        ...limits,
        states: limits.states - sumOf(parts, 'states'),
        seconds: limits.seconds - sumOf(parts, 'seconds'),
      };
      const search = yield* explore(model, shape, partial, left);
      parts.push({ model, search });
      for (const each of model.levels) levels.add(each);
      const coupled = configuration.cpus === 'any' && model.cpusWrite;
      if (search.stopped !== null || coupled) return parts;
    }
  return parts;
}

export const setOf = (target: TargetName): number => 1 << TARGETS.indexOf(target);

/**
 * The targets that are watched. No code compares them, so those functions that the sites do not
 * begin with can be exchanged for each other, and one of them is watched for all.
 */
export function watched(
  configuration: Pick<Configuration, 'site' | 'targets'>,
): readonly TargetName[] {
  const targets = targetsOf(configuration);
  const isAlike = (name: TargetName, i: number): boolean => i > 0 && FUNCTIONS.includes(name);
  return targets.filter(
    (name, i) => !isAlike(name, i) || i === targets.findIndex((each, k) => isAlike(each, k)),
  );
}

/** Of all parts together. */
export const sumOf = (
  parts: readonly Part[],
  what: 'states' | 'transitions' | 'seconds' | 'bytes' | 'edgeBytes',
): number => parts.reduce((sum, { search }) => sum + search[what], 0);

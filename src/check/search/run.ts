// The verdict on one configuration of one proposal: the search alone. What a failure looks like is
// found by another search, on demand (explain/explain.ts).

import { invariant } from '../../base/invariant.js';
import type { Model } from '../../machine/sim/model.js';
import { RULES, type Rules } from '../../machine/sim/rules.js';
import type { Proposal } from '../../zoo/index.js';
import type { Configuration } from '../configuration.js';
import { PROPERTIES, PROPERTY_NAMES, type PropertyName } from '../properties.js';
import { build, shapeOf } from './build.js';
import { explore, type Limits, type Progress, type Search } from './explore.js';

export type VerdictWord = 'holds' | 'fails' | 'not-applicable' | 'unknown';

export interface PropertyVerdict {
  readonly verdict: VerdictWord;
  /** Moves on the shortest path to the violation. */
  readonly steps?: number;
  /** What happened at its end. */
  readonly story?: string;
  /** Of `unknown`: nothing was found, up to where these fail and the machine cannot go on. */
  readonly beyond?: readonly PropertyName[];
}

export interface Run {
  readonly proposal: Proposal;
  readonly configuration: Configuration;
  readonly properties: ReadonlyMap<PropertyName, PropertyVerdict>;
  readonly states: number;
  readonly transitions: number;
  readonly seconds: number;
  readonly exhaustive: boolean;
  /** Why it is not. */
  readonly stopped: string | null;
  /** The reduction in force: `por` gives way to `sym` where CPUs write what others read. */
  readonly reduce: Configuration['reduce'];
  readonly bytesPerState: number;
  /** What the edges between states take besides, for deadlock and livelock. */
  readonly edgeBytesPerState: number;
  readonly parts: Model['parts'];
  readonly model: Model;
  readonly search: Search;
  /** Where the strict promise was judged apart. */
  readonly strict?: Run;
}

/** Contexts that cannot be masked multiply the states most. */
const UNMASKABLE: readonly string[] = ['nmi', 'nested-nmi', 'mc', 'db'];

/**
 * The strict promise is judged where control enters a target, so fetch and retirement must be two
 * steps for it, which costs a factor. It is broken by a delay, which any context can suffer; with
 * `por` it is therefore judged beside maskable interrupts only, in a search of its own.
 */
export function* runInSlices(
  proposal: Proposal,
  configuration: Configuration,
  limits: Limits,
  rules: Rules = RULES,
): Generator<Progress, Run> {
  const masked = configuration.contexts.filter((name) => !UNMASKABLE.includes(name));
  if (configuration.reduce !== 'por' || masked.length === configuration.contexts.length)
    return yield* runOnce(proposal, configuration, true, limits, rules);
  const whole = yield* runOnce(proposal, configuration, false, limits, rules);
  const judgedApart = { ...configuration, contexts: masked };
  const strict = yield* runOnce(proposal, judgedApart, true, limits, rules);
  const { search } = whole;
  const judged = strict.properties.get('after-update-strict');
  const behind = judged?.verdict === 'holds' && search.cut.size > 0;
  const properties = new Map(whole.properties);
  if (judged !== undefined)
    properties.set('after-update-strict', behind ? beyond(search.cut) : judged);
  return {
    ...whole,
    properties,
    strict,
    states: whole.states + strict.states,
    transitions: whole.transitions + strict.transitions,
    seconds: whole.seconds + strict.seconds,
    exhaustive: whole.exhaustive && strict.exhaustive,
    stopped: whole.stopped ?? strict.stopped,
  };
}

/** The same in one go. */
export function run(
  ...[proposal, configuration, limits, rules]: Parameters<typeof runInSlices>
): Run {
  const slices = runInSlices(proposal, configuration, limits, rules);
  for (;;) {
    const { done, value } = slices.next();
    if (done === true) return value;
  }
}

function* runOnce(
  proposal: Proposal,
  configuration: Configuration,
  split: boolean,
  limits: Limits,
  rules: Rules,
): Generator<Progress, Run> {
  const attempt = function* (reduce: Configuration['reduce']) {
    const model = build(proposal, configuration, { plain: reduce === 'none', split }, rules);
    // With more tasks than CPUs a task may migrate, and the per-CPU area, or the patcher, then
    // couples CPUs.
    const migrates =
      configuration.contexts.includes('preempt') &&
      (model.fixture.stash.size > 0 || configuration.patcher === 'task');
    const how = reduce === 'por' && migrates && configuration.cpus > 1 ? 'sym' : reduce;
    const found = yield* explore(model, shapeOf(configuration, how), how === 'por', limits);
    return { reduce: how, model, search: found };
  };
  const first = yield* attempt(configuration.reduce);
  const coupled = first.reduce === 'por' && first.model.cpusWrite && configuration.cpus > 1;
  const { reduce, model, search } = coupled ? yield* attempt('sym') : first;
  return {
    proposal,
    configuration,
    properties: judge(model, configuration, search),
    reduce,
    model,
    search,
    states: search.states,
    transitions: search.transitions,
    seconds: search.seconds,
    exhaustive: search.stopped === null,
    stopped: search.stopped,
    bytesPerState: search.bytes / search.states,
    edgeBytesPerState: search.edgeBytes / search.states,
    parts: model.parts,
  };
}

const beyond = (cut: Search['cut']): PropertyVerdict => ({ verdict: 'unknown', beyond: [...cut] });

/** What a protocol does not promise is not judged. */
const UPDATED: readonly PropertyName[] = ['after-update', 'after-update-strict'];

function judge(
  { fixture }: Model,
  configuration: Configuration,
  { findings, stopped, undecided, cut }: Search,
): Run['properties'] {
  // An unknown name would be left out below, and the verdict would be "holds".
  for (const name of findings.keys())
    invariant(PROPERTY_NAMES.includes(name), `a violation of an unknown property ${name}`);
  const verdictOf = ({ name, applies }: (typeof PROPERTIES)[number]): PropertyVerdict => {
    const finding = findings.get(name);
    if (finding !== undefined)
      return { verdict: 'fails', steps: finding.depth, story: finding.text };
    const promised = !(fixture.options.eventually && UPDATED.includes(name));
    if (!applies(configuration) || !promised) return { verdict: 'not-applicable' };
    if (stopped !== null || undecided.has(name)) return { verdict: 'unknown' };
    return cut.size === 0 ? { verdict: 'holds' } : beyond(cut);
  };
  return new Map(PROPERTIES.map((property) => [property.name, verdictOf(property)]));
}

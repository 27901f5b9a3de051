// The verdict on one configuration of one proposal: the search alone. What a failure looks like is
// found by another search, on demand (explain/explain.ts).

import { invariant } from '../../base/invariant.js';
import type { Model } from '../../machine/sim/model.js';
import { RULES, type Rules } from '../../machine/sim/rules.js';
import type { Proposal } from '../../zoo/index.js';
import type { Configuration } from '../configuration.js';
import { PROPERTIES, PROPERTY_NAMES, type PropertyName } from '../properties.js';
import { build, shapeOf } from './build.js';
import { exploreParts, remaining, sumOf, type Part } from './endless.js';
import type { Limits, Progress, Search } from './explore.js';
import type { Claim, VerdictWord } from '../result.js';

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
  /** The search that found each property broken, where several answer together. */
  readonly found: ReadonlyMap<PropertyName, Part>;
  readonly claim: Claim;
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
    claim:
      whole.claim.word === 'proved' && strict.claim.word === 'proved'
        ? whole.claim
        : { ...whole.claim, word: 'checked' },
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
  asked: Configuration,
  split: boolean,
  limits: Limits,
  rules: Rules,
): Generator<Progress, Run> {
  const attempt = function* (asked: Configuration, reduce: Configuration['reduce']) {
    const model = build(proposal, asked, { plain: reduce === 'none', split }, rules);
    // With more tasks than CPUs a task may migrate, and the per-CPU area, or the patcher, then
    // couples CPUs.
    const migrates =
      asked.contexts.includes('preempt') &&
      (model.fixture.stash.size > 0 || asked.patcher === 'task');
    const how = reduce === 'por' && migrates && asked.cpus !== 1 ? 'sym' : reduce;
    const configuration = migrates ? withCpus(asked) : asked;
    const shape = shapeOf(configuration, how);
    const parts = yield* exploreParts(model, configuration, shape, how === 'por', limits);
    return { reduce: how, configuration, parts };
  };
  const first = yield* attempt(asked, asked.reduce);
  const stands = first.reduce === 'por' ? first.configuration.cpus !== 1 : asked.cpus === 'any';
  const coupled = stands && first.parts.some(({ model }) => model.cpusWrite);
  const fewer = asked.reduce === 'por' ? 'sym' : asked.reduce;
  const { reduce, configuration, parts } = coupled ? yield* attempt(withCpus(asked), fewer) : first;
  return together(proposal, configuration, reduce, parts);
}

/** Where one CPU does not stand for any number of them, so many are searched. */
const withCpus = (configuration: Configuration): Configuration =>
  configuration.cpus === 'any' ? { ...configuration, cpus: COUPLED_CPUS } : configuration;
const COUPLED_CPUS = 2;

/** What the searches of a configuration say together. */
function together(
  proposal: Proposal,
  configuration: Configuration,
  reduce: Configuration['reduce'],
  parts: readonly Part[],
): Run {
  const judged = parts.map((part) => ({
    part,
    properties: judge(part.model, configuration, part.search),
  }));
  const properties = new Map<PropertyName, PropertyVerdict>();
  const found = new Map<PropertyName, Part>();
  for (const { part, properties: each } of judged)
    for (const [name, verdict] of each) {
      const known = properties.get(name);
      if (known !== undefined && !outweighs(verdict, known)) continue;
      properties.set(name, verdict);
      if (verdict.verdict === 'fails') found.set(name, part);
    }
  const [first] = parts;
  invariant(first, 'a configuration takes a search');
  const stopped = parts.find(({ search }) => search.stopped !== null)?.search.stopped ?? null;
  const states = sumOf(parts, 'states');
  const within = remaining(first.model, configuration);
  const closed = stopped === null && within.length === 0;
  return {
    proposal,
    configuration,
    properties,
    found,
    claim: { word: closed ? 'proved' : 'checked', within },
    reduce,
    model: first.model,
    search: first.search,
    states,
    transitions: sumOf(parts, 'transitions'),
    seconds: sumOf(parts, 'seconds'),
    exhaustive: stopped === null,
    stopped,
    bytesPerState: sumOf(parts, 'bytes') / states,
    edgeBytesPerState: sumOf(parts, 'edgeBytes') / states,
    parts: first.model.parts,
  };
}

const WEIGHT: Readonly<Record<VerdictWord, number>> = {
  'not-applicable': 0,
  holds: 1,
  unknown: 2,
  fails: 3,
};
/** Of what two searches say of one property: a failure, the nearest, else what is not known. */
const outweighs = (one: PropertyVerdict, other: PropertyVerdict): boolean =>
  one.verdict === 'fails' && other.verdict === 'fails'
    ? (one.steps ?? 0) < (other.steps ?? 0)
    : WEIGHT[one.verdict] > WEIGHT[other.verdict];

const beyond = (cut: Search['cut']): PropertyVerdict => ({ verdict: 'unknown', beyond: [...cut] });

/** What a protocol does not promise is not judged, nor data that its handler does not keep. */
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
    const { eventually, stored } = fixture.options;
    const promised =
      !(eventually && UPDATED.includes(name)) &&
      !(stored && name === 'after-update-strict') &&
      (name !== 'slot' || fixture.stashes);
    if (!promised) return { verdict: 'not-applicable' };
    const finding = findings.get(name);
    if (finding !== undefined)
      return { verdict: 'fails', steps: finding.depth, story: finding.text };
    if (!applies(configuration)) return { verdict: 'not-applicable' };
    if (stopped !== null || undecided.has(name)) return { verdict: 'unknown' };
    return cut.size === 0 ? { verdict: 'holds' } : beyond(cut);
  };
  return new Map(PROPERTIES.map((property) => [property.name, verdictOf(property)]));
}

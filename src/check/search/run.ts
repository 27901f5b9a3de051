// One configuration of one proposal, searched to the end and judged.

import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import type { Proposal } from '../../zoo/index.js';
import { BOUNDS, type Configuration } from '../configuration.js';
import type { Shape } from './expand.js';
import { explore, type Limits, type Search } from './explore.js';
import { PROPERTIES, PROPERTY_NAMES, type PropertyName } from '../properties.js';
import type { Grain } from '../../machine/sim/core.js';
import { Model } from '../../machine/sim/model.js';
import { compile } from '../../machine/sim/patcher.js';
import { RULES, type Rules } from '../../machine/sim/rules.js';
import { Fixture } from '../../machine/sim/fixture.js';

export type VerdictWord = 'holds' | 'fails' | 'not-applicable' | 'unknown';

export interface PropertyVerdict {
  readonly verdict: VerdictWord;
  /** Moves on the shortest path to the violation. */
  readonly steps?: number;
  /** What happened at its end. */
  readonly story?: string;
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
  /** What the edges between states take besides, for the properties about going on for ever. */
  readonly edgeBytesPerState: number;
  readonly parts: Model['parts'];
  readonly model: Model;
  readonly search: Search;
  /** Where the strict promise was judged apart. */
  readonly strict?: Run;
}

export function build(
  proposal: Proposal,
  configuration: Configuration,
  { plain, split }: Grain,
  rules: Rules = RULES,
): Model {
  const { protocol, handler, environment } = proposal;
  const has = (name: Configuration['contexts'][number]) => configuration.contexts.includes(name);
  const fixture = new Fixture({
    environment,
    site: configuration.site,
    passes: configuration.passes,
    updates: configuration.updates,
    events: {
      irq: has('irq'),
      nmi: has('nmi') || has('nested-nmi'),
      mc: has('mc'),
      db: has('db'),
      preempt: has('preempt'),
      signal: has('signal'),
    },
    nmiRaw: has('nested-nmi'),
    tso: configuration.tso,
    shadowStacks: configuration.shadowStack,
    handler: handler?.(configuration.entry) ?? null,
    via: proposal.via,
    functions: proposal.functions,
    order: proposal.order,
    tornDown: proposal.tornDown,
    lostTail: proposal.lostTail,
    spin: proposal.spin,
    foreign: proposal.foreign,
    offset: proposal.offset ?? configuration.offset,
    rules,
    program: null,
    heads: protocol.steps.flatMap((step) => (step.do === 'store-head' ? [step.bytes] : [])),
  });
  const hosted = configuration.patcher === 'task';
  if (hosted && proposal.updaters !== 'one')
    throw new Fault(
      'bad-usage',
      `${proposal.name}/${proposal.variant} has two updaters, which stand beside the CPUs`,
      { hint: 'leave out --patcher task' },
    );
  const ops = compile(fixture, {
    steps: protocol.steps,
    store: configuration.store,
    dropSync: configuration.dropSync,
    lock: proposal.updaters === 'locked',
    hosted,
  });
  return new Model(fixture, ops, {
    fetch: configuration.fetch,
    chunk: configuration.chunk,
    grain: { plain, split },
    together: proposal.updaters !== 'one',
    hosted,
    nmis: fixture.events.nmi ? BOUNDS.nmis : 0,
    mcs: fixture.events.mc ? BOUNDS.machineChecks : 0,
    dbs: fixture.events.db ? BOUNDS.debugExceptions : 0,
  });
}

/**
 * How many CPUs and waiting tasks a state has. A patcher that is a task has one of the CPUs to
 * itself, unless tasks are switched.
 */
export function shapeOf(
  { cpus, tasks, contexts, patcher }: Configuration,
  reduce: Configuration['reduce'],
): Shape {
  const hosts = patcher === 'task' ? 1 : 0;
  return {
    cpus: reduce === 'por' ? Math.min(cpus, 1 + hosts) : cpus,
    waiting: contexts.includes('preempt') ? Math.max(1, tasks - (cpus - hosts)) : 0,
    sorted: reduce === 'sym' || reduce === 'por',
  };
}

/** Contexts that cannot be masked multiply the states most. */
const UNMASKABLE: readonly string[] = ['nmi', 'nested-nmi', 'mc', 'db'];

/**
 * The strict promise is judged where control enters a target, so fetch and retirement must be two
 * steps for it, which costs a factor. It is broken by a delay, which any context can suffer; with
 * `por` it is therefore judged beside maskable interrupts only, in a search of its own.
 */
export function run(
  proposal: Proposal,
  configuration: Configuration,
  limits: Limits,
  rules: Rules = RULES,
): Run {
  const masked = configuration.contexts.filter((name) => !UNMASKABLE.includes(name));
  if (configuration.reduce !== 'por' || masked.length === configuration.contexts.length)
    return runOnce(proposal, configuration, true, limits, rules);
  const whole = runOnce(proposal, configuration, false, limits, rules);
  const strict = runOnce(proposal, { ...configuration, contexts: masked }, true, limits, rules);
  const properties = new Map(whole.properties).set(
    'after-update-strict',
    strict.properties.get('after-update-strict') as PropertyVerdict,
  );
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

function runOnce(
  proposal: Proposal,
  configuration: Configuration,
  split: boolean,
  limits: Limits,
  rules: Rules,
): Run {
  const { cpus, patcher } = configuration;
  let { reduce } = configuration;
  let model = build(proposal, configuration, { plain: reduce === 'none', split }, rules);
  const preempted = configuration.contexts.includes('preempt');
  // With more tasks than CPUs a task may migrate, and the per-CPU area, or the patcher, then
  // couples CPUs.
  if (
    reduce === 'por' &&
    preempted &&
    (model.fixture.stash.size > 0 || patcher === 'task') &&
    cpus > 1
  )
    reduce = 'sym';
  const search = (how: Configuration['reduce'], on: Model) =>
    explore(on, shapeOf(configuration, how), how === 'por', limits);
  let result = search(reduce, model);
  if (reduce === 'por' && model.cpusWrite && cpus > 1) {
    reduce = 'sym';
    model = build(proposal, configuration, { plain: false, split }, rules);
    result = search(reduce, model);
  }
  // An unknown name would be left out below, and the verdict would be "holds".
  for (const name of result.findings.keys())
    invariant(PROPERTY_NAMES.includes(name), `a violation of an unknown property ${name}`);
  const properties = new Map<PropertyName, PropertyVerdict>();
  for (const { name, applies } of PROPERTIES) {
    const finding = result.findings.get(name);
    if (finding !== undefined)
      properties.set(name, { verdict: 'fails', steps: finding.depth, story: finding.text });
    else if (!applies(configuration)) properties.set(name, { verdict: 'not-applicable' });
    else
      properties.set(name, {
        verdict: result.stopped === null && !result.undecided.has(name) ? 'holds' : 'unknown',
      });
  }
  return {
    proposal,
    configuration,
    properties,
    reduce,
    model,
    search: result,
    states: result.states,
    transitions: result.transitions,
    seconds: result.seconds,
    exhaustive: result.stopped === null,
    stopped: result.stopped,
    bytesPerState: result.bytes / result.states,
    edgeBytesPerState: result.edgeBytes / result.states,
    parts: model.parts,
  };
}

// A configuration made into a machine with a program: the one place where its words become options
// of the simulator.

import { Fault } from '../../base/fault.js';
import type { Grain } from '../../machine/sim/core.js';
import { Fixture } from '../../machine/sim/fixture.js';
import { Model } from '../../machine/sim/model.js';
import type { FixtureOptions } from '../../machine/sim/options.js';
import { compile, type Op } from '../../machine/sim/patcher.js';
import { RULES, type Rules } from '../../machine/sim/rules.js';
import { parseText } from '../../plan/text.js';
import { WAY, waysOf } from '../../plan/ways.js';
import { checkSite, type Proposal } from '../../zoo/proposal.js';
import { placeOf } from '../../zoo/place.js';
import { BOUNDS, targetsOf, type Configuration, type ContextName } from '../configuration.js';
import { checkEndless } from './endless.js';
import type { Shape } from './state.js';

/** What is under test: the options that no configuration chooses. */
export type UnderTest = Pick<
  FixtureOptions,
  | 'handler'
  | 'via'
  | 'functions'
  | 'passesBoth'
  | 'keys'
  | 'second'
  | 'ways'
  | 'order'
  | 'tornDown'
  | 'lostTail'
  | 'spin'
  | 'foreign'
  | 'offset'
  | 'sameAddress'
  | 'also'
  | 'text'
  | 'eventually'
  | 'stored'
  | 'program'
  | 'heads'
  | 'acknowledged'
>;

export function fixtureOf(configuration: Configuration, under: UnderTest, rules: Rules): Fixture {
  const { environment, site, passes, updates, tso, shadowStack } = configuration;
  const has = (name: ContextName) => configuration.contexts.includes(name);
  return new Fixture({
    environment,
    site,
    passes,
    updates,
    targets: targetsOf(configuration),
    tso,
    shadowStacks: shadowStack,
    events: {
      irq: has('irq'),
      nmi: has('nmi') || has('nested-nmi'),
      mc: has('mc'),
      db: has('db'),
      preempt: has('preempt'),
      signal: has('signal'),
    },
    nmiRaw: has('nested-nmi'),
    rules,
    ...under,
  });
}

export function modelOf(
  fixture: Fixture,
  ops: readonly Op[],
  { fetch, chunk, patcher, passes }: Configuration,
  grain: Grain,
  together = false,
): Model {
  const { nmi, mc, db } = fixture.events;
  // Each is masked while its own kind runs, so any number of them comes one after the other.
  const count = (most: number): number => (passes === 'any' ? Infinity : most);
  return new Model(fixture, ops, {
    fetch,
    chunk,
    grain,
    together,
    hosted: patcher === 'task',
    nmis: nmi ? count(BOUNDS.nmis) : 0,
    mcs: mc ? count(BOUNDS.machineChecks) : 0,
    dbs: db ? count(BOUNDS.debugExceptions) : 0,
  });
}

/** `0f 1f ..` as bytes, null for any. */
const patternOf = (text: string): readonly (number | null)[] =>
  text.split(' ').map((word) => (word === '..' ? null : Number.parseInt(word, 16)));

export function build(
  proposal: Proposal,
  configuration: Configuration,
  grain: Grain,
  rules: Rules = RULES,
): Model {
  checkSite(proposal, configuration.site);
  checkEndless(proposal, configuration);
  const { protocol, handler, updaters } = proposal;
  const hosted = configuration.patcher === 'task';
  if (hosted && updaters !== 'one')
    throw new Fault(
      'bad-usage',
      `${proposal.name}/${proposal.variant} has two updaters, which run beside the CPUs`,
      { hint: 'leave out --patcher task' },
    );
  const { via, functions, passesBoth, keys, second } = proposal;
  const { order, tornDown, lostTail, spin, foreign } = proposal;
  const under: UnderTest = {
    handler: handler?.(configuration.entry) ?? null,
    via,
    functions,
    passesBoth,
    keys,
    second,
    ways: waysIn(proposal),
    order,
    tornDown,
    lostTail,
    spin,
    foreign,
    text: parseText(protocol.text ?? {}),
    also: (protocol.text?.also ?? []).map(patternOf),
    eventually: protocol.promise === 'eventually',
    stored: protocol.promise === 'stored',
    sameAddress: protocol.place?.from === 'same-address',
    offset: placeOf(proposal, configuration.site, configuration.offset),
    program: null,
    heads: protocol.steps.flatMap((step) => (step.do === 'store-head' ? [step.bytes] : [])),
    acknowledged: protocol.steps.some((step) => step.do === 'sync' && step.how === 'acknowledge'),
  };
  const fixture = fixtureOf(configuration, under, rules);
  const ops = compile(fixture, {
    steps: protocol.steps,
    store: configuration.store,
    dropSync: configuration.dropSync,
    lock: updaters === 'locked',
    contended: updaters === 'unlocked' || fixture.handlersWrite,
    hosted,
    ownSpace: protocol.place?.space === 'own',
  });
  // A lock makes updaters one that makes any sequence of updates.
  const together = updaters !== 'one' && configuration.updates !== 'any';
  return modelOf(fixture, ops, configuration, grain, together);
}

/** As a process does, without `store` where the writer's stores are not whole. */
const waysIn = ({ protocol: { ways }, wholeStores }: Proposal): number =>
  ways === undefined ? 0 : waysOf(ways) & (wholeStores ? -1 : ~WAY.store);

/**
 * How many CPUs and waiting tasks a state has. A patcher that is a task has one of the CPUs to
 * itself, unless tasks are switched.
 */
export function shapeOf(
  { cpus, tasks, contexts, patcher }: Configuration,
  reduce: Configuration['reduce'],
): Shape {
  const hosts = patcher === 'task' ? 1 : 0;
  const several = cpus === 'any' ? 1 + hosts : cpus;
  return {
    cpus: reduce === 'por' ? Math.min(several, 1 + hosts) : several,
    waiting: contexts.includes('preempt') ? Math.max(1, tasks - (several - hosts)) : 0,
    sorted: reduce === 'sym' || reduce === 'por',
  };
}

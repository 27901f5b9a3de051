// One configuration of one subject, searched to the end and judged.

import type { Subject } from './subject.js';
import { BOUNDS, type Configuration } from './configuration.js';
import { explore, type Limits, type Search } from './explore.js';
import { PROPERTIES, type PropertyName } from './properties.js';
import { Model } from '../machine/sim/model.js';
import { compile } from '../machine/sim/patcher.js';
import { RULES, type Rules } from '../machine/sim/rules.js';
import { Scene } from '../machine/sim/scene.js';

export type VerdictWord = 'holds' | 'fails' | 'not-applicable' | 'unknown';

export interface PropertyVerdict {
  readonly verdict: VerdictWord;
  /** Moves on the shortest path to the violation. */
  readonly steps?: number;
  /** What happened at its end. */
  readonly story?: string;
}

export interface Run {
  readonly subject: Subject;
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
  readonly parts: Model['parts'];
  readonly model: Model;
  readonly search: Search;
}

export function build({ protocol, kernelHandler, userHandler, tornDown, environment }: Subject, configuration: Configuration, plain: boolean, rules: Rules = RULES): Model {
  const has = (name: Configuration['contexts'][number]) => configuration.contexts.includes(name);
  const scene = new Scene({
    environment,
    site: configuration.site,
    passes: configuration.passes,
    updates: configuration.updates,
    events: { irq: has('irq'), nmi: has('nmi') || has('nested-nmi'), mc: has('mc'), db: has('db'), preempt: has('preempt'), signal: has('signal') },
    nmiRaw: has('nested-nmi'),
    tso: configuration.tso,
    shadowStacks: configuration.shadowStack,
    tornDown,
    kernelHandler: kernelHandler?.(configuration.entry) ?? null,
    userHandler: userHandler?.() ?? null,
    offset: configuration.offset,
    rules,
    program: null,
    planted: [],
  });
  const ops = compile(scene, { steps: protocol.steps, store: configuration.store, dropSync: configuration.dropSync });
  return new Model(scene, ops, {
    fetch: configuration.fetch,
    chunk: configuration.chunk,
    // The strict promise is judged where control enters a target, so fetch and retirement must be two steps for it.
    grain: { plain, split: true },
    nmis: scene.events.nmi ? BOUNDS.nmis : 0,
    mcs: scene.events.mc ? BOUNDS.machineChecks : 0,
    dbs: scene.events.db ? BOUNDS.debugExceptions : 0,
  });
}

/** `rules` other than the machine's own are for tests that take one away. */
export function run(subject: Subject, configuration: Configuration, limits: Limits, rules: Rules = RULES): Run {
  let { reduce } = configuration;
  let model = build(subject, configuration, reduce === 'none', rules);
  const cpus = () => (reduce === 'por' ? 1 : configuration.cpus);
  let search = explore(model, cpus(), { symmetry: reduce !== 'none' && reduce !== 'macro' }, limits);
  if (reduce === 'por' && model.cpusWrite) {
    reduce = 'sym';
    model = build(subject, configuration, false, rules);
    search = explore(model, cpus(), { symmetry: true }, limits);
  }
  const properties = new Map<PropertyName, PropertyVerdict>();
  for (const { name, applies } of PROPERTIES) {
    const finding = search.findings.get(name);
    if (finding !== undefined) properties.set(name, { verdict: 'fails', steps: finding.depth, story: finding.text });
    else if (!applies(configuration)) properties.set(name, { verdict: 'not-applicable' });
    else properties.set(name, { verdict: search.stopped === null ? 'holds' : 'unknown' });
  }
  return {
    subject, configuration, properties, reduce, model, search,
    states: search.states,
    transitions: search.transitions,
    seconds: search.seconds,
    exhaustive: search.stopped === null,
    stopped: search.stopped,
    bytesPerState: search.bytes / search.states,
    parts: model.parts,
  };
}

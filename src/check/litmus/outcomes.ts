// Everything that a small program can end in: a litmus test asks not whether a property holds but
// which of its outcomes the machine allows. The programs run on the same model as the protocols; an
// outcome is what its registers say once every CPU is done, or the first bytes that were executed
// and are no instruction of the site.

import { invariant } from '../../base/invariant.js';
import type { Core } from '../../machine/sim/core.js';
import type { Model, Move } from '../../machine/sim/model.js';
import type { Events, FixtureHandler, FixtureProgram } from '../../machine/sim/options.js';
import type {
  Chunk,
  Environment,
  FetchLevel,
  SiteShape,
  StoreWidth,
} from '../../machine/sim/settings.js';
import type { Fixture } from '../../machine/sim/fixture.js';
import { compile, type Op } from '../../machine/sim/patcher.js';
import type { Bad, PromiseName } from '../../machine/sim/promises.js';
import { RULES, type Rules } from '../../machine/sim/rules.js';
import type { Write } from '../../machine/sim/space.js';
import type { Step } from '../../plan/protocol.js';
import type { ParsedText } from '../../plan/text.js';
import { DEFAULTS, type Configuration } from '../configuration.js';
import { fixtureOf, modelOf, type UnderTest } from '../search/build.js';
import { expand, type Moves } from '../search/expand.js';
import { cpuOf, widthOf } from '../search/state.js';

/** A program that CPUs run while the patcher takes some steps. */
export interface Litmus {
  readonly environment: Environment;
  readonly site: SiteShape;
  /** In place of the site. */
  readonly text?: ParsedText;
  /** Of the site in its cache line. */
  readonly offset: number;
  readonly steps: readonly Step[];
  /** Which site each step writes, where there are two; all of them if left out. */
  readonly writesTo?: readonly (number | null)[];
  readonly updates: number;
  /** Words of the shared data that the patcher writes before that, and after it. */
  readonly before?: readonly Write[];
  readonly writes?: readonly Write[];
  /** f has a site, and g another one. */
  readonly functions?: 1 | 2;
  /**
   * The CPU that stores executes `patcher.pass` of the program afterwards: at the address that it
   * stores to, or at another one.
   */
  readonly own?: 'same-address' | 'alias';
  readonly program: FixtureProgram;
  /** Of its traps, where the program brings none. */
  readonly handler?: FixtureHandler;
  readonly events?: readonly (keyof Events)[];
  /** NMIs nest on stacks of their own instead of being marked. */
  readonly nmiRaw?: boolean;
  readonly cpus?: number;
  /** Tasks more than CPUs; they are preempted for each other. */
  readonly waiting?: number;
  /** The outcome in a core that is done. */
  readonly read: (core: Core) => string;
}

export interface LitmusMachine {
  readonly fetch: FetchLevel;
  readonly chunk: Chunk;
  readonly store: StoreWidth;
  readonly tso: boolean;
  readonly rules: Rules;
}

export const LITMUS_MACHINE: LitmusMachine = {
  fetch: 'F3',
  chunk: 'byte',
  store: 'line',
  tso: true,
  rules: RULES,
};

/** More states than any of these programs has: one that exceeds it is no litmus test. */
const MOST = 2_000_000;

/** All outcomes, sorted. */
export function outcomes(litmus: Litmus, machine: Partial<LitmusMachine> = {}): string[] {
  const { rules, ...options } = { ...LITMUS_MACHINE, ...machine };
  const { environment, site, updates, offset, handler = null, program, functions = 1 } = litmus;
  const hosted = litmus.own !== undefined;
  const events = (litmus.events ?? []).map((name) =>
    name === 'nmi' && litmus.nmiRaw === true ? 'nested-nmi' : name,
  );
  const configuration: Configuration = {
    ...DEFAULTS,
    ...options,
    environment,
    site,
    updates,
    offset,
    passes: 1,
    contexts: ['task', ...events],
    patcher: hosted ? 'task' : 'beside',
  };
  const sameAddress = litmus.own === 'same-address';
  const heads = litmus.steps.flatMap((step) => (step.do === 'store-head' ? [step.bytes] : []));
  const { text = null } = litmus;
  const under = { ...PLAIN, handler, program, offset, functions, sameAddress, heads, text };
  const fixture = fixtureOf(configuration, under, rules);
  const { store } = configuration;
  // Without the return of the update: no promise is asked for that a pass could break.
  const steps = compile(fixture, {
    steps: litmus.steps,
    store,
    dropSync: null,
    atOnce: true,
    hosted,
  }).filter((op) => op.op !== 'return' && isAsked(litmus, fixture, op));
  const written = (writes: Litmus['writes'] = [], why: string): Op[] =>
    writes.map((write) => ({ op: 'write', write, step: -1, update: 1, why }));
  // Plain steps, so that events come between any two instructions, also between a fetch and its
  // retirement.
  const grain = { plain: true, split: true };
  const ops = [
    ...written(litmus.before, 'the steps begin'),
    ...steps,
    ...written(litmus.writes, 'the steps are done'),
  ];
  return search(modelOf(fixture, ops, configuration, grain), litmus);
}

/** A store is, unless its step is for another site. */
function isAsked({ writesTo = [] }: Litmus, { sites }: Fixture, op: Op): boolean {
  const site = sites[writesTo[op.step] ?? -1];
  return (
    op.op !== 'store' || site === undefined || (op.at >= site.at && op.at < site.at + site.length)
  );
}

const PLAIN = {
  via: 'site',
  passesBoth: false,
  keys: 1,
  second: null,
  ways: 0,
  order: 'sorted',
  tornDown: false,
  lostTail: false,
  spin: false,
  foreign: false,
  also: [],
  eventually: false,
  stored: false,
  acknowledged: false,
} as const satisfies Partial<UnderTest>;

/** Promises that say how a handler should be written, and not what a program does. */
const STYLE: ReadonlySet<PromiseName> = new Set([
  'after-update-strict',
  'lockdep',
  'indirect-branch',
  'indirect-branch-strict',
  'unwind',
]);
/** The first promise that is broken is an outcome, whatever the machine does after it. */
const endOf = ({ bad }: Move): Bad | undefined => bad.find(({ property }) => !STYLE.has(property));

function search(model: Model, { cpus = 1, waiting = 0, read }: Litmus): string[] {
  const shape = { cpus, waiting, sorted: false };
  const found = new Set<string>();
  const seen = new Set<string>();
  const queue: Int32Array[] = [];
  const next = new Int32Array(widthOf(shape));
  const visit = (): void => {
    const key = next.join();
    if (seen.has(key)) return;
    invariant(seen.size <= MOST, 'a litmus program is small');
    seen.add(key);
    queue.push(next.slice());
  };
  const moves: Moves = {
    patcher: visit,
    cpu(move) {
      if (endOf(model.table.get(move)) === undefined) visit();
    },
    swapped: visit,
    broken(move) {
      const bad = endOf(move);
      if (bad !== undefined) found.add(`${bad.property}: ${bad.text}`);
    },
    unknown(text) {
      invariant(false, `a litmus program keeps to what the simulator knows: ${text}`);
    },
  };
  next.set(model.initial(cpus, waiting));
  visit();
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    expand(model, shape, false, state, next, moves);
    const tasks = Array.from({ length: cpus + waiting }, (_, i) => i).map((i) => cpuOf(state, i));
    if (!tasks.every((task) => model.isDone(task))) continue;
    const ends = tasks.map((task) => {
      model.core.load(model.nodeOf(task).id);
      return read(model.core);
    });
    found.add(ends.join(' | '));
  }
  return [...found].sort();
}

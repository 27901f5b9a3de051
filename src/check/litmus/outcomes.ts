// Everything that a small program can end in: a litmus test asks not whether a property holds but
// which of its outcomes the machine allows. The programs run on the same model as the protocols; an
// outcome is what its registers say once every CPU is done, or the first bytes that were executed
// and are no instruction of the site.

import { invariant } from '../../base/invariant.js';
import type { Core } from '../../machine/sim/core.js';
import { Model, type ModelOptions } from '../../machine/sim/model.js';
import { compile, type Op } from '../../machine/sim/patcher.js';
import type { Write } from '../../machine/sim/space.js';
import { RULES, type Rules } from '../../machine/sim/rules.js';
import { Fixture } from '../../machine/sim/fixture.js';
import type {
  Environment,
  Events,
  FixtureHandler,
  FixtureProgram,
  SiteShape,
} from '../../machine/sim/options.js';
import type { Chunk, FetchLevel, StoreWidth } from '../../machine/sim/text.js';
import type { Step } from '../../plan/protocol.js';
import { CPUS, expand } from '../search/expand.js';

/** A program that CPUs run while the patcher takes some steps. */
export interface Litmus {
  readonly environment: Environment;
  readonly site: SiteShape;
  /** Of the site in its cache line. */
  readonly offset: number;
  readonly steps: readonly Step[];
  readonly updates: number;
  /** Words of the shared data that the patcher writes after that. */
  readonly writes?: readonly Write[];
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
  const { fetch, chunk, store, tso, rules } = { ...LITMUS_MACHINE, ...machine };
  const on = (name: keyof Events) => litmus.events?.includes(name) ?? false;
  const fixture = new Fixture({
    environment: litmus.environment,
    site: litmus.site,
    passes: 1,
    updates: litmus.updates,
    events: {
      irq: on('irq'),
      nmi: on('nmi'),
      mc: on('mc'),
      db: on('db'),
      preempt: on('preempt'),
      signal: on('signal'),
    },
    nmiRaw: litmus.nmiRaw ?? false,
    tso,
    shadowStacks: false,
    tornDown: false,
    handler: litmus.handler ?? null,
    via: 'site',
    functions: 1,
    order: 'sorted',
    lostTail: false,
    spin: false,
    foreign: false,
    offset: litmus.offset,
    rules,
    program: litmus.program,
    heads: [],
  });
  // Without the return of the update: no promise is asked for that a pass could break.
  const steps = compile(fixture, { steps: litmus.steps, store, dropSync: null }).filter(
    ({ op }) => op !== 'return',
  );
  const ops: Op[] = [
    ...steps,
    ...(litmus.writes ?? []).map(
      (write) => ({ op: 'write', write, step: -1, update: 1, why: 'the steps are done' }) as const,
    ),
  ];
  // Plain steps, so that events come between any two instructions, also between a fetch and its
  // retirement.
  const options: ModelOptions = {
    fetch,
    chunk,
    grain: { plain: true, split: true },
    nmis: on('nmi') ? 2 : 0,
    mcs: 0,
    dbs: 0,
  };
  return search(new Model(fixture, ops, options), litmus);
}

function search(model: Model, { cpus = 1, waiting = 0, read }: Litmus): string[] {
  const found = new Set<string>();
  const seen = new Set<string>();
  const queue: Int32Array[] = [];
  const visit = (state: Int32Array): void => {
    const key = state.join();
    if (seen.has(key)) return;
    invariant(seen.size <= MOST, 'a litmus program is small');
    seen.add(key);
    queue.push(state);
  };
  const next = new Int32Array(CPUS + cpus + waiting);
  visit(model.initial(cpus, waiting));
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    expand(model, { cpus, waiting, sorted: false }, false, state, 0, next, {
      moved: () => visit(next.slice()),
      broken: ([bad], _, __, over) =>
        over && bad !== undefined && found.add(`${bad.property}: ${bad.text}`),
      unknown: (text) =>
        invariant(false, `a litmus program keeps to what the simulator knows: ${text}`),
    });
    const tasks = [...state.subarray(CPUS)];
    if (!tasks.every((task) => model.isDone(task))) continue;
    found.add(
      tasks
        .map((task) => {
          model.core.load(model.nodeOf(task).id);
          return read(model.core);
        })
        .join(' | '),
    );
  }
  return [...found].sort();
}

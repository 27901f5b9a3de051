// Breadth-first search of everything a model can do. States are visited in the order of their ids,
// so the first path found to anything is a shortest one. What a finished search says about running
// forever is read off its edges (graph.ts).
//
// Reductions, each compared with the plain search in the tests:
//   macro   a step runs on through everything that no other CPU can observe (core.ts)
//   sym     equal CPUs are sorted, because only how many CPUs are in a state matters
//   por     a move that nothing else can observe is taken alone; and where CPUs write nothing that
//           another one reads, one CPU beside the patcher stands for all: CPUs meet only in the
//           patcher, which waits for each of them separately, so what one of them can do does not
//           depend on the others

import { BREACHES, damages, type Bad } from '../../machine/sim/promises.js';
import type { Model, Move } from '../../machine/sim/model.js';
import type { PropertyName } from '../properties.js';
import { aimsOf, reachingAim } from './aims.js';
import { walkOf, type Engine } from './engine.js';
import { earliest, fairCycles, lowest, standstill, type Graph } from './graph.js';
import { ALL_LANES, PATCHER_LANES, walkCycle } from './lasso.js';
import { normalise, widthOf, type Shape } from './state.js';
import type { Edges, Reports, Walk } from './walk.js';

export interface Limits {
  readonly states: number;
  readonly seconds: number;
  readonly signal?: Pick<AbortSignal, 'aborted'>;
  /** That may search together; one if left out. It changes nothing of the answer. */
  readonly threads?: number;
}

/** How a path comes from its last state to a violation, or what its last state is. */
export interface Finding {
  readonly property: PropertyName;
  readonly text: string;
  /** The state before the violating move, or the one that is itself the violation. */
  readonly state: number;
  /** Moves on the shortest path. */
  readonly depth: number;
  /** Where a state is the violation: the states that are the same one. */
  readonly among: ReadonlySet<number> | null;
}

export interface Search {
  readonly findings: ReadonlyMap<PropertyName, Finding>;
  readonly states: number;
  readonly transitions: number;
  readonly seconds: number;
  /** Why it ended before everything was seen; null when it did not. */
  readonly stopped: string | null;
  /** Everything was seen, but whether this property holds was not decided. */
  readonly undecided: ReadonlySet<PropertyName>;
  /** Broken so that the machine could not go on: what would have come after it was not seen. */
  readonly cut: ReadonlySet<PropertyName>;
  /** Of the states with their parents and the set of visited ones; of the edges between them. */
  readonly bytes: number;
  readonly edgeBytes: number;
  /** The states from the initial one to a state. */
  path(state: number): Int32Array[];
  /** A state's id, whatever the order of its CPUs; -1 for one that was not visited. */
  find(state: Int32Array): number;
}

/** Why an aborted search stopped. */
export const INTERRUPTED = 'interrupted';

/** Looking at the clock for every state would cost more than expanding some of them. */
const STATES_PER_LOOK = 0x1000;

/** What a search knows while it goes on. */
export type Progress = Pick<Search, 'findings' | 'states' | 'transitions' | 'seconds'>;

/**
 * A search in slices of some milliseconds, with what it knows after each: a thread that has no
 * shared memory can only be stopped between two of them.
 * @param partial whether a move that nothing else can observe is taken alone
 * @param engine what visits the states, which changes nothing of the answer
 */
export function explore(
  model: Model,
  shape: Shape,
  partial: boolean,
  limits: Limits,
  engine: Engine = 'chosen',
): Generator<Progress, Search> {
  return new Explorer(model, shape, partial, limits, engine).search();
}

class Explorer implements Reports {
  readonly #model: Model;
  readonly #shape: Shape;
  readonly #limits: Limits;
  readonly #begun = performance.now();
  readonly #walk: Walk;
  readonly #findings = new Map<PropertyName, Finding>();
  readonly #reported = new Set<readonly Bad[]>();
  readonly #undecided = new Set<PropertyName>();
  readonly #cut = new Set<PropertyName>();
  /** A path ended where the model does not know how a damaged CPU goes on. */
  #lost = false;
  #stopped: string | null = null;

  constructor(model: Model, shape: Shape, partial: boolean, limits: Limits, engine: Engine) {
    this.#model = model;
    this.#shape = shape;
    this.#limits = limits;
    this.#walk = walkOf(engine, limits.threads ?? 1, model, shape, partial, this);
  }

  *search(): Generator<Progress, Search> {
    const walk = this.#walk;
    try {
      for (let some = true; some && this.#stopped === null;) {
        this.#stopped = this.#reasonToStop();
        if (this.#stopped === null) some = this.#advance();
        yield this.#progress();
      }
    } catch (error) {
      if (!isOutOfMemory(error)) throw error;
      // What was found before stays found.
      this.#stopped = 'out of memory';
    } finally {
      walk.close();
    }
    if (this.#stopped === null && !walk.isSettled()) this.#judge(walk.edges());
    return {
      ...this.#progress(),
      stopped: this.#stopped,
      undecided: this.#undecided,
      cut: new Set([
        ...this.#cut,
        ...(this.#lost ? [...this.#findings.keys()].filter(damages) : []),
      ]),
      bytes: walk.bytes,
      edgeBytes: walk.edgeBytes,
      find: (state) => this.#find(state),
      path: (state) => walk.path(state).map((id) => this.#get(id)),
    };
  }

  /** Expands some states. @returns whether others are left */
  #advance(): boolean {
    const { states } = this.#limits;
    const some = this.#walk.advance(STATES_PER_LOOK, states);
    if (some && this.#walk.count > states) this.#stopped ??= `more than ${states} states`;
    return some;
  }

  #progress(): Progress {
    return {
      findings: this.#findings,
      states: this.#walk.count,
      transitions: this.#walk.transitions,
      seconds: (performance.now() - this.#begun) / 1000,
    };
  }

  #reasonToStop(): string | null {
    const { seconds, signal } = this.#limits;
    if (performance.now() - this.#begun > seconds * 1000) return `more than ${seconds} s`;
    return signal?.aborted === true ? INTERRUPTED : null;
  }

  // What the walk reports.

  broken(state: number, { bad, cpu, action: { crash } }: Move): void {
    // Moves share these lists, of which hardly any says something new.
    if (!this.#reported.has(bad)) for (const each of bad) this.#report(each, state);
    this.#reported.add(bad);
    if (cpu >= 0) return;
    if (crash === null) this.#lost = true;
    else this.#cut.add(BREACHES[crash]);
  }
  isKnown({ bad, cpu, action: { crash, unknown } }: Move): boolean {
    if (unknown !== null || bad.some(({ property }) => !this.#findings.has(property))) return false;
    return cpu >= 0 || (crash === null ? this.#lost : this.#cut.has(BREACHES[crash]));
  }
  unknown(text: string): void {
    this.#stopped ??= text;
  }

  /** Keeps the first of each property, which is the nearest. */
  #report({ property, text }: Bad, state: number): void {
    if (this.#findings.has(property)) return;
    const depth = this.#walk.path(state).length;
    this.#findings.set(property, { property, text, state, depth, among: null });
  }

  #get(id: number): Int32Array {
    const state = new Int32Array(widthOf(this.#shape));
    this.#walk.read(id, state);
    return state;
  }
  #find(state: Int32Array): number {
    const sorted = state.slice();
    normalise(sorted, this.#shape);
    return this.#walk.find(sorted);
  }

  // The two properties that only a finished search can decide.

  #judge({ ends, ...graph }: Edges): void {
    const inside = new Uint8Array(graph.count).fill(1);
    for (const aim of aimsOf(this.#model, this.#shape)) {
      const reached = reachingAim(graph, aim, this.#each(), ends);
      // Moves that may not lead to the aim may still lead out of where it is out of reach.
      const stuck = standstill(graph, reached) ?? unreached(reached);
      if (stuck !== null && !this.#findings.has('deadlock'))
        this.#found('deadlock', aim.missing, stuck);
      for (const [state, can] of reached.entries()) if (can === 0) inside[state] = 0;
    }
    const cycle = earliest(this.#fairCycles(graph, inside));
    if (cycle !== null)
      this.#found(
        'livelock',
        'forever, without completing a call or an update, although an end stays in reach',
        cycle,
      );
  }

  *#each(): Iterable<Int32Array> {
    const state = new Int32Array(widthOf(this.#shape));
    for (let at = 0; at < this.#walk.count; at++) {
      this.#walk.read(at, state);
      yield state;
    }
  }

  /** Under symmetry the cycles of the graph are candidates, walked again with every CPU named. */
  #fairCycles(graph: Graph, reached: Uint8Array): number[][] {
    const { cpus, waiting } = this.#shape;
    if (cpus === 1 && waiting === 0) return fairCycles(graph, reached, ALL_LANES);
    return fairCycles(graph, reached, PATCHER_LANES).filter((states) => {
      const inside = new Set(states);
      const first = this.#get(lowest(states));
      const walked = walkCycle(this.#model, this.#shape, first, (state) =>
        inside.has(this.#find(state)),
      );
      if (walked === 'too many') this.#undecided.add('livelock');
      return walked !== null && walked !== 'too many';
    });
  }

  #found(property: PropertyName, text: string, states: readonly number[]): void {
    const state = lowest(states);
    this.#findings.set(property, {
      property,
      text,
      state,
      depth: this.#walk.path(state).length - 1,
      among: new Set(states),
    });
  }
}

/** The first state from which something cannot be reached. */
function unreached(reached: Uint8Array): number[] | null {
  const first = reached.indexOf(0);
  return first < 0 ? null : [first];
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof RangeError && /allocation failed|typed array length/.test(error.message);
}

// Breadth-first search of everything a model can do. A state is a few 32-bit words in one array
// whose index is the state's id; the array in id order is the queue, so the first path found to
// anything is a shortest one. The visited set is open addressing over [tag, id] pairs, at most half
// full; of how a state is reached only the parent is kept, and the steps of a path are found again
// by expanding its states. What a finished search says about going on for ever is read off its
// edges (graph.ts).
//
// Reductions, each compared with the plain search in the tests:
//   macro   steps run on through what nobody else can tell (core.ts)
//   sym     equal CPUs are sorted, for only how many CPUs are in a state matters
//   por     a move that nobody else can observe is taken alone; and where CPUs write nothing that another one reads, one
//           CPU beside the patcher stands for all: CPUs meet only in the patcher, which waits for each of them
//           by itself, so what one of them can do does not depend on the others

import type { Bad } from '../../machine/sim/promises.js';
import type { PropertyName } from '../properties.js';
import type { Model, Move, PatcherMove } from '../../machine/sim/model.js';
import { CPUS, ENVIRONMENT, PATCHER, expand, normalise, type Moves, type Shape } from './expand.js';
import { earliest, fairRounds, lowest, reaching, standstill, type Graph } from './graph.js';
import { ALL_LANES, LANES, PATCHER_LANES, cpuLane, patcherLane, walkRounds } from './lasso.js';

export interface Limits {
  readonly states: number;
  readonly seconds: number;
  readonly signal?: Pick<AbortSignal, 'aborted'>;
}

/** How a path comes from its last state to a violation, or what its last state is. */
export interface Finding {
  readonly property: PropertyName;
  readonly text: string;
  /** The state before the violating move. */
  readonly state: number;
  /** Which CPU moved, and which of its moves; -1 for a state that is itself the violation. */
  readonly cpu: number;
  readonly move: number;
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

/** @param partial whether of moves that nobody else can observe one is taken alone */
export function explore(model: Model, shape: Shape, partial: boolean, limits: Limits): Search {
  const begun = performance.now();
  const { cpus, waiting } = shape;
  const width = CPUS + cpus + waiting;
  let arena = new Int32Array(width * (1 << 14));
  let parent = new Int32Array(1 << 14);
  let table = new Int32Array(1 << 16).fill(-1);
  let mask = (table.length >> 1) - 1;
  let count = 0;
  let transitions = 0;
  let stopped: string | null = null;
  const findings = new Map<PropertyName, Finding>();
  const next = new Int32Array(width);
  /**
   * Successors: the edges of a state lie beside each other, for states are expanded in the order of
   * their ids.
   */
  let first = new Int32Array(1 << 14);
  let to = new Int32Array(1 << 15);
  let kinds = new Uint8Array(1 << 15);
  let edges = 0;
  const ends: number[] = [];

  const link = (target: number, kind: number): void => {
    if (edges === to.length) {
      to = enlarge(to, more(edges));
      const larger = new Uint8Array(to.length);
      larger.set(kinds);
      kinds = larger;
    }
    to[edges] = target;
    kinds[edges++] = kind;
  };
  /** The slot of a state in the table, or the free one where it belongs. */
  let hash = 0;
  const slotOf = (state: Int32Array): number => {
    hash = 0;
    for (let i = 0; i < width; i++) {
      hash = Math.imul(hash ^ (state[i] as number), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    let slot = hash & mask;
    search: for (; ; slot = (slot + 1) & mask) {
      const id = table[2 * slot + 1] as number;
      if (id < 0) return slot;
      if (table[2 * slot] !== hash) continue;
      const base = id * width;
      for (let i = 0; i < width; i++) if (arena[base + i] !== state[i]) continue search;
      return slot;
    }
  };
  const visit = (from: number, kind: number): void => {
    transitions++;
    normalise(next, shape);
    const slot = slotOf(next);
    let id = table[2 * slot + 1] as number;
    if (id < 0) {
      id = count++;
      if (count >= parent.length) {
        const room = more(parent.length);
        parent = enlarge(parent, room);
        first = enlarge(first, room);
        arena = enlarge(arena, width * room);
      }
      arena.set(next, id * width);
      parent[id] = from;
      table[2 * slot] = hash;
      table[2 * slot + 1] = id;
      if (count * 4 > table.length) {
        const larger = new Int32Array(table.length * 2).fill(-1);
        mask = (larger.length >> 1) - 1;
        for (let i = 0; i < table.length; i += 2) {
          if ((table[i + 1] as number) < 0) continue;
          let at = (table[i] as number) & mask;
          while ((larger[2 * at + 1] as number) >= 0) at = (at + 1) & mask;
          larger[2 * at] = table[i] as number;
          larger[2 * at + 1] = table[i + 1] as number;
        }
        table = larger;
      }
    }
    if (from >= 0) link(id, kind);
  };

  const depthOf = (state: number): number => {
    let depth = 0;
    for (let at = state; (parent[at] as number) >= 0; at = parent[at] as number) depth++;
    return depth;
  };
  const report = (bad: readonly Bad[], state: number, cpu: number, move: number): void => {
    for (const { property, text } of bad) {
      if (!findings.has(property))
        findings.set(property, {
          property,
          text,
          state,
          cpu,
          move,
          depth: depthOf(state) + 1,
          among: null,
        });
    }
  };

  const find = (state: Int32Array): number => {
    const sorted = state.slice();
    normalise(sorted, shape);
    return table[2 * slotOf(sorted) + 1] as number;
  };
  const inside = (states: readonly number[]): ((state: Int32Array) => boolean) => {
    const set = new Set(states);
    return (state) => set.has(find(state));
  };

  /**
   * Who makes the edge, and whether something ends with it. The moves of one lane are told one
   * after the other.
   */
  let lane = -2;
  let [cpuMoves, patcherMoves]: [readonly Move[], readonly PatcherMove[]] = [[], []];
  const kindOf = (who: number, move: number, swap: number): number => {
    if (swap >= 0) return LANES.switch + swap;
    if (who !== lane) {
      lane = who;
      const base = state * width;
      const environment = arena[base + ENVIRONMENT] as number;
      if (who < 0) patcherMoves = model.patcherMoves(arena[base + PATCHER] as number, environment);
      else cpuMoves = model.moves(arena[base + CPUS + who] as number, environment);
    }
    return who < 0
      ? patcherLane(patcherMoves[move] as PatcherMove)
      : cpuLane(cpuMoves[move] as Move, who);
  };
  let state = -1;
  const moves: Moves = {
    moved: (who, move, swap) => visit(state, kindOf(who, move, swap)),
    broken(bad, who, move, over) {
      report(bad, state, who, move);
      if (!over) return;
      ends.push(state); // a violation ends its path: that is no deadlock
      link(-1, kindOf(who, move, -1));
    },
    unknown(text) {
      stopped ??= text;
    },
  };
  next.set(model.initial(cpus, waiting));
  visit(state, 0);

  const search = (): void => {
    for (state = 0; state < count && stopped === null; state++) {
      if ((state & 0xfff) === 0) {
        if (count > limits.states) stopped = `more than ${limits.states} states`;
        else if (performance.now() - begun > limits.seconds * 1000)
          stopped = `more than ${limits.seconds} s`;
        else if (limits.signal?.aborted === true) stopped = INTERRUPTED;
        if (stopped !== null) break;
      }
      first[state] = edges;
      lane = -2;
      if (expand(model, shape, partial, arena, state * width, next, moves)) ends.push(state);
    }
  };
  try {
    search();
  } catch (error) {
    // What was found before stays found.
    if (!(
      error instanceof RangeError && /allocation failed|typed array length/.test(error.message)
    ))
      throw error;
    stopped = 'out of memory';
  }

  const undecided = new Set<PropertyName>();
  if (stopped === null) {
    first[count] = edges;
    const graph: Graph = { count, first, to, kind: kinds };
    const vectorOf = (id: number): Int32Array => arena.slice(id * width, (id + 1) * width);
    const found = (property: PropertyName, text: string, states: readonly number[]) =>
      findings.set(property, {
        property,
        text,
        state: lowest(states),
        cpu: -1,
        move: -1,
        depth: depthOf(lowest(states)),
        among: new Set(states),
      });
    const reached = reaching(graph, ends);
    const stuck = standstill(graph, reached);
    if (stuck !== null) found('deadlock', 'nobody gets any further', stuck);
    const named = cpus === 1 && waiting === 0;
    const rounds = fairRounds(graph, reached, named ? ALL_LANES : PATCHER_LANES);
    const proper = named
      ? rounds
      : rounds.filter((states) => {
          const walked = walkRounds(model, shape, vectorOf(lowest(states)), inside(states));
          if (walked === 'too many') undecided.add('livelock');
          return walked !== null && walked !== 'too many';
        });
    const round = earliest(proper);
    if (round !== null)
      found('livelock', 'for ever and to no end, though the end stays in reach', round);
  }

  return {
    findings,
    states: count,
    transitions,
    seconds: (performance.now() - begun) / 1000,
    stopped,
    undecided,
    bytes: arena.byteLength + parent.byteLength + table.byteLength,
    edgeBytes: first.byteLength + to.byteLength + kinds.byteLength,
    find,
    path(state) {
      const ids: number[] = [];
      for (let at = state; at >= 0; at = parent[at] as number) ids.push(at);
      return ids.reverse().map((id) => arena.slice(id * width, (id + 1) * width));
    },
  };
}

/**
 * Doubling would leave up to half of a large array unused, and memory is what bounds a search;
 * below, it is time that counts.
 */
const more = (length: number): number => (length < 1 << 19 ? 2 * length : length + (length >> 2));

function enlarge(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(length);
  larger.set(array);
  return larger;
}

// Breadth-first search of everything a model can do. A state is a few 32-bit words in one array whose index is the
// state's id; the array in id order is the queue, so the first path found to anything is a shortest one. The visited set
// is open addressing over [tag, id] pairs, at most half full; only the parent of a state is kept, and the
// steps of a path are found again by expanding its states.
//
// Reductions, each compared with the plain search in the tests:
//   macro   steps run on through what nobody else can tell (core.ts)
//   sym     equal CPUs are sorted, for only how many CPUs are in a state matters
//   por     a move that nobody else can observe is taken alone; and where CPUs write nothing that another one reads, one
//           CPU beside the patcher stands for all: CPUs meet only in the patcher, which waits for each of them
//           by itself, so what one of them can do does not depend on the others

import type { Bad } from '../machine/sim/context.js';
import type { Model } from '../machine/sim/model.js';
import { CPUS, expand, normalise, type Moves, type Shape } from './expand.js';

export interface Limits {
  readonly states: number;
  readonly seconds: number;
  readonly signal?: AbortSignal;
}

/** How a path comes from its last state to a violation, or what its last state is. */
export interface Finding {
  readonly property: string;
  readonly text: string;
  /** The state before the violating move. */
  readonly state: number;
  /** Which CPU moved, and which of its moves; -1 for a state that is itself the violation. */
  readonly cpu: number;
  readonly move: number;
  readonly depth: number;
}

export interface Search {
  readonly findings: ReadonlyMap<string, Finding>;
  readonly states: number;
  readonly transitions: number;
  readonly seconds: number;
  /** Why it ended before everything was seen; null when it did not. */
  readonly stopped: string | null;
  readonly bytes: number;
  /** The states from the initial one to a state. */
  path(state: number): Int32Array[];
}

/** @param partial whether of moves that nobody else can observe one is taken alone */
export function explore(model: Model, shape: Shape, partial: boolean, limits: Limits): Search {
  const begun = performance.now();
  const width = CPUS + shape.cpus + shape.waiting;
  let arena = new Int32Array(width * (1 << 14));
  let parent = new Int32Array(1 << 14);
  let table = new Int32Array(1 << 16).fill(-1);
  let mask = (table.length >> 1) - 1;
  let count = 0;
  let transitions = 0;
  let stopped: string | null = null;
  const findings = new Map<string, Finding>();
  const next = new Int32Array(width);
  /** Predecessors, to tell afterwards from which states the end can be reached. */
  const edges: { from: Int32Array; to: Int32Array; count: number } = { from: new Int32Array(1 << 16), to: new Int32Array(1 << 16), count: 0 };
  const ends: number[] = [];

  const visit = (from: number): void => {
    transitions++;
    normalise(next, shape);
    let hash = 0;
    for (let i = 0; i < width; i++) {
      hash = Math.imul(hash ^ (next[i] as number), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    let slot = hash & mask;
    let id = -1;
    search: for (; ; slot = (slot + 1) & mask) {
      id = table[2 * slot + 1] as number;
      if (id < 0) break;
      if (table[2 * slot] !== hash) continue;
      const base = id * width;
      for (let i = 0; i < width; i++) if (arena[base + i] !== next[i]) continue search;
      break;
    }
    if (id < 0) {
      id = count++;
      if (count > parent.length) {
        parent = enlarge(parent, 2 * parent.length);
        arena = enlarge(arena, 2 * arena.length);
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
    if (from >= 0) {
      if (edges.count === edges.from.length) {
        edges.from = enlarge(edges.from, 2 * edges.count);
        edges.to = enlarge(edges.to, 2 * edges.count);
      }
      edges.from[edges.count] = from;
      edges.to[edges.count++] = id;
    }
  };

  const depthOf = (state: number): number => {
    let depth = 0;
    for (let at = state; (parent[at] as number) >= 0; at = parent[at] as number) depth++;
    return depth;
  };
  const report = (bad: readonly Bad[], state: number, cpu: number, move: number): void => {
    for (const { property, text } of bad) {
      if (!findings.has(property)) findings.set(property, { property, text, state, cpu, move, depth: depthOf(state) + 1 });
    }
  };

  let state = -1;
  const moves: Moves = {
    moved: () => visit(state),
    broken(bad, who, move, over) {
      report(bad, state, who, move);
      if (over) ends.push(state); // a violation ends its path: that is no deadlock
    },
    unknown(text) {
      stopped ??= text;
    },
  };
  next.set(model.initial(shape.cpus, shape.waiting));
  visit(state);

  for (state = 0; state < count && stopped === null; state++) {
    if ((state & 0xfff) === 0) {
      if (count > limits.states) stopped = `more than ${limits.states} states`;
      else if (performance.now() - begun > limits.seconds * 1000) stopped = `more than ${limits.seconds} s`;
      else if (limits.signal?.aborted === true) stopped = 'interrupted';
      if (stopped !== null) break;
    }
    if (expand(model, shape, partial, arena, state * width, next, moves)) ends.push(state);
  }

  if (stopped === null) {
    const stuck = firstStuck(count, ends, edges);
    if (stuck >= 0) findings.set('deadlock', { property: 'deadlock', text: 'from here the program can never end', state: stuck, cpu: -1, move: -1, depth: depthOf(stuck) });
  }

  return {
    findings,
    states: count,
    transitions,
    seconds: (performance.now() - begun) / 1000,
    stopped,
    bytes: arena.byteLength + parent.byteLength + table.byteLength,
    path(state) {
      const ids: number[] = [];
      for (let at = state; at >= 0; at = parent[at] as number) ids.push(at);
      return ids.reverse().map((id) => arena.slice(id * width, (id + 1) * width));
    },
  };
}

/** The first state from which no end is reachable, or -1: backwards over the edges from the ends. */
function firstStuck(count: number, ends: readonly number[], edges: { from: Int32Array; to: Int32Array; count: number }): number {
  const start = new Int32Array(count + 1);
  for (let e = 0; e < edges.count; e++) start[(edges.to[e] as number) + 1]!++;
  for (let i = 0; i < count; i++) start[i + 1]! += start[i] as number;
  const sources = new Int32Array(edges.count);
  const fill = start.slice();
  for (let e = 0; e < edges.count; e++) sources[fill[edges.to[e] as number]!++] = edges.from[e] as number;
  const reached = new Uint8Array(count);
  const stack = [...ends];
  for (const end of ends) reached[end] = 1;
  while (stack.length > 0) {
    const at = stack.pop() as number;
    for (let s = start[at] as number; s < (start[at + 1] as number); s++) {
      const from = sources[s] as number;
      if (reached[from] === 0) {
        reached[from] = 1;
        stack.push(from);
      }
    }
  }
  return reached.indexOf(0);
}

function enlarge(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(length);
  larger.set(array);
  return larger;
}

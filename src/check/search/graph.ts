// What a finished search says about running forever. Its graph is one array of successors, the
// edges of a state beside each other, with a byte for each edge that says what moved and whether
// something came to an end. Two properties are read from it:
//
//   deadlock a state from which no end of the program can be reached. What is reported is the first
//             part of the graph that has no edge out of it: one state without a move, or a set of
//             states that can only lead to each other
//   livelock  a set of states in which the machine can run forever although an end stays in reach:
//             no pass over a site and no update ends, and every lane gets its turn. A turn is
//             strong fairness: a lane that can move again and again does move again and again.
//             Without it every wait would be a livelock, under a scheduler that never runs the
//             other side. We assume no fairness for interrupts or for which version of a byte a
//             fetch returns: until a CPU serialises, nothing guarantees that it ever sees a store
//
// The reductions keep both. Steps that run together and moves that are taken alone concern only
// their own lane, end no pass of another one and neither begin nor end what another lane may do,
// and no cycle consists of them; so every cycle has a state that shows all lanes. One CPU may stand
// for all, because CPUs that write nothing for each other meet in the patcher, which cannot move in
// a cycle, so each CPU of a cycle runs around it by itself. Under symmetry a cycle of sorted states
// may exchange the CPUs; there the cycles found are only candidates, walked again with every CPU
// under its own number (lasso.ts).

/** The `kind` of an edge: a lane in the low bits. */
export const LANE = 0x1f;
/** In `kind`: a pass or an update ends with this edge. */
export const PROGRESS = 0x80;
/** In `kind`: the patcher begins an update that it need not make. */
export const BEGINS = 0x40;
/** The lane of a move for which no fairness is assumed. */
export const NO_LANE = 31;

export interface Graph {
  readonly count: number;
  /** Where the edges of each state begin; one more than states. */
  readonly first: Int32Array;
  /** -1 where the path ends with the edge. */
  readonly to: Int32Array;
  readonly kind: Uint8Array;
}

/**
 * For each state whether one of `ends` can be reached from it. Most edges lead to a state that was
 * found later, so one sweep from the last state to the first settles nearly all of them, and reads
 * the edges in the order in which they lie. Each further sweep follows those that lead back.
 */
export function reaching({ count, first, to }: Graph, ends: readonly number[]): Uint8Array {
  const reached = new Uint8Array(count);
  for (const end of ends) reached[end] = 1;
  for (let changed = true; changed;) {
    changed = false;
    for (let s = count - 1; s >= 0; s--) {
      if (reached[s] === 1) continue;
      const end = first[s + 1]!;
      for (let e = first[s]!; e < end; e++)
        if (to[e]! >= 0 && reached[to[e]!] === 1) {
          reached[s] = 1;
          changed = true;
          break;
        }
    }
  }
  return reached;
}

/** A sweep that leaves out no more than one state of so many is the last. */
const WORTH = 8;

/**
 * Of the states that `inside` marks those that may lie on a cycle of edges whose kind has none of
 * the bits of `without`: all but those with no such edge to another one that is left. In most
 * graphs hardly any is left, which saves what follows it from going through all of them.
 */
function recurrent(
  { count, first, to, kind }: Graph,
  inside: Uint8Array,
  without: number,
): Uint8Array {
  const left = inside.slice();
  for (let [dropped, kept] = [1, 0]; dropped > kept / WORTH;) {
    [dropped, kept] = [0, 0];
    for (let s = count - 1; s >= 0; s--) {
      if (left[s] === 0) continue;
      const end = first[s + 1]!;
      let e = first[s]!;
      while (e < end && ((kind[e]! & without) !== 0 || to[e]! < 0 || left[to[e]!] === 0)) e++;
      if (e < end) kept++;
      else {
        left[s] = 0;
        dropped++;
      }
    }
  }
  return left;
}

/**
 * Strongly connected components (Tarjan 1972) of the states that `among` marks, over the edges
 * whose kind has none of the bits of `without`. A state without an edge to itself is one only where
 * `single` asks for it.
 */
export function components(
  graph: Graph,
  among: Uint8Array,
  without: number,
  single: boolean,
): number[][] {
  const { count, first, to, kind } = graph;
  const inside = single ? among : recurrent(graph, among, without);
  if (!inside.includes(1)) return [];
  const found: number[][] = [];
  const order = new Int32Array(count);
  const low = new Int32Array(count);
  const at = first.slice();
  const open: number[] = [];
  const path: number[] = [];
  const onStack = new Uint8Array(count);
  let visited = 0;
  for (let root = 0; root < count; root++) {
    if (inside[root] === 0 || order[root] !== 0) continue;
    path.push(root);
    for (let s: number | undefined = root; s !== undefined; s = path.at(-1)) {
      if (order[s] === 0) {
        order[s] = low[s] = ++visited;
        open.push(s);
        onStack[s] = 1;
      }
      let next = -1;
      for (; at[s]! < first[s + 1]!; at[s]!++) {
        const e: number = at[s]!;
        const t = to[e]!;
        if (t < 0 || inside[t] === 0 || (kind[e]! & without) !== 0) continue;
        if (order[t] === 0) {
          next = t;
          break;
        }
        if (onStack[t] === 1 && order[t]! < low[s]!) low[s] = order[t]!;
      }
      if (next >= 0) {
        path.push(next);
        continue;
      }
      path.pop();
      const above = path.at(-1);
      if (above !== undefined && low[s]! < low[above]!) low[above] = low[s]!;
      if (low[s] !== order[s]) continue;
      // Nearly every component is one state.
      const component = open.at(-1) === s ? null : open.splice(open.lastIndexOf(s));
      if (component === null) open.pop();
      for (const t of component ?? [s]) onStack[t] = 0;
      if (single || component !== null || loops({ first, to, kind }, s, without))
        found.push(component ?? [s]);
    }
  }
  return found;
}

/** Whether a state has an edge to itself. */
function loops(
  { first, to, kind }: Pick<Graph, 'first' | 'to' | 'kind'>,
  s: number,
  without: number,
): boolean {
  for (let e = first[s]!; e < first[s + 1]!; e++)
    if (to[e] === s && (kind[e]! & without) === 0) return true;
  return false;
}

/**
 * Of the components of the stuck states that have no edge out of them, the one with the earliest
 * state; null without stuck states.
 */
export function standstill(graph: Graph, reached: Uint8Array): number[] | null {
  const stuck = reached.map((can) => 1 - can);
  if (!stuck.includes(1)) return null;
  const belongs = new Int32Array(graph.count).fill(-1);
  const all = components(graph, stuck, 0, true);
  for (const [i, component] of all.entries()) for (const s of component) belongs[s] = i;
  const closed = all.filter((component, i) =>
    component.every((s) => edgesOf(graph, s).every((e) => belongs[graph.to[e]!] === i)),
  );
  return earliest(closed);
}

/**
 * The sets of states, within those that `inside` marks, in which the machine can run forever with
 * nothing coming to an end and each lane of `lanes` (one bit for each) getting its turn. A lane
 * that can move somewhere in a component and moves nowhere inside it is denied its turn: the states
 * where it can move are left out, and what remains may still hold a cycle.
 */
export function fairCycles(graph: Graph, inside: Uint8Array, lanes: number): number[][] {
  const local = new Int32Array(graph.count).fill(-1);
  return components(graph, inside, PROGRESS, false).flatMap((component) => {
    const part = partOf(graph, component, local);
    let [can, does] = [0, 0];
    for (const [e, kind] of part.kind.entries()) {
      can |= 1 << (kind & LANE);
      if (part.to[e]! >= 0 && (kind & PROGRESS) === 0) does |= 1 << (kind & LANE);
    }
    const denied = can & ~does & lanes;
    if (denied === 0) return [component];
    const rest = Uint8Array.from(component, (_, s) => {
      const may = edgesOf(part, s).some((e) => (denied & (1 << (part.kind[e]! & LANE))) !== 0);
      return may ? 0 : 1;
    });
    return fairCycles(part, rest, lanes).map((cycle) => cycle.map((s) => component[s]!));
  });
}

/** The numbers of the edges that leave a state. */
export function edgesOf({ first }: Pick<Graph, 'first'>, s: number): number[] {
  const from = first[s]!;
  return Array.from({ length: first[s + 1]! - from }, (_, i) => from + i);
}

/**
 * The graph of a few states alone; an edge out of it leads nowhere. `local` is all -1, before and
 * after.
 */
function partOf(graph: Graph, states: readonly number[], local: Int32Array): Graph {
  for (const [i, s] of states.entries()) local[s] = i;
  const first = [0];
  const edges: number[] = [];
  for (const s of states) {
    edges.push(...edgesOf(graph, s));
    first.push(edges.length);
  }
  // Of an edge that leads nowhere there is no word at -1.
  const to = Int32Array.from(edges, (e) => local[graph.to[e]!] ?? -1);
  for (const s of states) local[s] = -1;
  const kind = Uint8Array.from(edges, (e) => graph.kind[e]!);
  return { count: states.length, first: Int32Array.from(first), to, kind };
}

/** The set with the lowest, hence earliest, state. */
export function earliest(sets: readonly (readonly number[])[]): number[] | null {
  let best: readonly number[] | null = null;
  for (const set of sets) if (best === null || lowest(set) < lowest(best)) best = set;
  return best === null ? null : [...best];
}
export const lowest = (set: readonly number[]): number =>
  set.reduce((a, b) => Math.min(a, b), Infinity);

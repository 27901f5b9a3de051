// What a finished search says about going on for ever. Its graph is kept as one array of
// successors, the edges of a state beside each other, with a byte for each edge that says who moved
// and whether something came to an end. From it are read
//
//   deadlock  a state from which no end of the program can be reached. The first part of the graph that nobody can leave
//             again is what is shown: one state without a move, or a set of states that can only go round
//   livelock  a set of states in which the machine can go round for ever although the end stays in reach, no pass over a site
//             and no update ends, and everybody gets his turn. In turn means strong fairness: whoever can move again and
//             again does move again and again. Without it every wait would be one, on a scheduler that never lets
//             the other side run. Whether an interrupt comes, and which version of a byte a CPU fetches, is nobody's turn:
//             nothing promises that a CPU ever sees what was stored, until it serialises
//
// The reductions keep both. Steps run together and moves taken alone concern only their own lane,
// end no pass of another one and neither begin nor end what another lane may do, and no cycle
// consists of them; so every cycle has a state that shows all lanes. One CPU for all: CPUs that
// write nothing for each other meet in the patcher, which cannot move in a cycle, so each CPU of a
// cycle goes round by itself. Under symmetry a cycle of sorted states may exchange the CPUs; there
// the cycles found are only candidates, walked again with every CPU under its own name (rounds.ts).

/** The `kind` of an edge: a lane in the low bits. */
export const LANE = 0x1f;
/** In `kind`: a pass or an update ends with it. */
export const PROGRESS = 0x80;
/** Of a move that is nobody's turn. */
export const NO_LANE = 31;

export interface Graph {
  readonly count: number;
  /** Where the edges of each state begin; one more than states. */
  readonly first: Int32Array;
  /** -1 where the path ends with the edge. */
  readonly to: Int32Array;
  readonly kind: Uint8Array;
}

/** For each state whether one of `ends` can be reached from it. */
export function reaching({ count, first, to }: Graph, ends: readonly number[]): Uint8Array {
  const start = new Int32Array(count + 1);
  const edges = first[count] as number;
  for (let e = 0; e < edges; e++) if ((to[e] as number) >= 0) start[(to[e] as number) + 1]!++;
  for (let i = 0; i < count; i++) start[i + 1]! += start[i] as number;
  const sources = new Int32Array(start[count] as number);
  const fill = start.slice();
  for (let s = 0; s < count; s++)
    for (let e = first[s] as number; e < (first[s + 1] as number); e++)
      if ((to[e] as number) >= 0) sources[fill[to[e] as number]!++] = s;
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
  return reached;
}

/**
 * Strongly connected components (Tarjan 1972) of the states that `inside` marks, over the edges
 * whose kind has none of the bits of `without`. A state without an edge to itself is one only where
 * `single` asks for it.
 */
export function components(
  { count, first, to, kind }: Graph,
  inside: Uint8Array,
  without: number,
  single: boolean,
): number[][] {
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
    while (path.length > 0) {
      const s = path[path.length - 1] as number;
      if (order[s] === 0) {
        order[s] = low[s] = ++visited;
        open.push(s);
        onStack[s] = 1;
      }
      let next = -1;
      for (; (at[s] as number) < (first[s + 1] as number); at[s]!++) {
        const e = at[s] as number;
        const t = to[e] as number;
        if (t < 0 || inside[t] === 0 || ((kind[e] as number) & without) !== 0) continue;
        if (order[t] === 0) {
          next = t;
          break;
        }
        if (onStack[t] === 1 && (order[t] as number) < (low[s] as number))
          low[s] = order[t] as number;
      }
      if (next >= 0) {
        path.push(next);
        continue;
      }
      path.pop();
      const above = path[path.length - 1];
      if (above !== undefined && (low[s] as number) < (low[above] as number))
        low[above] = low[s] as number;
      if (low[s] !== order[s]) continue;
      const component = open.splice(open.lastIndexOf(s));
      for (const t of component) onStack[t] = 0;
      if (single || component.length > 1 || loops({ first, to, kind }, s, without))
        found.push(component);
    }
  }
  return found;
}

function loops(
  { first, to, kind }: Pick<Graph, 'first' | 'to' | 'kind'>,
  s: number,
  without: number,
): boolean {
  for (let e = first[s] as number; e < (first[s + 1] as number); e++)
    if (to[e] === s && ((kind[e] as number) & without) === 0) return true;
  return false;
}

/**
 * The component with the earliest state among those of the stuck states that nobody leaves again;
 * null without stuck states.
 */
export function standstill(graph: Graph, reached: Uint8Array): number[] | null {
  const stuck = reached.map((can) => 1 - can);
  if (!stuck.includes(1)) return null;
  const belongs = new Int32Array(graph.count).fill(-1);
  const all = components(graph, stuck, 0, true);
  all.forEach((component, i) => component.forEach((s) => (belongs[s] = i)));
  return earliest(
    all.filter((component, i) =>
      component.every((s) => {
        for (let e = graph.first[s] as number; e < (graph.first[s + 1] as number); e++)
          if (belongs[graph.to[e] as number] !== i) return false;
        return true;
      }),
    ),
  );
}

/**
 * The sets of states, within those that `inside` marks, in which the machine can go round for ever
 * with nothing coming to an end and each lane of `lanes` (one bit for each) getting its turn. A
 * lane that can move somewhere in a component and moves nowhere inside it is never let pass: the
 * states where it can are left out, and what remains may still hold a cycle.
 */
export function fairRounds(graph: Graph, inside: Uint8Array, lanes: number): number[][] {
  const local = new Int32Array(graph.count).fill(-1);
  return components(graph, inside, PROGRESS, false).flatMap((component) => {
    const part = partOf(graph, component, local);
    let [can, does] = [0, 0];
    part.kind.forEach((kind, e) => {
      can |= 1 << (kind & LANE);
      if ((part.to[e] as number) >= 0 && (kind & PROGRESS) === 0) does |= 1 << (kind & LANE);
    });
    const denied = can & ~does & lanes;
    if (denied === 0) return [component];
    const rest = new Uint8Array(part.count).fill(1);
    for (let s = 0; s < part.count; s++)
      for (let e = part.first[s] as number; e < (part.first[s + 1] as number); e++)
        if ((denied & (1 << ((part.kind[e] as number) & LANE))) !== 0) rest[s] = 0;
    return fairRounds(part, rest, lanes).map((round) => round.map((s) => component[s] as number));
  });
}

/**
 * The graph of a few states alone; what leads out of it ends. `local` is all -1, before and after.
 */
function partOf({ first, to, kind }: Graph, states: readonly number[], local: Int32Array): Graph {
  states.forEach((s, i) => (local[s] = i));
  const starts = new Int32Array(states.length + 1);
  const targets: number[] = [];
  const kinds: number[] = [];
  states.forEach((s, i) => {
    for (let e = first[s] as number; e < (first[s + 1] as number); e++) {
      const t = to[e] as number;
      targets.push(t < 0 ? -1 : (local[t] as number));
      kinds.push(kind[e] as number);
    }
    starts[i + 1] = targets.length;
  });
  for (const s of states) local[s] = -1;
  return {
    count: states.length,
    first: starts,
    to: Int32Array.from(targets),
    kind: Uint8Array.from(kinds),
  };
}

/** That with the lowest, hence earliest, state. */
export function earliest(sets: readonly (readonly number[])[]): number[] | null {
  let best: readonly number[] | null = null;
  for (const set of sets) if (best === null || lowest(set) < lowest(best)) best = set;
  return best === null ? null : [...best];
}
export const lowest = (set: readonly number[]): number =>
  set.reduce((a, b) => Math.min(a, b), Infinity);

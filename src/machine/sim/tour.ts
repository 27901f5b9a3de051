// Any sequence of updates, as a finite program of the patcher: a segment of operations for every
// way to go from one state of the sites to another one. An endless patcher stands idle in a state
// of the sites, chooses any segment that begins there, and is idle where that segment leads.
//
// A state of the sites is more than a target: a form that keeps its rest (x86/forms.ts) leaves the
// displacement of what stood there before.

import { TARGETS, type TargetName } from './settings.js';

/** The states that successive updates bring the sites to, the initial one first. */
export interface Sequence {
  readonly targets: readonly TargetName[];
  /**
   * Of an endless patcher, the number of each of these states: equal where the sites hold the same
   * bytes for the same target. Null where the sequence is made once and in this order.
   */
  readonly nodes: readonly number[] | null;
  /**
   * Where the walk begins anew, because no update leads back to how the sites were at the start:
   * the step before such a place is no update.
   */
  readonly restarts: ReadonlySet<number>;
}

interface Node<S> {
  readonly target: TargetName;
  readonly sites: S;
  /** By the target that an update brings the sites to: the state then. */
  readonly next: Map<TargetName, number>;
}

/**
 * A walk that makes every possible update at least once, from the first target on.
 * @param after what the sites hold when they are sent to a target, from what they hold before
 */
export function tour<S>(
  targets: readonly TargetName[],
  start: S,
  after: (sites: S, target: TargetName) => S,
): Sequence {
  const nodes: Node<S>[] = [];
  const known = new Map<string, number>();
  const visit = (target: TargetName, sites: S): number => {
    const key = JSON.stringify([target, sites]);
    const id = known.get(key);
    if (id !== undefined) return id;
    known.set(key, nodes.length);
    return nodes.push({ target, sites, next: new Map() }) - 1;
  };
  const [first = TARGETS[0]] = targets;
  visit(first, after(start, first));
  // Iterating an array goes on to what is added meanwhile.
  for (const { target, sites, next } of nodes)
    for (const other of targets)
      if (other !== target) next.set(other, visit(other, after(sites, other)));
  const { walk, restarts } = walkOver(nodes.map(({ next }) => [...next.values()]));
  return { targets: walk.flatMap((id) => nodes[id]?.target ?? []), nodes: walk, restarts };
}

/**
 * A walk from node 0 over every edge that can be reached from there, by as many starts as it takes.
 */
function walkOver(edges: readonly (readonly number[])[]): {
  readonly walk: readonly number[];
  readonly restarts: ReadonlySet<number>;
} {
  const unused = edges.map((to) => [...to]);
  const isLeft = (node: number): boolean => (unused[node]?.length ?? 0) > 0;
  const walk = [0];
  const restarts = new Set<number>();
  for (;;) {
    const at = walk.at(-1) ?? 0;
    const next = unused[at]?.shift();
    const way = next === undefined ? nearest(at, edges, isLeft) : [next];
    if (way !== null) walk.push(...way);
    else if (nearest(0, edges, isLeft) === null) return { walk, restarts };
    else restarts.add(walk.push(0) - 1);
  }
}

/** The fewest edges to a node that is looked for, as the nodes on the way; null where none is. */
function nearest(
  from: number,
  edges: readonly (readonly number[])[],
  wanted: (node: number) => boolean,
): readonly number[] | null {
  const ways = new Map<number, readonly number[]>([[from, []]]);
  for (const [node, way] of ways) {
    if (wanted(node)) return way;
    for (const next of edges[node] ?? []) if (!ways.has(next)) ways.set(next, [...way, next]);
  }
  return null;
}

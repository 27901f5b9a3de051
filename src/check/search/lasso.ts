// Whose turn a move is, and the walk through a set of states with every CPU and task under its own
// name, which sorted states have lost. Tasks are followed through the switches that move them from
// CPU to CPU: it is the task that must get its turn.

import type { Model, Move, PatcherMove } from '../../machine/sim/model.js';
import { fairRounds, earliest, LANE, NO_LANE, PROGRESS, type Graph } from './graph.js';
import { unsorted, type Choice, type Shape } from './expand.js';
import { choices } from './path.js';

/**
 * Lanes: two for each updater (its steps, its store buffer), three for each CPU, and a waiting
 * task's switch.
 */
export const LANES = { run: 4, answer: 8, flush: 12, switch: 16 } as const;
export const PATCHER_LANES = (1 << LANES.run) - 1;
export const ALL_LANES = (1 << (LANES.switch + 4)) - 1;

/** The `kind` of an edge that the patcher makes. */
export const patcherLane = ({ op, flush }: PatcherMove): number =>
  (2 * ((op.update - 1) & 1) + (flush ? 1 : 0)) | (op.op === 'return' ? PROGRESS : 0);

/** The `kind` of an edge that a CPU makes; `task` runs on it. */
export function cpuLane({ label, passed }: Move, cpu: number, task = cpu): number {
  const lane =
    label.kind === 'run'
      ? LANES.run + task
      : label.kind === 'flush'
        ? LANES.flush + cpu
        : label.event === 'ipi' || label.event === 'stop' || label.event === 'serialise'
          ? LANES.answer + cpu
          : NO_LANE;
  return lane | (passed ? PROGRESS : 0);
}

/** States with their tasks that a walk may visit: few, for a round is a wait. */
const NODES_MAX = 100_000;

/** The way into a round, and once around it, back to where it was entered. */
export interface Round {
  readonly way: readonly Choice[];
  readonly lap: readonly Choice[];
}

/** A fair round within a set of states, from one of them on; null where there is none. */
export function walkRounds(
  model: Model,
  shape: Shape,
  from: Int32Array,
  inside: (state: Int32Array) => boolean,
): Round | null | 'too many' {
  const own = unsorted(shape);
  const ids = new Map<string, number>();
  const nodes: { readonly state: Int32Array; readonly tasks: readonly number[] }[] = [];
  const first: number[] = [];
  const to: number[] = [];
  const kind: number[] = [];
  const by: Choice[] = [];
  const visit = (state: Int32Array, tasks: readonly number[]): number => {
    const key = `${state.join()} ${tasks.join()}`;
    let id = ids.get(key);
    if (id === undefined) {
      ids.set(key, (id = nodes.length));
      nodes.push({ state, tasks });
    }
    return id;
  };
  visit(
    from,
    Array.from({ length: shape.cpus + shape.waiting }, (_, task) => task),
  );
  for (let n = 0; n < nodes.length; n++) {
    if (n > NODES_MAX) return 'too many';
    const { state, tasks } = nodes[n] as (typeof nodes)[number];
    first.push(to.length);
    for (const done of choices(model, state, own)) {
      const { choice } = done;
      const waiting = shape.cpus + choice.swap;
      const moved =
        choice.swap < 0
          ? tasks
          : tasks
              .with(choice.who, tasks[waiting] as number)
              .with(waiting, tasks[choice.who] as number);
      to.push(done.after === null || !inside(done.after) ? -1 : visit(done.after, moved));
      kind.push(
        done.patcher !== null
          ? patcherLane(done.patcher)
          : done.move !== null
            ? cpuLane(done.move, choice.who, tasks[choice.who])
            : LANES.switch + (tasks[waiting] as number),
      );
      by.push(choice);
    }
  }
  first.push(to.length);
  const graph: Graph = {
    count: nodes.length,
    first: Int32Array.from(first),
    to: Int32Array.from(to),
    kind: Uint8Array.from(kind),
  };
  const round = earliest(fairRounds(graph, new Uint8Array(nodes.length).fill(1), ALL_LANES));
  if (round === null) return null;

  // Once around: the nearest edge of each lane that goes round, one after the other, and back.
  const part = new Set(round);
  const way = edgesTo(
    graph,
    0,
    (node) => part.has(node),
    () => true,
  );
  const entry = way.length === 0 ? 0 : (graph.to[way.at(-1) as number] as number);
  const within = (e: number) =>
    part.has(graph.to[e] as number) && ((graph.kind[e] as number) & PROGRESS) === 0;
  const lanes = new Set(
    round
      .flatMap((s) => edgesOf(graph, s))
      .filter(within)
      .map((e) => (graph.kind[e] as number) & LANE),
  );
  const lap: number[] = [];
  let at = entry;
  for (const lane of [...lanes].sort((a, b) => a - b)) {
    if (lane === NO_LANE || lap.some((e) => ((graph.kind[e] as number) & LANE) === lane)) continue;
    const more = edgesTo(
      graph,
      at,
      (node) =>
        edgesOf(graph, node).some((e) => within(e) && ((graph.kind[e] as number) & LANE) === lane),
      within,
    );
    const there = more.length === 0 ? at : (graph.to[more.at(-1) as number] as number);
    const turn = edgesOf(graph, there).find(
      (e) => within(e) && ((graph.kind[e] as number) & LANE) === lane,
    ) as number;
    lap.push(...more, turn);
    at = graph.to[turn] as number;
  }
  lap.push(...edgesTo(graph, at, (node) => node === entry, within));
  return { way: way.map((e) => by[e] as Choice), lap: lap.map((e) => by[e] as Choice) };
}

const edgesOf = ({ first }: Graph, s: number): number[] =>
  Array.from(
    { length: (first[s + 1] as number) - (first[s] as number) },
    (_, i) => (first[s] as number) + i,
  );

/** The fewest edges from a node to one that is looked for. */
function edgesTo(
  graph: Graph,
  from: number,
  there: (node: number) => boolean,
  follow: (edge: number) => boolean,
): number[] {
  const via = new Map<number, number>([[from, -1]]);
  const source = new Map<number, number>();
  const queue = [from];
  for (const node of queue) {
    if (there(node)) {
      const path: number[] = [];
      for (let at = node; at !== from; at = source.get(at) as number)
        path.unshift(via.get(at) as number);
      return path;
    }
    for (const e of edgesOf(graph, node)) {
      const next = graph.to[e] as number;
      if (next < 0 || via.has(next) || !follow(e)) continue;
      via.set(next, e);
      source.set(next, node);
      queue.push(next);
    }
  }
  return [];
}

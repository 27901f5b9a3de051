// Whose turn a move is, and the walk around a cycle with every CPU and task under its own number,
// which sorted states have lost. Tasks are followed through the switches that move them from CPU to
// CPU, because it is the task that must get its turn.

import { invariant } from '../../base/invariant.js';
import type { MoveTable } from '../../machine/sim/move-table.js';
import type { Action, ActionLabel, Model, PatcherMove } from '../../machine/sim/model.js';
import type { Choice } from './expand.js';
import {
  BEGINS,
  earliest,
  edgesOf,
  fairCycles,
  LANE,
  NO_LANE,
  PROGRESS,
  type Graph,
} from './graph.js';
import { choices, type Replayed } from './path.js';
import { unsorted, type Shape } from './state.js';

/**
 * Lanes: two for each updater (its steps, its store buffer), three for each CPU, and a waiting
 * task's switch.
 */
export const LANES = { run: 4, answer: 8, flush: 12, switch: 16 } as const;
export const PATCHER_LANES = (1 << LANES.run) - 1;
export const ALL_LANES = (1 << (LANES.switch + 4)) - 1;

/** The `kind` of an edge that the patcher makes. */
export const patcherLane = ({ op, flush, begins }: PatcherMove): number =>
  (begins ? NO_LANE | BEGINS : 2 * ((op.update - 1) & 1) + (flush ? 1 : 0)) |
  (op.op === 'return' ? PROGRESS : 0);

/** The `kind` of an edge that a CPU makes; `task` runs on it. */
export const cpuLane = ({ label, passed }: Action, cpu: number, task = cpu): number =>
  laneOf(label, cpu, task) | (passed ? PROGRESS : 0);

function laneOf(label: ActionLabel, cpu: number, task: number): number {
  if (label.kind === 'run') return LANES.run + task;
  if (label.kind === 'flush') return LANES.flush + cpu;
  switch (label.event) {
    case 'ipi':
    case 'stop':
    case 'serialise':
    case 'left':
      return LANES.answer + cpu;
    default:
      return NO_LANE;
  }
}

/** `cpuLane` by the number of a move, remembered for each action: a search asks at every edge. */
export class CpuLanes {
  /** Of CPU 0, by action. */
  #known = new Uint8Array(1 << 8).fill(UNKNOWN);

  of(table: MoveTable, move: number, cpu: number): number {
    const action = table.actionId(move);
    if (action >= this.#known.length) {
      const larger = new Uint8Array(2 * action).fill(UNKNOWN);
      larger.set(this.#known);
      this.#known = larger;
    }
    let kind = this.#known[action]!;
    if (kind === UNKNOWN) this.#known[action] = kind = cpuLane(table.action(move), 0);
    return (kind & LANE) === NO_LANE ? kind : kind + cpu;
  }
}
/** No lane goes with these bits. */
const UNKNOWN = 0x60;

/** States with their tasks that a walk may visit: few, because a cycle is a wait. */
const NODES_MAX = 100_000;

/** A path that ends in a cycle: the way in, and once around, back to where it was entered. */
export interface Lasso {
  readonly way: readonly Choice[];
  readonly cycle: readonly Choice[];
}

/** A fair cycle within a set of states, from one of them on; null where there is none. */
export function walkCycle(
  model: Model,
  shape: Shape,
  from: Int32Array,
  inside: (state: Int32Array) => boolean,
): Lasso | null | 'too many' {
  const walked = namedGraph(model, unsorted(shape), from, inside);
  if (walked === 'too many') return walked;
  const { graph, by } = walked;
  const found = earliest(fairCycles(graph, new Uint8Array(graph.count).fill(1), ALL_LANES));
  if (found === null) return null;
  const states = new Set(found);
  const way = edgesTo(
    graph,
    0,
    (node) => states.has(node),
    () => true,
  );
  const cycle = onceAround(graph, endOf(graph, way, 0), states);
  const chosen = (edges: readonly number[]) => edges.map((edge) => by[edge]!);
  return { way: chosen(way), cycle: chosen(cycle) };
}

/** The states that can be reached inside, with the choice of each edge. */
function namedGraph(
  model: Model,
  shape: Shape,
  from: Int32Array,
  inside: (state: Int32Array) => boolean,
): { readonly graph: Graph; readonly by: readonly Choice[] } | 'too many' {
  const nodes = new Map<string, { readonly id: number; readonly at: Named }>();
  const visit = (at: Named): number => {
    const key = `${at.state.join()} ${at.tasks.join()}`;
    const known = nodes.get(key);
    if (known !== undefined) return known.id;
    const id = nodes.size;
    nodes.set(key, { id, at });
    return id;
  };
  const tasks = Array.from({ length: shape.cpus + shape.waiting }, (_, task) => task);
  visit({ state: from, tasks });
  const [first, to, kind]: [number[], number[], number[]] = [[], [], []];
  const by: Choice[] = [];
  // Iterating a Map goes on to what is added meanwhile.
  for (const { at } of nodes.values()) {
    if (first.length > NODES_MAX) return 'too many';
    first.push(to.length);
    for (const made of choices(model, at.state, shape)) {
      const after = made.after !== null && inside(made.after) ? made.after : null;
      to.push(after === null ? -1 : visit({ state: after, tasks: tasksAfter(made, at, shape) }));
      kind.push(kindOf(made, at, shape));
      by.push(made.choice);
    }
  }
  first.push(to.length);
  const graph = {
    count: nodes.size,
    first: Int32Array.from(first),
    to: Int32Array.from(to),
    kind: Uint8Array.from(kind),
  };
  return { graph, by };
}

/** A state, and which task is on each CPU and in each place of those that wait. */
interface Named {
  readonly state: Int32Array;
  readonly tasks: readonly number[];
}

function tasksAfter({ choice }: Replayed, { tasks }: Named, shape: Shape): readonly number[] {
  if (choice.swap < 0) return tasks;
  const waiting = shape.cpus + choice.swap;
  return tasks.with(choice.who, tasks[waiting]!).with(waiting, tasks[choice.who]!);
}

function kindOf({ choice, move, patcher }: Replayed, { tasks }: Named, shape: Shape): number {
  if (patcher !== null) return patcherLane(patcher);
  if (move !== null) return cpuLane(move.action, choice.who, tasks[choice.who]);
  return LANES.switch + tasks[shape.cpus + choice.swap]!;
}

/** The nearest edge of each lane that moves in the cycle, one after the other, and back. */
function onceAround(graph: Graph, entry: number, states: ReadonlySet<number>): number[] {
  const laneOfEdge = (edge: number): number => graph.kind[edge]! & LANE;
  const within = (edge: number): boolean =>
    states.has(graph.to[edge]!) && (graph.kind[edge]! & PROGRESS) === 0;
  const lanes = new Set(
    [...states]
      .flatMap((s) => edgesOf(graph, s))
      .filter(within)
      .map(laneOfEdge),
  );
  lanes.delete(NO_LANE);
  const cycle: number[] = [];
  let at = entry;
  for (const lane of [...lanes].sort((a, b) => a - b)) {
    if (cycle.some((edge) => laneOfEdge(edge) === lane)) continue;
    const turns = (node: number): number | undefined =>
      edgesOf(graph, node).find((edge) => within(edge) && laneOfEdge(edge) === lane);
    const there = edgesTo(graph, at, (node) => turns(node) !== undefined, within);
    const turn = turns(endOf(graph, there, at));
    invariant(turn !== undefined, 'every state of a cycle is reached from every other');
    cycle.push(...there, turn);
    at = graph.to[turn]!;
  }
  cycle.push(...edgesTo(graph, at, (node) => node === entry, within));
  return cycle;
}

/** Where a list of edges leads. */
function endOf(graph: Graph, edges: readonly number[], from: number): number {
  const last = edges.at(-1);
  return last === undefined ? from : graph.to[last]!;
}

/** The fewest edges from a node to one that is looked for. */
function edgesTo(
  graph: Graph,
  from: number,
  there: (node: number) => boolean,
  follow: (edge: number) => boolean,
): number[] {
  const reached = new Map<number, { readonly by: number; readonly before: number } | null>();
  reached.set(from, null);
  for (const node of reached.keys()) {
    if (there(node)) {
      const path: number[] = [];
      for (let at = reached.get(node); at; at = reached.get(at.before)) path.unshift(at.by);
      return path;
    }
    for (const by of edgesOf(graph, node)) {
      const next = graph.to[by]!;
      if (next >= 0 && !reached.has(next) && follow(by)) reached.set(next, { by, before: node });
    }
  }
  return [];
}

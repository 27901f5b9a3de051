// From the shortest path to the one that is drawn. The search finds the fewest moves; a reader
// would rather have few changes of which CPU moves. So a second search, over every state together
// with the one that moved last, minimises these changes and, among equals, the moves (Dijkstra, in
// layers of changes). It uses no reductions: all moves are tried, and CPUs keep their numbers. It
// is bounded; beyond the bound the first path stands. What is left then goes through a slice:
// everything that can be left out so that the rest still comes to the same end is outside the end's
// causal past, and is left out.

import { invariant } from '../../base/invariant.js';
import type { Model } from '../../machine/sim/model.js';
import { WordTable } from '../../machine/sim/intern.js';
import type { Finding, Search } from '../search/explore.js';
import type { Choice } from '../search/expand.js';
import { walkCycle } from '../search/lasso.js';
import { choices, replay, step, type Replayed } from '../search/path.js';
import { copy, widthOf, type Shape } from '../search/state.js';

/** States, each with the one that moved last, that the second search may visit. */
export const SECOND_PASS_MAX = 150_000;

/** Whether a path may end with this step. */
export type End = (step: Replayed) => boolean;

/** How often a path goes on with another CPU, or with the patcher. */
export const changes = (path: readonly Choice[]): number =>
  path.filter(({ who }, i) => i > 0 && who !== path[i - 1]?.who).length;

/** The path that a search found, with the CPUs under their own numbers. */
export function firstPath(model: Model, search: Search, finding: Finding, shape: Shape): Choice[] {
  const path: Choice[] = [];
  // Not from the search's own first state, where a patcher's CPU may have been sorted behind the
  // others.
  let state = model.initial(shape.cpus, shape.waiting);
  for (const next of search.path(finding.state).slice(1)) {
    const id = search.find(next);
    const made = choices(model, state, shape).find(
      ({ after }) => after !== null && search.find(after) === id,
    );
    invariant(made?.after, 'a state of the search follows from its parent');
    path.push(made.choice);
    state = made.after;
  }
  if (finding.among !== null) return path;
  const last = choices(model, state, shape).find(({ move }) =>
    move?.bad.some((bad) => bad.property === finding.property && bad.text === finding.text),
  );
  invariant(last, 'the violating move can be made in its state');
  return [...path, last.choice];
}

/** What is drawn for a finding; of a livelock with its cycle at the end. */
export function shorten(
  model: Model,
  search: Search,
  finding: Finding,
  shape: Shape,
  most = SECOND_PASS_MAX,
): { readonly path: readonly Choice[]; readonly cycle: readonly Choice[] } {
  const { among } = finding;
  const end = endOf(search, finding);
  const first = firstPath(model, search, finding, shape);
  // A path with the fewest changes and, of these, the fewest moves has nothing to leave out.
  const path =
    first.length === 0
      ? first
      : (fewestChanges(model, first, end, shape, most) ?? slice(model, first, end, shape));
  if (finding.property !== 'livelock' || among === null) return { path, cycle: [] };
  let state = model.initial(shape.cpus, shape.waiting);
  for (const choice of path) {
    const after = step(model, state, choice, shape)?.after;
    invariant(after, 'a path that was found can be followed');
    state = after;
  }
  const lasso = walkCycle(model, shape, state, (each) => among.has(search.find(each)));
  invariant(lasso !== null && lasso !== 'too many', 'a cycle that was found can be walked');
  return { path: [...path, ...lasso.way, ...lasso.cycle], cycle: lasso.cycle };
}

/**
 * Where a path to a finding may end: with the property broken, or in one of the states that break
 * it.
 */
export function endOf(search: Search, { among, property }: Finding): End {
  return among === null
    ? ({ move }) => move?.bad.some((bad) => bad.property === property) ?? false
    : ({ after }) => after !== null && among.has(search.find(after));
}

/**
 * A path with the fewest changes of which CPU moves, and the fewest moves among those; null beyond
 * the bound.
 */
export function fewestChanges(
  model: Model,
  first: readonly Choice[],
  end: End,
  shape: Shape,
  most: number,
): Choice[] | null {
  return new ChangeSearch(model, shape, end).search(changes(first), most);
}

/** What is reached (END or a node), from which node (-1 for the first state), by which choice. */
interface Reached {
  readonly node: number;
  readonly before: number;
  readonly by: Choice;
}
/** By the number of moves, what is reached with one number of changes. */
type Layer = Reached[][];

const END = -1;

class ChangeSearch {
  readonly #model: Model;
  readonly #shape: Shape;
  readonly #end: End;
  /** A node is a state and, as its last word, the one that moved last. */
  readonly #nodes = new WordTable();
  readonly #settled: (Reached | undefined)[] = [];
  readonly #words: Uint32Array;

  constructor(model: Model, shape: Shape, end: End) {
    this.#model = model;
    this.#shape = shape;
    this.#end = end;
    this.#words = new Uint32Array(widthOf(shape) + 1);
  }

  search(changesMax: number, nodesMax: number): Choice[] | null {
    const { cpus, waiting } = this.#shape;
    let layer: Layer = [];
    this.#expand(this.#model.initial(cpus, waiting), null, 1, layer, layer);
    for (let left = changesMax; left >= 0; left--) {
      const beyond: Layer = [];
      for (let moves = 1; moves < layer.length; moves++)
        for (const reached of layer[moves] ?? []) {
          if (reached.node === END) return this.#pathTo(reached);
          if (this.#settled[reached.node] !== undefined) continue;
          if (this.#nodes.count > nodesMax) return null;
          this.#settled[reached.node] = reached;
          this.#expand(this.#stateOf(reached.node), reached, moves + 1, layer, beyond);
        }
      layer = beyond;
    }
    return null;
  }

  /** What follows from a state: in `here` if the same one moves again, else in `beyond`. */
  #expand(
    state: Int32Array,
    from: Reached | null,
    moves: number,
    here: Layer,
    beyond: Layer,
  ): void {
    const before = from === null ? -1 : from.node;
    for (const done of choices(this.#model, state, this.#shape)) {
      const by = done.choice;
      const into = from === null || by.who === from.by.who ? here : beyond;
      const node = this.#nodeOf(done);
      if (node !== null && this.#settled[node] === undefined)
        (into[moves] ??= []).push({ node, before, by });
    }
  }

  /** Null where the path ends, but not with what is looked for. */
  #nodeOf(done: Replayed): number | null {
    if (this.#end(done)) return END;
    if (done.after === null) return null;
    this.#words.set(done.after);
    this.#words[done.after.length] = done.choice.who + 1;
    return this.#nodes.intern(this.#words);
  }

  #stateOf(node: number): Int32Array {
    const state = new Int32Array(widthOf(this.#shape));
    copy(this.#nodes.get(node), state);
    return state;
  }

  #pathTo(last: Reached): Choice[] {
    const path: Choice[] = [];
    for (let at: Reached | undefined = last; at !== undefined; at = this.#settled[at.before])
      path.push(at.by);
    return path.reverse();
  }
}

/**
 * The path without the steps that it can do without: halves are tried first, then less, then single
 * steps.
 */
export function slice(model: Model, path: readonly Choice[], end: End, shape: Shape): Choice[] {
  let kept = follow(model, intentions(model, path, shape), end, shape);
  invariant(kept, 'a path that was found can be followed');
  for (let size = kept.length >> 1; size > 0; size >>= 1) {
    for (let from = 0; from < kept.length;) {
      const shorter = follow(
        model,
        intentions(model, kept, shape).toSpliced(from, size),
        end,
        shape,
      );
      if (shorter === null) from += size;
      else kept = shorter;
    }
  }
  return kept;
}

/** What a step does, in words that find it again in another state, where its number may differ. */
interface Intention {
  readonly who: number;
  readonly what: string;
}

function whatOf({ choice, move, patcher }: Replayed, model: Model): string {
  if (patcher !== null) return `${model.ops.indexOf(patcher.op)} ${patcher.flush}`;
  if (move === null) return `swap ${choice.swap}`;
  return JSON.stringify(move.action.label, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}

function intentions(model: Model, path: readonly Choice[], shape: Shape): Intention[] {
  return replay(model, path, shape).map((done) => ({
    who: done.choice.who,
    what: whatOf(done, model),
  }));
}

/**
 * The choices that carry the intentions out, up to the end; null where one cannot be, or the end
 * does not come.
 */
function follow(
  model: Model,
  wanted: readonly Intention[],
  end: End,
  shape: Shape,
): Choice[] | null {
  let state = model.initial(shape.cpus, shape.waiting);
  const path: Choice[] = [];
  for (const { who, what } of wanted) {
    const done = choices(model, state, shape).find(
      (each) => each.choice.who === who && whatOf(each, model) === what,
    );
    if (done === undefined) return null;
    path.push(done.choice);
    if (end(done)) return path;
    if (done.after === null) return null;
    state = done.after;
  }
  return null;
}

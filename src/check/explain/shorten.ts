// From the shortest path to the one that is drawn. The search finds the fewest moves; a reader
// would rather have few changes of which CPU moves. So a second search, over every state together
// with the one that moved last, minimises these changes and, among equals, the moves (Dijkstra, in
// layers of changes). It uses no reductions: all moves are tried, and CPUs keep their numbers. It
// is bounded; beyond the bound the first path stands. What is left then goes through a slice:
// everything that can be left out so that the rest still comes to the same end is outside the end's
// causal past, and is left out.

import { invariant } from '../../base/invariant.js';
import type { Model, Move, PatcherMove } from '../../machine/sim/model.js';
import { WordTable } from '../../machine/sim/intern.js';
import type { Finding, Search } from '../search/explore.js';
import { expand, type Choice, type Moves } from '../search/expand.js';
import { walkCycle } from '../search/lasso.js';
import { choices, replay, step, type Replayed } from '../search/path.js';
import { copy, normalise, widthOf, type Shape } from '../search/state.js';

/** States, each with the one that moved last, that the second search may visit. */
export const SECOND_PASS_MAX = 150_000;

/** Whether a path may end with this step; it may have no move where none breaks a promise. */
export type End = (step: Pick<Replayed, 'move' | 'after'>) => boolean;

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

class ChangeSearch implements Moves {
  readonly #model: Model;
  readonly #shape: Shape;
  readonly #end: End;
  /** A node is a state and, as its last word, the one that moved last. */
  readonly #nodes = new WordTable();
  readonly #settled: (Reached | undefined)[] = [];
  readonly #words: Uint32Array;
  /** The state that is expanded, and where `expand` leaves what follows from it. */
  readonly #state: Int32Array;
  readonly #next: Int32Array;
  /** How it was reached, and what is reached next if the same one moves again, or another one. */
  #from: Reached | null = null;
  #again: Reached[] = [];
  #changed: Reached[] = [];

  constructor(model: Model, shape: Shape, end: End) {
    this.#model = model;
    this.#shape = shape;
    this.#end = end;
    this.#words = new Uint32Array(widthOf(shape) + 1);
    this.#state = model.initial(shape.cpus, shape.waiting);
    this.#next = this.#state.slice();
  }

  search(changesMax: number, nodesMax: number): Choice[] | null {
    let layer: Layer = [];
    this.#expand(null, 1, layer, layer);
    for (let left = changesMax; left >= 0; left--) {
      const beyond: Layer = [];
      for (let moves = 1; moves < layer.length; moves++)
        for (const reached of layer[moves] ?? []) {
          if (reached.node === END) return this.#pathTo(reached);
          if (this.#settled[reached.node] !== undefined) continue;
          if (this.#nodes.count > nodesMax) return null;
          this.#settled[reached.node] = reached;
          this.#nodes.copy(reached.node, this.#words);
          copy(this.#words, this.#state);
          this.#expand(reached, moves + 1, layer, beyond);
        }
      layer = beyond;
    }
    return null;
  }

  /** What follows from the state: in `here` if the same one moves again, else in `beyond`. */
  #expand(from: Reached | null, moves: number, here: Layer, beyond: Layer): void {
    this.#from = from;
    this.#again = here[moves] ??= [];
    this.#changed = beyond[moves] ??= [];
    expand(this.#model, this.#shape, false, this.#state, this.#next, this);
  }

  // What `expand` reports.

  patcher(_: PatcherMove, move: number): void {
    this.#reach(-1, move, -1, null);
  }
  cpu(move: number, index: number, who: number): void {
    const { table } = this.#model;
    this.#reach(who, index, -1, table.isBad(move) ? table.get(move) : null);
  }
  swapped(who: number, swap: number): void {
    this.#reach(who, -1, swap, null);
  }
  broken(move: Move, index: number, who: number, over: boolean): void {
    if (over && this.#end({ move, after: null })) this.#add(END, { who, move: index, swap: -1 });
  }
  unknown(): void {}

  /** @param bad the move, where it breaks a promise */
  #reach(who: number, move: number, swap: number, bad: Move | null): void {
    normalise(this.#next, this.#shape);
    const node = this.#end({ move: bad, after: this.#next }) ? END : this.#nodeOf(who);
    if (this.#settled[node] === undefined) this.#add(node, { who, move, swap });
  }
  #add(node: number, by: Choice): void {
    const from = this.#from;
    const into = from === null || by.who === from.by.who ? this.#again : this.#changed;
    into.push({ node, before: from === null ? -1 : from.node, by });
  }

  #nodeOf(who: number): number {
    this.#words.set(this.#next);
    this.#words[this.#next.length] = who + 1;
    return this.#nodes.intern(this.#words);
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

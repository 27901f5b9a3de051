// From the shortest path to the one that is drawn. The search finds the fewest moves; who reads it
// would rather have few changes of who moves. So a second search, over every state together with
// who moved last, goes for the fewest of these and among them for the fewest moves (Dijkstra, in
// layers of changes). It knows nothing of reductions: all moves are tried, and CPUs keep their
// numbers. It is bounded; beyond the bound the first path stands. What is left then goes through a
// slice: whatever can be left out so that the rest still comes to the same end is outside the end's
// causal past, and is left out.

import { invariant } from '../../base/invariant.js';
import type { Model } from '../../machine/sim/model.js';
import { WordTable } from '../../machine/sim/intern.js';
import type { Finding, Search } from '../search/explore.js';
import type { Choice, Shape } from '../search/expand.js';
import { choices, replay, step, type Replayed } from '../search/path.js';
import { walkRounds } from '../search/lasso.js';

/** States, each with who moved last, that the second search may visit. */
export const SECOND_PASS_MAX = 150_000;

/** Whether a path may end with this step. */
export type End = (step: Replayed) => boolean;

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
    const from = state;
    const made = choices(model, from, shape).find(
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

/** What is drawn for a finding; of a livelock with one lap at its end. */
export function readable(
  model: Model,
  search: Search,
  finding: Finding,
  shape: Shape,
  most = SECOND_PASS_MAX,
): { readonly path: readonly Choice[]; readonly lap: readonly Choice[] } {
  const { among } = finding;
  const end = endOf(search, finding);
  const first = firstPath(model, search, finding, shape);
  // A path with the fewest changes and, of these, moves has nothing to leave out.
  const path =
    first.length === 0
      ? first
      : (fewestChanges(model, first, end, shape, most) ?? slice(model, first, end, shape));
  if (finding.property !== 'livelock' || among === null) return { path, lap: [] };
  let state = model.initial(shape.cpus, shape.waiting);
  for (const choice of path) state = step(model, state, choice, shape)?.after as Int32Array;
  const round = walkRounds(model, shape, state, (each) => among.has(search.find(each)));
  invariant(round !== null && round !== 'too many', 'a round that was found can be walked');
  return { path: [...path, ...round.way, ...round.lap], lap: round.lap };
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
 * A path with the fewest changes of who moves, and the fewest moves among those; null beyond the
 * bound.
 */
export function fewestChanges(
  model: Model,
  first: readonly Choice[],
  end: End,
  shape: Shape,
  most: number,
): Choice[] | null {
  const nodes = new WordTable();
  const settled: (readonly [before: number, by: Choice] | undefined)[] = [];
  const width = 2 + shape.cpus + shape.waiting;
  const words = new Uint32Array(width + 1);
  /** By the number of moves: what is reached (END or a node), from which node, by which choice. */
  type Layer = [reached: number, before: number, by: Choice][][];
  const END = -1;
  const pathTo = (before: number, by: Choice): Choice[] => {
    const path = [by];
    for (let at = before; at >= 0;) {
      const [above, choice] = settled[at] as readonly [number, Choice];
      path.push(choice);
      at = above;
    }
    return path.reverse();
  };
  const expand = (
    state: Int32Array,
    moves: number,
    node: number,
    by: Choice | null,
    here: Layer,
    beyond: Layer,
  ): void => {
    for (const done of choices(model, state, shape)) {
      const { choice } = done;
      const into = by === null || choice.who === by.who ? here : beyond;
      if (end(done)) (into[moves + 1] ??= []).push([END, node, choice]);
      else if (done.after !== null) {
        words.set(done.after);
        words[width] = choice.who + 1;
        const next = nodes.intern(words);
        if (settled[next] === undefined) (into[moves + 1] ??= []).push([next, node, choice]);
      }
    }
  };
  let layer: Layer = [];
  expand(model.initial(shape.cpus, shape.waiting), 0, -1, null, layer, []);
  for (let left = changes(first); left >= 0; left--) {
    const beyond: Layer = [];
    for (let moves = 1; moves < layer.length; moves++) {
      for (const [reached, before, by] of layer[moves] ?? []) {
        if (reached === END) return pathTo(before, by);
        if (settled[reached] !== undefined) continue;
        if (nodes.count > most) return null;
        settled[reached] = [before, by];
        expand(
          Int32Array.from(nodes.get(reached).subarray(0, width)),
          moves,
          reached,
          by,
          layer,
          beyond,
        );
      }
    }
    layer = beyond;
  }
  return null;
}

/**
 * One that leaves out a step, or several at once, and still comes to the same end: halves first,
 * then less, then single steps.
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

/**
 * What somebody does, told so that it is found again in another state, where the same move may have
 * another number.
 */
interface Intention {
  readonly who: number;
  readonly what: string;
}

const whatOf = ({ choice, move, patcher }: Replayed, model: Model): string =>
  patcher !== null
    ? `${model.ops.indexOf(patcher.op)} ${patcher.flush}`
    : move !== null
      ? JSON.stringify(move.label, (_, value: unknown) =>
          typeof value === 'bigint' ? String(value) : value,
        )
      : `swap ${choice.swap}`;

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

// A path as the list of its choices: which CPU moved, and which of its moves it took. It is
// followed without a search. CPUs keep their numbers here, whatever order the states of a search
// are sorted into.

import { Fault } from '../../base/fault.js';
import type { Model, Move, PatcherMove } from '../../machine/sim/model.js';
import { expand, type Choice } from './expand.js';
import { normalise, type Shape } from './state.js';

export interface Replayed {
  readonly before: Int32Array;
  readonly after: Int32Array | null;
  readonly choice: Choice;
  readonly move: Move | null;
  readonly patcher: PatcherMove | null;
}

/** Every choice that can be made in a state, with what it leads to, in the order of the search. */
export function choices(model: Model, before: Int32Array, shape: Shape): Replayed[] {
  const list: Replayed[] = [];
  const next = new Int32Array(before.length);
  const after = (): Int32Array => {
    const state = next.slice();
    normalise(state, shape);
    return state;
  };
  expand(model, shape, false, before, next, {
    patcher: (patcher, move) =>
      list.push({
        before,
        after: after(),
        choice: { who: -1, move, swap: -1 },
        move: null,
        patcher,
      }),
    cpu: (move, index, who) =>
      list.push({
        before,
        after: after(),
        choice: { who, move: index, swap: -1 },
        move: model.table.get(move),
        patcher: null,
      }),
    swapped: (who, swap) =>
      list.push({
        before,
        after: after(),
        choice: { who, move: -1, swap },
        move: null,
        patcher: null,
      }),
    broken: (move, index, who, over) => {
      if (over)
        list.push({
          before,
          after: null,
          choice: { who, move: index, swap: -1 },
          move,
          patcher: null,
        });
    },
    unknown: () => {},
  });
  return list;
}

/** One choice made; null where it cannot be. */
export function step(
  model: Model,
  before: Int32Array,
  { who, move, swap }: Choice,
  shape: Shape,
): Replayed | null {
  return (
    choices(model, before, shape).find(
      ({ choice }) => choice.who === who && choice.move === move && choice.swap === swap,
    ) ?? null
  );
}

export function initial(model: Model, shape: Shape): Int32Array {
  const state = model.initial(shape.cpus, shape.waiting);
  normalise(state, shape);
  return state;
}

export function replay(model: Model, path: readonly Choice[], shape: Shape): Replayed[] {
  const steps: Replayed[] = [];
  let state: Int32Array | null = initial(model, shape);
  for (const choice of path) {
    const done: Replayed | null = state === null ? null : step(model, state, choice, shape);
    if (done === null)
      throw new Fault(
        'bad-usage',
        'the path cannot be followed: it belongs to another protocol or configuration',
      );
    steps.push(done);
    state = done.after;
  }
  return steps;
}

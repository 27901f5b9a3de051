// A path as the list of its choices: who moved, and which of its moves. It is followed without a
// search. CPUs keep their numbers here, whatever order the states of a search are sorted into.

import { Fault } from '../../base/fault.js';
import type { Model, Move, PatcherMove } from '../../machine/sim/model.js';
import {
  CPUS,
  ENVIRONMENT,
  PATCHER,
  expand,
  normalise,
  type Choice,
  type Shape,
} from './expand.js';

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
  const add = (who: number, move: number, swap: number, after: Int32Array | null) => {
    if (after !== null) normalise(after, shape);
    list.push({
      before,
      after,
      choice: { who, move, swap },
      move:
        who < 0 || swap >= 0
          ? null
          : (model.moves(before[CPUS + who] as number, before[ENVIRONMENT] as number)[
              move
            ] as Move),
      patcher:
        who < 0
          ? (model.patcherMoves(before[PATCHER] as number, before[ENVIRONMENT] as number)[
              move
            ] as PatcherMove)
          : null,
    });
  };
  expand(model, shape, false, before, 0, next, {
    moved: (who, move, swap) => add(who, move, swap, next.slice()),
    broken: (_, who, move, over) => over && add(who, move, -1, null),
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

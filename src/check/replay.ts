// A path as the list of its choices: who moved, and which of its moves. It replays without a
// search, and as a token it can be pasted into a report. The token names the version of the model,
// for the same choices mean something else in another one. CPUs keep their numbers here, whatever
// order the states of a search are sorted into.

import { Fault } from '../base/fault.js';
import type { Model, Move, PatcherMove } from '../machine/sim/model.js';
import type { Protocol } from '../plan/protocol.js';
import { validateProtocol } from '../plan/validate.js';
import { configure, type Configuration } from './configuration.js';
import {
  CPUS,
  ENVIRONMENT,
  PATCHER,
  expand,
  normalise,
  type Choice,
  type Shape,
} from './expand.js';

/** Changes with anything that gives choices another meaning. */
const MODEL_VERSION = 2;

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

interface Token {
  readonly protocol: string;
  readonly variant: string;
  readonly property: string;
  readonly configuration: Configuration;
  /** Whether fetch and retirement are two steps. */
  readonly split: boolean;
  /** A protocol that is none of ours, as data; else null. */
  readonly own: Protocol | null;
  /** What the search said of the last state. */
  readonly text: string;
  readonly path: readonly Choice[];
}

export function encodeToken({ path, ...rest }: Token): string {
  const short = path
    .map(({ who, move, swap }) =>
      swap >= 0 ? `${who}s${swap}` : who < 0 ? `p${move}` : `${who}m${move}`,
    )
    .join(' ');
  return `path${MODEL_VERSION}.${Buffer.from(JSON.stringify({ ...rest, path: short })).toString('base64url')}`;
}

export function decodeToken(text: string): Token {
  const match = /^path(\d+)\.([\w-]+)$/.exec(text);
  if (match === null)
    throw new Fault('bad-usage', 'this is no path of check', {
      hint: 'paste the whole token that check printed',
    });
  if (Number(match[1]) !== MODEL_VERSION)
    throw new Fault(
      'bad-usage',
      `the path was made by version ${match[1]} of the model; this is version ${MODEL_VERSION}`,
      { hint: 'run the check again for a path of this version' },
    );
  try {
    const { path, ...rest } = JSON.parse(
      Buffer.from(match[2] as string, 'base64url').toString(),
    ) as Omit<Token, 'path'> & { path: string };
    return {
      ...rest,
      own: rest.own === null ? null : validateProtocol(rest.own),
      configuration: configure(rest.configuration),
      path: path.split(' ').map((word) => {
        const parts = /^(?:p(\d+)|(\d+)m(\d+)|(\d+)s(\d+))$/.exec(word);
        if (parts === null) throw new Error(word);
        if (parts[1] !== undefined) return { who: -1, move: Number(parts[1]), swap: -1 };
        if (parts[2] !== undefined)
          return { who: Number(parts[2]), move: Number(parts[3]), swap: -1 };
        return { who: Number(parts[4]), move: -1, swap: Number(parts[5]) };
      }),
    };
  } catch (error) {
    throw new Fault('bad-usage', 'the path is damaged', {
      hint: 'paste the whole token that check printed',
      cause: error,
    });
  }
}

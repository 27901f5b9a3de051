// What must stay possible for as long as the machine runs. A program with an end must be able to
// reach it from every state. One without must be able to get on: from every state a pass can end,
// and an update can return. Where one CPU stands for any number of them, it must also be able to
// answer a request by its own moves alone, because with more of them the patcher waits for each,
// and what they do meanwhile must not matter (docs/proof.md).

import { REQUEST, type Model } from '../../machine/sim/model.js';
import { BEGINS, LANE, PROGRESS, reaching, type Graph } from './graph.js';
import { LANES } from './lasso.js';
import { cpuOf, patcherOf, runnersOf, type Shape } from './state.js';

/** States from which something must be possible, and what of a finished search shows that it is. */
export interface Aim {
  readonly name: 'end' | 'pass' | 'update' | 'answer';
  /** What is said where it is not. */
  readonly missing: string;
  /** It is reached in this state. */
  readonly in: (state: Int32Array) => boolean;
  /** It is reached by an edge of this kind. */
  readonly by: (kind: number) => boolean;
  /** Whether edges of this kind may lead to it. */
  readonly over: (kind: number) => boolean;
}

const never = () => false;
const always = () => true;
const begins = (kind: number): boolean => (kind & BEGINS) !== 0;
const isPatcher = (kind: number): boolean => (kind & LANE) < LANES.run || begins(kind);
const ends = (kind: number): boolean => (kind & PROGRESS) !== 0;

export function aimsOf(model: Model, { cpus }: Shape): readonly Aim[] {
  const { passes, updates } = model.fixture.options;
  const patched = (state: Int32Array) => model.patcherDone(patcherOf(state));
  const passed = (state: Int32Array) => {
    for (let i = 0; i < runnersOf(state); i++) if (!model.isDone(cpuOf(state, i))) return false;
    return true;
  };
  const asked = (state: Int32Array) => {
    for (let i = 0; i < cpus; i++) {
      const request = model.requestOf(cpuOf(state, i));
      if (request !== REQUEST.none && request !== REQUEST.off) return true;
    }
    return false;
  };
  // Where a program ends, `expand` has said so.
  const end: Aim = {
    name: 'end',
    missing: 'nothing can make progress',
    in: never,
    by: never,
    over: always,
  };
  if (passes !== 'any' && updates !== 'any') return [end];
  return [
    passes === 'any'
      ? {
          name: 'pass',
          missing: 'no pass can end any more',
          in: never,
          by: (kind) => ends(kind) && !isPatcher(kind),
          // There need not be another update that sets a waiting pass free.
          over: (kind) => !begins(kind),
        }
      : { ...end, name: 'pass', in: passed },
    updates === 'any'
      ? {
          name: 'update',
          missing: 'no update can return any more',
          // One that was given up for ever, within the bound of a `retry`.
          in: patched,
          by: (kind) => ends(kind) && isPatcher(kind),
          over: always,
        }
      : { ...end, name: 'update', in: patched },
    {
      name: 'answer',
      missing: 'a CPU that was asked cannot answer by itself',
      in: (state) => !asked(state),
      by: never,
      over: (kind) => !isPatcher(kind),
    },
  ];
}

/**
 * For each state whether the aim can be reached from it.
 * @param ended states where the program has ended, and those where a path ends with a violation,
 *   which is not held against the aim
 */
export function reachingAim(
  graph: Graph,
  aim: Aim,
  states: Iterable<Int32Array>,
  ended: Iterable<number>,
): Uint8Array {
  const { first, to, kind } = graph;
  const there = [...ended];
  if (aim.name === 'end') return reaching(graph, there);
  let at = 0;
  for (const state of states) {
    const edges = kind.subarray(first[at], first[at + 1]);
    if (aim.in(state) || edges.some(aim.by)) there.push(at);
    at++;
  }
  const kept = to.map((target, edge) => (aim.over(kind[edge] ?? 0) ? target : -1));
  return reaching({ ...graph, to: kept }, there);
}

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
  /** It is reached in this state; null where no state shows it. */
  readonly in: ((state: Int32Array) => boolean) | null;
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
    in: null,
    by: never,
    over: always,
  };
  if (passes !== 'any' && updates !== 'any') return [end];
  return [
    passes === 'any'
      ? {
          name: 'pass',
          missing: 'no pass can end any more',
          in: null,
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
  const there = [...ended];
  if (aim.name === 'end') return reaching(graph, there);
  const { count, first, to, kind } = graph;
  if (aim.in !== null) {
    let at = 0;
    for (const state of states) {
      if (aim.in(state)) there.push(at);
      at++;
    }
  }
  // A graph has millions of edges and a few kinds of them.
  const [by, over] = [ofKinds(aim.by), ofKinds(aim.over)];
  const kept = to.slice();
  for (let at = 0; at < count; at++) {
    const end = first[at + 1]!;
    let reached = false;
    for (let edge = first[at]!; edge < end; edge++) {
      if (by[kind[edge]!] === 1) reached = true;
      if (over[kind[edge]!] === 0) kept[edge] = -1;
    }
    if (reached) there.push(at);
  }
  return reaching({ ...graph, to: kept }, there);
}

const KINDS = 0x100;
const ofKinds = (holds: (kind: number) => boolean): Uint8Array =>
  Uint8Array.from({ length: KINDS }, (_, kind) => Number(holds(kind)));

// The same schedule under another protocol. What makes a schedule the same is when the CPU fetches
// the site: after as many stores to it have reached memory. A protocol whose stores go through
// other steps keeps what lies between them (a synchronisation that waits for a CPU gets its
// answer), and after its last fetch everything runs to the end.

import type { Bad } from '../../machine/sim/promises.js';
import type { Model } from '../../machine/sim/model.js';
import type { PropertyName } from '../properties.js';
import type { Choice, Shape } from '../search/expand.js';
import { choices, type Replayed } from '../search/path.js';
import type { Trace } from './trace.js';

/** For each fetch of a patched site, by which CPU and after how many stores to it. */
export type Schedule = readonly { readonly who: number; readonly stores: number }[];

export function scheduleOf({ steps }: Trace): Schedule {
  return steps.flatMap(({ who, fetched }, i) =>
    fetched === null
      ? []
      : [{ who, stores: steps.slice(0, i).filter(({ stored }) => stored !== null).length }],
  );
}

/** Longer than any program under test runs by itself; a wait that nobody ends stops here. */
const STEPS_MAX = 1000;

/**
 * A path that keeps to a schedule up to the first broken property that is `judged`, and which of
 * its steps is the last fetch that the schedule names.
 */
export function perform(
  model: Model,
  schedule: Schedule,
  shape: Shape,
  judged: (property: PropertyName) => boolean,
): {
  readonly path: readonly Choice[];
  readonly crux: number;
  readonly bad: Bad | null;
} {
  const path: Choice[] = [];
  let state = model.initial(shape.cpus, shape.waiting);
  let stores = 0;
  let crux = -1;
  let bad: Bad | null = null;
  const take = (done: Replayed): void => {
    path.push(done.choice);
    if (done.patcher !== null && done.patcher.op.op === 'store' && !done.patcher.silent) stores++;
    bad ??= done.move?.bad.find(({ property }) => judged(property)) ?? null;
    if (done.after !== null) state = done.after;
  };
  const options = (who: number): Replayed[] =>
    choices(model, state, shape).filter(({ choice }) => choice.who === who && choice.swap < 0);
  /** A store reaches memory before the next step: the schedule counts those that have. */
  const patch = (): boolean => {
    const all = options(-1);
    const next = all.find(({ patcher }) => patcher?.flush) ?? all[0];
    if (next !== undefined) take(next);
    return next !== undefined;
  };
  /** The CPU's own next step, on the bytes that memory holds now, or else what it was asked for. */
  const run = (who: number): Replayed | null => {
    const all = options(who);
    const newest = ({ move }: Replayed): boolean =>
      move?.label.kind === 'run' &&
      (move.label.bytes === null ||
        move.label.bytes.every(
          (byte, i) =>
            byte ===
            model.memory(
              model.viewOf(state[2 + who] as number),
              (move.label as { at: number }).at + i,
            ),
        ));
    return (
      all.find(newest) ??
      all.find(
        ({ move }) =>
          move?.label.kind === 'event' &&
          (move.label.event === 'ipi' || move.label.event === 'stop'),
      ) ??
      null
    );
  };
  const answer = (): boolean => {
    for (let who = 0; who < shape.cpus; who++) {
      const asked = options(who).find(
        ({ move }) =>
          move?.label.kind === 'event' &&
          (move.label.event === 'ipi' || move.label.event === 'stop'),
      );
      if (asked !== undefined) {
        take(asked);
        return true;
      }
    }
    return false;
  };
  for (const { who, stores: wanted } of schedule) {
    while (bad === null && stores < wanted && path.length < STEPS_MAX && (patch() || answer()));
    for (let fetched = false; bad === null && !fetched && path.length < STEPS_MAX;) {
      const next = run(who);
      if (next === null) break;
      fetched = next.move?.label.kind === 'run' && next.move.label.stop === 'fetch';
      if (fetched) crux = path.length;
      take(next);
    }
  }
  // The CPUs first, so that the pass ends as the protocol stands there; then the patcher.
  while (bad === null && path.length < STEPS_MAX) {
    const cpu = Array.from({ length: shape.cpus }, (_, i) => i)
      .map(run)
      .find((next) => next !== null);
    if (cpu !== undefined && cpu !== null) take(cpu);
    else if (!patch()) break;
  }
  return { path, crux: crux < 0 ? path.length - 1 : crux, bad };
}

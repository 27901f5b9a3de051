// The same schedule under another protocol. What makes a schedule the same is when the CPU fetches
// the site: after as many stores to it have reached memory. A protocol whose stores go through
// other steps keeps what lies between them (a synchronisation that waits for a CPU gets its
// answer), and after its last fetch everything runs to the end.

import type { Bad } from '../../machine/sim/promises.js';
import type { Model } from '../../machine/sim/model.js';
import type { PropertyName } from '../properties.js';
import type { Choice } from '../search/expand.js';
import { cpuOf, type Shape } from '../search/state.js';
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

/** Longer than any program under test runs by itself; a wait that nothing ends stops here. */
const STEPS_MAX = 1000;

export interface Performance {
  readonly path: readonly Choice[];
  /** Which of the steps is the last fetch that the schedule names. */
  readonly crux: number;
  readonly bad: Bad | null;
}

/** A path that keeps to a schedule up to the first broken property that is `judged`. */
export function perform(
  model: Model,
  schedule: Schedule,
  shape: Shape,
  judged: (property: PropertyName) => boolean,
): Performance {
  const performer = new Performer(model, shape, judged);
  for (const { who, stores } of schedule) {
    performer.storesUpTo(stores);
    performer.fetch(who);
  }
  performer.finish();
  return performer;
}

class Performer implements Performance {
  readonly path: Choice[] = [];
  bad: Bad | null = null;
  readonly #model: Model;
  readonly #shape: Shape;
  readonly #judged: (property: PropertyName) => boolean;
  #state: Int32Array;
  #stores = 0;
  #crux = -1;

  constructor(model: Model, shape: Shape, judged: (property: PropertyName) => boolean) {
    this.#model = model;
    this.#shape = shape;
    this.#judged = judged;
    this.#state = model.initial(shape.cpus, shape.waiting);
  }

  get crux(): number {
    return this.#crux < 0 ? this.path.length - 1 : this.#crux;
  }

  /** The patcher goes on until so many of its stores have reached memory. */
  storesUpTo(wanted: number): void {
    while (!this.#isOver() && this.#stores < wanted) if (!this.#patch() && !this.#answer()) return;
  }

  /** A CPU goes on until it has fetched a patched site. */
  fetch(who: number): void {
    while (!this.#isOver()) {
      const next = this.#nextOf(who);
      if (next === null) return;
      const fetches =
        next.move?.action.label.kind === 'run' && next.move.action.label.stop === 'fetch';
      if (fetches) this.#crux = this.path.length;
      this.#take(next);
      if (fetches) return;
    }
  }

  /** The CPUs first, so that the pass ends as the protocol is there; then the patcher. */
  finish(): void {
    while (!this.#isOver()) {
      const next = this.#cpus().flatMap((who) => this.#nextOf(who) ?? [])[0];
      if (next !== undefined) this.#take(next);
      else if (!this.#patch()) return;
    }
  }

  #isOver(): boolean {
    return this.bad !== null || this.path.length >= STEPS_MAX;
  }

  #cpus(): number[] {
    return Array.from({ length: this.#shape.cpus }, (_, who) => who);
  }

  #take({ choice, move, patcher, after }: Replayed): void {
    this.path.push(choice);
    if (patcher !== null && patcher.op.op === 'store' && !patcher.silent) this.#stores++;
    this.bad ??= move?.bad.find(({ property }) => this.#judged(property)) ?? null;
    if (after !== null) this.#state = after;
  }

  #options(who: number): Replayed[] {
    return choices(this.#model, this.#state, this.#shape).filter(
      ({ choice }) => choice.who === who && choice.swap < 0,
    );
  }

  /** A store reaches memory before the next step, because the schedule counts those that have. */
  #patch(): boolean {
    const all = this.#options(-1);
    const next = all.find(({ patcher }) => patcher?.flush) ?? all[0];
    if (next !== undefined) this.#take(next);
    return next !== undefined;
  }

  /** The first CPU that was asked for something does it. */
  #answer(): boolean {
    const next = this.#cpus().flatMap((who) => this.#options(who).find(answers) ?? [])[0];
    if (next !== undefined) this.#take(next);
    return next !== undefined;
  }

  /** A CPU's own next step, on the bytes that memory holds now, or else what it was asked for. */
  #nextOf(who: number): Replayed | null {
    const all = this.#options(who);
    const view = this.#model.viewOf(cpuOf(this.#state, who));
    const isNewest = ({ move }: Replayed): boolean => {
      if (move?.action.label.kind !== 'run') return false;
      const { at, bytes } = move.action.label;
      return bytes?.every((byte, i) => byte === this.#model.memory(view, at + i)) ?? true;
    };
    return all.find(isNewest) ?? all.find(answers) ?? null;
  }
}

const answers = ({ move }: Replayed): boolean =>
  move?.action.label.kind === 'event' &&
  (move.action.label.event === 'ipi' || move.action.label.event === 'stop');

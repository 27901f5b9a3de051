// What a core does next, remembered: an outcome depends on its image and on what it is given, and
// interpreting a hundred instructions of a handler anew for every state would cost seconds. What a
// search asks of an outcome for each of the states that it leads to is worked out here, once.

import type { Input } from './access.js';
import { newJournal, type Note } from './context.js';
import type { Core, Outcome } from './core.js';
import { EVENTS, type Event } from './events.js';
import { PairTable, ValueTable } from './intern.js';
import type { Node, StopKind } from './node.js';
import type { Bad } from './promises.js';

/** An outcome as a search sees it, whatever the rest of the machine is like. */
export interface Action extends Outcome {
  readonly id: number;
  readonly label: ActionLabel;
  /** Names its notes; 0 for none. */
  readonly noted: number;
  /** A pass over a site ends with it. */
  readonly passed: boolean;
  /** The target whose first instruction it runs; -1 for none. */
  readonly entered: number;
}

export type ActionLabel =
  | {
      readonly kind: 'run';
      readonly stop: StopKind | 'piece';
      readonly at: number;
      readonly bytes: readonly number[] | null;
      readonly value: bigint | null;
    }
  | { readonly kind: 'event'; readonly event: Event }
  | { readonly kind: 'flush' };

/** Most outcomes note, write and break nothing, and a search keeps hundreds of thousands. */
const NONE: readonly never[] = [];
const shared = <T>(list: readonly T[]): readonly T[] => (list.length === 0 ? NONE : list);

const FLUSH = { kind: 'flush' } as const;
const EVENT_LABELS = Object.fromEntries(
  EVENTS.map((event) => [event, { kind: 'event', event }]),
) as Readonly<Record<Event, ActionLabel>>;
const pieceAt = (at: number): ActionLabel => ({
  kind: 'run',
  stop: 'piece',
  at,
  bytes: null,
  value: null,
});

export class Outcomes {
  readonly #core: Core;
  /**
   * Images, each with the number of an input. One table: with a map for each image, these maps were
   * most of what a long search kept.
   */
  readonly #known = new PairTable();
  /** By their numbers; null of an event that the core cannot take. */
  readonly #actions: (Action | null)[] = [];
  readonly #inputs = new Map<string, number>();
  readonly #notes = new ValueTable<readonly Note[]>();
  /** By their texts: damaged CPUs break the same promises again and again. */
  readonly #bad = new Map<string, readonly Bad[]>();
  #count = 0;

  constructor(core: Core) {
    this.#core = core;
    this.#notes.intern(NONE);
  }

  /** The place in `#actions` of what an image does with an input, by which it is told from others. */
  #place(image: number, input: string): number {
    let number = this.#inputs.get(input);
    if (number === undefined) this.#inputs.set(input, (number = this.#inputs.size));
    return this.#known.intern(image, number);
  }

  /** One macro-step that needs nothing from outside. */
  plain(node: Node): Action {
    return (this.#actions[this.#place(node.id, 'plain')] ??= this.#step(node, {}));
  }

  /** One macro-step with what memory answers, in decimal. */
  load(node: Node, word: string): Action {
    const at = this.#place(node.id, word);
    return (this.#actions[at] ??= this.#step(node, { value: BigInt(word) }));
  }

  /** One macro-step with what the fetcher answers. `key` names the bytes. */
  fetch(node: Node, bytes: readonly number[], key: string): Action {
    return (this.#actions[this.#place(node.id, key)] ??= this.#step(node, { bytes }));
  }

  #step(node: Node, input: Input): Action {
    return this.#action(this.#core.advance(node.id, input), {
      kind: 'run',
      stop: node.stop,
      at: node.stop === 'fetch' ? node.rip : node.at,
      bytes: input.bytes ?? null,
      value: input.value ?? null,
    });
  }

  /** An event that reaches the core; null where it cannot take it. */
  event(image: number, event: Event): Action | null {
    const at = this.#place(image, event);
    const known = this.#actions[at];
    if (known !== undefined) return known;
    const outcome = this.#core.deliver(image, event);
    return (this.#actions[at] =
      outcome === null ? null : this.#action(outcome, EVENT_LABELS[event]));
  }

  /** The oldest store in the buffer reaches memory. */
  flush(image: number): Action {
    return (this.#actions[this.#place(image, 'flush')] ??= this.#action(
      this.#core.flush(image),
      FLUSH,
    ));
  }

  /** The first chunk of an instruction is fetched, and a pass over the site begins with it. */
  opens({ id, rip }: Node): Action {
    return (this.#actions[this.#place(id, 'opens')] ??= this.#action(
      this.#core.open(id),
      pieceAt(rip),
    ));
  }

  /** A later chunk of an instruction is fetched, which changes nothing of the core. */
  piece({ id, rip }: Node): Action {
    return (this.#actions[this.#place(id, 'piece')] ??= this.#action(
      { ...newJournal(), next: id, crash: null, unknown: null },
      pieceAt(rip),
    ));
  }

  #sameBad(list: readonly Bad[]): readonly Bad[] {
    if (list.length === 0) return NONE;
    const key = list.map(({ breach, text }) => `${breach} ${text}`).join('\n');
    const known = this.#bad.get(key);
    if (known === undefined) this.#bad.set(key, list);
    return known ?? list;
  }

  #action(outcome: Outcome, label: ActionLabel): Action {
    let passed = false;
    let entered = -1;
    for (const note of outcome.notes) {
      if (note.note === 'close') passed = true;
      if (note.note === 'enter') entered = note.target;
    }
    const { next, crash, unknown } = outcome;
    const [notes, writes] = [shared(outcome.notes), shared(outcome.writes)];
    const [stores, bad] = [shared(outcome.stores), this.#sameBad(outcome.bad)];
    const noted = notes.length === 0 ? 0 : this.#notes.intern(notes);
    const id = this.#count++;
    return { notes, writes, stores, bad, next, crash, unknown, id, label, noted, passed, entered };
  }
}

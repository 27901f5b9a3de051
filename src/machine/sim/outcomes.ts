// What a core does next, remembered: an outcome depends on its image and on what it is given, and
// interpreting a hundred instructions of a handler anew for every state would cost seconds. What a
// search asks of an outcome for each of the states that it leads to is worked out here, once.

import type { Input } from './access.js';
import { newJournal, type Note } from './context.js';
import type { Core, Outcome } from './core.js';
import type { Event } from './events.js';
import { ValueTable } from './intern.js';
import type { Node, StopKind } from './node.js';

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

export class Outcomes {
  readonly #core: Core;
  /** By image: without an input, with the word that is loaded, with the bytes that are fetched. */
  readonly #plain: (Action | undefined)[] = [];
  readonly #loads: (Map<string, Action> | undefined)[] = [];
  readonly #fetches: (Map<string, Action> | undefined)[] = [];
  readonly #events: (Map<Event, Action | null> | undefined)[] = [];
  readonly #flushes: (Action | undefined)[] = [];
  readonly #pieces: (Action | undefined)[] = [];
  readonly #opens: (Action | undefined)[] = [];
  readonly #notes = new ValueTable<readonly Note[]>();
  #count = 0;

  constructor(core: Core) {
    this.#core = core;
    this.#notes.intern(NONE);
  }

  /** One macro-step that needs nothing from outside. */
  plain(node: Node): Action {
    return (this.#plain[node.id] ??= this.#step(node, {}));
  }

  /** One macro-step with what memory answers, in decimal. */
  load(node: Node, word: string): Action {
    const row = (this.#loads[node.id] ??= new Map<string, Action>());
    let action = row.get(word);
    if (action === undefined) row.set(word, (action = this.#step(node, { value: BigInt(word) })));
    return action;
  }

  /** One macro-step with what the fetcher answers. `key` names the bytes. */
  fetch(node: Node, bytes: readonly number[], key: string): Action {
    const row = (this.#fetches[node.id] ??= new Map<string, Action>());
    let action = row.get(key);
    if (action === undefined) row.set(key, (action = this.#step(node, { bytes })));
    return action;
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
  event(node: number, event: Event): Action | null {
    const row = (this.#events[node] ??= new Map<Event, Action | null>());
    let action = row.get(event);
    if (action === undefined) {
      const outcome = this.#core.deliver(node, event);
      action = outcome === null ? null : this.#action(outcome, { kind: 'event', event });
      row.set(event, action);
    }
    return action;
  }

  /** The oldest store in the buffer reaches memory. */
  flush(node: number): Action {
    return (this.#flushes[node] ??= this.#action(this.#core.flush(node), FLUSH));
  }

  /** The first chunk of an instruction is fetched, and a pass over the site begins with it. */
  opens({ id, rip }: Node): Action {
    return (this.#opens[id] ??= this.#action(this.#core.open(id), {
      kind: 'run',
      stop: 'piece',
      at: rip,
      bytes: null,
      value: null,
    }));
  }

  /** A later chunk of an instruction is fetched, which changes nothing of the core. */
  piece({ id, rip }: Node): Action {
    return (this.#pieces[id] ??= this.#action(
      { ...newJournal(), next: id, crash: null, unknown: null },
      { kind: 'run', stop: 'piece', at: rip, bytes: null, value: null },
    ));
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
    const [stores, bad] = [shared(outcome.stores), shared(outcome.bad)];
    const noted = notes.length === 0 ? 0 : this.#notes.intern(notes);
    const id = this.#count++;
    return { notes, writes, stores, bad, next, crash, unknown, id, label, noted, passed, entered };
  }
}

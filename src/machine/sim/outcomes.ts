// What a core does next, remembered: an outcome depends on its image and on what it is given, and
// interpreting a hundred instructions of a handler anew for every state would cost seconds.

import type { Input } from './access.js';
import type { Core, Outcome } from './core.js';
import type { Event } from './events.js';

export class Outcomes {
  readonly #core: Core;
  readonly #steps: (Map<string, Outcome> | undefined)[] = [];
  readonly #events: (Map<Event, Outcome | null> | undefined)[] = [];

  constructor(core: Core) {
    this.#core = core;
  }

  /** One macro-step. `key` names the input. */
  step(node: number, input: Input, key: string): Outcome {
    const row = (this.#steps[node] ??= new Map<string, Outcome>());
    let outcome = row.get(key);
    if (outcome === undefined) row.set(key, (outcome = this.#core.advance(node, input)));
    return outcome;
  }

  /** An event that reaches the core; null where it cannot take it. */
  event(node: number, event: Event): Outcome | null {
    const row = (this.#events[node] ??= new Map<Event, Outcome | null>());
    let outcome = row.get(event);
    if (outcome === undefined) row.set(event, (outcome = this.#core.deliver(node, event)));
    return outcome;
  }
}

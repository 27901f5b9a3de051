// What one step does to all CPUs at once: a store to text that reaches memory, a request, a
// synchronisation, a change of what may be called. CPUs meet nowhere else but in the environment.

import { invariant } from '../../base/invariant.js';
import type { TextStore } from './context.js';
import { REQUEST, type Cpus } from './cpus.js';
import type { Outcomes } from './outcomes.js';
import type { Event } from './events.js';
import type { Fixture } from './fixture.js';
import { ValueTable } from './intern.js';
import type { Stance } from './stances.js';
import type { Text } from './text.js';
import { widened } from './window.js';

/** What happens to all CPUs, the patcher's own among them where it has one. */
export type Broadcast =
  | { readonly kind: 'commit'; readonly store: TextStore }
  | { readonly kind: 'request'; readonly what: number }
  | { readonly kind: 'barrier' | 'self' | 'pass' }
  | { readonly kind: 'current'; readonly mask: number }
  | { readonly kind: 'release'; readonly serialise: boolean };

/** What changes the stance of a CPU and leaves its core alone. */
type Turning = Extract<Broadcast, { readonly kind: 'commit' | 'request' | 'current' }>;

/** In place of a broadcast's number where a move has none. */
export const NO_BROADCAST = -1;

export class Broadcasts {
  readonly #fixture: Fixture;
  readonly #cpus: Cpus;
  readonly #text: Text;
  readonly #outcomes: Outcomes;
  readonly #table = new ValueTable<Broadcast>();
  /** By broadcast and stance, the stance afterwards: of the patcher's own CPU, and of others. */
  readonly #ownTurned: number[][] = [];
  readonly #othersTurned: number[][] = [];

  constructor(fixture: Fixture, cpus: Cpus, text: Text, outcomes: Outcomes) {
    this.#fixture = fixture;
    this.#cpus = cpus;
    this.#text = text;
    this.#outcomes = outcomes;
  }

  intern(broadcast: Broadcast): number {
    return this.#table.intern(broadcast);
  }

  /** What it stores to text, if anything. */
  storeOf(broadcast: number): TextStore | null {
    const what = broadcast < 0 ? null : this.#table.get(broadcast);
    return what?.kind === 'commit' ? what.store : null;
  }

  /** A CPU afterwards. */
  after(broadcast: number, cpu: number): number {
    const what = this.#table.get(broadcast);
    // A task on no CPU serialises at its switch-in; only the time that passes concerns it.
    if (this.#cpus.seenBy(cpu).request === REQUEST.off && what.kind !== 'current') return cpu;
    const own = this.#cpus.nodeOf(cpu).patching;
    const { serialising } = this.#fixture.rules;
    switch (what.kind) {
      case 'request':
        // The sender does not send itself an IPI: it serialises in a step of its own, and "stops"
        // by masking interrupts.
        if (!own) return this.#turned(broadcast, what, cpu, false);
        return what.what === REQUEST.stop ? this.#deliver(cpu, 'stop', false) : cpu;
      case 'barrier':
        return this.#deliver(cpu, 'ipi', serialising.has(own ? 'caller' : 'barrier'));
      case 'self':
        return own ? this.#deliver(cpu, 'ipi', serialising.has('caller')) : cpu;
      case 'pass':
        return own ? this.#deliver(cpu, 'pass', false) : cpu;
      case 'release':
        return this.#deliver(cpu, what.serialise ? 'release-serialise' : 'release', what.serialise);
      case 'commit':
      case 'current':
        return this.#turned(broadcast, what, cpu, own);
    }
  }

  /** A CPU whose stance changes and nothing else. */
  #turned(broadcast: number, what: Turning, cpu: number, own: boolean): number {
    const rows = own ? this.#ownTurned : this.#othersTurned;
    const row = (rows[broadcast] ??= []);
    const stance = this.#cpus.stanceOf(cpu);
    const after = (row[stance] ??= this.#turn(broadcast, what, stance, own));
    return this.#cpus.intern(this.#cpus.imageOf(cpu), after);
  }

  #turn(broadcast: number, what: Turning, stance: number, own: boolean): number {
    const { stances } = this.#cpus;
    const now = stances.get(stance);
    const changed = (change: Partial<Stance>) => stances.intern({ ...now, ...change });
    switch (what.kind) {
      case 'commit': {
        const { at, bytes } = what.store;
        const placed = bytes.map((value, i) => ({ at: at + i, value }));
        return changed({
          view:
            own && this.#fixture.options.sameAddress
              ? this.#text.commitOwn(now.view, broadcast, placed)
              : this.#text.commit(now.view, broadcast, placed),
        });
      }
      case 'request':
        return changed({ request: what.what });
      case 'current':
        return changed({ windows: now.windows.map((window) => widened(window, what.mask)) });
    }
  }

  #deliver(cpu: number, event: Event, serialises: boolean): number {
    const outcome = this.#outcomes.event(this.#cpus.imageOf(cpu), event);
    invariant(outcome !== null, `a CPU takes ${event} wherever it is`);
    const stance = this.#cpus.stanceOf(cpu);
    const { view, request } = this.#cpus.stances.get(stance);
    const seen = serialises ? this.#text.serialise(view) : view;
    return this.#cpus.intern(outcome.next, this.#cpus.stances.moved(stance, seen, request, 0));
  }
}

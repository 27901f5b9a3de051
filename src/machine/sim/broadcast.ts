// What one step does to all CPUs at once: a store to text that reaches memory, a request, a
// synchronisation, a change of what may be called. CPUs meet nowhere else but in the environment.

import { invariant } from '../../base/invariant.js';
import type { TextStore } from './context.js';
import { REQUEST, type CpuPart, type Cpus } from './cpus.js';
import type { Outcomes } from './outcomes.js';
import type { Event } from './events.js';
import type { Fixture } from './fixture.js';
import { ValueTable } from './intern.js';
import type { Text } from './text.js';
import { widened } from './window.js';

/** What happens to all CPUs, the patcher's own among them where it has one. */
export type Broadcast =
  | { readonly kind: 'commit'; readonly store: TextStore }
  | { readonly kind: 'request'; readonly what: number }
  | { readonly kind: 'barrier' | 'self' | 'pass' }
  | { readonly kind: 'current'; readonly mask: number }
  | { readonly kind: 'release'; readonly serialise: boolean };

/** In place of a broadcast's number where a move has none. */
export const NO_BROADCAST = -1;

export class Broadcasts {
  readonly #fixture: Fixture;
  readonly #cpus: Cpus;
  readonly #text: Text;
  readonly #outcomes: Outcomes;
  readonly #table = new ValueTable<Broadcast>();
  /** By broadcast and CPU, the CPU afterwards; -1 where it is not yet known. */
  readonly #after: Int32Array<ArrayBuffer>[] = [];

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
    let row = this.#after[broadcast];
    if (row === undefined || cpu >= row.length) {
      const larger = new Int32Array(Math.max(1024, 2 * cpu)).fill(-1);
      if (row !== undefined) larger.set(row);
      this.#after[broadcast] = row = larger;
    }
    const known = row[cpu]!;
    return known >= 0 ? known : (row[cpu] = this.#compute(broadcast, cpu));
  }

  #compute(broadcast: number, cpu: number): number {
    const what = this.#table.get(broadcast);
    const part = this.#cpus.part(cpu);
    // A task on no CPU serialises at its switch-in; only the time that passes concerns it.
    if (part.request === REQUEST.off && what.kind !== 'current') return cpu;
    const changed = (change: Partial<CpuPart>) => this.#cpus.intern({ ...part, ...change });
    const own = this.#cpus.nodeOf(cpu).patching;
    const { serialising } = this.#fixture.rules;
    switch (what.kind) {
      case 'commit': {
        const { at, bytes } = what.store;
        const placed = bytes.map((value, i) => ({ at: at + i, value }));
        return changed({
          view:
            own && this.#fixture.options.sameAddress
              ? this.#text.commitOwn(part.view, broadcast, placed)
              : this.#text.commit(part.view, broadcast, placed),
        });
      }
      case 'request':
        // The sender does not send itself an IPI: it serialises in a step of its own, and "stops"
        // by masking interrupts.
        if (!own) return changed({ request: what.what });
        return what.what === REQUEST.stop ? this.#deliver(part, 'stop', false) : cpu;
      case 'barrier':
        return this.#deliver(part, 'ipi', serialising.has(own ? 'caller' : 'barrier'));
      case 'self':
        return own ? this.#deliver(part, 'ipi', serialising.has('caller')) : cpu;
      case 'pass':
        return own ? this.#deliver(part, 'pass', false) : cpu;
      case 'current':
        return changed({ windows: part.windows.map((window) => widened(window, what.mask)) });
      case 'release':
        return this.#deliver(
          part,
          what.serialise ? 'release-serialise' : 'release',
          what.serialise,
        );
    }
  }

  #deliver(part: CpuPart, event: Event, serialises: boolean): number {
    const outcome = this.#outcomes.event(part.node, event);
    invariant(outcome !== null, `a CPU takes ${event} wherever it is`);
    const view = serialises ? this.#text.serialise(part.view) : part.view;
    return this.#cpus.intern({ ...part, node: outcome.next, view, partial: 0 });
  }
}

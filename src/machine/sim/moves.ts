// What one CPU may do next. It depends on the CPU's own part of the state and on the environment,
// and is computed once for each such pair.

import { invariant } from '../../base/invariant.js';
import { NO_BROADCAST, type Broadcasts } from './broadcast.js';
import type { Core, Grain } from './core.js';
import { REQUEST, type Cpus } from './cpus.js';
import { textOf, written, type Bounded, type Env, type Environments } from './environment.js';
import type { Event } from './events.js';
import type { Fixture } from './fixture.js';
import { ValueTable } from './intern.js';
import { MoveTable } from './move-table.js';
import type { Node } from './node.js';
import type { Action, Outcomes } from './outcomes.js';
import { bad, type Bad, type Breach } from './promises.js';
import type { Partial as Fetched, Text } from './text.js';
import { noted as judged, type Watch } from './window.js';

/** In place of a CPU where a path ends. */
const DEAD = -1;

/** A CPU before its move. */
interface Before {
  readonly cpu: number;
  /** Where it stands, which is not where its image stands if it is about to ask (`#asking`). */
  readonly node: Node;
  readonly view: number;
  readonly env: Env;
  readonly environment: number;
}

/** What a move changes beside what its action says. */
interface Change {
  readonly view: number;
  readonly request: number;
  readonly partial: number;
  readonly environment: number;
  /** It executes bytes that changed since the CPU serialised. */
  readonly strict: boolean;
  /** It executes bytes that memory does not hold any more, which the protocol does not promise away. */
  readonly stale: boolean;
}

/** What the notes of an action leave. */
interface Noted {
  readonly bad: readonly Bad[];
  view: number;
  /** Null where they are as before. */
  windows: readonly number[] | null;
}

const CHANGED = 'bytes that changed since this CPU serialised are executed';
const NO_BAD: readonly Bad[] = [];

export class CpuMoves {
  readonly #fixture: Fixture;
  readonly #grain: Grain;
  readonly #core: Core;
  readonly #text: Text;
  readonly #cpus: Cpus;
  readonly #environments: Environments;
  readonly #broadcasts: Broadcasts;
  readonly #outcomes: Outcomes;
  /** Some CPU wrote shared data or text: CPUs are then not independent of each other. */
  cpusWrite = false;
  /** Every way in which some move breaks a promise. */
  readonly breaches = new Set<Breach>();
  /** Depths of nesting at which some pass begins. */
  readonly levels = new Set<number>();
  readonly #watch: Watch;
  readonly #fetches = new ValueTable<Fetched>();
  readonly table = new MoveTable();

  constructor(
    core: Core,
    text: Text,
    cpus: Cpus,
    environments: Environments,
    broadcasts: Broadcasts,
    outcomes: Outcomes,
    watch: Watch,
  ) {
    this.#watch = watch;
    this.#fixture = core.fixture;
    this.#grain = core.grain;
    this.#core = core;
    this.#text = text;
    this.#cpus = cpus;
    this.#environments = environments;
    this.#broadcasts = broadcasts;
    this.#outcomes = outcomes;
    this.#fetches.intern([]);
  }

  /** The row of the table that has the moves of a CPU in an environment. */
  of(cpu: number, environment: number): number {
    const known = this.table.find(cpu, environment);
    return known >= 0 ? known : this.#compute(cpu, environment);
  }

  #compute(cpu: number, environment: number): number {
    const row = this.table.begin(cpu, environment);
    const node = this.#asking(this.#cpus.nodeOf(cpu));
    const view = this.#cpus.viewOf(cpu);
    const before = { cpu, node, view, env: this.#environments.get(environment), environment };
    this.#runs(before);
    this.#events(before);
    this.#answers(before);
    if (node.buffered > 0)
      this.#move(before, this.#outcomes.flush(node.id), this.#unchanged(before));
    return row;
  }

  /**
   * Cut at every instruction, a stop does not yet know what its instruction will ask for: the CPU
   * once it does.
   */
  #asking(node: Node): Node {
    if (node.stop !== 'step' || node.done || node.waiting) return node;
    const { next } = this.#outcomes.plain(node);
    if (next < 0) return node;
    const later = this.#core.node(next);
    return (later.stop === 'load' || later.stop === 'text') && later.rip === node.rip
      ? later
      : node;
  }

  /** What the CPU does by itself: one macro-step, for every answer that memory may give. */
  #runs(before: Before): void {
    const { node, env, view } = before;
    if (node.done || node.waiting) return;
    switch (node.stop) {
      case 'patcher':
        return;
      case 'fetch':
        if (this.#text.byPieces) this.#fetchPiece(before);
        else this.#fetch(before);
        return;
      case 'load':
        this.#run(before, this.#outcomes.load(node, textOf(env, node.at)));
        return;
      case 'text': {
        let value = 0n;
        for (let i = node.length - 1; i >= 0; i--)
          value = (value << 8n) | BigInt(this.memory(view, node.at + i));
        this.#run(before, this.#outcomes.load(node, String(value)));
        return;
      }
      default:
        this.#run(before, this.#outcomes.plain(node));
    }
  }

  #unchanged({ cpu, view, environment }: Before): Change {
    const request = this.#cpus.requestOf(cpu);
    return { view, request, partial: 0, environment, strict: false, stale: false };
  }

  #run(before: Before, action: Action): void {
    this.#move(before, action, this.#unchanged(before));
  }

  /** A byte of code as memory holds it. */
  memory(view: number, at: number): number {
    return this.#text.isPatchable(at) ? this.#text.newest(view, at) : this.#fixed(at);
  }
  readonly #fixed = (at: number): number => {
    const byte = this.#fixture.byte(at);
    invariant(byte !== undefined, 'code lies there');
    return byte;
  };

  #fetch(before: Before): void {
    const { node } = before;
    const ways = this.#text.fetch(before.view, node.rip, node.length, this.#fixed, this.#length);
    for (const { bytes, key, view, strict } of ways) {
      const action = this.#outcomes.fetch(node, bytes, key);
      const stale = this.#isStale(before, bytes);
      this.#move(before, action, { ...this.#unchanged(before), view, strict, stale });
    }
  }
  #isStale({ node, view }: Before, bytes: readonly number[]): boolean {
    if (!this.#fixture.options.stored) return false;
    return bytes.some((byte, i) => byte !== this.memory(view, node.rip + i));
  }
  readonly #length = (bytes: readonly number[]): number => this.#core.lengthOf(bytes);

  /** One event a chunk; the last of them executes what was fetched. */
  #fetchPiece(before: Before): void {
    const { cpu, node, view, environment } = before;
    const at = node.rip;
    const known = this.#fetches.get(this.#cpus.partialOf(cpu));
    const got: Fetched =
      known.length > 0
        ? known
        : Array.from({ length: node.length }, (_, i) =>
            this.#text.isPatchable(at + i) ? null : this.#fixed(at + i),
          );
    const ways = got.includes(null) ? this.#text.piece(view, at, got) : [got];
    // The pass opens with the first piece: what becomes current between two of them may be run.
    const opens = known.length === 0;
    for (const way of ways) {
      if (isWhole(way)) {
        const action = this.#outcomes.fetch(node, way, way.join());
        this.#move(before, action, {
          ...this.#unchanged(before),
          stale: this.#isStale(before, way),
        });
        continue;
      }
      const request = this.#cpus.requestOf(cpu);
      const partial = this.#fetches.intern(way);
      if (opens) {
        this.#move(before, this.#outcomes.opens(node), { ...this.#unchanged(before), partial });
        continue;
      }
      this.table.add({
        cpu: this.#cpus.moved(cpu, { node: node.id, view, request, partial }),
        environment,
        broadcast: NO_BROADCAST,
        bad: NO_BAD,
        action: this.#outcomes.piece(node),
      });
    }
  }

  /**
   * What comes between a fetch and its retirement throws the fetch away, and so might as well have
   * come before it. What comes before the last jump into a target might as well come after it.
   */
  #isBetween({ stop }: Node): boolean {
    return !this.#grain.plain && (stop === 'retire' || stop === 'enter');
  }

  /**
   * Reading the table commutes with a maskable interrupt, so the interrupt is only tried before the
   * last earlier step that does not commute with it. A signal shares the mask, and a handler that
   * writes may write what the interrupted one is about to read, and one that acknowledges lets the
   * patcher go on meanwhile.
   */
  #isDeaf({ stop }: Node): boolean {
    return (
      !this.#grain.plain &&
      this.#fixture.environment === 'kernel' &&
      !this.#fixture.handlersShow &&
      (stop === 'load' || stop === 'text')
    );
  }

  /** What may interrupt the CPU there. */
  #events(before: Before): void {
    const { node } = before;
    if (node.done || this.#isBetween(node) || this.#isDeaf(node)) return;
    const { events } = this.#fixture;
    if (events.irq && node.interruptible && !node.inside.has('irq'))
      this.#event(before, 'irq', this.#unchanged(before));
    if (events.nmi && !node.nmiBlocked) this.#bounded(before, 'nmi', 'nmis');
    if (events.mc) this.#bounded(before, 'mc', 'mcs');
    if (events.db) this.#bounded(before, 'db', 'dbs');
    if (events.signal) this.#event(before, 'signal', this.#unchanged(before));
  }

  #bounded(before: Before, event: Event, what: Bounded): void {
    if (before.env[what] === 0) return;
    const environment = this.#environments.spent(before.environment, what);
    this.#event(before, event, { ...this.#unchanged(before), environment });
  }

  /** What the CPU does because it was asked for it. */
  #answers(before: Before): void {
    const { cpu, node } = before;
    if (this.#isBetween(node)) return;
    const { rules } = this.#fixture;
    const request = this.#cpus.requestOf(cpu);
    const none = REQUEST.none;
    const byIpi = request === REQUEST.ipi || request === REQUEST.acknowledge;
    if (byIpi && (node.interruptible || !rules.ipiMasked)) {
      const partial = rules.discard ? 0 : this.#cpus.partialOf(cpu);
      this.#event(before, 'ipi', { ...this.#unchanged(before), request: none, partial });
    }
    if (isAnswered(request, node))
      this.#event(before, SERIALISING.has(request) ? 'ipi' : 'left', {
        ...this.#unchanged(before),
        request: none,
      });
    if (node.unserialised) this.#event(before, 'serialise', this.#unchanged(before));
    if (request === REQUEST.stop && node.interruptible)
      this.#event(before, 'stop', { ...this.#unchanged(before), request: none });
  }

  #event(before: Before, event: Event, change: Change): void {
    const action = this.#outcomes.event(before.node.id, event);
    if (action !== null) this.#move(before, action, change);
  }

  /** An action of the core, put into time: windows, view, shared data. */
  #move({ cpu }: Before, action: Action, change: Change): void {
    const { next, stores, writes } = action;
    const { bad, view, windows } = this.#noted(cpu, action, change);
    if (writes.length + stores.length > 0) this.cpusWrite = true;
    invariant(stores.length <= 1, 'an instruction stores to text once');
    const [store] = stores;
    for (const { breach } of bad) this.breaches.add(breach);
    const { environment, request, partial } = change;
    const after = { node: next, view, request, partial };
    this.table.add({
      cpu: next < 0 ? DEAD : this.#cpus.moved(cpu, after, windows),
      environment:
        writes.length === 0
          ? environment
          : this.#environments.intern(written(this.#environments.get(environment), writes)),
      broadcast:
        store === undefined ? NO_BROADCAST : this.#broadcasts.intern({ kind: 'commit', store }),
      bad,
      action,
    });
  }

  /** What the notes of an action make of a CPU's view and windows, null where those stay. */
  #noted(cpu: number, { bad: found, notes }: Action, change: Change): Noted {
    const { view, environment, strict, stale } = change;
    // Most actions carry no note: nothing is copied for those.
    if (notes.length === 0 && !strict) return { bad: found, view, windows: null };
    const now = this.#environments.get(environment);
    // What such a call runs was replaced, and may be run all the same.
    const env = stale ? { ...now, current: now.current | now.replaced, replaced: 0 } : now;
    const broken = [...found];
    if (strict) broken.push(bad('changed-bytes-executed', CHANGED));
    const noted: Noted = { bad: broken, view, windows: null };
    for (const note of notes) {
      if (note.note === 'serialise') {
        noted.view = this.#text.serialise(noted.view);
        continue;
      }
      if (note.note === 'open') this.levels.add(note.level);
      const windows = noted.windows ?? this.#cpus.windowsOf(cpu);
      noted.windows = judged(note, windows, env, this.#watch, broken);
    }
    return noted;
  }
}

/** Of what `isAnswered` answers, what serialises there and then. */
const SERIALISING: ReadonlySet<number> = new Set([REQUEST.signal, REQUEST.progress]);

/** Whether a thread that was asked by one of these does what it was asked there. */
function isAnswered(request: number, { signalled, outside, context }: Node): boolean {
  if (request === REQUEST.signal) return signalled;
  if (request === REQUEST.acknowledge) return context === 'trap';
  return outside && (request === REQUEST.progress || request === REQUEST.grace);
}

const isWhole = (way: Fetched): way is readonly number[] => !way.includes(null);

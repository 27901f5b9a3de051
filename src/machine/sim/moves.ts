// What one CPU may do next. It depends on the CPU's own part of the state and on the environment,
// and is computed once for each such pair.

import { invariant } from '../../base/invariant.js';
import { NO_BROADCAST, type Broadcasts } from './broadcast.js';
import type { Note } from './context.js';
import type { Core, Grain } from './core.js';
import { REQUEST, type Cpus } from './cpus.js';
import { textOf, written, type Bounded, type Env, type Environments } from './environment.js';
import type { Event } from './events.js';
import type { Fixture } from './fixture.js';
import { ValueTable } from './intern.js';
import { MoveTable } from './move-table.js';
import type { Node } from './node.js';
import type { Action, Outcomes } from './outcomes.js';
import { bad, type Bad } from './promises.js';
import type { Stance } from './stances.js';
import type { Partial as Fetched, Text } from './text.js';
import { noted as judged, type Watch } from './window.js';

/** In place of a CPU where a path ends. */
const DEAD = -1;

/** A CPU before its move. */
interface Before {
  /** Where it stands, which is not where its image stands if it is about to ask (`#asking`). */
  readonly node: Node;
  readonly stance: number;
  readonly seen: Stance;
  readonly env: Env;
  readonly environment: number;
}

/** How the bytes that a move executes were fetched, as bits. */
const FETCHED = {
  /** They changed since the CPU serialised. */
  changed: 1,
  /** Memory does not hold them any more, which the protocol does not promise away. */
  stale: 2,
  /** Numbers below this are sets of the others. */
  all: 4,
} as const;

/** What the notes of an action make of a stance. */
interface Judged {
  readonly stance: number;
  readonly bad: readonly Bad[];
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
  /** Depths of nesting at which some pass begins. */
  readonly levels = new Set<number>();
  readonly #watch: Watch;
  readonly #fetches = new ValueTable<Fetched>();
  /** By notes and how bytes were fetched, by environment, by stance. */
  readonly #judged: Judged[][][] = [];
  readonly table: MoveTable;

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
    this.table = new MoveTable(cpus);
  }

  /** The row of the table that has the moves of a CPU in an environment. */
  of(cpu: number, environment: number): number {
    const known = this.table.find(cpu, environment);
    return known >= 0 ? known : this.#compute(cpu, environment);
  }

  #compute(cpu: number, environment: number): number {
    const row = this.table.begin(cpu, environment);
    const node = this.#asking(this.#cpus.nodeOf(cpu));
    const stance = this.#cpus.stanceOf(cpu);
    const seen = this.#cpus.stances.get(stance);
    const before = { node, stance, seen, env: this.#environments.get(environment), environment };
    this.#runs(before);
    this.#events(before);
    this.#answers(before);
    if (node.buffered > 0) this.#run(before, this.#outcomes.flush(node.id));
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
    const { node, env, seen } = before;
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
          value = (value << 8n) | BigInt(this.memory(seen.view, node.at + i));
        this.#run(before, this.#outcomes.load(node, String(value)));
        return;
      }
      default:
        this.#run(before, this.#outcomes.plain(node));
    }
  }

  #run(before: Before, action: Action): void {
    this.#move(action, this.#retired(before), before.environment);
  }
  /** The stance of a CPU that has no fetch under way any more. */
  #retired({ stance, seen: { view, request } }: Before): number {
    return this.#cpus.stances.moved(stance, view, request, 0);
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
    const { node, stance, seen, environment } = before;
    const ways = this.#text.fetch(seen.view, node.rip, node.length, this.#fixed, this.#length);
    for (const { bytes, key, view, strict } of ways) {
      const action = this.#outcomes.fetch(node, bytes, key);
      const after = this.#cpus.stances.moved(stance, view, seen.request, 0);
      const how = (strict ? FETCHED.changed : 0) | this.#staleness(before, bytes);
      this.#move(action, after, environment, how);
    }
  }
  #staleness({ node, seen }: Before, bytes: readonly number[]): number {
    if (!this.#fixture.options.stored) return 0;
    const isStale = bytes.some((byte, i) => byte !== this.memory(seen.view, node.rip + i));
    return isStale ? FETCHED.stale : 0;
  }
  readonly #length = (bytes: readonly number[]): number => this.#core.lengthOf(bytes);

  /** One event a chunk; the last of them executes what was fetched. */
  #fetchPiece(before: Before): void {
    const { node, stance, environment } = before;
    const { view, request, partial: fetched } = before.seen;
    const at = node.rip;
    const known = this.#fetches.get(fetched);
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
        this.#move(action, this.#retired(before), environment, this.#staleness(before, way));
        continue;
      }
      const after = this.#cpus.stances.moved(stance, view, request, this.#fetches.intern(way));
      if (opens) {
        this.#move(this.#outcomes.opens(node), after, environment);
        continue;
      }
      this.table.add({
        cpu: this.#cpus.intern(node.id, after),
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
    if (events.irq && node.interruptible && !node.inside.has('irq')) this.#event(before, 'irq');
    if (events.nmi && !node.nmiBlocked) this.#bounded(before, 'nmi', 'nmis');
    if (events.mc) this.#bounded(before, 'mc', 'mcs');
    if (events.db) this.#bounded(before, 'db', 'dbs');
    if (events.signal) this.#event(before, 'signal');
  }

  #bounded(before: Before, event: Event, what: Bounded): void {
    if (before.env[what] === 0) return;
    const environment = this.#environments.spent(before.environment, what);
    this.#event(before, event, this.#retired(before), environment);
  }

  /** What the CPU does because it was asked for it. */
  #answers(before: Before): void {
    const { node, stance } = before;
    const { view, request, partial } = before.seen;
    if (request === REQUEST.none && !node.unserialised) return;
    if (this.#isBetween(node)) return;
    const { rules } = this.#fixture;
    const { stances } = this.#cpus;
    const answered = stances.moved(stance, view, REQUEST.none, 0);
    const byIpi = request === REQUEST.ipi || request === REQUEST.acknowledge;
    if (byIpi && (node.interruptible || !rules.ipiMasked)) {
      const kept = rules.discard ? 0 : partial;
      this.#event(before, 'ipi', stances.moved(stance, view, REQUEST.none, kept));
    }
    if (isAnswered(request, node))
      this.#event(before, SERIALISING.has(request) ? 'ipi' : 'left', answered);
    if (node.unserialised) this.#event(before, 'serialise');
    if (request === REQUEST.stop && node.interruptible) this.#event(before, 'stop', answered);
  }

  /** @param stance of the CPU afterwards */
  #event(
    before: Before,
    event: Event,
    stance = this.#retired(before),
    environment = before.environment,
  ): void {
    const action = this.#outcomes.event(before.node.id, event);
    if (action !== null) this.#move(action, stance, environment);
  }

  /**
   * An action of the core, put into time: windows, view, shared data.
   * @param stance of the CPU afterwards, but for what the action notes
   * @param fetched a set of FETCHED
   */
  #move(action: Action, stance: number, environment: number, fetched = 0): void {
    const { next, stores, writes } = action;
    let [after, broken] = [stance, action.bad];
    // Most actions note nothing.
    if (action.noted !== 0 || fetched !== 0) {
      const said = this.#judge(action, stance, environment, fetched);
      after = said.stance;
      if (said.bad.length > 0) broken = broken.length === 0 ? said.bad : [...broken, ...said.bad];
    }
    if (writes.length + stores.length > 0) this.cpusWrite = true;
    invariant(stores.length <= 1, 'an instruction stores to text once');
    const [store] = stores;
    this.table.add({
      cpu: next < 0 ? DEAD : this.#cpus.intern(next, after),
      environment:
        writes.length === 0
          ? environment
          : this.#environments.intern(written(this.#environments.get(environment), writes)),
      broadcast:
        store === undefined ? NO_BROADCAST : this.#broadcasts.intern({ kind: 'commit', store }),
      bad: broken,
      action,
    });
  }

  /** What the notes of an action make of a stance, which is the same for all with these notes. */
  #judge({ noted, notes }: Action, stance: number, environment: number, fetched: number): Judged {
    const rows = (this.#judged[noted * FETCHED.all + fetched] ??= []);
    const row = (rows[environment] ??= []);
    return (row[stance] ??= this.#judgeAnew(notes, stance, environment, fetched));
  }
  #judgeAnew(notes: readonly Note[], stance: number, environment: number, fetched: number): Judged {
    const env = this.#environments.get(environment);
    // What such a call runs was replaced, and may be run all the same.
    const now =
      (fetched & FETCHED.stale) === 0
        ? env
        : { ...env, current: env.current | env.replaced, replaced: 0 };
    const broken: Bad[] = [];
    if ((fetched & FETCHED.changed) !== 0) broken.push(bad('changed-bytes-executed', CHANGED));
    const { request, partial, ...seen } = this.#cpus.stances.get(stance);
    let { view, windows } = seen;
    for (const note of notes) {
      if (note.note === 'serialise') {
        view = this.#text.serialise(view);
        continue;
      }
      if (note.note === 'open') this.levels.add(note.level);
      windows = judged(note, windows, now, this.#watch, broken);
    }
    return { stance: this.#cpus.stances.intern({ view, request, partial, windows }), bad: broken };
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

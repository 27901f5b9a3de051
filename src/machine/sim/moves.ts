// What one CPU may do next. It depends on the CPU's own part of the state and on the environment,
// and is computed once for each such pair.

import { invariant } from '../../base/invariant.js';
import { NO_BROADCAST, type Broadcasts } from './broadcast.js';
import type { Input } from './access.js';
import type { Core, Grain, Outcome } from './core.js';
import { REQUEST, type CpuPart, type Cpus } from './cpus.js';
import { wordOf, written, type Bounded, type Env, type Environments } from './environment.js';
import type { Event } from './events.js';
import type { Fixture } from './fixture.js';
import { ValueTable } from './intern.js';
import type { Node, StopKind } from './node.js';
import type { Outcomes } from './outcomes.js';
import { bad, endsPath, type Bad, type Breach } from './promises.js';
import type { Partial as Fetched, Text } from './text.js';
import { noted } from './window.js';

/** A move of one CPU. `cpu` is -1 where the path ends in a violation. */
export interface Move {
  readonly cpu: number;
  readonly environment: number;
  /** What its store to text is for every CPU, itself included; -1 for none. */
  readonly broadcast: number;
  readonly bad: readonly Bad[];
  readonly unknown: string | null;
  /** A pass over a site ends with it. */
  readonly passed: boolean;
  /** The target whose first instruction it runs; -1 for none. */
  readonly entered: number;
  readonly label: MoveLabel;
}

export type MoveLabel =
  | {
      readonly kind: 'run';
      readonly stop: StopKind | 'piece';
      readonly at: number;
      readonly bytes: readonly number[] | null;
      readonly value: bigint | null;
    }
  | { readonly kind: 'event'; readonly event: Event }
  | { readonly kind: 'flush' };

/** In place of a CPU where a path ends. */
const DEAD = -1;

/** The moves of a CPU in one environment, and those in others. */
interface Known {
  readonly environment: number;
  readonly moves: readonly Move[];
  readonly next: Known | undefined;
}

/** A CPU before its move. */
interface Before {
  readonly part: CpuPart;
  readonly node: Node;
  readonly env: Env;
  readonly environment: number;
}

/** What a move changes beside what its outcome says. */
interface Change {
  readonly view?: number;
  readonly request?: number;
  readonly partial?: number;
  readonly environment?: number;
  /** It executes bytes that changed since the CPU serialised. */
  readonly strict?: boolean;
}

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
  readonly #fetches = new ValueTable<Fetched>();
  /** By CPU, a list by environment: most have one, and a Map for each took a tenth of a search. */
  readonly #known: (Known | undefined)[] = [];

  constructor(
    core: Core,
    text: Text,
    cpus: Cpus,
    environments: Environments,
    broadcasts: Broadcasts,
    outcomes: Outcomes,
  ) {
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

  of(cpu: number, environment: number): readonly Move[] {
    const known = this.#known[cpu];
    for (let at = known; at !== undefined; at = at.next)
      if (at.environment === environment) return at.moves;
    const moves = this.#compute(this.#cpus.part(cpu), environment);
    this.#known[cpu] = { environment, moves, next: known };
    return moves;
  }

  #compute(part: CpuPart, environment: number): readonly Move[] {
    const node = this.#core.node(part.node);
    if (node.stop === 'dead') return [];
    const asking = this.#asking(part, node);
    if (asking !== null) return this.#compute(asking, environment);
    const before = { part, node, environment, env: this.#environments.get(environment) };
    return [
      ...this.#runs(before),
      ...this.#events(before),
      ...this.#answers(before),
      ...this.#flush(before),
    ];
  }

  /**
   * Cut at every instruction, a stop does not yet know what its instruction will ask for: the CPU
   * once it does.
   */
  #asking(part: CpuPart, node: Node): CpuPart | null {
    if (node.stop !== 'step' || node.done || node.waiting) return null;
    const { next } = this.#outcomes.step(part.node, {}, '');
    if (next < 0) return null;
    const { stop, rip } = this.#core.node(next);
    return (stop === 'load' || stop === 'text') && rip === node.rip
      ? { ...part, node: next }
      : null;
  }

  /** What the CPU does by itself: one macro-step, for every answer that memory may give. */
  #runs(before: Before): readonly Move[] {
    const { node, part, env } = before;
    if (node.done || node.waiting) return [];
    switch (node.stop) {
      case 'patcher':
        return [];
      case 'fetch':
        return this.#fetch(before);
      case 'load':
        return [this.#run(before, { value: wordOf(env, node.at) })];
      case 'text': {
        let value = 0n;
        for (let i = node.length - 1; i >= 0; i--)
          value = (value << 8n) | BigInt(this.memory(part.view, node.at + i));
        return [this.#run(before, { value })];
      }
      default:
        return [this.#run(before, {})];
    }
  }

  #run(before: Before, input: Input, change: Change = {}): Move {
    const { part, node } = before;
    return this.#move(
      before,
      this.#outcomes.step(part.node, input, keyOf(input)),
      {
        kind: 'run',
        stop: node.stop,
        at: node.stop === 'fetch' ? node.rip : node.at,
        bytes: input.bytes ?? null,
        value: input.value ?? null,
      },
      change,
    );
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

  #fetch(before: Before): readonly Move[] {
    const { node, part } = before;
    if (this.#text.byPieces) return this.#fetchPiece(before);
    return this.#text
      .fetch(part.view, node.rip, node.length, this.#fixed, (bytes) => this.#core.lengthOf(bytes))
      .map(({ bytes, view, strict }) => this.#run(before, { bytes }, { view, strict }));
  }

  /** One event a chunk; the last of them executes what was fetched. */
  #fetchPiece(before: Before): readonly Move[] {
    const { node, part, environment } = before;
    const at = node.rip;
    const known = this.#fetches.get(part.partial);
    const got: Fetched =
      known.length > 0
        ? known
        : Array.from({ length: node.length }, (_, i) =>
            this.#text.isPatchable(at + i) ? null : this.#fixed(at + i),
          );
    const ways = got.includes(null) ? this.#text.piece(part.view, at, got) : [got];
    return ways.map((way): Move => {
      if (isWhole(way)) return this.#run(before, { bytes: way });
      return {
        cpu: this.#cpus.intern({ ...part, partial: this.#fetches.intern(way) }),
        environment,
        broadcast: NO_BROADCAST,
        bad: [],
        unknown: null,
        passed: false,
        entered: -1,
        label: { kind: 'run', stop: 'piece', at, bytes: null, value: null },
      };
    });
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
   * writes may write what the interrupted one is about to read.
   */
  #isDeaf({ stop }: Node): boolean {
    return (
      !this.#grain.plain &&
      this.#fixture.environment === 'kernel' &&
      !this.#fixture.handlersWrite &&
      (stop === 'load' || stop === 'text')
    );
  }

  /** What may interrupt the CPU there. */
  #events(before: Before): readonly Move[] {
    const { node, env, environment } = before;
    if (node.done || this.#isBetween(node) || this.#isDeaf(node)) return [];
    const { events } = this.#fixture;
    const bounded = (event: Event, what: Bounded): readonly Move[] =>
      env[what] > 0
        ? this.#event(before, event, { environment: this.#environments.spent(environment, what) })
        : [];
    return [
      ...(events.irq && node.interruptible && !node.inside.has('irq')
        ? this.#event(before, 'irq')
        : []),
      ...(events.nmi && !node.nmiBlocked ? bounded('nmi', 'nmis') : []),
      ...(events.mc ? bounded('mc', 'mcs') : []),
      ...(events.db ? bounded('db', 'dbs') : []),
      ...(events.signal ? this.#event(before, 'signal') : []),
    ];
  }

  /** What the CPU does because it was asked for it. */
  #answers(before: Before): readonly Move[] {
    const { node, part } = before;
    if (this.#isBetween(node)) return [];
    const { rules } = this.#fixture;
    const { request } = part;
    return [
      ...(request === REQUEST.ipi && (node.interruptible || !rules.ipiMasked)
        ? this.#event(before, 'ipi', {
            request: REQUEST.none,
            partial: rules.discard ? 0 : part.partial,
          })
        : []),
      ...(node.unserialised ? this.#event(before, 'serialise') : []),
      ...(request === REQUEST.stop && node.interruptible
        ? this.#event(before, 'stop', { request: REQUEST.none })
        : []),
    ];
  }

  #event(before: Before, event: Event, change: Change = {}): readonly Move[] {
    const outcome = this.#outcomes.event(before.part.node, event);
    return outcome === null ? [] : [this.#move(before, outcome, { kind: 'event', event }, change)];
  }

  #flush(before: Before): readonly Move[] {
    const { node } = before;
    return node.buffered === 0
      ? []
      : [this.#move(before, this.#core.flush(node.id), { kind: 'flush' })];
  }

  /** An outcome of the core, put into time: windows, view, shared data. */
  #move(
    { part, env: envBefore, environment: environmentBefore }: Before,
    outcome: Outcome,
    label: MoveLabel,
    change: Change = {},
  ): Move {
    const environment = change.environment ?? environmentBefore;
    const env = change.environment === undefined ? envBefore : this.#environments.get(environment);
    let view = change.view ?? part.view;
    let { windows } = part;
    let broken = outcome.bad;
    // Most outcomes carry no note: nothing is copied for those.
    if (outcome.notes.length > 0 || change.strict === true) {
      const found = [...outcome.bad];
      if (change.strict === true)
        found.push(
          bad(
            'changed-bytes-executed',
            'bytes that changed since this CPU serialised are executed',
          ),
        );
      for (const note of outcome.notes) {
        if (note.note === 'serialise') view = this.#text.serialise(view);
        else windows = noted(note, windows, env, found);
      }
      broken = found;
    }
    if (outcome.writes.length + outcome.stores.length > 0) this.cpusWrite = true;
    const [store, ...more] = outcome.stores;
    invariant(more.length === 0, 'an instruction stores to text once');
    const request = change.request ?? part.request;
    const partial = change.partial ?? 0;
    for (const { breach } of broken) this.breaches.add(breach);
    const ends = outcome.next < 0 || broken.some(endsPath);
    return {
      cpu: ends ? DEAD : this.#cpus.intern({ node: outcome.next, view, request, partial, windows }),
      environment:
        outcome.writes.length === 0
          ? environment
          : this.#environments.intern(written(env, outcome.writes)),
      broadcast:
        store === undefined ? NO_BROADCAST : this.#broadcasts.intern({ kind: 'commit', store }),
      bad: broken,
      unknown: outcome.unknown,
      passed: outcome.notes.some(({ note }) => note === 'close'),
      entered: outcome.notes.reduce(
        (target, note) => (note.note === 'enter' ? note.target : target),
        -1,
      ),
      label,
    };
  }
}

/** Names an input among those of one image. */
function keyOf({ bytes, value }: Input): string {
  if (bytes !== undefined) return `b${bytes.join()}`;
  return value === undefined ? '' : `v${value}`;
}

const isWhole = (way: Fetched): way is readonly number[] => !way.includes(null);

// The patcher: the steps of a protocol, the same that a process performs, taken apart into
// operations that other CPUs can tell from each other. One step is one or several operations: a
// store of several bytes is as many stores as the width of the configuration makes of it, and a
// synchronisation is a request and a wait.

import { INT3 } from '../../asm/table.js';
import { Fault } from '../../base/fault.js';
import { didYouMean } from '../../base/nearest.js';
import { unreachable } from '../../base/invariant.js';
import { FIELD } from '../../plan/way.js';
import { DISPLACEMENT } from '../../x86/forms.js';
import { isFor, type Step, type SyncKind } from '../../plan/protocol.js';
import { POKE } from '../../trap/kernel.js';
import { STORES, type StoreWidth } from './settings.js';
import type { Write } from './space.js';
import type { Fixture } from './fixture.js';
import type { FixtureSite } from './sites.js';
import { batchesOf } from './tables.js';

interface Origin {
  /** Index of the step in its protocol; -1 for what the update itself does. */
  readonly step: number;
  /** 1 for the first update. */
  readonly update: number;
  readonly why: string;
}

export type Op = Origin &
  (
    | {
        readonly op: 'store';
        readonly at: number;
        readonly bytes: readonly number[];
        readonly locked: boolean;
      }
    | { readonly op: 'write'; readonly write: Write }
    /** LOCKed, on a word of the shared data. */
    | { readonly op: 'count'; readonly word: number; readonly by: number }
    | { readonly op: 'exchange'; readonly word: number; readonly from: number; readonly to: number }
    /**
     * `retry` goes to another operation unless the word is that; it is the `slot`th of its update
     * that does.
     */
    | { readonly op: 'await'; readonly word: number; readonly is: number }
    | {
        readonly op: 'retry';
        readonly word: number;
        readonly is: number;
        readonly to: number;
        readonly times: number;
        readonly slot: number;
      }
    /** The new target may be called from here. */
    | { readonly op: 'current'; readonly target: number }
    /**
     * The update returns: of its key's own targets, a set, no other may be called any more.
     */
    | { readonly op: 'return'; readonly target: number; readonly own: number }
    | { readonly op: 'lock' | 'unlock' | 'send' | 'wait' | 'barrier' | 'stop' | 'stopped' }
    /** Every thread is asked for something, which a `wait` behind it waits for. */
    | { readonly op: 'ask'; readonly what: 'signal' | 'progress' | 'grace' | 'acknowledge' }
    /** Where the patcher is a task: it serialises its own CPU; it passes the site itself. */
    | { readonly op: 'self' | 'pass' }
    | { readonly op: 'release'; readonly serialise: boolean }
  );

export interface PatcherOptions {
  readonly steps: readonly Step[];
  readonly store: StoreWidth;
  /** Number, from 1, of the synchronisation to leave out in every update. */
  readonly dropSync: number | null;
  /** Each update takes the updaters' lock (text_mutex) first. */
  readonly lock?: boolean;
  /** The patcher is a task on a CPU. */
  readonly hosted?: boolean;
  /** Others write text at the same time: handlers, or a second updater without the lock. */
  readonly contended?: boolean;
  /**
   * The text is written through an address space of the patcher's own: MOV CR3, before and after
   * each store step, serialises its CPU (SDM volume 3, 9.3).
   */
  readonly ownSpace?: boolean;
  /** The steps publish nothing: what they store may be called from the begin of the update. */
  readonly atOnce?: boolean;
}

export function compile(fixture: Fixture, options: PatcherOptions): Op[] {
  const ops: Op[] = [];
  for (let update = 1; update < fixture.sequence.length; update++)
    if (!isRepeated(fixture, update)) new UpdateCompiler(fixture, options, update, ops).compile();
  if (fixture.options.spin)
    ops.push({
      step: -1,
      update: fixture.sequence.length - 1,
      why: "the updater's lock is free again",
      op: 'write',
      write: { word: POKE.lock / 8, value: 0n },
    });
  return ops;
}

/** Whether it is no update, or one that an endless patcher has a segment for already. */
const isRepeated = ({ nodes, restarts }: Fixture, update: number): boolean =>
  restarts.has(update) ||
  (nodes !== null &&
    nodes.findIndex(
      (to, i) =>
        i > 0 && !restarts.has(i) && to === nodes[update] && nodes[i - 1] === nodes[update - 1],
    ) < update);

/** Takes the steps of one update apart and appends its operations. */
class UpdateCompiler {
  readonly #fixture: Fixture;
  readonly #options: PatcherOptions;
  readonly #update: number;
  readonly #target: number;
  readonly #ops: Op[];
  /** The first operation of each step. */
  readonly #begins: number[] = [];
  /** Sites that the steps are done for in this cycle, and its number. */
  #sites: readonly FixtureSite[];
  #cycle = 0;
  #syncs = 0;
  #retries = 0;
  /** What this update has stored so far, by address: what a later `merge` loads. */
  readonly #stored = new Map<number, number>();
  /** What `store-head` stored over the beginning of every site. */
  #head: readonly number[] = [];

  constructor(fixture: Fixture, options: PatcherOptions, update: number, ops: Op[]) {
    this.#fixture = fixture;
    this.#options = options;
    this.#update = update;
    this.#target = fixture.sequence[update]!;
    this.#ops = ops;
    this.#sites = fixture.sites;
  }

  compile(): void {
    const { lock = false, hosted = false, atOnce = false } = this.#options;
    const own = (why: string): Origin => ({ step: -1, update: this.#update, why });
    if (lock) this.#ops.push({ ...own('one updater at a time'), op: 'lock' });
    if (atOnce)
      this.#ops.push({ ...own('the update begins'), op: 'current', target: this.#target });
    const { sites, options } = this.#fixture;
    let targets = 0;
    for (const [cycle, batch] of batchesOf(options, sites, this.#update).entries()) {
      this.#sites = batch;
      this.#cycle = cycle;
      this.#syncs = 0;
      this.#steps();
      for (const site of batch) targets |= site.own;
    }
    const end = own('the update returns');
    this.#ops.push({ ...end, op: 'return', target: this.#target, own: targets });
    if (lock) this.#ops.push({ ...end, op: 'unlock' });
    if (hosted) this.#ops.push({ ...own('who has updated calls too'), op: 'pass' });
  }

  #steps(): void {
    this.#begins.length = 0;
    const present = this.#sites.reduce((ways, site) => ways | this.#way(site), 0);
    for (const [index, step] of this.#options.steps.entries()) {
      this.#begins.push(this.#ops.length);
      // As plan/protocol.ts leaves out what no site of the batch needs.
      if (!isFor(step, present) || !this.#leadsTo(step)) continue;
      this.#step(step, { step: index, update: this.#update, why: step.why });
    }
  }

  /** Whether this update leads to a state that the step is for. */
  #leadsTo({ into }: Step): boolean {
    const { text } = this.#fixture.options;
    return (
      into === undefined ||
      (text !== null && into.includes(text.states[this.#update % text.states.length]!.name))
    );
  }

  #step(step: Step, origin: Origin): void {
    const ops = this.#ops;
    switch (step.do) {
      case 'publish':
        ops.push({ ...origin, op: 'current', target: this.#target });
        this.#write(origin, this.#fixture.publish(this.#update, this.#cycle));
        break;
      case 'retire':
        this.#write(origin, this.#fixture.retire());
        break;
      case 'store':
        this.#switched(origin, () => {
          for (const site of this.#sites)
            if (isFor(step, this.#way(site))) this.#store(origin, step, site);
        });
        break;
      case 'write':
        for (const site of this.#sites) this.#piece(origin, step, site);
        break;
      case 'emit':
        this.#emit(origin, step.as);
        break;
      case 'sync':
        if (++this.#syncs !== this.#options.dropSync) this.#sync(origin, step.how);
        break;
      case 'grace':
        this.#ask(origin, 'grace');
        break;
      case 'stop':
        ops.push({ ...origin, op: 'stop' }, { ...origin, op: 'stopped' });
        break;
      case 'release':
        ops.push({ ...origin, op: 'release', serialise: step.serialise });
        break;
      case 'store-head':
        this.#head = step.bytes;
        for (const { at } of this.#sites) this.#text(origin, at, step.bytes);
        break;
      case 'store-tail':
        for (const site of this.#sites) this.#tail(origin, site);
        break;
      case 'restore-head':
        for (const site of this.#sites)
          this.#text(origin, site.at, this.#after(site).slice(0, this.#head.length));
        break;
      case 'count':
        ops.push({ ...origin, op: 'count', word: this.#word(step.word, origin), by: step.by });
        break;
      case 'await':
        ops.push({ ...origin, op: 'await', word: this.#word(step.word, origin), is: step.is });
        break;
      case 'exchange': {
        const word = this.#word(step.word, origin);
        ops.push({ ...origin, op: 'exchange', word, from: step.from, to: step.to });
        break;
      }
      case 'retry': {
        const { is, times } = step;
        const word = this.#word(step.word, origin);
        const to = this.#begins[step.to]!;
        ops.push({ ...origin, op: 'retry', word, is, to, times, slot: this.#retries++ });
        break;
      }
      default:
        unreachable(step);
    }
  }

  /** Stores, in the patcher's own address space where it has one. */
  #switched(origin: Origin, stores: () => void): void {
    const { hosted = false, ownSpace = false } = this.#options;
    const self = hosted && ownSpace ? [{ ...origin, op: 'self' } as const] : [];
    this.#ops.push(...self);
    stores();
    this.#ops.push(...self);
  }

  #write(origin: Origin, writes: readonly Write[]): void {
    for (const write of writes) this.#ops.push({ ...origin, op: 'write', write });
  }

  #sync(origin: Origin, how?: SyncKind): void {
    const { environment, rules } = this.#fixture;
    if (how === 'signal' || how === 'progress') {
      this.#ask(origin, how);
      return;
    }
    if (how === 'acknowledge' && environment === 'kernel') {
      this.#asked(origin, how);
      return;
    }
    const own = environment === 'kernel' ? 'ipi' : 'membarrier';
    if (how !== undefined && how !== own)
      throw new Fault('bad-protocol', `a ${environment} has no ${how}`.replace('user', 'process'), {
        at: `steps[${origin.step}].how`,
        hint: `leave it out, or say ${own}`,
      });
    // Membarrier reaches each CPU at a moment of its own. That all serialise at its end is the same
    // where nothing is stored meanwhile.
    const atEnd = this.#options.contended !== true;
    if (environment === 'user' && rules.barrierPassesHandlers && atEnd) {
      this.#ops.push({ ...origin, op: 'barrier' });
      return;
    }
    this.#ops.push({ ...origin, op: 'send' });
    if (this.#options.hosted === true) this.#ops.push({ ...origin, op: 'self' });
    this.#ops.push({ ...origin, op: 'wait' });
  }

  #ask(origin: Origin, what: 'signal' | 'progress' | 'grace'): void {
    if (this.#fixture.events.preempt)
      throw new Fault(
        'bad-usage',
        `steps[${origin.step}] waits for tasks that are on no CPU, which is not modelled`,
        { hint: 'leave preempt out of the contexts' },
      );
    this.#asked(origin, what);
  }

  #asked(origin: Origin, what: (Op & { op: 'ask' })['what']): void {
    this.#ops.push({ ...origin, op: 'ask', what });
    if (this.#options.hosted === true && what !== 'grace')
      this.#ops.push({ ...origin, op: 'self' });
    this.#ops.push({ ...origin, op: 'wait' });
  }

  #store(origin: Origin, step: StoreStep, site: FixtureSite): void {
    const piece = pieceOf(site, step, this.#update);
    if (step.as === 'bytes') this.#bytes(origin, piece.at, piece.bytes);
    else this.#text(origin, piece.at, piece.bytes, exchanges(step, site, piece));
  }

  /** A `write`: some bytes of a site. */
  #piece(origin: Origin, { at, bytes, from, as }: WriteStep, site: FixtureSite): void {
    if (at + bytes > site.length)
      throw new Fault(
        'bad-protocol',
        `steps[${origin.step}] writes bytes ${at} to ${at + bytes - 1} of a site that has ${site.length}`,
        {
          at: `steps[${origin.step}].bytes`,
          hint: 'a store may not leave the text that is patched',
        },
      );
    const source = sourceOf(site, from, this.#update).slice(at, at + bytes);
    if (as === 'bytes') this.#bytes(origin, site.at + at, source);
    else if (as === 'merge') this.#merge(origin, site, site.at + at, source);
    else this.#text(origin, site.at + at, source, as === 'exchange');
  }

  /** What follows the head in the new bytes. */
  #tail(origin: Origin, site: FixtureSite): void {
    const { length } = this.#head;
    this.#bytes(origin, site.at + length, this.#after(site).slice(length));
  }

  /** The new state's code, at a place of its own. */
  #emit(origin: Origin, as: EmitStep['as']): void {
    for (const { fresh } of this.#sites) {
      if (fresh === null) continue;
      const bytes = fresh.contents[this.#update]!;
      if (as === 'bytes') this.#bytes(origin, fresh.at, bytes);
      else this.#text(origin, fresh.at, bytes);
    }
  }

  /** One store of the aligned eight bytes as they were when they were loaded, but for these. */
  #merge(origin: Origin, site: FixtureSite, at: number, bytes: readonly number[]): void {
    const first = Math.floor(at / 8) * 8;
    if (at + bytes.length > first + 8)
      throw new Fault(
        'bad-protocol',
        `steps[${origin.step}] merges into one quadword, and crosses it`,
        {
          at: `steps[${origin.step}].as`,
          hint: "let accepts.within be 'qword', or write each quadword in a step of its own",
        },
      );
    const from = Math.max(first, site.at);
    const to = Math.min(first + 8, site.at + site.length);
    const merged = Array.from({ length: to - from }, (_, i) => {
      const where = from + i;
      return bytes[where - at] ?? this.#stored.get(where) ?? this.#before(site)[where - site.at]!;
    });
    this.#ops.push({ ...origin, op: 'store', at: from, bytes: merged, locked: false });
    for (const [i, byte] of merged.entries()) this.#stored.set(from + i, byte);
  }

  /**
   * One store, or as many as the width makes of it. A LOCKed one is whole whatever the width, over
   * the end of a line too (SDM volume 3, 9.1.2.2); no CPU was seen to tear it as data
   * (docs/fetch32.md).
   */
  #text(origin: Origin, at: number, bytes: readonly number[], locked = false): void {
    const { store } = this.#options;
    const parts = locked ? [{ at, bytes }] : split(at, bytes, STORES[store]);
    for (const part of parts) this.#ops.push({ ...origin, op: 'store', ...part, locked });
    for (const [i, byte] of bytes.entries()) this.#stored.set(at + i, byte);
  }
  /** One store for each byte. */
  #bytes(origin: Origin, at: number, bytes: readonly number[]): void {
    for (const [i, byte] of bytes.entries()) this.#text(origin, at + i, [byte]);
  }

  #way({ ways }: FixtureSite): number {
    return ways[this.#update]!;
  }

  #after({ contents }: FixtureSite): readonly number[] {
    return contents[this.#update]!;
  }
  #before({ contents }: FixtureSite): readonly number[] {
    return contents[this.#update - 1]!;
  }

  /** The number of a word that the handler shares by that name. */
  #word(name: string, { step }: Origin): number {
    const found = this.#fixture.word(name);
    if (found !== null) return found;
    const known = Object.keys(this.#fixture.options.handler?.words ?? {});
    throw new Fault('bad-protocol', `its handler shares no word ${name}`, {
      at: `steps[${step}].word`,
      hint:
        known.length === 0
          ? 'it shares none'
          : (didYouMean(name, known) ?? `one of ${known.join(', ')}`),
    });
  }
}

type StoreStep = Extract<Step, { do: 'store' }>;
type EmitStep = Extract<Step, { do: 'emit' }>;
type WriteStep = Extract<Step, { do: 'write' }>;

interface Piece {
  readonly at: number;
  readonly bytes: readonly number[];
}

/** What a site is to hold after a store, in all its bytes. */
function sourceOf(site: FixtureSite, bytes: StoreStep['bytes'], update: number): readonly number[] {
  const old = site.contents[update - 1]!;
  switch (bytes) {
    case 'old':
      return old;
    case 'new':
      return site.contents[update]!;
    case 'trap':
      return [INT3, ...old.slice(1)];
  }
}

/** The bytes of a site that a step stores. */
function pieceOf(site: FixtureSite, { part, bytes, as }: StoreStep, update: number): Piece {
  const source = sourceOf(site, bytes, update);
  switch (part) {
    case 'first':
      return { at: site.at, bytes: source.slice(0, 1) };
    case 'rest':
      return { at: site.at + 1, bytes: source.slice(1) };
    case 'whole':
      return { at: site.at, bytes: source };
    case 'opcode':
    case 'displacement': {
      const opcode = source.length - DISPLACEMENT - 1;
      return part === 'opcode'
        ? { at: site.at + opcode, bytes: source.slice(opcode, opcode + 1) }
        : { at: site.at + opcode + 1, bytes: source.slice(opcode + 1) };
    }
    case 'byte':
    case 'changed': {
      const old = site.contents[update - 1]!;
      const from = Math.max(
        source.findIndex((byte, i) => byte !== old[i]),
        0,
      );
      const to = source.findLastIndex((byte, i) => byte !== old[i]) + 1;
      const piece = { at: site.at + from, bytes: source.slice(from, to) };
      const whole = { at: site.at, bytes: source };
      return to > 0 && exchanges({ as }, site, piece) ? whole : piece;
    }
  }
}

/**
 * Where only the displacement of a five-byte branch changes, `exchange` is one plain store: no
 * neighbour's byte could be lost (native/stores.ts).
 */
function exchanges({ as }: Pick<StoreStep, 'as'>, site: FixtureSite, piece: Piece): boolean {
  const from = piece.at - site.at;
  const narrow = from >= FIELD.from && from + piece.bytes.length <= FIELD.to;
  return as === 'exchange' && !narrow;
}

/** Cut at the multiples of the width. */
function split(at: number, bytes: readonly number[], width: number): readonly Piece[] {
  const parts: Piece[] = [];
  for (let i = 0; i < bytes.length;) {
    const room = width - ((((at + i) % width) + width) % width);
    parts.push({ at: at + i, bytes: bytes.slice(i, i + room) });
    i += room;
  }
  return parts;
}

// The one way in which targets change. It knows records, sites and addresses, and no names:
// programs that a caller opened and the server of updates from C both drive it. An update is drawn
// and validated whole under the process's lock, run as one batch, and recorded in the columns only
// once it went through.

import type { Addr } from '../../base/addr.js';
import { Fault, type FaultCode } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import type { Runtime } from './runtime.js';
import { Veneers } from './veneers.js';
import { ProcessMachine } from './process.js';
import { snapshot, type Group, type KeyRecord } from './records.js';
import type { TrapWatch } from './signals.js';
import { aliasText, knownAlias } from './alias.js';
import { checkPrivate, Procmem, ProcmemText } from './procmem.js';
import type { OwnText, WriterName } from './text.js';
import { checkCodeChanges } from './translated.js';
import { transact, Unfinished, type End } from '../transact.js';
import { Gathering, waysIn, type Batch, type Edits, type KeyChange } from '../../plan/batch.js';
import { switchWords, wordsOf, type Destination, type Drawn } from '../../plan/draw.js';
import { narrowed, type Protocol, type Step } from '../../plan/protocol.js';
import { WAY, WAYS, waysOf, type Way, type WayCounts } from '../../plan/way.js';
import { ORIGINAL, sameTarget, targetOf, type Target } from '../../plan/target.js';

/** The text that a group lies in, and the code near it. */
export interface Place {
  readonly text: OwnText;
  readonly veneers: Veneers;
  /** By address; what has none, by kind. */
  readonly reaches: Map<Addr | Target['kind'], Reach>;
  /** The runtime's list of texts that are mapped twice, as it was when this was made. */
  readonly regions: number;
}

export interface Wanted {
  /** For messages. */
  readonly name: string;
  readonly record: KeyRecord;
  /** ORIGINAL: what the file has, its instructions too. */
  readonly to: Target | typeof ORIGINAL;
}

export interface Applied<W extends Wanted = Wanted> {
  readonly changes: readonly { readonly wanted: W; readonly from: Target; readonly to: Target }[];
  readonly inline: number;
  readonly trampoline: number;
  readonly traps: number;
  readonly ways: WayCounts;
}

const NONE: WayCounts = { byte: 0, store: 0, behind: 0, trap: 0 };

export interface EngineOptions {
  readonly writer: WriterName;
  /** The caller accepts that the kernel's memcpy stores four and eight bytes whole. */
  readonly trustProcmem: boolean;
}

/** Of one text, kept at a time. */
const REACHES = 1024;

/** A target as one text reaches it: worked out once, for targets come back. */
class Reach implements Destination {
  readonly kind: Target['kind'];
  readonly target: Addr;
  readonly #veneers: Veneers;
  #way: Addr | null = null;
  #words: KeyChange['words'] | null = null;
  constructor(to: Target, veneers: Veneers) {
    this.kind = to.kind;
    this.target = to.address;
    this.#veneers = veneers;
  }
  get way(): Addr {
    return (this.#way ??= this.#veneers.way(this.target));
  }
  get return0(): Addr {
    return this.#veneers.return0;
  }
  get return(): Addr {
    return this.#veneers.return;
  }
  get words(): KeyChange['words'] {
    return (this.#words ??= wordsOf(this));
  }
}

export class Engine {
  readonly #runtime: Runtime;
  readonly #watch: TrapWatch;
  readonly #options: EngineOptions;
  /** null where the writer is `alias`. */
  readonly #procmem: Procmem | null;
  readonly #machine: ProcessMachine;
  readonly #places = new Map<Addr, Place>();
  /** The last one that was asked for: sites mostly lie in one text. */
  #last: { readonly start: Addr; readonly place: Place } | null = null;
  readonly #gathering = new Gathering();

  constructor(runtime: Runtime, watch: TrapWatch, options: EngineOptions) {
    this.#runtime = runtime;
    this.#watch = watch;
    this.#options = options;
    this.#procmem = options.writer === 'procmem' ? new Procmem(runtime) : null;
    this.#machine = new ProcessMachine(runtime);
  }

  /**
   * Takes what writing needs, once before everything else. Call it with the lock held.
   * @throws Fault `no-text-write`, `not-supported`, with nothing changed
   */
  hold(): void {
    checkCodeChanges(this.#runtime.native);
    this.#procmem?.hold(this.#runtime.handler);
  }
  /** Gives it back. Call it with the lock held. */
  release(): void {
    this.#procmem?.release();
  }

  /**
   * Made at first use, so that a text that is never written is never mapped a second time; made
   * anew when the list of texts that are mapped twice has changed. Another runtime may have put
   * this one there, and the kernel then refuses to write it otherwise. In a child of fork the list
   * is empty: its text is private again, and the parent's writable mapping is not there.
   */
  place(group: Group): Place {
    const { start } = group;
    if (this.#last?.start === start && this.#isCurrent(this.#last.place)) return this.#last.place;
    const place = this.#placeAt(group);
    this.#last = { start, place };
    return place;
  }

  #placeAt(group: Group): Place {
    const known = this.#places.get(group.start);
    if (known && this.#isCurrent(known)) return known;
    const { native } = this.#runtime;
    const shared = knownAlias(this.#runtime, group.start, group.end) !== null;
    const text =
      this.#procmem === null || shared
        ? aliasText(this.#runtime, group.start, group.end)
        : new ProcmemText(native, this.#procmem, group.start, group.end);
    if (!known && text.writer === 'procmem') checkPrivate(group.start, group.end);
    const place: Place = {
      text,
      veneers: known?.veneers ?? new Veneers(native, group.start, group.end),
      reaches: known?.reaches ?? new Map<Addr | Target['kind'], Reach>(),
      regions: this.#runtime.held('regions'),
    };
    this.#places.set(group.start, place);
    this.#machine.addText(text);
    return place;
  }

  #isCurrent({ regions }: Place): boolean {
    return regions === this.#runtime.held('regions');
  }

  destination(group: Group, to: Target): Destination {
    return this.#reach(this.place(group), to);
  }

  #reach({ veneers, reaches }: Place, to: Target): Reach {
    const what = to.kind === 'function' ? to.address : to.kind;
    let reach = reaches.get(what);
    // A program that makes its targets as it runs names ever new addresses.
    if (!reach && reaches.size >= REACHES) reaches.clear();
    if (!reach) reaches.set(what, (reach = new Reach(to, veneers)));
    return reach;
  }

  /** The words of a record that is new. Call it with the lock held. */
  initialise(record: KeyRecord, to: Target): void {
    const words = this.#wordsOf(record, to);
    record.setWord('tail', BigInt(words.tail));
    record.setWord('jcc', BigInt(words.jcc));
    record.setWord('initial', BigInt(words.call));
    // Last, because the next opening takes a record without it for a fresh one.
    record.setWord('call', BigInt(words.call));
  }

  #wordsOf(record: KeyRecord, to: Target): KeyChange['words'] {
    if (to.kind === 'on' || to.kind === 'off') return switchWords(to.kind);
    const [group] = record.groups();
    invariant(group !== undefined, 'a record of a call has a group for its trampoline');
    return this.#reach(this.place(group), to).words;
  }

  /**
   * Call it with the lock held.
   * @throws Fault `no-text-write`, `foreign-trap`, `drift`, `store-refused`, `not-inline`,
   *   `out-of-reach`, `handler-replaced`, `trap-blocked`, `shadow-stack`, with nothing changed;
   *   `update-failed`, `update-parked`, `update-mixed`, which say how it ended
   */
  apply<W extends Wanted>(
    wanted: readonly W[],
    protocol: Protocol,
    require?: 'inline',
  ): Applied<W> {
    this.#procmem?.ready();
    const before = trapsOf(wanted);
    const drawing = new Drawing<W>();
    for (const asked of wanted) this.#draw(drawing, asked, protocol, require);
    const { changes, inline, trampoline, batches, texts, keys } = drawing;
    if (batches.length === 0 && keys.length === 0)
      return { changes, inline, trampoline, traps: 0, ways: NONE };
    const edits: Edits = { batches: this.#gathering.gather(batches, texts), keys };
    const needed = this.#needed(protocol, edits);
    // Last of what is asked: right before the first trap.
    if (needed.handler !== null) this.#watch.check();
    this.#runtime.countChange();
    this.#run(needed, edits, drawing);
    for (const { columns } of drawing.groups) columns.batch.old.set(columns.batch.new);
    const traps = (trapsOf(wanted) - before) >>> 0;
    return { changes, inline, trampoline, traps, ways: wayCounts(protocol, edits) };
  }

  /**
   * The steps that the update needs. After an update that ended with a fault a CPU may hold bytes
   * that no synchronisation has taken from it: then one comes first.
   */
  #needed(protocol: Protocol, edits: Edits): Protocol {
    const needed = narrowed(protocol, waysIn(edits));
    if (this.#runtime.held('unsynced') === 0) return needed;
    return { ...needed, steps: [OWED, ...needed.steps] };
  }

  /** What one key's update writes, added to what the others write. */
  #draw<W extends Wanted>(
    drawing: Drawing<W>,
    asked: W,
    protocol: Protocol,
    require?: 'inline',
  ): void {
    const { record, to } = asked;
    const target = to === ORIGINAL ? targetOf(record.held('initial')) : to;
    const from = targetOf(record.held('call'));
    const switches = target.kind === 'on' || target.kind === 'off';
    let reach: Reach | null = null;
    for (const group of record.groups()) {
      const place = this.place(group);
      // Before the sites: that the writer cannot store at all is the better answer than that one
      // site is refused.
      if (protocol.handler === null) this.#checkStore(place.text);
      const destination = this.#reach(place, target);
      reach ??= destination;
      const way = to === ORIGINAL ? null : destination;
      // A branch has no trampoline that it could be left to.
      const inline = switches ? 'inline' : require;
      const ways = this.#allowed(protocol, place.text);
      drawing.add(
        group,
        this.#runtime.survey.draw(asked, group.columns, way, protocol.accepts, inline, ways),
        switches,
      );
    }
    if (sameTarget(from, target)) return;
    const slot = record.held('key') || null;
    drawing.changes.push({ wanted: asked, from, to: target });
    drawing.keys.push({
      record: record.at,
      words: this.#wordsOf(record, target),
      slot,
      func: target.kind === 'ret0' && reach ? reach.return0 : target.address,
    });
    drawing.previous.push({
      record: record.at,
      words: { call: record.held('call'), tail: record.held('tail'), jcc: record.held('jcc') },
      slot,
      func: record.func,
    });
  }

  /** @throws Fault `update-failed`, `update-parked`, `update-mixed` */
  #run(
    protocol: Protocol,
    edits: Edits,
    { groups, previous }: Pick<Drawing<Wanted>, 'groups' | 'previous'>,
  ): void {
    try {
      transact(protocol, edits, previous, this.#machine);
      if (protocol.steps[0] === OWED) this.#runtime.setWord('unsynced', 0n);
    } catch (error) {
      if (error instanceof Unfinished) this.#runtime.setWord('unsynced', 1n);
      for (const group of groups)
        snapshot(group, this.place(group).text.bytes, protocol.handler !== null);
      if (!(error instanceof Unfinished)) throw error;
      const step = protocol.steps[error.step]!;
      throw new Fault(ENDED[error.end], `${error.message} (${step.do}: ${step.why})`, {
        cause: error.cause,
        ...(error.end === 'new'
          ? { hint: 'every site and key has the new target; the cause says which call failed' }
          : {}),
      });
    }
  }

  /** Whether a store of several bytes into the text is one. */
  #storesWhole(text: OwnText): boolean {
    return this.#options.trustProcmem || text.writer !== 'procmem';
  }

  /** The ways that a protocol may go in a text, as bits of WAY. */
  #allowed({ ways }: Protocol, text: OwnText): number {
    if (ways === undefined) return 0;
    return this.#storesWhole(text) ? waysOf(ways) : waysOf(ways) & ~WAY.store;
  }

  /** @throws Fault `store-refused` */
  #checkStore(text: OwnText): void {
    if (this.#storesWhole(text)) return;
    throw new Fault(
      'store-refused',
      "through /proc/self/mem the store is the kernel's memcpy, which promises no single store",
      {
        hint: "open with writer 'alias', or accept it by assume: 'procmem-stores-are-atomic'",
      },
    );
  }
}

const OWED: Step = { do: 'sync', why: 'the update before this one ended with a fault' };

function wayCounts({ ways, handler }: Protocol, { batches }: Edits): WayCounts {
  const counts = { ...NONE };
  for (const batch of batches) {
    const single = ways === undefined ? onlyWay(handler) : WAYS.find((w) => batch.ways === WAY[w]);
    if (single) counts[single] += batch.count;
    else addWays(batch, counts);
  }
  return counts;
}

/** A protocol without ways traps every site, or stores at every site. */
const onlyWay = (handler: Protocol['handler']): Way => (handler === null ? 'store' : 'trap');

function addWays({ count, way }: Batch, counts: Record<Way, number>): void {
  const bits = new Uint32Array(WAY.trap + 1);
  for (let i = 0; i < count; i++) bits[way[i]!]!++;
  for (const each of WAYS) counts[each] += bits[WAY[each]]!;
}

/** What is said of an update that did not come to its end. */
const ENDED: Readonly<Record<End, FaultCode>> = {
  old: 'update-failed',
  new: 'update-failed',
  parked: 'update-parked',
  mixed: 'update-mixed',
};

/** What an update writes, gathered key by key. */
class Drawing<W extends Wanted> {
  readonly changes: { wanted: W; from: Target; to: Target }[] = [];
  readonly keys: KeyChange[] = [];
  readonly previous: KeyChange[] = [];
  readonly groups: Group[] = [];
  /** What changes something, and where the text of each begins. */
  readonly batches: Batch[] = [];
  readonly texts: Addr[] = [];
  inline = 0;
  trampoline = 0;

  /** @param switches what stands at a branch is its own, also where the file has the same */
  add(group: Group, drawn: Drawn, switches: boolean): void {
    this.groups.push(group);
    this.inline += drawn.inline + (switches ? drawn.trampoline : 0);
    this.trampoline += switches ? 0 : drawn.trampoline;
    if (drawn.batch.count === 0) return;
    this.batches.push(drawn.batch);
    this.texts.push(group.start);
  }
}

/** The low halves of the trap counters, for a difference. */
function trapsOf(wanted: readonly Wanted[]): number {
  let traps = 0;
  for (const { record } of wanted) traps += record.trapsLow;
  return traps;
}

// The one way in which targets change. It knows records, sites and addresses, and no names:
// programs that a caller opened and the server of updates from C both drive it. An update is drawn
// and validated whole under the process's lock, run as one batch, and recorded in the columns only
// once it went through.

import type { Addr } from '../../base/addr.js';
import { Fault, type FaultCode } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import type { Runtime } from './runtime.js';
import { FEW, Gathering } from './gathering.js';
import { KnownKey, KnownKeys, type KeyRow } from './known-key.js';
import type { SiteRow } from './site-row.js';
import { Forms, type Survey } from './survey.js';
import { Veneers } from './veneers.js';
import type { Memory } from '../linux/native.js';
import { CONDITION, Outdated, ProcessMachine } from './process.js';
import { bytesIn, snapshot, type Group, type KeyRecord } from './records.js';
import { Repeats, type Part, type Written } from './repeat.js';
import { Script } from './script.js';
import type { TrapWatch } from './signals.js';
import { aliasText, knownAlias } from './alias.js';
import { checkPrivate, Procmem, ProcmemText } from './procmem.js';
import type { OwnText, WriterName } from './text.js';
import { checkCodeChanges } from './translated.js';
import type { Machine } from '../machine.js';
import { transact, Unfinished, type End } from '../transact.js';
import { KeyChanges, waysIn, type Batch, type Edits, type KeyChange } from '../../plan/batch.js';
import { codeOf, switchWords, wordsOf, type Destination } from '../../plan/draw.js';
import { narrowed, type Protocol, type Step } from '../../plan/protocol.js';
import { WAY, WAYS, waysOf, type Way, type WayCounts } from '../../plan/ways.js';
import { PROTOCOL_NAMES, RUNNABLE } from '../../plan/protocols/index.js';
import { callWordOf, ORIGINAL, targetOf, type Target } from '../../plan/target.js';
import { RECORD } from '../../trap/registry.js';

/** The text that a group lies in, and the code near it. */
export interface Place {
  readonly text: OwnText;
  readonly veneers: Veneers;
  /** By address; what has none, by kind. */
  readonly reaches: Map<Addr | Target['kind'], Reach>;
  /** The runtime's list of texts that are mapped twice, as it was when this was made. */
  readonly regions: number;
}

/** Keys, and where each shall go. */
export interface Wanted {
  readonly keys: ArrayLike<KnownKey>;
  /** ORIGINAL: what the file has, its instructions too. */
  readonly targets: ArrayLike<Target | typeof ORIGINAL>;
}

/** It is the engine's, and holds until the next update. */
export interface Applied {
  readonly changes: Changes;
  readonly inline: number;
  readonly trampoline: number;
  readonly traps: number;
  readonly ways: WayCounts;
}

/** What changed its target: its places in what was wanted, and the call words of before. */
export interface Changes {
  readonly count: number;
  readonly which: readonly number[];
  readonly from: readonly number[];
}

/** An update as it was made before, and what is answered where no thread met a trap. */
interface Remembered extends Written {
  /** Of each row. */
  readonly places: readonly Place[];
  readonly applied: Applied;
}
/** What an update is performed by. */
type Running = Pick<Written, 'needed' | 'edits' | 'previous'> & { readonly machine: Machine };
/** Operations of a script that is kept, for each key. */
const ROOM = 40;

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
  readonly forms: Forms;
  /** The call word of a key that has this target. */
  readonly call: number;
  readonly #veneers: Veneers;
  #way: Addr | null = null;
  #words: KeyChange['words'] | null = null;
  constructor(native: Pick<Memory, 'addressOf'>, to: Target, veneers: Veneers) {
    this.kind = to.kind;
    this.target = to.address;
    this.#veneers = veneers;
    this.call = callWordOf(to);
    this.forms = new Forms(native, this);
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
  /** What C reads in a key that has it. */
  get func(): Addr {
    return this.kind === 'ret0' ? this.return0 : this.target;
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
  /** What keys are made known by. */
  readonly keys: KnownKeys;
  /** The places by the numbers that their texts have there. */
  readonly #byText: Place[] = [];
  readonly #drawing = new Drawing();
  readonly #repeats = new Repeats<Remembered>();

  constructor(runtime: Runtime, watch: TrapWatch, options: EngineOptions) {
    this.#runtime = runtime;
    this.#watch = watch;
    this.#options = options;
    this.#procmem = options.writer === 'procmem' ? new Procmem(runtime) : null;
    this.#machine = new ProcessMachine(runtime);
    this.keys = new KnownKeys(runtime.native);
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

  #placeOf({ text, group }: KeyRow): Place {
    const known = this.#byText[text];
    if (known && this.#isCurrent(known)) return known;
    return (this.#byText[text] = this.place(group));
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
    if (!reach) reaches.set(what, (reach = new Reach(this.#runtime.native, to, veneers)));
    return reach;
  }

  /**
   * Code that counts the calls of a key in its record and goes on to a target. Call it with the
   * lock held.
   */
  counter(record: KeyRecord, to: Target): Addr {
    const [group] = record.groups();
    invariant(group !== undefined, 'a record of a call has a group for its trampoline');
    const place = this.place(group);
    return place.veneers.counter(record.at + RECORD.calls, codeOf(this.#reach(place, to)));
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
  apply(wanted: Wanted, protocol: Protocol, require?: 'inline'): Applied {
    const again = this.#again(wanted, protocol, require);
    if (again) return again;
    this.#procmem?.ready();
    const { survey } = this.#runtime;
    const drawing = this.#drawing;
    drawing.begin();
    survey.begin(protocol.accepts);
    for (let k = 0; k < wanted.keys.length; k++) this.#ask(wanted, k, protocol, require);
    survey.perform((k) => nameOf(survey.row(k), wanted));
    const batches = drawing.take(survey);
    const { changes, keys, inline, trampoline } = drawing;
    if (batches.length === 0 && keys.count === 0)
      return { changes, inline, trampoline, traps: 0, ways: NONE };
    const edits: Edits = { batches, keys };
    const needed = this.#needed(protocol, edits);
    // Last of what is asked: right before the first trap.
    if (needed.handler !== null) this.#watch.check();
    this.#runtime.countChange();
    const before = trapsOf(wanted);
    this.#run({ needed, edits, previous: drawing.previous, machine: this.#machine }, wanted);
    const applied = { changes, inline, trampoline, traps: 0, ways: wayCounts(protocol, edits) };
    this.#remember(wanted, protocol, require, needed, edits, applied);
    for (let k = 0; k < survey.count; k++) survey.row(k).settle();
    return { ...applied, traps: (trapsOf(wanted) - before) >>> 0 };
  }

  /** The update of a few keys as it was made before; null where it must be drawn. */
  #again(wanted: Wanted, protocol: Protocol, require?: 'inline'): Applied | null {
    const { keys, targets } = wanted;
    if (keys.length > FEW || this.#runtime.held('unsynced') !== 0) return null;
    for (let k = 0; k < keys.length; k++) keys[k]!.refresh();
    const known = this.#repeats.find(keys, targets, protocol, require);
    if (known === null) return null;
    const { rows, places, edits, ways, script, surveys, file, applied } = known;
    for (let k = 0; k < rows.length; k++) if (this.#placeOf(rows[k]!) !== places[k]) return null;
    if (file !== null && !this.#procmem?.renew(file)) return null;
    for (let k = 0; k < rows.length; k++) {
      this.#runtime.survey.renew(script, surveys[k]!);
      edits.batches[k]!.ways = ways[k]!;
    }
    if (known.needed.handler !== null) this.#watch.check();
    this.#runtime.countChange();
    const before = trapsOf(wanted);
    try {
      this.#run(known, wanted);
    } catch (error) {
      if (error instanceof Outdated) return null;
      throw error;
    }
    for (let k = 0; k < rows.length; k++) rows[k]!.settle();
    const traps = (trapsOf(wanted) - before) >>> 0;
    return traps === 0 ? applied : { ...applied, traps };
  }

  /** Call it while the columns have both the old bytes and the new ones. */
  #remember(
    { keys, targets }: Wanted,
    protocol: Protocol,
    require: 'inline' | undefined,
    needed: Protocol,
    edits: Edits,
    applied: Applied,
  ): void {
    const count = keys.length;
    const { survey } = this.#runtime;
    if (count > FEW || edits.batches.length !== count) return;
    if (edits.keys.count !== count || survey.count !== count) return;
    // Another protocol than ours may be changed by its owner.
    if (!PROTOCOL_NAMES.some((name) => RUNNABLE[name] === protocol) || needed.steps[0] === OWED)
      return;
    const parts: Part[] = [];
    const rows: KeyRow[] = [];
    for (let k = 0; k < count; k++) {
      const key = keys[k]!;
      const to = targets[k]!;
      const row = key.first;
      // Of each key one text, and every site of it changes.
      if (
        to === ORIGINAL ||
        row === null ||
        survey.row(k) !== row ||
        edits.batches[k] !== row.group.columns.batch
      )
        return;
      // What is written through the file is an operation for each site.
      if (!row.isSmall && this.#placeOf(row).text.writer === 'procmem') return;
      parts.push({ key, to, from: applied.changes.from[k]!, standing: row.standing });
      rows.push(row);
    }
    const [first, ...rest] = parts;
    if (!first) return;
    const asked = { parts: [first, ...rest] as const, protocol, require };
    this.#repeats.remember(asked, () => this.#written(rows, needed, edits, applied));
  }

  /** Writes the update that was just made down in a script of its own. */
  #written(
    rows: readonly KeyRow[],
    needed: Protocol,
    { batches }: Edits,
    applied: Applied,
  ): Remembered | null {
    const { native, routines, survey } = this.#runtime;
    const places = rows.map((row) => this.#placeOf(row));
    const isByFile = (k: number): boolean => places[k]!.text.writer === 'procmem';
    const writer = rows.some((_, k) => isByFile(k)) ? this.#procmem : null;
    if (writer && !writer.mark()) return null;
    const script = new Script(native, routines, ROOM * rows.length);
    const { at } = script;
    script.mark(CONDITION);
    writer?.addTo(script);
    const surveys = rows.map((_, k) => survey.addTo(script, k));
    // What is written through the file is written down site by site, from what changes there.
    if (!rows.every((row, k) => !isByFile(k) || row.expectOld(script))) return null;
    const previous = this.#drawing.previous.copy();
    const edits = { batches, keys: this.#drawing.keys.copy() };
    this.#machine.add(script, needed, edits);
    // The conditions name words of the script by their addresses.
    if (script.at !== at) return null;
    return {
      rows,
      places,
      needed,
      edits,
      previous,
      ways: batches.map(({ ways }) => ways),
      script,
      machine: this.#machine.repeating(script),
      surveys,
      forms: survey.forms,
      file: writer ? writer.file : null,
      applied: {
        ...applied,
        changes: { count: rows.length, which: rows.map((_, k) => k), from: previous.call },
      },
    };
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

  /** What one key's update writes, and the survey that it asks for, added to those of the others. */
  #ask({ keys, targets }: Wanted, k: number, protocol: Protocol, require?: 'inline'): void {
    const { survey } = this.#runtime;
    const key = keys[k]!;
    const to = targets[k]!;
    const target = to === ORIGINAL ? targetOf(key.held(RECORD.initial)) : to;
    key.refresh();
    let first: Reach | null = null;
    for (let row = key.first; row !== null; row = row.next) {
      const place = this.#placeOf(row);
      // Before the sites: that the writer cannot store at all is the better answer than that one
      // site is refused.
      if (protocol.handler === null) this.#checkStore(place.text);
      const reach = this.#reach(place, target);
      first ??= reach;
      // A branch has no trampoline that it could be left to.
      const inline = row.branches || require === 'inline';
      const forms = to === ORIGINAL ? null : reach.forms;
      survey.add(row, forms, inline, this.#allowed(protocol, place.text));
    }
    if (key.held(RECORD.call) === (first?.call ?? callWordOf(target))) return;
    const words = first?.words ?? this.#wordsOf(key.record, target);
    this.#drawing.change(k, key, words, first ?? { func: target.address });
  }

  /** @throws Fault `update-failed`, `update-parked`, `update-mixed` */
  #run({ needed: protocol, edits, previous, machine }: Running, wanted: Wanted): void {
    try {
      transact(protocol, edits, previous, machine);
      if (protocol.steps[0] === OWED) this.#runtime.setWord('unsynced', 0n);
    } catch (error) {
      if (error instanceof Outdated) throw error;
      if (error instanceof Unfinished) this.#runtime.setWord('unsynced', 1n);
      this.#readBack(wanted, protocol.handler !== null);
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

  /** What stands at the sites after an update that did not come to its end. */
  #readBack({ keys }: Wanted, traps: boolean): void {
    for (const key of Array.from(keys))
      for (let row = key.first; row !== null; row = row.next) {
        const { group } = row;
        snapshot(group.columns, bytesIn(group, this.place(group).text.bytes), traps);
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
    const single = ways === undefined ? onlyWay(handler) : BY_BIT[batch.ways];
    if (single) counts[single] += batch.count;
    else addWays(batch, counts);
  }
  return counts;
}

/** A protocol without ways traps every site, or stores at every site. */
const onlyWay = (handler: Protocol['handler']): Way => (handler === null ? 'store' : 'trap');

/** The way that a set has alone. */
const BY_BIT: (Way | undefined)[] = [];
for (const way of WAYS) BY_BIT[WAY[way]] = way;

function addWays({ count, way }: Batch, counts: Record<Way, number>): void {
  const bits = new Array<number>(WAY.trap + 1).fill(0);
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

/** What an update writes, gathered key by key; kept, because its columns are large. */
class Drawing {
  readonly changes: { count: number; readonly which: number[]; readonly from: number[] } = {
    count: 0,
    which: [],
    from: [],
  };
  readonly keys: KeyChanges = new KeyChanges();
  readonly previous: KeyChanges = new KeyChanges();
  readonly #gathering = new Gathering();
  inline = 0;
  trampoline = 0;

  begin(): void {
    this.changes.count = this.keys.count = this.previous.count = 0;
    this.inline = this.trampoline = 0;
  }

  /** Numbers go from column to column: one that is handed over costs an allocation. */
  change(k: number, key: KnownKey, words: KeyChange['words'], to: { readonly func: Addr }): void {
    const { changes, keys, previous } = this;
    const n = keys.count++;
    changes.count = previous.count = n + 1;
    changes.which[n] = k;
    keys.record[n] = previous.record[n] = key.at;
    keys.slot[n] = previous.slot[n] = key.held(RECORD.key);
    keys.call[n] = words.call;
    keys.tail[n] = words.tail;
    keys.jcc[n] = words.jcc;
    keys.func[n] = to.func;
    changes.from[n] = previous.call[n] = key.held(RECORD.call);
    previous.tail[n] = key.held(RECORD.tail);
    previous.jcc[n] = key.held(RECORD.jcc);
    previous.func[n] = key.func;
  }

  /** What changes something. */
  take(survey: Survey): Batch[] {
    for (let k = 0; k < survey.count; k++) {
      const row = survey.row(k);
      // What stands at a branch is its own, also where the file has the same.
      const left = row.branches ? 0 : survey.onTrampoline(k);
      this.inline += row.sites - left;
      this.trampoline += left;
    }
    return this.#gathering.gather(survey);
  }
}

/** The low halves of the trap counters, for a difference. */
function trapsOf({ keys }: Wanted): number {
  let traps = 0;
  for (let k = 0; k < keys.length; k++) traps += keys[k]!.trapsLow;
  return traps;
}

/** Whose sites a row has. */
function nameOf(wanted: SiteRow, { keys }: Wanted): string {
  const owner = Array.from(keys).find((key) => {
    let row = key.first;
    while (row !== null && row !== wanted) row = row.next;
    return row !== null;
  });
  invariant(owner, 'an update surveys rows of its own keys');
  return owner.name;
}

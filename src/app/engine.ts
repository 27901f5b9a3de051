// The one way in which targets change. It knows records, sites and addresses, and no names: programs that a
// caller opened and the server of updates from C both drive it. An update is drawn and validated whole under
// the process's lock, run as one batch, and mirrored in the columns only once it went through.

import type { Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { invariant } from '../base/invariant.js';
import type { Ground } from '../machine/process/ground.js';
import { Near } from '../machine/process/near.js';
import { ProcessMachine } from '../machine/process/process.js';
import type { Group, KeyRecord } from '../machine/process/records.js';
import type { TrapWatch } from '../machine/process/signals.js';
import { aliasText, closeProcmem, knownAlias, ProcmemText, type Text, type WriterName } from '../machine/process/text.js';
import { transact, Unfinished } from '../machine/transact.js';
import { Batch, type KeyChange } from '../plan/batch.js';
import { merge, wordsOf, type Destination, type Drawn } from '../plan/draw.js';
import type { Protocol } from '../plan/protocol.js';
import { ORIGINAL, sameTarget, targetOf, type Target } from './target.js';

/** The text that a group lies in, and the code near it. */
export interface Place {
  readonly text: Text;
  readonly near: Near;
  /** The ground's list of texts that are mapped twice, as it was when this was made. */
  readonly regions: bigint;
}

export interface Wanted {
  /** For messages. */
  readonly name: string;
  readonly record: KeyRecord;
  /** ORIGINAL: what the file has, its instructions too. */
  readonly to: Target | typeof ORIGINAL;
}

export interface Applied {
  readonly changes: readonly { readonly record: KeyRecord; readonly from: Target; readonly to: Target }[];
  readonly inline: number;
  readonly trampoline: number;
  readonly traps: number;
}

export interface EngineOptions {
  readonly writer: WriterName;
  /** Descriptor of /proc/self/mem; null where the writer is `alias`. */
  readonly procmem: number | null;
  /** The caller accepts that the kernel's memcpy stores four and eight bytes whole. */
  readonly trustProcmem: boolean;
}

/** A target as one text reaches it. A class, for an object that is written down with getters costs two microseconds. */
class Reach implements Destination {
  readonly kind: Target['kind'];
  readonly target: Addr;
  readonly #near: Near;
  constructor(to: Target, near: Near) {
    this.kind = to.kind;
    this.target = to.address;
    this.#near = near;
  }
  get way(): Addr {
    return this.#near.way(this.target);
  }
  get return0(): Addr {
    return this.#near.return0;
  }
  get return(): Addr {
    return this.#near.return;
  }
}

export class Engine {
  readonly #ground: Ground;
  readonly #watch: TrapWatch;
  readonly #options: EngineOptions;
  readonly #machine: ProcessMachine;
  readonly #places = new Map<Addr, Place>();
  readonly #slots = new Map<Addr, BigUint64Array>();
  /** Groups by record, as of the record's list of them: another runtime may add one. */
  readonly #groups = new Map<Addr, { readonly head: bigint; readonly groups: readonly Group[] }>();

  constructor(ground: Ground, watch: TrapWatch, options: EngineOptions) {
    this.#ground = ground;
    this.#watch = watch;
    this.#options = options;
    this.#machine = new ProcessMachine(ground.native);
  }

  groups(record: KeyRecord): readonly Group[] {
    const head = record.word('groups');
    let known = this.#groups.get(record.at);
    if (known?.head !== head) {
      known = { head, groups: record.groups() };
      this.#groups.set(record.at, known);
    }
    return known.groups;
  }

  /** Made at first use: who never writes a text never maps it a second time. */
  place(group: Group): Place {
    const known = this.#places.get(group.start);
    // Another runtime may have mapped the text a second time meanwhile: the kernel then refuses to write it otherwise.
    if (known && (known.text.writer === 'alias' || known.regions === this.#ground.word('regions'))) return known;
    const { native } = this.#ground;
    const { writer, procmem } = this.#options;
    const shared = knownAlias(this.#ground, group.start, group.end) !== null;
    const text =
      writer === 'alias' || procmem === null || shared
        ? aliasText(this.#ground, group.start, group.end)
        : new ProcmemText(this.#ground, procmem, group.start, group.end);
    const place = { text, near: known?.near ?? new Near(native, group.start, group.end), regions: this.#ground.word('regions') };
    this.#places.set(group.start, place);
    this.#machine.addText(text);
    return place;
  }

  destination(group: Group, to: Target): Destination {
    return new Reach(to, this.place(group).near);
  }

  /** The words of a record that nobody had before. Call it with the lock held. */
  initialise(record: KeyRecord, to: Target): void {
    const words = wordsOf(this.destination(this.groups(record)[0]!, to));
    record.setWord('call', words.call);
    record.setWord('tail', words.tail);
    record.setWord('jcc', words.jcc);
    record.setWord('initial', words.call);
  }

  /**
   * Call it with the lock held.
   * @throws Fault `foreign-trap`, `drift`, `store-refused`, `not-inline`, `out-of-reach`, `handler-replaced`, `trap-blocked`,
   *   `shadow-stack`, with nothing changed; `update-failed`, `update-parked`, `update-mixed`, which say how it ended
   */
  apply(wanted: readonly Wanted[], protocol: Protocol, require?: 'inline'): Applied {
    const changes: { record: KeyRecord; from: Target; to: Target }[] = [];
    const keys: KeyChange[] = [];
    const previous: KeyChange[] = [];
    const drawn: { group: Group; drawn: Drawn }[] = [];
    for (const { name, record, to } of wanted) {
      const target = to === ORIGINAL ? targetOf(record.word('initial')) : to;
      const from = targetOf(record.word('call'));
      let reach: Destination | null = null;
      for (const group of this.groups(record)) {
        // Before the sites: that the writer cannot store at all is the better answer than that one site is refused.
        if (protocol.handler === null) this.#checkStore(this.place(group).text);
        const destination = this.destination(group, target);
        reach ??= destination;
        drawn.push({ group, drawn: this.#ground.sweep.survey(name, group.columns, to === ORIGINAL ? null : destination, protocol.accepts, require) });
      }
      if (sameTarget(from, target)) continue;
      changes.push({ record, from, to: target });
      invariant(reach, 'a key has a trampoline');
      const slot = Number(record.word('key')) || null;
      const func = target.kind === 'ret0' ? reach.return0 : target.address;
      keys.push({ record: record.at, words: wordsOf(reach), slot, func });
      previous.push({
        record: record.at,
        words: { call: record.word('call'), tail: record.word('tail'), jcc: record.word('jcc') },
        slot,
        func: slot === null ? 0 : this.#func(slot),
      });
    }
    const sums = { inline: 0, trampoline: 0 };
    const batches: Batch[] = [];
    for (const { drawn: { batch, inline, trampoline } } of drawn) {
      sums.inline += inline;
      sums.trampoline += trampoline;
      if (batch.count > 0) batches.push(batch);
    }
    if (batches.length === 0 && keys.length === 0) return { changes, ...sums, traps: 0 };
    if (protocol.handler !== null) this.#watch.check();
    const traps = (): number => wanted.reduce((n, { record }) => n + record.traps, 0);
    const before = traps();
    const batch = batches.length === 0 ? new Batch(0) : merge(batches);
    batch.keys = keys;
    try {
      transact(protocol, batch, previous, this.#machine, (whole, side) => this.#machine.unlike(whole, side));
    } catch (error) {
      for (const { group } of drawn) this.#mirror(group);
      if (!(error instanceof Unfinished)) throw error;
      const step = protocol.steps[error.step]!;
      throw new Fault(error.end === 'parked' ? 'update-parked' : error.end === 'mixed' ? 'update-mixed' : 'update-failed', `${error.message} (${step.do}: ${step.why})`, {
        cause: error.cause,
        ...(error.end === 'new' ? { hint: 'every site and key has the new target; the cause says which call failed' } : {}),
      });
    }
    for (const { group } of drawn) group.columns.batch.old.set(group.columns.batch.new);
    return { changes, ...sums, traps: traps() - before };
  }

  /** The pointer that C code queries. A view of memory costs a microsecond and the collector more, so it is kept. */
  #func(slot: Addr): Addr {
    let word = this.#slots.get(slot);
    if (!word) this.#slots.set(slot, (word = new BigUint64Array(this.#ground.native.view(slot, 8))));
    return Number(word[0]);
  }

  /** @throws Fault `store-refused` */
  #checkStore(text: Text): void {
    if (this.#options.trustProcmem || text.writer !== 'procmem') return;
    throw new Fault('store-refused', "through /proc/self/mem the store is the kernel's memcpy, which promises no single store", {
      hint: "open with writer 'alias', or accept it by assume: 'procmem-stores-are-atomic'",
    });
  }

  /** What an unfinished update left, read back. */
  #mirror(group: Group): void {
    const { bytes, start } = this.place(group).text;
    const { at, length, old, count } = group.columns.batch;
    for (let i = 0; i < count; i++) for (let b = 0; b < length[i]!; b++) old[8 * i + b] = bytes[at[i]! - start + b]!;
  }

  /** Gives back what only writing needs. */
  close(): void {
    if (this.#options.procmem !== null) closeProcmem(this.#ground.native, this.#options.procmem);
  }
}

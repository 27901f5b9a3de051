// An open program: its keys, and the one way in which their targets change. An update is drawn and validated whole
// under the process's lock, run as one batch, and mirrored in the columns only once it went through.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { didYouMean } from '../base/nearest.js';
import type { ElfObject, SymbolTable } from '../elf/object.js';
import { STT_FUNC } from '../elf/names.js';
import type { EnlistedKey } from '../machine/process/enlist.js';
import type { Ground } from '../machine/process/ground.js';
import type { Loaded } from '../machine/process/loaded.js';
import { Near } from '../machine/process/near.js';
import { ProcessMachine } from '../machine/process/process.js';
import type { Group } from '../machine/process/records.js';
import type { TrapWatch } from '../machine/process/signals.js';
import { aliasText, knownAlias, ProcmemText, type Text, type WriterName } from '../machine/process/text.js';
import { transact, Unfinished } from '../machine/transact.js';
import { Batch, type KeyChange } from '../plan/batch.js';
import { accepts, draw, KINDS, merge, wordsOf, type Destination, type Drawn } from '../plan/draw.js';
import type { Protocol } from '../plan/protocol.js';
import { int3 } from '../plan/protocols/int3.js';
import { store } from '../plan/protocols/store.js';
import { sameTarget, targetOf, Targets, type Target } from './target.js';
import type { App, Drift, Key, Keys, OpenOptions, ProtocolName, SiteReport, Unchecked, Update, UpdateOptions } from './types.js';

export const PROTOCOLS: Readonly<Record<ProtocolName, Protocol>> = { int3, store };

/** @throws Fault `unknown-protocol` */
export function protocolOf(wanted: ProtocolName | Protocol): Protocol {
  if (typeof wanted === 'object') return wanted;
  const protocol = PROTOCOLS[wanted];
  if (!protocol) {
    const hint = didYouMean(wanted, Object.keys(PROTOCOLS));
    throw new Fault('unknown-protocol', `a process runs ${Object.keys(PROTOCOLS).join(' or ')}, not ${String(wanted)}`, hint ? { hint } : {});
  }
  return protocol;
}

interface Place {
  readonly text: Text;
  readonly near: Near;
}
interface KeyState extends EnlistedKey {
  /** Groups as of `head`, the record's list of them: another runtime may have added one. */
  groups: readonly Group[];
  head: bigint;
  /** The last update of ours that changed this key. */
  last: Update | null;
}
interface Change {
  readonly key: KeyState;
  readonly from: Target;
  readonly to: Target;
}

export interface Parts {
  readonly ground: Ground;
  readonly loaded: Loaded;
  readonly watch: TrapWatch;
  readonly procmem: number;
  readonly options: OpenOptions;
}

export class Program<K extends Keys> implements App<K> {
  readonly path: string;
  readonly keys: { readonly [N in keyof K]: Key<K[N]> };
  readonly journal: Update[] = [];
  readonly #ground: Ground;
  readonly #loaded: Loaded;
  readonly #watch: TrapWatch;
  readonly #procmem: number;
  readonly #writer: WriterName;
  readonly #protocol: Protocol;
  readonly #options: OpenOptions;
  readonly #machine: ProcessMachine;
  readonly #targets: Targets;
  readonly #states = new Map<string, KeyState>();
  readonly #places = new Map<Addr, Place>();
  #closed = false;

  /** Call it with the lock held. */
  constructor({ ground, loaded, watch, procmem, options }: Parts, enlisted: readonly EnlistedKey[]) {
    this.path = loaded.path;
    this.#ground = ground;
    this.#loaded = loaded;
    this.#watch = watch;
    this.#procmem = procmem;
    this.#options = options;
    this.#writer = options.writer ?? 'procmem';
    this.#protocol = protocolOf(options.protocol ?? 'int3');
    this.#machine = new ProcessMachine(ground.native);
    this.#targets = new Targets(ground.native, loaded);
    const keys: Record<string, Key<string | null>> = {};
    for (const key of enlisted) {
      this.#states.set(key.def.name, { ...key, groups: [], head: -1n, last: null });
      keys[key.def.name] = this.#key(key);
    }
    this.keys = Object.freeze(keys) as { readonly [N in keyof K]: Key<K[N]> };
    for (const state of this.#states.values()) {
      if (state.fresh) this.#initialise(state);
      state.record.setWord('users', state.record.word('users') + 1n);
    }
  }

  #key({ def, record }: EnlistedKey): Key<string | null> {
    const targets = this.#targets;
    const names: (string | null)[] = def.targets.map((t) => t.name);
    if (def.returns === 'void') names.push(null);
    return {
      name: def.name,
      get target() {
        return targets.name(def, targetOf(record.word('call')));
      },
      targets: names,
      sites: def.sites.length,
    };
  }

  /** The words of a record that nobody had before: what the trampoline does as linked. */
  #initialise(state: KeyState): void {
    const to = this.#initial(state);
    const words = wordsOf(this.#destination(this.#groups(state)[0]!, to));
    state.record.setWord('call', words.call);
    state.record.setWord('tail', words.tail);
    state.record.setWord('jcc', words.jcc);
  }

  #initial(state: KeyState): Target {
    const kind = state.def.initial?.kind ?? 'function';
    if (kind !== 'function') return { kind, address: 0 };
    const name = state.def.initial?.kind === 'function' ? state.def.initial.name : null;
    if (name !== null && state.def.targets.some((t) => t.name === name)) return this.#targets.resolve(state.def, name);
    // Nothing is recorded: the trampoline's jump tells, a rel32 behind e9.
    const bytes = new DataView(this.#ground.native.view(state.trampoline, 8));
    if (bytes.getUint8(0) !== 0xe9) return { kind: 'null', address: 0 };
    return { kind: 'function', address: state.trampoline + 5 + bytes.getInt32(1, true) };
  }

  #groups(state: KeyState): readonly Group[] {
    const head = state.record.word('groups');
    if (head !== state.head) {
      state.groups = state.record.groups();
      state.head = head;
    }
    return state.groups;
  }

  /** The writable text of a group and the code near it, made at first use. */
  #place(group: Group): Place {
    const known = this.#places.get(group.start);
    if (known) return known;
    const { native } = this.#ground;
    const shared = knownAlias(this.#ground, group.start, group.end) !== null;
    const text = this.#writer === 'alias' || shared ? aliasText(this.#ground, group.start, group.end) : new ProcmemText(native, this.#procmem, group.start, group.end);
    const place = { text, near: new Near(native, group.start, group.end) };
    this.#places.set(group.start, place);
    this.#machine.addText(text);
    return place;
  }

  #destination(group: Group, to: Target): Destination {
    const { near } = this.#place(group);
    return {
      kind: to.kind,
      target: to.address,
      get way() {
        return near.way(to.address);
      },
      get return0() {
        return near.return0;
      },
      get return() {
        return near.return;
      },
    };
  }

  update(targets: { readonly [N in keyof K]?: K[N] | Unchecked }, options: UpdateOptions = {}): Update {
    if (this.#closed) throw new Fault('closed', `${this.path} was closed`);
    const protocol = options.protocol === undefined ? this.#protocol : protocolOf(options.protocol);
    const wanted = Object.entries(targets).map(([name, target]): [KeyState, Target] => {
      const state = this.#states.get(name);
      if (!state) {
        const hint = didYouMean(name, this.#states.keys());
        throw new Fault('unknown-key', `${this.path} has no key ${name}`, hint ? { hint } : {});
      }
      return [state, this.#targets.resolve(state.def, target as string | null | Unchecked)];
    });
    return this.#update(wanted, protocol, options.require);
  }

  #update(wanted: readonly (readonly [KeyState, Target])[], protocol: Protocol, require?: 'inline'): Update {
    const began = process.hrtime.bigint();
    const done = this.#ground.locked(() => this.#apply(wanted, protocol, require));
    const ns = Number(process.hrtime.bigint() - began);
    const program = this;
    const update: Update = {
      changes: done.changes.map(({ key, from, to }) => ({ key: key.def.name, from: this.#targets.name(key.def, from), to: this.#targets.name(key.def, to) })),
      inline: done.inline,
      trampoline: done.trampoline,
      traps: done.traps,
      ns,
      undo() {
        const back = done.changes.filter(({ key, to }) => key.last === update && sameTarget(targetOf(key.record.word('call')), to));
        if (back.length > 0 && !program.#closed) program.#update(back.map(({ key, from }) => [key, from] as const), protocol);
      },
      [Symbol.dispose]() {
        this.undo();
      },
    };
    for (const { key } of done.changes) key.last = update;
    this.journal.push(update);
    return update;
  }

  #apply(wanted: readonly (readonly [KeyState, Target | 'original'])[], protocol: Protocol, require?: 'inline'): { changes: Change[]; inline: number; trampoline: number; traps: number } {
    const changes: Change[] = [];
    const keys: KeyChange[] = [];
    const previous: KeyChange[] = [];
    const drawn: { group: Group; drawn: Drawn }[] = [];
    for (const [state, to] of wanted) {
      const { record } = state;
      const target = to === 'original' ? this.#initial(state) : to;
      const from = targetOf(record.word('call'));
      const groups = this.#groups(state);
      for (const group of groups) {
        this.#compare(state, group);
        const destination = to === 'original' ? null : this.#destination(group, target);
        drawn.push({ group, drawn: draw(group.columns, destination, protocol.accepts, require) });
      }
      if (sameTarget(from, target) && to !== 'original') continue;
      changes.push({ key: state, from, to: target });
      const words = wordsOf(this.#destination(groups[0]!, target));
      const slot = record.word('key') === 0n ? null : Number(record.word('key'));
      const func = target.kind === 'ret0' ? this.#place(groups[0]!).near.return0 : target.address;
      keys.push({ record: record.at, words, slot, func });
      previous.push({
        record: record.at,
        words: { call: record.word('call'), tail: record.word('tail'), jcc: record.word('jcc') },
        slot,
        func: slot === null ? 0 : Number(new BigUint64Array(this.#ground.native.view(slot, 8))[0]),
      });
    }
    const batches = drawn.map((d) => d.drawn.batch).filter((b) => b.count > 0);
    const sums = { inline: drawn.reduce((n, d) => n + d.drawn.inline, 0), trampoline: drawn.reduce((n, d) => n + d.drawn.trampoline, 0) };
    if (batches.length === 0 && keys.length === 0) return { changes, ...sums, traps: 0 };
    if (protocol.handler !== null) this.#watch.check();
    else this.#checkStore();
    const traps = (): number => wanted.reduce((n, [{ record }]) => n + record.traps, 0);
    const before = traps();
    const batch = batches.length === 0 ? new Batch(0) : merge(batches);
    batch.keys = keys;
    try {
      transact(protocol, batch, previous, this.#machine, (whole) => this.#written(whole));
    } catch (error) {
      for (const { group } of drawn) this.#mirror(group);
      if (!(error instanceof Unfinished)) throw error;
      const code = error.end === 'parked' ? 'update-parked' : 'update-failed';
      const step = protocol.steps[error.step]!;
      throw new Fault(code, `${error.message} (${step.do}: ${step.why})`, {
        cause: error.cause,
        ...(error.end === 'new' ? { hint: 'every site and key has the new target; the cause says which call failed' } : {}),
      });
    }
    for (const { group } of drawn) group.columns.batch.old.set(group.columns.batch.new);
    return { changes, ...sums, traps: traps() - before };
  }

  /** @throws Fault `store-refused` */
  #checkStore(): void {
    const procmem = [...this.#places.values()].some((p) => p.text.writer === 'procmem');
    if (procmem && this.#options.assume !== 'procmem-stores-are-atomic') {
      throw new Fault('store-refused', 'through /proc/self/mem the store is the kernel\'s memcpy, which promises no single store', {
        hint: "open with writer 'alias', or accept it by assume: 'procmem-stores-are-atomic'",
      });
    }
  }

  /** The text against its mirror. @throws Fault `foreign-trap`, `drift` */
  #compare(state: KeyState, group: Group): void {
    const { bytes, start } = this.#place(group).text;
    const { at, length, old, count } = group.columns.batch;
    for (let i = 0; i < count; i++) {
      const site = at[i]! - start;
      for (let b = 0; b < length[i]!; b++) {
        if (bytes[site + b] === old[8 * i + b]) continue;
        const trapped = b === 0 && bytes[site] === 0xcc;
        throw new Fault(trapped ? 'foreign-trap' : 'drift', `${trapped ? 'a trap that is not ours' : 'other bytes than ours'} on a site of ${state.def.name}`, { at: hex(at[i]!) });
      }
    }
  }

  /** What an unfinished update left, read back. */
  #mirror(group: Group): void {
    const { bytes, start } = this.#place(group).text;
    const { at, length, old, count } = group.columns.batch;
    for (let i = 0; i < count; i++) for (let b = 0; b < length[i]!; b++) old[8 * i + b] = bytes[at[i]! - start + b]!;
  }

  /** The edits of a batch whose new bytes are in the text, the other way round. */
  #written(batch: Batch): Batch {
    const texts = [...this.#places.values()].map((p) => p.text);
    const back = new Batch(batch.count);
    for (let i = 0; i < batch.count; i++) {
      const text = texts.find((t) => batch.at[i]! >= t.start && batch.at[i]! < t.end)!;
      const length = batch.length[i]!;
      let written = true;
      for (let b = 0; written && b < length; b++) written = text.bytes[batch.at[i]! - text.start + b] === batch.new[8 * i + b];
      if (!written) continue;
      const k = back.count++;
      back.at[k] = batch.at[i]!;
      back.length[k] = length;
      back.old.set(batch.new.subarray(8 * i, 8 * i + 8), 8 * k);
      back.new.set(batch.old.subarray(8 * i, 8 * i + 8), 8 * k);
    }
    return back;
  }

  /** Inlines every site to what its key's words say: what opening does last. Call it with the lock held. */
  inline(): void {
    const wanted = [...this.#states.values()].map((state) => [state, targetOf(state.record.word('call'))] as const);
    this.#apply(wanted, this.#protocol);
  }

  sites(key?: keyof K): readonly SiteReport[] {
    const reports: SiteReport[] = [];
    const names = new Functions(this.#loaded.object, this.#loaded.bias);
    for (const state of this.#states.values()) {
      if (key !== undefined && state.def.name !== key) continue;
      for (const group of this.#groups(state)) reports.push(...this.#reports(state, group, names));
    }
    return reports;
  }

  #reports(state: KeyState, group: Group, names: Functions): SiteReport[] {
    const { text } = this.#place(group);
    const { columns } = group;
    const { batch } = columns;
    return Array.from({ length: batch.count }, (_, i) => {
      const [at, length] = [batch.at[i]!, batch.length[i]!];
      const now = text.bytes.subarray(at - group.start, at - group.start + length);
      const original = columns.original.subarray(8 * i, 8 * i + length);
      const trampoline = i === columns.trampoline;
      // A change of function touches the displacement; whether an empty target may follow is told by the whole site.
      const probe = new Batch(1);
      probe.count = 1;
      probe.at[0] = at;
      probe.length[0] = length;
      probe.new.fill(1, 1, 5);
      return {
        key: state.def.name,
        address: BigInt(at),
        where: names.where(at),
        kind: trampoline ? ('trampoline' as const) : KINDS[columns.kind[i]!]!,
        bytes: Buffer.from(now).toString('hex'),
        inline: !trampoline && Buffer.compare(now, original) !== 0,
        protocols: {
          int3: null,
          store: text.writer === 'procmem' && this.#options.assume === undefined ? 'the procmem writer promises no single store' : accepts(store.accepts, probe, 0) ? null : 'the displacement crosses a cache line',
        },
      };
    });
  }

  verify(): readonly Drift[] {
    const drifts: Drift[] = [];
    this.#ground.locked(() => {
      for (const state of this.#states.values()) {
        const target = targetOf(state.record.word('call'));
        for (const group of this.#groups(state)) drifts.push(...this.#drifts(state, group, target));
      }
    });
    return drifts;
  }

  #drifts(state: KeyState, group: Group, target: Target): Drift[] {
    const { columns } = group;
    const { batch } = columns;
    const { bytes } = this.#place(group).text;
    // With nothing refused every site's instruction is drawn; one that stands on its trampoline agrees as well.
    draw(columns, this.#destination(group, target), { bytes: 'whole', within: null });
    const drifts: Drift[] = [];
    for (let i = 0; i < batch.count; i++) {
      const [at, length] = [batch.at[i]!, batch.length[i]!];
      const now = bytes.subarray(at - group.start, at - group.start + length);
      const expected = batch.new.subarray(8 * i, 8 * i + length);
      if (Buffer.compare(now, expected) === 0) continue;
      if (Buffer.compare(now, columns.original.subarray(8 * i, 8 * i + length)) === 0 && i !== columns.trampoline) continue;
      const parked = now[0] === 0xcc && batch.old[8 * i] === 0xcc;
      drifts.push({ key: state.def.name, address: BigInt(at), expected: Buffer.from(expected).toString('hex'), found: Buffer.from(now).toString('hex'), kind: parked ? 'parked' : 'foreign' });
    }
    return drifts;
  }

  /** Counters of the keys' records: calls that the trap handler emulated so far. */
  get traps(): number {
    let sum = 0;
    for (const { record } of this.#states.values()) sum += record.traps;
    return sum;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ground.locked(() => {
      const last = [...this.#states.values()].filter(({ record }) => {
        record.setWord('users', record.word('users') - 1n);
        return record.word('users') === 0n;
      });
      this.#apply(last.map((state) => [state, 'original'] as const), this.#protocol);
    });
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Enclosing functions of addresses, from the file's symbols; sorted once, when a report is asked for. */
class Functions {
  readonly #starts: { at: Addr; size: number; name: string }[] = [];

  constructor(object: ElfObject, bias: Addr) {
    const table: SymbolTable | null = object.symbols ?? object.dynamicSymbols;
    for (let i = 1; table && i < table.count; i++) {
      if (table.type(i) === STT_FUNC && table.defined(i)) this.#starts.push({ at: bias + table.value(i), size: table.size(i), name: table.name(i) });
    }
    this.#starts.sort((a, b) => a.at - b.at);
  }

  where(at: Addr): string {
    let [low, high] = [0, this.#starts.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]!.at <= at) low = middle + 1;
      else high = middle;
    }
    const f = this.#starts[low - 1];
    return f && at < f.at + Math.max(f.size, 1) ? `${f.name}+0x${(at - f.at).toString(16)}` : hex(at);
  }
}

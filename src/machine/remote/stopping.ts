// Changes where keys of a target go while all of its threads stand (hold.ts), for a process that
// can have no trap handler. No thread is borrowed, no system call is made in it, and nothing is
// mapped: bytes at its sites and the words of its keys are written through /proc/PID/mem.
//
// What stands at the sites is all there is to know of a process that has no runtime. Where one is
// in it, its records are written too, so that Node, C and other tools find what they must.

import { hex, PAGE, type Addr } from '../../base/addr.js';
import { INT3 } from '../../asm/table.js';
import { Fault } from '../../base/fault.js';
import { invariant, unreachable } from '../../base/invariant.js';
import type { KeyDef } from '../../keys/key.js';
import type { Batch, KeyChange } from '../../plan/batch.js';
import { KINDS, SiteColumns, wordsOf, type Destination } from '../../plan/draw.js';
import type { Protocol, Step } from '../../plan/protocol.js';
import { ORIGINAL, sameTarget, targetOf, type Target as Goal } from '../../plan/target.js';
import { rowsOf as formsOf } from '../../plan/transform.js';
import { KEY_PREFIX, TRAMPOLINE_PREFIX, type Site, type SiteKind } from '../../sites/site.js';
import { DATA, RECORD } from '../../trap/registry.js';
import { recognise, SITE_FORMS, TRAMPOLINE_LENGTH } from '../../x86/forms.js';
import type { Native } from '../linux/native.js';
import { KeyRecord, recordAt, snapshot, type Group } from '../process/records.js';
import type { SharedData } from '../process/shared-data.js';
import { rowsOf } from '../process/survey.js';
import type { Held } from './borrow.js';
import { checkGroups, sitesNow } from './engine.js';
import { FoundCode } from './found.js';
import { overlaps, type Holder, type Stretch } from './hold.js';
import {
  Drawing,
  type Applied,
  type Asked,
  type Change,
  type Engine,
  type Kept,
} from './keeping.js';
import { symbolIn, type RemoteObject } from './objects.js';
import { pause } from './pause.js';
import { Moved } from './run.js';
import { findRuntime, isNamed, NAME, OWNER_MASK } from './runtime.js';
import { Snapshot } from './snapshot.js';
import { initialOf, standingAt } from './standing.js';
import { checkTables, type Target } from './target.js';

/** How often an update is drawn again because others came first. */
const TRIES = 64;

/** A key, by the place of its trampoline. */
interface Known {
  readonly def: KeyDef;
  readonly home: RemoteObject;
  readonly trampoline: Addr;
  readonly slot: Addr | null;
  readonly initial: Goal;
  readonly groups: Group[];
}

/** The runtime that is in the target, as it was at the last look. */
interface Inside {
  readonly data: Addr;
  readonly words: BigUint64Array;
  readonly shared: SharedData;
}

/** What one update writes. */
interface Plan {
  readonly batches: readonly Batch[];
  readonly keys: readonly KeyChange[];
  readonly groups: readonly Group[];
}

export class StoppingEngine implements Engine {
  readonly #target: Target;
  readonly #holder: Holder;
  readonly #native: Native;
  #known: ReadonlyMap<Addr, Known> = new Map();
  #inside: Inside | null = null;
  #code = new Map<Addr, FoundCode>();
  /** All that updates may write, ascending. */
  #stretches: readonly Stretch[] = [];

  constructor(target: Target, holder: Holder, native: Native) {
    this.#target = target;
    this.#holder = holder;
    this.#native = native;
  }

  get held(): Held | null {
    return this.#holder.held;
  }

  /** No trap is planted: it does not matter who blocks SIGTRAP. */
  look(): void {}
  leave(): void {}

  counter(): never {
    throw new Fault(
      'bad-option',
      'protocol stop adds no code to a process, and counting calls does',
      {
        hint: 'count by the default protocol',
      },
    );
  }

  /** @throws Fault `no-trampoline`, `bad-site`, `unknown-target` */
  register(objects: readonly RemoteObject[]): Kept[] {
    const known = new Map<Addr, Known>();
    const kept = objects.flatMap((home) =>
      home.keys.map((def): Kept => {
        const at =
          def.trampoline === null
            ? symbolIn(objects, TRAMPOLINE_PREFIX + def.name)
            : home.bias + def.trampoline;
        if (at === 0)
          throw new Fault(
            'no-trampoline',
            `no loaded object defines ${TRAMPOLINE_PREFIX}${def.name}`,
            {
              at: home.path,
            },
          );
        const before = known.get(at);
        // The object that defines a key knows more of it than one that calls it.
        if (!before || (before.def.trampoline === null && def.trampoline !== null))
          known.set(at, { ...this.#keyAt(objects, home, def, at), groups: before?.groups ?? [] });
        known.get(at)?.groups.push(...groupsOf(home, def));
        return { def, record: { at } };
      }),
    );
    this.#known = known;
    this.#stretches = [...known.values()]
      .flatMap(({ groups }) => groups.flatMap(({ columns }) => stretchesOf(columns.batch)))
      .sort((a, b) => a.at - b.at);
    this.refresh();
    return kept;
  }

  #keyAt(
    objects: readonly RemoteObject[],
    home: RemoteObject,
    def: KeyDef,
    trampoline: Addr,
  ): Omit<Known, 'groups'> {
    const slot =
      def.address === null ? symbolIn(objects, KEY_PREFIX + def.name) : home.bias + def.address;
    const bytes =
      def.trampoline === null ? null : inFile(home, def.trampoline, TRAMPOLINE_LENGTH, def.name);
    const initial = initialOf(
      this.#target,
      home,
      def,
      bytes === null ? null : { at: trampoline, bytes },
    );
    return { def, home, trampoline, slot: slot === 0 ? null : slot, initial };
  }

  refresh(): void {
    const maps = this.#target.maps();
    this.#code.clear();
    this.#inside = this.#enter(findRuntime(this.#target, maps));
    // What no record describes is read where it stands.
    for (const [key, { groups, def }] of this.#known)
      if (this.#record(key) === null)
        for (const { columns } of groups) this.#read(columns, def.name);
  }

  #enter(code: Addr | null): Inside | null {
    if (code === null) return null;
    const data = code + PAGE;
    const epoch = this.#target.word(data + DATA.epoch);
    const words = new BigUint64Array(this.#target.read(data, DATA.size).buffer);
    words[DATA.epoch / 8] = epoch ?? 0n;
    checkTables(this.#target, Number(words[DATA.tables / 8]));
    const copies = new Snapshot(this.#target);
    const shared: SharedData = {
      native: { ...this.#native, view: (at, length) => copies.view(at, length) },
      word: (name) => words[DATA[name] / 8] ?? 0n,
      setWord: () => {},
      allocate: () => 0,
    };
    return { data, words, shared };
  }

  #read({ batch, kind, original }: SiteColumns, name: string): void {
    batch.old.set(sitesNow(this.#target, batch));
    for (let i = 0; i < batch.count; i++) {
      const bytes = batch.old.subarray(8 * i, 8 * i + batch.lengthAt(i));
      const form = recognise(bytes, batch.address(i))?.form.name;
      const rows = Object.values(formsOf(KINDS[kind[i] ?? 0] ?? 'call'));
      if (rows.some(({ forms }) => forms[batch.lengthAt(i)] === form)) continue;
      if (bytes.every((byte, b) => byte === original[8 * i + b])) continue;
      const trap = bytes[0] === INT3;
      throw new Fault(
        trap ? 'foreign-trap' : 'drift',
        `${trap ? 'a trap that is not ours' : 'other bytes than ours'} on a site of ${name}`,
        { at: hex(batch.address(i)) },
      );
    }
  }

  #key(record: Addr): Known {
    const known = this.#known.get(record);
    invariant(known !== undefined, 'a key was registered');
    return known;
  }

  /** What the runtime in the target knows of a key. */
  #record(key: Addr): KeyRecord | null {
    if (this.#inside === null) return null;
    const at = recordAt(this.#inside.shared, key);
    if (at === null) return null;
    checkGroups(this.#target, at);
    return new KeyRecord(this.#inside.shared, at);
  }

  now(key: Addr): Goal {
    const record = this.#record(key);
    if (record !== null) return targetOf(record.held('call'));
    const { home, def, trampoline } = this.#key(key);
    return standingAt(this.#target, home, def, trampoline);
  }

  initial(key: Addr): Goal {
    const record = this.#record(key);
    return record === null ? this.#key(key).initial : targetOf(record.held('initial'));
  }

  groups(key: Addr): readonly Group[] {
    return this.#record(key)?.groups() ?? this.#key(key).groups;
  }

  destination(group: Group, to: Goal): Destination {
    const code = (): FoundCode => this.#codeNear(group);
    return {
      kind: to.kind,
      target: to.address,
      get way() {
        return code().way(to.address);
      },
      get return0() {
        return code().return0;
      },
      get return() {
        return code().return;
      },
    };
  }

  #codeNear({ start, end }: Group): FoundCode {
    let code = this.#code.get(start);
    if (code) return code;
    const isWritten = (at: Addr, length: number): boolean => overlaps(at, length, this.#stretches);
    code = new FoundCode(this.#target, this.#target.maps(), { start, end }, isWritten);
    this.#code.set(start, code);
    return code;
  }

  /** @throws Fault `busy`, `foreign-trap`, `drift`, `out-of-reach`, and what holding throws */
  apply<A extends Asked>(asked: readonly A[], protocol: Protocol, require?: 'inline'): Applied<A> {
    for (let tries = 0; tries < TRIES; tries++) {
      this.refresh();
      try {
        return this.#apply(asked, protocol, require);
      } catch (error) {
        if (!(error instanceof Moved)) throw error;
        pause(0.2 + Math.random());
      }
    }
    throw new Fault('busy', 'other updates of the process come in between, one after the other', {
      hint: 'try again when they have ended',
    });
  }

  #apply<A extends Asked>(asked: readonly A[], protocol: Protocol, require?: 'inline'): Applied<A> {
    const changes: Change<A>[] = [];
    const keys: KeyChange[] = [];
    const drawing = new Drawing();
    for (const each of asked) {
      const [from, initial] = [this.now(each.record), this.initial(each.record)];
      const to = each.to === ORIGINAL ? initial : each.to;
      const own = this.groups(each.record);
      for (const group of own) {
        if (this.#record(each.record) !== null) this.#checkMirror(each.name, group);
        const way = each.to === ORIGINAL ? null : this.destination(group, to);
        drawing.add(group, way, protocol, require);
      }
      const [first] = own;
      if (!first) continue;
      if (!sameTarget(from, to)) changes.push({ asked: each, from, to });
      const change = this.#keyChange(each.record, to, this.destination(first, to));
      if (change !== null) keys.push(change);
    }
    const { batches, groups, inline, trampoline } = drawing;
    if (batches.length > 0 || keys.length > 0) this.#perform(protocol, { batches, keys, groups });
    return { changes, inline, trampoline, traps: 0, ways: NONE, again: null };
  }

  /** null where its words say so already. */
  #keyChange(key: Addr, to: Goal, destination: Destination): KeyChange | null {
    const record = this.#record(key);
    const { slot } = this.#key(key);
    const func = to.kind === 'ret0' ? destination.return0 : to.address;
    if (record === null) {
      if (slot === null || Number(this.#target.word(slot)) === func) return null;
      return { record: 0, words: { call: 0, tail: 0, jcc: 0 }, slot, func };
    }
    const words = wordsOf(destination);
    const same = (['call', 'tail', 'jcc'] as const).every((n) => record.held(n) === words[n]);
    const queried = Number(record.word('key')) || slot;
    if (same && (queried === null || Number(this.#target.word(queried)) === func)) return null;
    return { record: record.at, words, slot: queried, func };
  }

  /** What stands at the sites must be what the runtime's columns say, unless an update ended early. */
  #checkMirror(name: string, { columns }: Group): void {
    const { batch } = columns;
    const bytes = sitesNow(this.#target, batch);
    const at = (i: number): Uint8Array => bytes.subarray(8 * i, 8 * i + batch.lengthAt(i));
    if (this.#inside?.words[DATA.stale / 8] !== 0n) snapshot(columns, at, true);
    for (let i = 0; i < batch.count; i++) {
      const old = batch.old.subarray(8 * i, 8 * i + batch.lengthAt(i));
      if (Buffer.compare(at(i), old) === 0) continue;
      if (this.#moved()) throw new Moved();
      const trap = at(i)[0] === INT3;
      throw new Fault(
        trap ? 'foreign-trap' : 'drift',
        `${trap ? 'a trap that is not ours' : 'other bytes than ours'} on a site of ${name}`,
        { at: hex(batch.address(i)) },
      );
    }
  }

  /** Whether anything was changed since the last look, or is being changed by a thread. */
  #moved(): boolean {
    const { data, words } = this.#inside ?? {};
    if (data === undefined || words === undefined)
      return this.#target.maps().some((map) => isNamed(map, NAME));
    const lock = this.#target.word(data + DATA.lock) ?? 0n;
    return (
      (lock & OWNER_MASK) !== 0n || this.#target.word(data + DATA.epoch) !== words[DATA.epoch / 8]
    );
  }

  /** @throws Moved where what was drawn is outdated */
  #perform({ steps }: Protocol, plan: Plan): void {
    const [first, last] = [steps[0], steps.at(-1)];
    invariant(first?.do === 'stop' && last?.do === 'release' && last.serialise, 'it stops all');
    const stretches = plan.batches.flatMap(stretchesOf).sort((a, b) => a.at - b.at);
    this.#holder.while(stretches, () => {
      for (const { columns } of plan.groups)
        if (!isAsDrawn(this.#target, columns.batch)) throw new Moved();
      if (this.#moved()) throw new Moved();
      const writes = new Writes(this.#target, (step) => this.#holder.at(step));
      try {
        this.#begin(writes, plan);
        for (const step of steps.slice(1, -1)) write(writes, step, plan);
        this.#end(writes, plan);
      } catch (error) {
        writes.takeBack(error);
        throw error;
      }
    });
  }

  /** If the tool is killed, the next reads back what stands there: bytes of before or of now. */
  #begin(writes: Writes, { groups }: Plan): void {
    if (this.#inside === null) return;
    writes.word(this.#inside.data + DATA.stale, 1);
    for (const { at, columns } of groups) {
      if (at === 0) continue;
      // What an update that ended early left was read back, and is not in the columns yet.
      writes.bytes(at + columns.batch.old.byteOffset, columns.batch.old);
      writes.bytes(at + columns.batch.new.byteOffset, columns.batch.new);
    }
  }

  #end(writes: Writes, { groups }: Plan): void {
    if (this.#inside === null) return;
    const { data, words } = this.#inside;
    for (const { at, columns } of groups)
      if (at !== 0) writes.bytes(at + columns.batch.old.byteOffset, columns.batch.new);
    writes.word(data + DATA.epoch, Number(words[DATA.epoch / 8]) + 1);
    writes.word(data + DATA.stale, Number(words[DATA.stale / 8]));
  }
}

const NONE = { byte: 0, store: 0, behind: 0, trap: 0 } as const;

/** A step between the stop and the release. */
function write(writes: Writes, step: Step, { batches, keys }: Plan): void {
  switch (step.do) {
    case 'publish':
      for (const { slot, func, record, words } of keys) {
        if (slot !== null) writes.word(slot, func);
        if (record === 0) continue;
        writes.word(record + RECORD.call, words.call);
        writes.word(record + RECORD.tail, words.tail);
        writes.word(record + RECORD.jcc, words.jcc);
      }
      return;
    case 'store':
      invariant(step.part === 'whole' && step.bytes === 'new', 'a site is written whole');
      for (const batch of batches) writes.batch(batch);
      return;
    case 'stop':
    case 'release':
    case 'write':
    case 'sync':
    case 'grace':
    case 'emit':
    case 'retire':
    case 'store-head':
    case 'store-tail':
    case 'restore-head':
    case 'count':
    case 'await':
    case 'exchange':
    case 'retry':
      return invariant(false, `while all threads stand there is no step ${step.do}`);
    default:
      unreachable(step);
  }
}

/** What is written while all threads stand, with what was there. */
class Writes {
  readonly #target: Target;
  readonly #at: (step: string) => void;
  readonly #before: { readonly at: Addr; readonly bytes: Uint8Array }[] = [];

  constructor(target: Target, at: (step: string) => void) {
    this.#target = target;
    this.#at = at;
  }

  bytes(at: Addr, bytes: Uint8Array): void {
    const before = this.#target.read(at, bytes.length);
    if (Buffer.compare(before, bytes) === 0) return;
    this.#before.push({ at, bytes: before });
    this.#target.write(at, bytes);
    this.#at('written');
  }

  word(at: Addr, value: number): void {
    this.bytes(at, new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  /**
   * Sites of a page by one write. The kernel copies page by page, and a tool that is killed writes
   * no further page: a site is written half only where it lies on two.
   */
  batch(batch: Batch): void {
    const page = (at: Addr): number => Math.floor(at / PAGE);
    const endOf = (i: number): Addr => batch.address(i) + batch.lengthAt(i);
    for (let from = 0, to = 0; from < batch.count; from = to) {
      const start = batch.address(from);
      const end = endOf(from) - 1;
      for (to = from + 1; to < batch.count; to++)
        if (page(end) !== page(start) || page(endOf(to) - 1) !== page(start)) break;
      const text = this.#target.read(start, endOf(to - 1) - start);
      for (let i = from; i < to; i++)
        text.set(batch.new.subarray(8 * i, 8 * i + batch.lengthAt(i)), batch.address(i) - start);
      this.bytes(start, text);
    }
  }

  /** Before any thread goes on. @throws Fault `update-mixed` */
  takeBack(cause: unknown): void {
    try {
      for (const { at, bytes } of this.#before.toReversed()) this.#target.write(at, bytes);
    } catch {
      if (!this.#target.alive) throw cause;
      throw new Fault('update-mixed', 'the text cannot be written any more', { cause });
    }
  }
}

const stretchesOf = (batch: Batch): Stretch[] =>
  Array.from({ length: batch.count }, (_, i) => ({
    at: batch.address(i),
    length: batch.lengthAt(i),
  }));

function isAsDrawn(target: Target, batch: Batch): boolean {
  const now = sitesNow(target, batch);
  for (let i = 0; i < batch.count; i++)
    for (let b = 8 * i; b < 8 * i + batch.lengthAt(i); b++)
      if (now[b] !== batch.old[b]) return false;
  return true;
}

/** Bytes of the file. @throws Fault `bad-site` */
function inFile({ object, path }: RemoteObject, at: Addr, length: number, key: string): Uint8Array {
  const offset = object.fileOffset(at);
  if (offset >= 0) return object.bytes.slice(offset, offset + length);
  throw new Fault('bad-site', `a site of ${key} is in no segment of ${path}`, { at: hex(at) });
}

/** The sites of a key in one object, and its trampoline if it lies there, by text. */
function groupsOf(home: RemoteObject, def: KeyDef): Group[] {
  const { name, sites, trampoline } = def;
  const rows: { readonly site: Pick<Site<SiteKind>, 'at' | 'length' | 'kind' | 'condition'> }[] = [
    ...sites.map((site) => ({ site })),
    ...(trampoline === null
      ? []
      : [
          {
            site: {
              at: trampoline,
              length: SITE_FORMS.jmp.length,
              kind: 'jmp' as const,
              condition: 0,
            },
          },
        ]),
  ].sort((a, b) => a.site.at - b.site.at);
  return home.texts.flatMap(({ start, end }) => {
    const own = rows.filter(
      ({ site }) => home.bias + site.at >= start && home.bias + site.at < end,
    );
    if (own.length === 0) return [];
    const at = own.findIndex(({ site }) => site.at === trampoline);
    const columns = new SiteColumns(own.length, at);
    for (const [i, { site }] of own.entries()) {
      columns.batch.at[i] = home.bias + site.at;
      columns.batch.length[i] = site.length;
      columns.kind[i] = KINDS.indexOf(site.kind);
      columns.condition[i] = site.condition;
      columns.original.set(inFile(home, site.at, site.length, name), 8 * i);
    }
    return [{ at: 0, start, end, columns, rows: rowsOf(columns) }];
  });
}

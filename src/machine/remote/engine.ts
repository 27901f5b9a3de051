// Takes charge of a target's keys and changes where they go. An update reads what stands there,
// draws it as any update is drawn (plan/draw.ts), and hands protocol, transaction and stores of
// this process to a thread of that one: only what performs a script is another.

import { INT3 } from '../../asm/table.js';
import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import type { KeyDef } from '../../keys/key.js';
import { SiteColumns, codeOf, wordsOf, type Destination } from '../../plan/draw.js';
import { KeyChanges, type Batch, type KeyChange } from '../../plan/batch.js';
import type { Acceptance, Protocol } from '../../plan/protocol.js';
import type { WayCounts } from '../../plan/ways.js';
import { ORIGINAL, sameTarget, targetOf, type Target as Goal } from '../../plan/target.js';
import { GROUP, RECORD, TABLE, SLOT } from '../../trap/registry.js';
import { TRAMPOLINE_LENGTH } from '../../x86/forms.js';
import type { Native } from '../linux/native.js';
import { KeyRecord, recordAt, snapshot, type Group } from '../process/records.js';
import { registerSites, type EnlistedKey, type Registry } from '../process/register.js';
import { Script } from '../process/script.js';
import { again } from './again.js';
import type { Held } from './borrow.js';
import type { Piece } from './door.js';
import { prepareHandler } from './handler.js';
import { Drawing, type Applied, type Asked, type Change, type Engine } from './keeping.js';
import { checkMasks } from './masks.js';
import { NearCode } from './near.js';
import { symbolIn, type RemoteObject } from './objects.js';
import { pause } from './pause.js';
import { Locked, Moved, Outgrown, Run } from './run.js';
import type { RemoteRuntime, Room } from './runtime.js';
import { initialOf } from './standing.js';
import { performed, written, type Mirrored } from './updating.js';
import { checkTables, lies, LONGEST_LIST, MOST_SITES, type Target } from './target.js';

const NONE: WayCounts = { byte: 0, store: 0, behind: 0, trap: 0 };

/** How often an update is drawn again because others came first. */
const TRIES = 64;
const PATIENCE_MS = 10_000;

/** How old a look at the threads may be, ms. */
const LOOK_AGAIN_MS = 100;

export class RemoteEngine implements Engine {
  readonly #runtime: RemoteRuntime;
  readonly #native: Native;
  /** What reads records out of the copies. */
  readonly #copies: Registry;
  /** Records of copies that are not forgotten. */
  #records = { generation: -1, of: new Map<Addr, KeyRecord>() };
  readonly #near = new Map<Addr, NearCode>();
  #nearEpoch: bigint = -1n;
  #lookedAt: number = -Infinity;

  /** @param native of this process: what is not of the target's memory is its */
  constructor(runtime: RemoteRuntime, native: Native) {
    this.#runtime = runtime;
    this.#native = native;
    const { snapshot: copies, target } = runtime;
    this.#copies = runtime.registry({
      ...native,
      view: (at, length) => copies.view(at, length),
      read: (at, length) => target.read(at, length),
    });
  }

  /** The record of a key, as it was at the last look. */
  record(at: Addr): KeyRecord {
    const { generation } = this.#runtime.snapshot;
    if (this.#records.generation !== generation) this.#records = { generation, of: new Map() };
    const { of } = this.#records;
    let record = of.get(at);
    if (!record) of.set(at, (record = new KeyRecord(this.#copies, at)));
    return record;
  }

  now(record: Addr): Goal {
    return targetOf(Number(this.record(record).word('call')));
  }
  initial(record: Addr): Goal {
    return targetOf(Number(this.record(record).word('initial')));
  }

  groups(record: Addr): readonly Group[] {
    const { target, snapshot: copies } = this.#runtime;
    if (!copies.checked.has(record)) checkGroups(target, record);
    copies.checked.add(record);
    return this.record(record).groups();
  }

  get held(): Held | null {
    return this.#runtime.borrower.held;
  }
  leave(): void {
    this.#runtime.leave();
  }

  /** As of a process of one's own: reading /proc costs more than an update. */
  look(): void {
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_AGAIN_MS) return;
    checkMasks(this.#runtime.target, Number(this.#runtime.word('inspector')));
    this.#lookedAt = now;
  }

  /** Looks again. */
  refresh(): void {
    this.#runtime.refresh();
    if (this.#runtime.word('epoch') === this.#nearEpoch) return;
    for (const near of this.#near.values()) near.forget();
    this.#nearEpoch = this.#runtime.word('epoch');
  }

  forget(): void {
    this.#runtime.snapshot.forget();
    for (const near of this.#near.values()) near.forget();
  }

  isAt({ count, record, ...words }: KeyChanges): boolean {
    for (let k = 0; k < count; k++) {
      const now = this.record(record[k]!);
      if (WORDS.some((name) => now.held(name) !== words[name][k])) return false;
      if (now.held('key') !== words.slot[k]) return false;
    }
    return true;
  }

  near({ start, end }: Pick<Group, 'start' | 'end'>): NearCode {
    let near = this.#near.get(start);
    if (!near) this.#near.set(start, (near = new NearCode(this.#runtime, start, end)));
    return near;
  }

  destination(group: Group, to: Goal): Destination {
    const near = this.near(group);
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

  /**
   * Does something that others may come in between of: it is tried again with another look.
   * @throws Fault `busy`
   */
  #trying<T>(body: () => T): T {
    const began = performance.now();
    for (let tries = 0; ;) {
      this.refresh();
      try {
        if (this.#runtime.locked) throw new Locked();
        return body();
      } catch (error) {
        this.forget();
        if (error instanceof Outgrown) this.#runtime.grow(error.size);
        else if (error instanceof Locked) pause(0.2);
        else if (!(error instanceof Moved)) throw error;
        else tries++;
        if (tries > TRIES || performance.now() - began > PATIENCE_MS)
          throw new Fault(
            'busy',
            'other updates of the process come in between, one after the other',
            { hint: 'try again when they have ended' },
          );
      }
    }
  }

  /** What updates need, once for a process. @throws Fault as `prepareHandler` does */
  prepare(caught: bigint): void {
    prepareHandler(this.#runtime, (once) => this.#trying(once), caught);
  }

  /**
   * Makes keys and sites known to the target's handler; those that are known already are found.
   * @throws Fault as `registerSites` does
   */
  register(objects: readonly RemoteObject[]): EnlistedKey[] {
    const registered = objects.map((object) => this.#register(objects, object));
    const fresh = new Map<Addr, { readonly home: RemoteObject; readonly key: EnlistedKey }>();
    for (const [i, home] of objects.entries())
      for (const key of registered[i] ?? []) {
        const { at } = key.record;
        const known = fresh.get(at);
        // The object that defines a key knows more of it than one that calls it.
        if (key.fresh && (!known || known.key.def.trampoline === null))
          fresh.set(at, { home, key });
      }
    const { target } = this.#runtime;
    for (const [record, { home, key }] of fresh) {
      const at = key.trampoline;
      const linked = at === null ? null : { at, bytes: target.read(at, TRAMPOLINE_LENGTH) };
      this.#initialise(record, initialOf(target, home, key.def, linked));
    }
    return registered.flat();
  }

  #register(objects: readonly RemoteObject[], object: RemoteObject): EnlistedKey[] {
    let room: Room | null = null;
    return this.#trying(() => {
      const { target, snapshot: copies } = this.#runtime;
      checkTables(target, Number(this.#runtime.word('tables')));
      const fresh = object.keys.some((key) => !this.#isKnown(object, key));
      if (fresh) {
        room ??= this.#runtime.makeRoom(needed(object));
        // An attempt that came to nothing may have written there.
        target.write(room.at, new Uint8Array(room.size));
        copies.giveOut(room.at, room.size);
      }
      return registerSites(this.#registry(objects, fresh), object, object.keys);
    });
  }

  #isKnown(object: RemoteObject, { trampoline, sites }: KeyDef): boolean {
    const [first] = sites;
    return [trampoline, first?.at ?? null].every(
      (at) => at === null || recordAt(this.#copies, object.bias + at) !== null,
    );
  }

  /** What is written to it reaches the target by one run, in front of what links it. */
  #registry(objects: readonly RemoteObject[], fresh: boolean): Registry {
    const copies = this.#runtime.snapshot;
    const run = new Run(this.#runtime);
    return this.#runtime.registry({
      ...this.#native,
      view: (at, length) => copies.view(at, length),
      symbol: (_, name) => symbolIn(objects, name),
      addressOf: (buffer) => run.addressOf(buffer),
      procedure: () => (header) => {
        const words = copies.settle();
        if (!fresh && words.length === 0) return -1;
        for (const { at, value } of words) run.begin.word(at, value);
        run.counts();
        return run.procedure()(header);
      },
    });
  }

  /** The words of a record that is new. */
  #initialise(record: Addr, to: Goal): void {
    this.#trying(() => {
      if (this.record(record).word('call') !== 0n) return;
      const [group] = this.groups(record);
      invariant(group !== undefined, 'a record has a group for its trampoline');
      const words = wordsOf(this.destination(group, to));
      const run = new Run(this.#runtime);
      run.adds(this.#added);
      const script = new Script(run, this.#runtime.routines);
      script.word(record + RECORD.tail, words.tail);
      script.word(record + RECORD.jcc, words.jcc);
      script.word(record + RECORD.initial, words.call);
      script.word(record + RECORD.call, words.call);
      run.counts();
      script.perform();
    });
  }

  /** Code that was added near texts. */
  get #added(): NearCode['added'] {
    return [...this.#near.values()].flatMap(({ added }) => added);
  }

  /** Code that counts the calls of a key in its record and goes on to a target. */
  counter(record: Addr, to: Goal): Addr {
    return this.#trying(() => {
      const [group] = this.groups(record);
      invariant(group !== undefined, 'a record of a call has a group for its trampoline');
      const near = this.near(group);
      const at = near.counter(record + RECORD.calls, codeOf(this.destination(group, to)));
      if (near.added.length === 0) return at;
      const run = new Run(this.#runtime);
      run.adds(this.#added);
      run.counts();
      new Script(run, this.#runtime.routines).perform();
      return at;
    });
  }

  /**
   * @throws Fault `foreign-trap`, `drift`, `not-inline`, `out-of-reach`, `busy`, with nothing
   *   changed;
   *   `update-failed`, `update-parked`
   */
  apply<A extends Asked>(
    asked: readonly A[],
    protocol: Protocol,
    require?: 'inline',
    pieces: readonly Piece[] | null = null,
  ): Applied<A> {
    return this.#trying(() => this.#apply(asked, protocol, require, pieces));
  }

  #apply<A extends Asked>(
    asked: readonly A[],
    protocol: Protocol,
    require: 'inline' | undefined,
    pieces: readonly Piece[] | null,
  ): Applied<A> {
    const stale = this.#runtime.word('stale') !== 0n;
    const changes: Change<A>[] = [];
    const [keys, previous]: [KeyChange[], KeyChange[]] = [[], []];
    const drawing = new Drawing();
    for (const each of asked) {
      const record = this.record(each.record);
      const from = targetOf(record.held('call'));
      const to = each.to === ORIGINAL ? targetOf(record.held('initial')) : each.to;
      const own = this.groups(each.record);
      for (const group of own) {
        checkText(this.#runtime, each.name, group, stale);
        const way = each.to === ORIGINAL ? null : this.destination(group, to);
        drawing.add(group, way, protocol, require);
      }
      const [first] = own;
      if (!first || sameTarget(from, to)) continue;
      const destination = this.destination(first, to);
      changes.push({ asked: each, from, to });
      keys.push(keyChange(record, wordsOf(destination), to, destination));
      previous.push(this.#before(record));
    }
    const { batches, groups, inline, trampoline } = drawing;
    if (batches.length === 0 && keys.length === 0)
      return { changes, inline, trampoline, traps: 0, ways: NONE, again: null };
    const { target } = this.#runtime;
    const before = emulated(target, asked);
    const edits = { batches, keys: KeyChanges.of(keys) };
    const what = { protocol, edits, previous: KeyChanges.of(previous), groups };
    const kept =
      pieces === null || keys.length !== 1
        ? null
        : again(
            this.#native,
            this.#runtime,
            this,
            { ...what, record: edits.keys.record[0] ?? 0 },
            pieces,
          );
    const mirrored = groups.map((group) => ({ group, drawn: group.columns.batch.new }));
    const { machine } = written(this.#runtime, mirrored, this.#added);
    performed(this.#runtime, protocol, edits, what.previous, machine);
    this.keep(edits.keys, mirrored);
    const ways = { ...NONE, trap: batches.reduce((sum, { count }) => sum + count, 0) };
    return {
      changes,
      inline,
      trampoline,
      traps: emulated(target, asked) - before,
      ways,
      again: kept,
    };
  }

  /** An update is done, and nothing else was since the last look: what is known stays known. */
  keep(keys: KeyChanges, mirrored: readonly Mirrored[]): void {
    const { snapshot: copies } = this.#runtime;
    for (const { group, drawn } of mirrored) {
      group.columns.batch.old.set(drawn);
      copies.accept(group.at, SiteColumns.size(group.columns.batch.count));
    }
    for (let k = 0; k < keys.count; k++) {
      const record = this.record(keys.record[k]!);
      for (const name of WORDS) record.setWord(name, BigInt(keys[name][k]!));
      copies.accept(record.at, RECORD.size);
    }
    for (const near of this.#near.values()) near.written();
    this.#runtime.advance();
    this.#nearEpoch = this.#runtime.word('epoch');
  }

  #before(record: KeyRecord): KeyChange {
    const slot = record.held('key') || null;
    return {
      record: record.at,
      words: { call: record.held('call'), tail: record.held('tail'), jcc: record.held('jcc') },
      slot,
      func: slot === null ? 0 : Number(this.#runtime.target.word(slot) ?? 0n),
    };
  }
}

const WORDS = ['call', 'tail', 'jcc'] as const;

/** What stands at the sites must be what the columns say. */
function checkText(runtime: RemoteRuntime, name: string, { columns }: Group, stale: boolean): void {
  const { batch } = columns;
  const bytes = sitesNow(runtime.target, batch);
  // A run that did not come to its end: what it left is read back.
  if (stale) snapshot(columns, (i) => bytes.subarray(8 * i, 8 * i + batch.lengthAt(i)), true);
  for (let i = 0; i < batch.count; i++) {
    for (let b = 0; b < batch.lengthAt(i); b++) {
      if (bytes[8 * i + b] === batch.old[8 * i + b]) continue;
      const trap = b === 0 && bytes[8 * i] === INT3;
      // Another update, which is under way or was while this one looked.
      if (runtime.moved) throw new Moved();
      throw new Fault(
        trap ? 'foreign-trap' : 'drift',
        `${trap ? 'a trap that is not ours' : 'other bytes than ours'} on a site of ${name}`,
        { at: hex(batch.address(i)) },
      );
    }
  }
}

function keyChange(
  record: KeyRecord,
  words: KeyChange['words'],
  to: Goal,
  destination: Destination,
): KeyChange {
  return {
    record: record.at,
    words,
    slot: record.held('key') || null,
    func: to.kind === 'ret0' ? destination.return0 : to.address,
  };
}

/** Calls that were emulated, now. */
const emulated = (target: Target, asked: readonly Asked[]): number =>
  asked.reduce((sum, { record }) => sum + Number(target.word(record + RECORD.traps)), 0);

/** Sites that are no further apart are read together. */
const NEIGHBOURS = 4096;

/**
 * What stands at the sites, eight bytes for each. The text between the sites and the trampoline,
 * which lies behind all code of the object, is not read: it may be megabytes.
 */
export function sitesNow(target: Target, batch: Batch): Uint8Array {
  const bytes = new Uint8Array(8 * batch.count);
  const endOf = (i: number): Addr => batch.address(i) + batch.lengthAt(i);
  for (let from = 0, to = 0; from < batch.count; from = to) {
    const start = batch.address(from);
    for (to = from + 1; to < batch.count; to++) {
      const apart = batch.address(to) - endOf(to - 1);
      if (apart < 0 || apart > NEIGHBOURS) break;
    }
    const run = target.read(start, endOf(to - 1) - start);
    for (let i = from; i < to; i++) {
      const at = batch.address(i) - start;
      bytes.set(run.subarray(at, at + batch.lengthAt(i)), 8 * i);
    }
  }
  return bytes;
}

/** Draws every site's instruction, whatever a protocol can put there. */
export const ANY_SITE: Acceptance = { bytes: 'whole', within: null };

/** Bytes of records, groups and tables of an object, at most. */
function needed({ keys }: RemoteObject): number {
  const sites = keys.reduce((sum, key) => sum + key.sites.length + 1, 0);
  const each = RECORD.size + 3 * (GROUP.columns + 8);
  return (
    keys.length * (each + RECORD.size) +
    SiteColumns.size(sites) +
    sites * SLOT.size +
    TABLE.slots +
    4096
  );
}

/** A list of groups that the target may have made up. @throws Fault `other-runtime` */
export function checkGroups(target: Target, record: Addr): void {
  let groups = 0;
  for (let at = Number(target.word(record + RECORD.groups) ?? 0n); at !== 0; groups++) {
    const count = Number(target.word(at + GROUP.count) ?? 0n);
    if (groups > LONGEST_LIST || count < 1 || count > MOST_SITES)
      throw lies(groups > LONGEST_LIST ? 'a list without an end' : `${count} sites of a key`);
    at = Number(target.word(at + GROUP.next) ?? 0n);
  }
}

// Keys and sites as the runtime holds them: a record for each key, its sites in groups (one for
// each object that has some), and the tables by which the trap handler gets from a site to its
// record. All of it is shared by every runtime of the process, so an update of a key reaches all of
// its sites, those of objects that another runtime opened too.

import { INT3 } from '../../asm/table.js';
import type { Addr } from '../../base/addr.js';
import { SiteColumns } from '../../plan/draw.js';
import {
  encodeColumns,
  GROUP,
  RECORD,
  SLOT,
  TABLE,
  type SlotColumns,
} from '../../trap/registry.js';
import type { SharedData } from './shared-data.js';
import type { Surveyed } from './site-row.js';
import { rowsOf } from './survey.js';

const LOW48 = (1n << 48n) - 1n;

export interface Group extends Surveyed {
  /** The text that they lie in. */
  readonly start: Addr;
  readonly end: Addr;
}

class Listed implements Group {
  readonly at: Addr;
  readonly start: Addr;
  readonly end: Addr;
  readonly columns: SiteColumns;
  #rows: number | null = null;
  constructor(at: Addr, start: Addr, end: Addr, columns: SiteColumns) {
    this.at = at;
    this.start = start;
    this.end = end;
    this.columns = columns;
  }
  get rows(): number {
    return (this.#rows ??= rowsOf(this.columns));
  }
}

export class KeyRecord {
  readonly at: Addr;
  readonly #words: BigUint64Array;
  readonly #halves: Uint32Array;
  readonly #shared: SharedData;
  /** What was found once, because views cost more than what is read through them. */
  #groups: readonly Group[] = [];
  #head: Addr = 0;
  #func: Uint32Array | null = null;

  constructor(shared: SharedData, at: Addr) {
    this.at = at;
    this.#shared = shared;
    this.#words = new BigUint64Array(shared.native.view(at, RECORD.size));
    this.#halves = new Uint32Array(this.#words.buffer);
  }

  /** At any time: one load. */
  word(name: keyof typeof RECORD): bigint {
    return this.#words[RECORD[name] / 8]!;
  }
  /**
   * Call it with the lock held, because its halves are read one after the other; no word has more
   * bits than a double.
   */
  held(name: keyof typeof RECORD): number {
    const half = RECORD[name] / 4;
    return this.#halves[half]! + this.#halves[half + 1]! * 2 ** 32;
  }
  setWord(name: keyof typeof RECORD, value: bigint): void {
    Atomics.store(this.#words, RECORD[name] / 8, value);
  }
  get traps(): number {
    return Number(Atomics.load(this.#words, RECORD.traps / 8));
  }
  /** The low half of that count: for differences, without a bigint. */
  get trapsLow(): number {
    return this.#halves[RECORD.traps / 4]!;
  }

  /** Another runtime may add one. */
  groups(): readonly Group[] {
    const head = this.held('groups');
    if (head !== this.#head) {
      this.#groups = this.#listed(head);
      this.#head = head;
    }
    return this.#groups;
  }

  #listed(head: Addr): Group[] {
    const groups: Group[] = [];
    for (let at = head; at !== 0;) {
      const words = new BigUint64Array(this.#shared.native.view(at, GROUP.columns));
      const count = Number(words[GROUP.count / 8]);
      const memory = this.#shared.native.view(at + GROUP.columns, SiteColumns.size(count));
      const trampoline = Number(BigInt.asIntN(64, words[GROUP.trampoline / 8]!));
      const [start, end] = [Number(words[GROUP.start / 8]), Number(words[GROUP.end / 8])];
      const columns = new SiteColumns(count, trampoline, memory);
      groups.push(new Listed(at + GROUP.columns, start, end, columns));
      at = Number(words[GROUP.next / 8]);
    }
    return groups;
  }

  /** The pointer that C code queries; 0 where none is visible. */
  get func(): Addr {
    const slot = this.held('key');
    if (slot === 0) return 0;
    const [low = 0, high = 0] = (this.#func ??= new Uint32Array(
      this.#shared.native.view(slot, 16),
    ));
    return low + high * 2 ** 32;
  }
}

/** Memory for a group's columns. Call it with the lock held. */
export function allocateGroup(
  shared: SharedData,
  count: number,
  trampoline: number,
): { memory: Addr; columns: SiteColumns } {
  const memory = shared.allocate(GROUP.columns + SiteColumns.size(count), 8);
  return {
    memory,
    columns: new SiteColumns(
      count,
      trampoline,
      shared.native.view(memory + GROUP.columns, SiteColumns.size(count)),
    ),
  };
}

/** Writes the head of a group that is not listed yet. */
export function describeGroup(
  { native }: SharedData,
  memory: Addr,
  columns: SiteColumns,
  { start, end }: { readonly start: Addr; readonly end: Addr },
  next: Addr,
): void {
  const head = new BigUint64Array(native.view(memory, GROUP.columns));
  head[GROUP.next / 8] = BigInt(next);
  head[GROUP.count / 8] = BigInt(columns.batch.count);
  head[GROUP.trampoline / 8] = BigInt.asUintN(64, BigInt(columns.trampoline));
  head[GROUP.start / 8] = BigInt(start);
  head[GROUP.end / 8] = BigInt(end);
}

/**
 * The record of the site at an address, if some runtime of this process has made it known; as the
 * handler looks it up.
 */
export function recordAt(shared: SharedData, site: Addr): Addr | null {
  const { native } = shared;
  for (let table = Number(shared.word('tables')); table !== 0;) {
    const head = new BigUint64Array(native.view(table, TABLE.slots));
    if (site >= Number(head[TABLE.first / 8]) && site < Number(head[TABLE.end / 8])) {
      const count = Number(head[TABLE.count / 8]);
      const slots = new BigUint64Array(native.view(table + TABLE.slots, count * SLOT.size));
      let [low, high] = [0, count];
      while (low < high) {
        const middle = (low + high) >>> 1;
        const at = Number(slots[2 * middle]);
        if (at === site)
          return Math.floor(Number(slots[2 * middle + 1]! & LOW48) / RECORD.size) * RECORD.size;
        if (at < site) low = middle + 1;
        else high = middle;
      }
    }
    table = Number(head[TABLE.next / 8]);
  }
  return null;
}

/**
 * A table that is not listed yet; null where it would be empty. Publish it before the lock is
 * given back.
 */
export function makeTable(shared: SharedData, slots: SlotColumns): Addr | null {
  if (slots.site.length === 0) return null;
  const words = encodeColumns(slots, Number(shared.word('tables')));
  const at = shared.allocate(words.byteLength, 64);
  new BigUint64Array(shared.native.view(at, words.byteLength)).set(words);
  return at;
}
/** A record that is not listed yet. */
export function makeRecord(shared: SharedData): KeyRecord {
  return new KeyRecord(shared, shared.allocate(RECORD.size, RECORD.size));
}
/** Every record of the process. */
export function* allRecords(shared: SharedData): Generator<KeyRecord> {
  for (let at = Number(shared.word('records')); at !== 0;) {
    const record = new KeyRecord(shared, at);
    yield record;
    at = Number(record.word('next'));
  }
}

/**
 * Reads back what an update that did not come to its end left at a group's sites: bytes of before,
 * of the new instruction, and, where it plants any, its trap. Other bytes were written by other
 * code and are not taken for ours: `verify()` and the next update name them.
 */
export function snapshot(
  { batch }: SiteColumns,
  bytesOf: (site: number) => Uint8Array,
  traps: boolean,
): void {
  const { old, new: drawn, count } = batch;
  for (let i = 0; i < count; i++) {
    const site = bytesOf(i);
    if (
      site.every(
        (byte, b) =>
          byte === old[8 * i + b] ||
          byte === drawn[8 * i + b] ||
          (traps && b === 0 && byte === INT3),
      )
    )
      old.set(site, 8 * i);
  }
}

/** What stands at a site, in the text that its group lies in. */
export function bytesIn({ columns, start }: Group, text: Uint8Array): (site: number) => Uint8Array {
  const { batch } = columns;
  return (i) => {
    const at = batch.address(i) - start;
    return text.subarray(at, at + batch.lengthAt(i));
  };
}

/**
 * The same for every site of the process: the thread that had the lock has ended. Call it with the
 * lock held.
 */
export function snapshotTexts(shared: SharedData): void {
  for (const record of allRecords(shared)) {
    for (const group of record.groups()) {
      const text = new Uint8Array(shared.native.view(group.start, group.end - group.start));
      snapshot(group.columns, bytesIn(group, text), true);
    }
  }
}

/** Counters of the whole process: traps sent back to run again, and traps that were not ours. */
export function strayTraps(shared: SharedData): {
  readonly stale: number;
  readonly foreign: number;
} {
  return { stale: Number(shared.word('staleTraps')), foreign: Number(shared.word('foreign')) };
}

// What one update writes, as columns: a key may have a hundred thousand sites, and an object for
// each of them would cost more than the stores. Eight bytes are kept for every site, of which
// `length` count. An update of several keys is several batches, each inside one text.

import type { Addr } from '../base/addr.js';

/**
 * The three words of a key record that the trap handler reads, and the pointer that C code queries.
 */
export interface KeyChange {
  /** Address of the key's record in the handler's data (trap/registry.ts). */
  readonly record: Addr;
  readonly words: { readonly call: number; readonly tail: number; readonly jcc: number };
  /**
   * Address of the `func` field of the C side's key, if it is visible, and what is stored there; 0
   * for null.
   */
  readonly slot: Addr | null;
  readonly func: Addr;
}

const COLUMNS: readonly ('record' | 'call' | 'tail' | 'jcc' | 'slot' | 'func')[] = [
  'record',
  'call',
  'tail',
  'jcc',
  'slot',
  'func',
];

/** The changes of several keys as columns: an object for each of ten thousand is garbage. */
export class KeyChanges {
  /** In use; the columns may be longer. */
  count: number = 0;
  readonly record: Addr[] = [];
  readonly call: number[] = [];
  readonly tail: number[] = [];
  readonly jcc: number[] = [];
  /** 0 where the C side's key is not visible. */
  readonly slot: Addr[] = [];
  readonly func: Addr[] = [];

  static of(changes: readonly KeyChange[]): KeyChanges {
    const columns = new KeyChanges();
    for (const { record, words, slot, func } of changes)
      columns.add(record, words.call, words.tail, words.jcc, slot ?? 0, func);
    return columns;
  }

  /** The same in columns of their own. */
  copy(): KeyChanges {
    const copy = new KeyChanges();
    copy.count = this.count;
    for (const name of COLUMNS) copy[name].push(...this[name].slice(0, this.count));
    return copy;
  }

  add(record: Addr, call: number, tail: number, jcc: number, slot: Addr, func: Addr): void {
    const k = this.count++;
    this.record[k] = record;
    this.call[k] = call;
    this.tail[k] = tail;
    this.jcc[k] = jcc;
    this.slot[k] = slot;
    this.func[k] = func;
  }
}

export class Batch {
  /**
   * Edits in use; the columns may be longer. No address twice, and ascending where they lie in
   * several texts.
   */
  count: number = 0;
  readonly at: Float64Array;
  readonly length: Uint8Array;
  /** What is there and what shall be: eight bytes a site, zero beyond its length. */
  readonly old: Uint8Array;
  readonly new: Uint8Array;
  /**
   * By which way each site gets there, as a bit of WAY (way.ts), and all of them together; 0 where
   * the protocol has one way for every site.
   */
  readonly way: Uint8Array;
  ways: number = 0;

  /** @param memory columns that lie elsewhere, in place of new ones */
  constructor(capacity: number, memory?: Pick<Batch, 'at' | 'length' | 'old' | 'new' | 'way'>) {
    this.at = memory?.at ?? new Float64Array(capacity);
    this.length = memory?.length ?? new Uint8Array(capacity);
    this.old = memory?.old ?? new Uint8Array(capacity * 8);
    this.new = memory?.new ?? new Uint8Array(capacity * 8);
    this.way = memory?.way ?? new Uint8Array(capacity);
  }
  /** The edits that lead back: what is new is old and the other way round. */
  reversed(): Batch {
    const back = new Batch(this.count, { ...this, old: this.new, new: this.old });
    back.count = this.count;
    back.ways = this.ways;
    return back;
  }
  address(i: number): Addr {
    return this.at[i]!;
  }
  lengthAt(i: number): number {
    return this.length[i]!;
  }
  /** Adds an edit of another batch; the columns have room for it. */
  append(from: Batch, i: number): void {
    const k = this.count++;
    this.at[k] = from.address(i);
    this.length[k] = from.lengthAt(i);
    const way = from.way[i]!;
    this.way[k] = way;
    this.ways |= way;
    for (let b = 0; b < 8; b++) {
      this.old[8 * k + b] = from.old[8 * i + b]!;
      this.new[8 * k + b] = from.new[8 * i + b]!;
    }
  }
}

/** Everything that one update writes. */
export interface Edits {
  readonly batches: readonly Batch[];
  readonly keys: KeyChanges;
}

export const isEmpty = ({ batches }: Edits): boolean => batches.every(({ count }) => count === 0);

/** The ways that the sites go, as bits of WAY. */
export const waysIn = ({ batches }: Edits): number =>
  batches.reduce((ways, batch) => ways | batch.ways, 0);

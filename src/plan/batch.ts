// What one update writes, as columns: a key may have a hundred thousand sites, and an object for
// each of them would cost more than the stores. Eight bytes are kept for every site, of which
// `length` count.

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

export class Batch {
  /** Edits in use; the columns may be longer. Ascending by address, no address twice. */
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
  keys: readonly KeyChange[] = [];

  /** @param memory columns that lie elsewhere, in place of new ones */
  constructor(capacity: number, memory?: Pick<Batch, 'at' | 'length' | 'old' | 'new' | 'way'>) {
    this.at = memory?.at ?? new Float64Array(capacity);
    this.length = memory?.length ?? new Uint8Array(capacity);
    this.old = memory?.old ?? new Uint8Array(capacity * 8);
    this.new = memory?.new ?? new Uint8Array(capacity * 8);
    this.way = memory?.way ?? new Uint8Array(capacity);
  }
  /** The same edits with other keys; the columns are shared. */
  withKeys(keys: readonly KeyChange[]): Batch {
    const batch = new Batch(this.count, this);
    batch.count = this.count;
    batch.ways = this.ways;
    batch.keys = keys;
    return batch;
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
  /**
   * Adds the edits [i, end) of another batch, whose ways are taken to be those of the run; the
   * columns have room for them.
   */
  appendRun(from: Batch, i: number, end: number): void {
    if (end - i < LONG_RUN) {
      for (let each = i; each < end; each++) this.append(from, each);
      return;
    }
    const k = this.count;
    this.count += end - i;
    this.at.set(from.at.subarray(i, end), k);
    this.length.set(from.length.subarray(i, end), k);
    this.way.set(from.way.subarray(i, end), k);
    this.ways |= from.ways;
    this.old.set(from.old.subarray(8 * i, 8 * end), 8 * k);
    this.new.set(from.new.subarray(8 * i, 8 * end), 8 * k);
  }
}

/** Edits that are copied column by column: ten views of columns cost as much as some 30 edits. */
const LONG_RUN = 32;

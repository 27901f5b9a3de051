// A group of sites as an update of many keys sees it: small integers and a window that it shares
// with its neighbours. The columns of a group as views of their own are a dozen objects and as many
// cache misses, which were most of what an update of ten thousand keys took. Rows are made one
// after the other, and lie so in memory.

import type { Addr } from '../../base/addr.js';
import { Batch } from '../../plan/batch.js';
import { COLUMNS, KINDS, type SiteColumns } from '../../plan/draw.js';
import { isBranch } from '../../sites/site.js';
import type { Window, Windows } from './windows.js';

/** The sites of one key in one text. */
export interface Surveyed {
  /** Where its columns lie. */
  readonly at: Addr;
  readonly columns: SiteColumns;
  /** Which rows of the forms its sites use. */
  readonly rows: number;
}

/** A batch that edits are added to; eight bytes are two halves. */
export class Room {
  readonly batch: Batch;
  readonly old: Int32Array;
  readonly new: Int32Array;

  constructor(capacity: number) {
    this.batch = new Batch(capacity);
    this.old = new Int32Array(this.batch.old.buffer);
    this.new = new Int32Array(this.batch.new.buffer);
  }

  get capacity(): number {
    return this.batch.length.length;
  }
}

/** A group of this many sites is no longer copied, and no longer read by loops of JavaScript. */
export const LARGE = 32;

export class SiteRow<G extends Surveyed = Surveyed> {
  readonly group: G;
  /** The next one of the same key. */
  readonly next: SiteRow<G> | null;
  /** Whether the sites are branches on a static key. */
  readonly branches: boolean;
  /** A number for the text that it lies in. */
  readonly text: number;
  readonly count: number;
  /** Index of the trampoline, or -1. */
  readonly trampoline: number;
  /** Which rows of the forms the sites use. */
  readonly forms: number;
  readonly #window: Window;
  /** Of the columns, in the window. */
  readonly #base: number;

  constructor(windows: Windows, group: G, text: number, next: SiteRow<G> | null = null) {
    const { at, columns, rows } = group;
    this.group = group;
    this.next = next;
    this.branches = isBranch(KINDS[columns.kind[0]!]!);
    this.text = text;
    this.count = columns.batch.count;
    this.trampoline = columns.trampoline;
    this.forms = rows;
    this.#window = windows.of(at, COLUMNS.size * this.count);
    this.#base = at - this.#window.start;
  }

  /** Where the columns lie. */
  get at(): Addr {
    return this.#window.start + this.#base;
  }
  /** The addresses of the first site and the last. */
  get first(): Addr {
    return this.#window.doubles[this.#base >>> 3]!;
  }
  get last(): Addr {
    return this.#window.doubles[(this.#base >>> 3) + this.count - 1]!;
  }
  /** How many sites there are, the trampoline not counted. */
  get sites(): number {
    return this.trampoline < 0 ? this.count : this.count - 1;
  }
  /** Whether it is one of those that are copied together. */
  get isSmall(): boolean {
    return this.count < LARGE;
  }

  /** Index of a site's first half in a column of eight bytes. */
  #half(column: number, i: number): number {
    return (this.#base + column * this.count + 8 * i) >>> 2;
  }

  #same(a: number, b: number): boolean {
    const { halves } = this.#window;
    return halves[a] === halves[b] && halves[a + 1] === halves[b + 1];
  }

  /** Whether what was drawn for the trampoline is what the file has. */
  get isTrampolineBack(): boolean {
    const i = this.trampoline;
    return i >= 0 && this.#same(this.#half(COLUMNS.original, i), this.#half(COLUMNS.new, i));
  }

  /** What stands at the first site, as a number: to compare, for not every eight bytes are one. */
  get standing(): number {
    return this.#window.word(this.#window.start + 4 * this.#half(COLUMNS.old, 0));
  }

  /** Adds to a script that each site is what it is now. @returns whether that can be said */
  expectOld(script: { expect(at: Addr, value: number): unknown }): boolean {
    for (let i = 0; i < this.count; i++) {
      const at = this.#window.start + 4 * this.#half(COLUMNS.old, i);
      const value = this.#window.word(at);
      // A number has 53 bits, and no site of today more than six bytes.
      if (!Number.isSafeInteger(value)) return false;
      script.expect(at, value);
    }
    return true;
  }

  /** Adds the edits that change something. */
  copyInto(room: Room): void {
    const { batch } = room;
    const { bytes, halves, doubles } = this.#window;
    const { count } = this;
    const length = this.#base + COLUMNS.length * count;
    const way = this.#base + COLUMNS.way * count;
    let old = this.#half(COLUMNS.old, 0);
    let drawn = this.#half(COLUMNS.new, 0);
    for (let i = 0; i < count; i++, old += 2, drawn += 2) {
      if (this.#same(old, drawn)) continue;
      const k = batch.count++;
      batch.at[k] = doubles[(this.#base >>> 3) + i]!;
      batch.length[k] = bytes[length + i]!;
      batch.way[k] = bytes[way + i]!;
      batch.ways |= bytes[way + i]!;
      room.old[2 * k] = halves[old]!;
      room.old[2 * k + 1] = halves[old + 1]!;
      room.new[2 * k] = halves[drawn]!;
      room.new[2 * k + 1] = halves[drawn + 1]!;
    }
  }

  /** What was drawn stands in the text now. */
  settle(): void {
    const from = this.#half(COLUMNS.new, 0);
    // A copy of sixteen bytes by `copyWithin` costs more than this loop.
    const { halves } = this.#window;
    const to = this.#half(COLUMNS.old, 0);
    const size = 2 * this.count;
    if (this.isSmall) for (let h = 0; h < size; h++) halves[to + h] = halves[from + h]!;
    else halves.copyWithin(to, from, from + size);
  }
}

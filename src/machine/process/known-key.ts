// A key as an engine knows it: its record, read through a window that it shares with its
// neighbours, and its groups of sites. Like those (site-row.ts), keys lie in memory as they were
// made.

import type { Addr } from '../../base/addr.js';
import { RECORD } from '../../trap/registry.js';
import type { Memory } from '../linux/native.js';
import type { Group, KeyRecord } from './records.js';
import { SiteRow } from './site-row.js';
import { Windows, type Window } from './windows.js';

export type KeyRow = SiteRow<Group>;

export class KnownKey {
  /** For messages. */
  readonly name: string;
  readonly record: KeyRecord;
  /** Its groups; mostly one. */
  first: KeyRow | null = null;
  readonly #keys: KnownKeys;
  readonly #window: Window;
  /** Of the record, in halves. */
  readonly #base: number;
  /** The head of the list of groups as it was last. */
  #low = 0;
  #high = 0;

  constructor(keys: KnownKeys, name: string, record: KeyRecord) {
    this.name = name;
    this.record = record;
    this.#keys = keys;
    this.#window = keys.windows.of(record.at, RECORD.size);
    this.#base = (record.at - this.#window.start) / 4;
  }

  get at(): Addr {
    return this.#window.start + 4 * this.#base;
  }
  /**
   * A word of the record, by its offset. Call it with the lock held, because it is read in two
   * halves.
   */
  held(offset: number): number {
    const { halves } = this.#window;
    const half = this.#base + offset / 4;
    return (halves[half]! >>> 0) + halves[half + 1]! * 2 ** 32;
  }
  /** The low half of the count of traps: for differences. */
  get trapsLow(): number {
    return this.#window.halves[this.#base + RECORD.traps / 4]!;
  }
  /** The pointer that C code queries; 0 where none is visible. */
  get func(): Addr {
    const slot = this.held(RECORD.key);
    return slot === 0 ? 0 : this.#keys.windows.of(slot, 8).word(slot);
  }

  /** Another runtime may have added sites. */
  refresh(): void {
    const { halves } = this.#window;
    const half = this.#base + RECORD.groups / 4;
    const [low, high] = [halves[half]!, halves[half + 1]!];
    if (low === this.#low && high === this.#high) return;
    this.first = this.record
      .groups()
      .reduceRight<KeyRow | null>((next, group) => this.#keys.row(group, next), null);
    this.#low = low;
    this.#high = high;
  }
}

export class KnownKeys {
  readonly windows: Windows;
  readonly #texts = new Map<Addr, number>();

  constructor(memory: Pick<Memory, 'view'>) {
    this.windows = new Windows(memory);
  }

  row(group: Group, next: KeyRow | null): KeyRow {
    let text = this.#texts.get(group.start);
    if (text === undefined) this.#texts.set(group.start, (text = this.#texts.size));
    return new SiteRow(this.windows, group, text, next);
  }
}

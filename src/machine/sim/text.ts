// What a CPU may find where text changes under it. Memory keeps the versions of every chunk; each
// CPU has a view: for every chunk the versions it may still use, the newest last. A store that
// reaches memory adds a version to every view, a serialising instruction drops all but the newest.
// Equal contents are kept once, so that repeated updates close. Bytes that no step ever writes have
// one version and are not kept.
//
//   F0            one instant, newest bytes
//   F1 F1d F1a    newest bytes, one event a chunk: ascending, descending, in any order
//   F2            any version from the mark on; the mark moves to what was seen
//   F3            the same, but the mark moves only when the CPU serialises
//   F4            as F3, and to execute bytes that changed since the mark is an error in itself
//
// Why any of this is allowed: the Intel SDM (volume 3, 9.1.3, "Handling Self- and Cross-Modifying
// Code") promises nothing to a CPU that runs modified code without a serialising instruction in
// between, and the AMD APM (volume 2, 7.6.1) promises old or new only for one store inside an
// aligned quadword. F3 is that with no promise at all but for the chunk; F4 is the letter of the
// SDM with the one exception the int3 protocol lives on.

import { INT3 } from '../../asm/table.js';
import type { Addr } from '../../base/addr.js';
import { LINE, UNITS } from '../../base/addr.js';
import { ValueTable } from './intern.js';
import { RULES, type Rules } from './rules.js';

export const FETCH_LEVELS = ['F0', 'F1', 'F1d', 'F1a', 'F2', 'F3', 'F4'] as const;
export type FetchLevel = (typeof FETCH_LEVELS)[number];

/** The unit that one access of the fetcher takes whole, in bytes, aligned to itself. */
export const CHUNKS = { byte: 1, ...UNITS } as const;
export type Chunk = keyof typeof CHUNKS;

/** The widest store that reaches memory at one instant; a wider one is split at its multiples. */
export const STORES = { byte: 1, qword: 8, line: LINE } as const;
export type StoreWidth = keyof typeof STORES;

/** For each chunk its versions, each the values of its patchable bytes, the newest last. */
type View = readonly (readonly (readonly number[])[])[];

/**
 * One way a fetch can go: the bytes, the view afterwards, and whether the strict rule was broken.
 */
export interface Fetched {
  readonly bytes: readonly number[];
  readonly view: number;
  readonly strict: boolean;
}

/** Bytes read so far by a fetch that takes one event a chunk; null is unread. */
export type Partial = readonly (number | null)[];

export class Text {
  readonly level: FetchLevel;
  /** Addresses that some step can write, ascending. */
  readonly patchable: readonly Addr[];
  readonly #index = new Map<Addr, number>();
  /** Chunk number of a patchable byte, and its place among the chunk's patchable bytes. */
  readonly #chunkOf: number[] = [];
  readonly #placeOf: number[] = [];
  readonly #initial: readonly number[];
  readonly #views = new ValueTable<View>();
  readonly #committed = new Map<number, number[]>();
  readonly #serialised: number[] = [];
  readonly #fetched = new Map<string, readonly Fetched[]>();
  readonly #rules: Pick<Rules, 'int3Exempt' | 'strictByByte'>;

  constructor(
    level: FetchLevel,
    chunk: Chunk,
    bytes: readonly { readonly at: Addr; readonly value: number }[],
    rules: Pick<Rules, 'int3Exempt' | 'strictByByte'> = RULES,
  ) {
    this.level = level;
    this.#rules = rules;
    const sorted = [...bytes].sort((a, b) => a.at - b.at);
    this.patchable = sorted.map(({ at }) => at);
    this.#initial = sorted.map(({ value }) => value);
    let last: number | undefined;
    let chunks = -1;
    let place = 0;
    sorted.forEach(({ at }, i) => {
      this.#index.set(at, i);
      const unit = Math.floor(at / CHUNKS[chunk]);
      if (unit !== last) [chunks, place, last] = [chunks + 1, 0, unit];
      this.#chunkOf.push(chunks);
      this.#placeOf.push(place++);
    });
  }

  /** The view of a CPU that has just serialised in unpatched text. */
  initial(): number {
    const chunks: number[][][] = [];
    this.#initial.forEach((value, i) =>
      ((chunks[this.#chunkOf[i] as number] ??= [[]])[0] as number[]).push(value),
    );
    return this.#views.intern(chunks);
  }

  get count(): number {
    return this.#views.count;
  }

  /** A fetch takes one event for each chunk. */
  get byPieces(): boolean {
    return this.level === 'F1' || this.level === 'F1d' || this.level === 'F1a';
  }

  isPatchable(at: Addr): boolean {
    return this.#index.has(at);
  }

  /** What memory holds: the newest version, the same in every view. */
  newest(view: number, at: Addr): number {
    const i = this.#index.get(at) as number;
    return (this.#views.get(view)[this.#chunkOf[i] as number] as readonly (readonly number[])[]).at(
      -1,
    )?.[this.#placeOf[i] as number] as number;
  }

  /**
   * One atomic store reaches memory. `key` names the store and must be the same for the same bytes.
   */
  commit(
    view: number,
    key: number,
    bytes: readonly { readonly at: Addr; readonly value: number }[],
  ): number {
    let row = this.#committed.get(key);
    if (row === undefined) this.#committed.set(key, (row = []));
    return (row[view] ??= this.#commit(view, bytes));
  }

  #commit(view: number, bytes: readonly { readonly at: Addr; readonly value: number }[]): number {
    const chunks = this.#views.get(view).map((versions) => [...versions]);
    const touched = new Map<number, number[]>();
    for (const { at, value } of bytes) {
      const i = this.#index.get(at) as number;
      const c = this.#chunkOf[i] as number;
      let content = touched.get(c);
      if (content === undefined)
        touched.set(
          c,
          (content = [...((chunks[c] as (readonly number[])[]).at(-1) as readonly number[])]),
        );
      content[this.#placeOf[i] as number] = value;
    }
    for (const [c, content] of touched)
      chunks[c] = this.#append(chunks[c] as (readonly number[])[], content);
    return this.#views.intern(chunks);
  }

  #append(
    versions: readonly (readonly number[])[],
    content: readonly number[],
  ): (readonly number[])[] {
    const same = (other: readonly number[]) => other.every((value, i) => value === content[i]);
    switch (this.level) {
      case 'F0':
      case 'F1':
      case 'F1d':
      case 'F1a':
        return [content];
      case 'F2':
        // Order matters here, so only a repetition of the newest is merged; a mark moves through
        // the rest.
        return same(versions.at(-1) as readonly number[]) ? [...versions] : [...versions, content];
      case 'F3':
      case 'F4': {
        // Any of them may be used, in any order: a set, with the newest apart.
        const older = versions.filter((version) => !same(version)).sort((a, b) => compare(a, b));
        return [...older, content];
      }
    }
  }

  /** All marks move to the newest. */
  serialise(view: number): number {
    return (this.#serialised[view] ??= this.#views.intern(
      this.#views.get(view).map((versions) => [versions.at(-1) as readonly number[]]),
    ));
  }

  /**
   * All ways to fetch the `length` bytes from `at` as one event; `fixed` gives the bytes that never
   * change, `own` how many of those that were fetched belong to the instruction.
   */
  fetch(
    view: number,
    at: Addr,
    length: number,
    fixed: (at: Addr) => number,
    own: (bytes: readonly number[]) => number,
  ): readonly Fetched[] {
    const key = `${view}:${at}:${length}`;
    let ways = this.#fetched.get(key);
    if (ways === undefined)
      this.#fetched.set(key, (ways = this.#fetch(view, at, length, fixed, own)));
    return ways;
  }

  #fetch(
    view: number,
    at: Addr,
    length: number,
    fixed: (at: Addr) => number,
    own: (bytes: readonly number[]) => number,
  ): readonly Fetched[] {
    const chunks = this.#views.get(view);
    const used: number[] = [];
    for (let i = 0; i < length; i++) {
      const c = this.#chunkOf[this.#index.get(at + i) ?? -1];
      if (c !== undefined && !used.includes(c)) used.push(c);
    }
    const ways = new Map<string, Fetched>();
    const choice = new Map<number, number>();
    const choose = (n: number): void => {
      if (n < used.length) {
        const c = used[n] as number;
        (chunks[c] as readonly (readonly number[])[]).forEach((_, v) => {
          choice.set(c, v);
          choose(n + 1);
        });
        return;
      }
      const bytes: number[] = [];
      for (let i = 0; i < length; i++) {
        const index = this.#index.get(at + i);
        const c = index === undefined ? undefined : (this.#chunkOf[index] as number);
        bytes.push(
          c === undefined
            ? fixed(at + i)
            : ((
                (chunks[c] as readonly (readonly number[])[])[
                  choice.get(c) as number
                ] as readonly number[]
              )[this.#placeOf[index as number] as number] as number),
        );
      }
      const after =
        this.level === 'F2'
          ? this.#views.intern(chunks.map((versions, c) => versions.slice(choice.get(c) ?? 0)))
          : view;
      const strict = this.level === 'F4' && this.#breaksStrictRule(chunks, at, own(bytes));
      ways.set(`${after}:${bytes.join()}`, { bytes, view: after, strict });
    };
    choose(0);
    return [...ways.values()];
  }

  /**
   * A byte that changed since the mark may be executed only as the first one of an instruction,
   * between int3 and one other value.
   */
  #breaksStrictRule(chunks: View, at: Addr, length: number): boolean {
    const { int3Exempt, strictByByte } = this.#rules;
    for (let i = 0; i < length; i++) {
      const index = this.#index.get(at + i);
      if (index === undefined) continue;
      if (
        !strictByByte &&
        (chunks[this.#chunkOf[index] as number] as readonly unknown[]).length > 1
      )
        return true;
      const values = new Set(
        (chunks[this.#chunkOf[index] as number] as readonly (readonly number[])[]).map(
          (version) => version[this.#placeOf[index] as number],
        ),
      );
      if (values.size > 2 || (values.size === 2 && !(int3Exempt && i === 0 && values.has(INT3))))
        return true;
    }
    return false;
  }

  /** F1: the ways to read one more chunk of a fetch under way, newest bytes. */
  piece(view: number, at: Addr, got: Partial): readonly Partial[] {
    const chunkAt = (i: number) => this.#chunkOf[this.#index.get(at + i) ?? -1];
    const open: number[] = [];
    got.forEach((byte, i) => {
      const c = chunkAt(i);
      if (byte === null && c !== undefined && !open.includes(c)) open.push(c);
    });
    const take =
      this.level === 'F1d' ? open.slice(-1) : this.level === 'F1a' ? open : open.slice(0, 1);
    return take.map((c) =>
      got.map((byte, i) => (chunkAt(i) === c ? this.newest(view, at + i) : byte)),
    );
  }
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return (a[i] as number) - (b[i] as number);
  return 0;
}

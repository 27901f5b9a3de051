// What a CPU may find where text changes under it. Memory keeps the versions of every chunk. Each
// CPU has a view: for every chunk the versions that it may still use, the newest last. A store that
// reaches memory adds a version to every view, and a serialising instruction drops all but the
// newest. Equal contents are kept once, so that repeated updates close. Bytes that no step ever
// writes have one version and are not kept.
//
//   F0            one instant, newest bytes
//   F1 F1d F1a    newest bytes, one event a chunk: ascending, descending, in any order
//   F2            any version from the mark on; the mark moves to what was seen
//   F3            the same, but the mark moves only when the CPU serialises
//   F4            as F3, and to execute bytes that changed since the mark is an error in itself
//
// Why any of this is allowed: the Intel SDM (volume 3, 9.1.3, "Handling Self- and Cross-Modifying
// Code") promises nothing to a CPU that runs modified code without a serialising instruction in
// between. The AMD APM (volume 2, 7.6.1) promises old or new only for one store inside an aligned
// quadword. F3 promises nothing but that a chunk is whole. F4 is the letter of the SDM, with the
// one exception that the int3 protocol relies on.

import { INT3 } from '../../asm/table.js';
import type { Addr } from '../../base/addr.js';
import { ValueTable } from './intern.js';
import { RULES, type Rules } from './rules.js';
import { CHUNKS, type Chunk, type FetchLevel } from './settings.js';

/** The values of a chunk's patchable bytes. */
type Version = readonly number[];
/** For each chunk its versions, the newest last. */
type View = readonly (readonly Version[])[];

/**
 * One way a fetch can go: the bytes, the view afterwards, and whether the strict rule was broken.
 */
export interface Fetched {
  readonly bytes: readonly number[];
  /** Names the bytes. */
  readonly key: string;
  readonly view: number;
  readonly strict: boolean;
}

/** Bytes read so far by a fetch that takes one event a chunk; null is unread. */
export type Partial = readonly (number | null)[];

interface Byte {
  readonly at: Addr;
  readonly value: number;
}

/** Where a patchable byte is kept: its chunk, and its place among the chunk's patchable bytes. */
interface Place {
  readonly chunk: number;
  readonly index: number;
}

/** What a fetch knows besides the versions. */
interface Fetch {
  readonly at: Addr;
  readonly length: number;
  /** A byte that never changes. */
  readonly fixed: (at: Addr) => number;
  /** How many of the bytes that were fetched belong to the instruction. */
  readonly own: (bytes: readonly number[]) => number;
}

const newestOf = (versions: readonly Version[]): Version => versions.at(-1)!;

export class Text {
  readonly level: FetchLevel;
  /** By the address of each byte that some step can write, in ascending order. */
  readonly #places: ReadonlyMap<Addr, Place>;
  /** The contents of each chunk at the start. */
  readonly #initial: readonly Version[];
  readonly #views = new ValueTable<View>();
  /** By store and view, the view afterwards. */
  readonly #committed = new Map<number, number[]>();
  readonly #serialised: number[] = [];
  /** By the address of the instruction, and then by view. */
  readonly #fetched = new Map<Addr, (readonly Fetched[])[]>();
  readonly #rules: Pick<Rules, 'int3Exempt' | 'strictByByte'>;

  constructor(
    level: FetchLevel,
    chunk: Chunk,
    bytes: readonly Byte[],
    rules: Pick<Rules, 'int3Exempt' | 'strictByByte'> = RULES,
  ) {
    this.level = level;
    this.#rules = rules;
    const places = new Map<Addr, Place>();
    const initial: number[][] = [];
    const chunks = new Map<number, number>();
    for (const { at, value } of bytes.toSorted((a, b) => a.at - b.at)) {
      const unit = Math.floor(at / CHUNKS[chunk]);
      const number = chunks.get(unit) ?? chunks.size;
      chunks.set(unit, number);
      const content = (initial[number] ??= []);
      places.set(at, { chunk: number, index: content.length });
      content.push(value);
    }
    this.#places = places;
    this.#initial = initial;
  }

  /** The view of a CPU that has just serialised in unpatched text. */
  initial(): number {
    return this.#views.intern(this.#initial.map((content) => [content]));
  }

  /** How many views there are. */
  get count(): number {
    return this.#views.count;
  }

  /** A fetch takes one event for each chunk. */
  get byPieces(): boolean {
    return this.level === 'F1' || this.level === 'F1d' || this.level === 'F1a';
  }

  /** Whether chunks of that size would divide the bytes that steps write as these do. */
  isDividedBy(chunk: Chunk): boolean {
    // An instruction that is fetched at one instant is one piece, whatever the chunks.
    if (this.level === 'F0') return true;
    const unit = (at: Addr): number => Math.floor(at / CHUNKS[chunk]);
    let before: readonly [Addr, Place] | null = null;
    for (const entry of this.#places) {
      const [at, place] = entry;
      if (before !== null) {
        const together = before[1].chunk === place.chunk;
        if (together !== (unit(before[0]) === unit(at))) return false;
      }
      before = entry;
    }
    return true;
  }

  isPatchable(at: Addr): boolean {
    return this.#places.has(at);
  }

  /** What memory holds: the newest version, the same in every view. */
  newest(view: number, at: Addr): number {
    const { chunk, index } = this.#places.get(at)!;
    return newestOf(this.#views.get(view)[chunk]!)[index]!;
  }

  /** The values that a byte may be fetched with, the newest last. */
  versions(view: number, at: Addr): readonly number[] {
    const place = this.#places.get(at);
    if (place === undefined) return [];
    const versions = this.#views.get(view)[place.chunk] ?? [];
    const newestFirst = versions.toReversed().flatMap((each) => each[place.index] ?? []);
    return [...new Set(newestFirst)].toReversed();
  }

  /**
   * One atomic store reaches memory. `key` names the store and must be the same for the same bytes.
   */
  commit(view: number, key: number, bytes: readonly Byte[]): number {
    let row = this.#committed.get(key);
    if (row === undefined) this.#committed.set(key, (row = []));
    return (row[view] ??= this.#commit(view, bytes));
  }

  /**
   * The same for the CPU that stores, where it executes the text at the address that it stores to:
   * it never fetches what it has overwritten (SDM volume 3, 9.1.3: a jump is enough there; through
   * another linear address a serialising instruction is needed).
   */
  commitOwn(view: number, key: number, bytes: readonly Byte[]): number {
    const chunks = [...this.#views.get(this.commit(view, key, bytes))];
    for (const { at } of bytes) {
      const { chunk } = this.#places.get(at)!;
      chunks[chunk] = [newestOf(chunks[chunk]!)];
    }
    return this.#views.intern(chunks);
  }

  #commit(view: number, bytes: readonly Byte[]): number {
    const chunks = [...this.#views.get(view)];
    const touched = new Map<number, number[]>();
    for (const { at, value } of bytes) {
      const { chunk, index } = this.#places.get(at)!;
      const content = touched.get(chunk) ?? [...newestOf(chunks[chunk]!)];
      content[index] = value;
      touched.set(chunk, content);
    }
    for (const [chunk, content] of touched) chunks[chunk] = this.#append(chunks[chunk]!, content);
    return this.#views.intern(chunks);
  }

  #append(versions: readonly Version[], content: Version): readonly Version[] {
    const same = (other: Version) => other.every((value, i) => value === content[i]);
    switch (this.level) {
      case 'F0':
      case 'F1':
      case 'F1d':
      case 'F1a':
        return [content];
      case 'F2':
        // Order matters here, so only a repetition of the newest is merged; a mark moves through
        // the rest.
        return same(newestOf(versions)) ? versions : [...versions, content];
      case 'F3':
      case 'F4': {
        // Any of them may be used, in any order: a set, with the newest apart.
        const older = versions.filter((version) => !same(version)).sort(compare);
        return [...older, content];
      }
    }
  }

  /** All marks move to the newest. */
  serialise(view: number): number {
    return (this.#serialised[view] ??= this.#views.intern(
      this.#views.get(view).map((versions) => [newestOf(versions)]),
    ));
  }

  /** All ways to fetch an instruction as one event. */
  fetch(
    view: number,
    at: Addr,
    length: number,
    fixed: Fetch['fixed'],
    own: Fetch['own'],
  ): readonly Fetched[] {
    let row = this.#fetched.get(at);
    if (row === undefined) this.#fetched.set(at, (row = []));
    return (row[view] ??= this.#fetch(view, { at, length, fixed, own }));
  }

  #fetch(view: number, fetch: Fetch): readonly Fetched[] {
    const chunks = this.#views.get(view);
    const used = new Set<number>();
    for (let i = 0; i < fetch.length; i++) {
      const place = this.#places.get(fetch.at + i);
      if (place !== undefined) used.add(place.chunk);
    }
    const ways = new Map<string, Fetched>();
    for (const choice of choices(chunks, [...used])) {
      const way = this.#fetchAs(view, chunks, choice, fetch);
      ways.set(`${way.view}:${way.key}`, way);
    }
    return [...ways.values()];
  }

  /** @param choice which version of each chunk is fetched */
  #fetchAs(
    view: number,
    chunks: View,
    choice: ReadonlyMap<number, number>,
    { at, length, fixed, own }: Fetch,
  ): Fetched {
    const bytes = Array.from({ length }, (_, i) => {
      const place = this.#places.get(at + i);
      if (place === undefined) return fixed(at + i);
      const { chunk, index } = place;
      return chunks[chunk]![choice.get(chunk) ?? 0]![index]!;
    });
    return {
      bytes,
      key: bytes.join(),
      view:
        this.level === 'F2'
          ? this.#views.intern(chunks.map((versions, c) => versions.slice(choice.get(c) ?? 0)))
          : view,
      strict: this.level === 'F4' && this.#breaksStrictRule(chunks, at, own(bytes)),
    };
  }

  /**
   * A byte that changed since the mark may be executed only as the first one of an instruction,
   * between int3 and one other value.
   */
  #breaksStrictRule(chunks: View, at: Addr, length: number): boolean {
    const { int3Exempt, strictByByte } = this.#rules;
    for (let i = 0; i < length; i++) {
      const place = this.#places.get(at + i);
      if (place === undefined) continue;
      const versions = chunks[place.chunk]!;
      if (!strictByByte && versions.length > 1) return true;
      const values = new Set(versions.map((version) => version[place.index]));
      const exempt = int3Exempt && i === 0 && values.size === 2 && values.has(INT3);
      if (values.size > 1 && !exempt) return true;
    }
    return false;
  }

  /** F1: the ways to read one more chunk of a fetch under way, newest bytes. */
  piece(view: number, at: Addr, got: Partial): readonly Partial[] {
    const chunkAt = (i: number) => this.#places.get(at + i)?.chunk;
    const unread = new Set<number>();
    for (const [i, byte] of got.entries()) {
      const chunk = chunkAt(i);
      if (byte === null && chunk !== undefined) unread.add(chunk);
    }
    return this.#nextOf([...unread]).map((chunk) =>
      got.map((byte, i) => (chunkAt(i) === chunk ? this.newest(view, at + i) : byte)),
    );
  }

  /** Which of the unread chunks, in ascending order, may come next. */
  #nextOf(unread: readonly number[]): readonly number[] {
    switch (this.level) {
      case 'F1d':
        return unread.slice(-1);
      case 'F1a':
        return unread;
      default:
        return unread.slice(0, 1);
    }
  }
}

/** Every choice of one version for each of these chunks; the last chunk's changes first. */
function choices(chunks: View, used: readonly number[]): readonly ReadonlyMap<number, number>[] {
  return used.reduce<readonly ReadonlyMap<number, number>[]>(
    (before, chunk) =>
      before.flatMap((choice) =>
        chunks[chunk]!.map((_, version) => new Map(choice).set(chunk, version)),
      ),
    [new Map()],
  );
}

function compare(a: Version, b: Version): number {
  for (const [i, value] of a.entries()) {
    const other = b[i]!;
    if (value !== other) return value - other;
  }
  return 0;
}

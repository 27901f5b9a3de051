// Hash-consing: equal contents get equal small ids. A state of the search is then a few ids, and
// comparing two states is comparing integers (SPIN's COLLAPSE, Holzmann 1997). Ids are dense from
// 0, in order of first appearance, and never change.

/** Variable-length runs of 32-bit words, kept end to end in one growing array. */
export class WordTable {
  #words: Uint32Array<ArrayBuffer> = new Uint32Array(1 << 12);
  #start: Uint32Array<ArrayBuffer> = new Uint32Array(1 << 8);
  /** By id, so that a run is hashed once: most runs are images of a hundred words. */
  #hashes: Uint32Array<ArrayBuffer> = new Uint32Array(1 << 8);
  #slots: Int32Array<ArrayBuffer> = new Int32Array(1 << 9).fill(-1);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Bytes held, slots included. */
  get bytes(): number {
    const { byteLength } = this.#words;
    return byteLength + 2 * this.#start.byteLength + this.#slots.byteLength;
  }

  intern(run: Uint32Array, length: number = run.length): number {
    const hash = runHash(run, length);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (; ; slot = (slot + 1) & mask) {
      const id = this.#slots[slot]!;
      if (id < 0) break;
      if (this.#hashes[id] === hash && this.#equals(id, run, length)) return id;
    }
    const id = this.#count++;
    const begin = this.#start[id]!;
    if (begin + length > this.#words.length) this.#words = grown(this.#words, begin + length);
    if (id + 2 > this.#start.length) {
      this.#start = grown(this.#start, id + 2);
      this.#hashes = grown(this.#hashes, id + 2);
    }
    this.#hashes[id] = hash;
    for (let i = 0; i < length; i++) this.#words[begin + i] = run[i]!;
    this.#start[id + 1] = begin + length;
    this.#slots[slot] = id;
    if (this.#count * 2 > this.#slots.length) this.#rehash();
    return id;
  }

  /** Copies a run; a view would be an object. @returns its length */
  copy(id: number, into: Uint32Array): number {
    const begin = this.#start[id]!;
    const length = this.#start[id + 1]! - begin;
    for (let i = 0; i < length; i++) into[i] = this.#words[begin + i]!;
    return length;
  }

  /** A view, valid until the next `intern`. */
  get(id: number): Uint32Array {
    return this.#words.subarray(this.#start[id]!, this.#start[id + 1]!);
  }

  #equals(id: number, run: Uint32Array, length: number): boolean {
    const begin = this.#start[id]!;
    if (this.#start[id + 1]! - begin !== length) return false;
    for (let i = 0; i < length; i++) if (this.#words[begin + i] !== run[i]) return false;
    return true;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2).fill(-1);
    for (let id = 0; id < this.#count; id++) {
      let slot = this.#hashes[id]! & (slots.length - 1);
      while (slots[slot]! >= 0) slot = (slot + 1) & (slots.length - 1);
      slots[slot] = id;
    }
    this.#slots = slots;
  }
}

function grown(words: Uint32Array, needed: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(Math.max(needed, words.length * 2));
  larger.set(words);
  return larger;
}

/** Pairs of ids: as `WordTable`, for the pairs that a long search interns by the million. */
export class PairTable {
  #pairs: Uint32Array<ArrayBuffer> = new Uint32Array(1 << 9);
  #slots: Int32Array<ArrayBuffer> = new Int32Array(1 << 9).fill(-1);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  intern(first: number, second: number): number {
    const mask = this.#slots.length - 1;
    let slot = hashOf(first, second) & mask;
    for (; ; slot = (slot + 1) & mask) {
      const id = this.#slots[slot]!;
      if (id < 0) break;
      if (this.#pairs[2 * id] === first && this.#pairs[2 * id + 1] === second) return id;
    }
    const id = this.#count++;
    if (2 * this.#count > this.#pairs.length) this.#pairs = grown(this.#pairs, 2 * this.#count);
    this.#pairs[2 * id] = first;
    this.#pairs[2 * id + 1] = second;
    this.#slots[slot] = id;
    if (this.#count * 2 > this.#slots.length) this.#rehash();
    return id;
  }

  first(id: number): number {
    return this.#pairs[2 * id]!;
  }
  second(id: number): number {
    return this.#pairs[2 * id + 1]!;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2).fill(-1);
    const mask = slots.length - 1;
    for (let id = 0; id < this.#count; id++) {
      let slot = hashOf(this.first(id), this.second(id)) & mask;
      while (slots[slot]! >= 0) slot = (slot + 1) & mask;
      slots[slot] = id;
    }
    this.#slots = slots;
  }
}

/** Two words at a time, because each step waits for the one before. */
function runHash(run: Uint32Array, length: number): number {
  let hash = length;
  let i = 0;
  for (; i + 1 < length; i += 2) {
    hash = Math.imul(hash ^ run[i]!, 0x9e3779b1) ^ Math.imul(run[i + 1]!, 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  if (i < length) hash = Math.imul(hash ^ run[i]!, 0x9e3779b1);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** Its low bits choose the slot, so they are mixed last. */
function hashOf(first: number, second: number): number {
  const one = Math.imul(first, 0x9e3779b1);
  const both = Math.imul(one ^ (one >>> 15) ^ second, 0x85ebca6b);
  return both ^ (both >>> 15);
}

/** Small values that are cheap to spell: named by their JSON text. */
export class ValueTable<T> {
  readonly #ids = new Map<string, number>();
  readonly #values: T[] = [];

  get count(): number {
    return this.#values.length;
  }

  intern(value: T): number {
    const key = JSON.stringify(value);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    this.#ids.set(key, this.#values.length);
    return this.#values.push(value) - 1;
  }

  get(id: number): T {
    return this.#values[id]!;
  }
}

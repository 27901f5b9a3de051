// What a search keeps: the states that it has visited and the edges between them. Both are flat
// arrays, because memory is what bounds a search.

/**
 * Doubling leaves up to half of an array unused, which matters once the array is large; below that,
 * fewer copies matter more.
 */
const more = (length: number): number => (length < 1 << 19 ? 2 * length : length + (length >> 2));

function enlarged(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(length);
  larger.set(array);
  return larger;
}

/**
 * Visited states. A state's id is its place in the order of its discovery, so the ids in turn are
 * the queue of a breadth-first search. Lookup is open addressing over [hash, id] pairs, at most
 * half full. Only the parent is kept of how a state is reached: the moves of a path are found again
 * by expanding its states.
 */
export class StateTable {
  readonly #width: number;
  #arena: Int32Array<ArrayBuffer>;
  #parent = new Int32Array(1 << 14);
  #slots = new Int32Array(1 << 16).fill(-1);
  #mask = (1 << 15) - 1;
  #count = 0;

  constructor(width: number) {
    this.#width = width;
    this.#arena = new Int32Array(width << 14);
  }

  get count(): number {
    return this.#count;
  }
  get bytes(): number {
    return this.#arena.byteLength + this.#parent.byteLength + this.#slots.byteLength;
  }

  /** The state's id; a state that was not visited yet gets the next one, and this parent. */
  intern(state: Int32Array, parent: number): number {
    const hash = this.#hash(state);
    const slot = this.#slotOf(state, hash);
    const known = this.#slots[2 * slot + 1]!;
    if (known >= 0) return known;
    const id = this.#count++;
    if (this.#count >= this.#parent.length) {
      const room = more(this.#parent.length);
      this.#parent = enlarged(this.#parent, room);
      this.#arena = enlarged(this.#arena, this.#width * room);
    }
    const base = id * this.#width;
    for (let i = 0; i < this.#width; i++) this.#arena[base + i] = state[i]!;
    this.#parent[id] = parent;
    this.#slots[2 * slot] = hash;
    this.#slots[2 * slot + 1] = id;
    if (this.#count * 4 > this.#slots.length) this.#rehash();
    return id;
  }

  /** -1 for a state that was not visited. */
  find(state: Int32Array): number {
    return this.#slots[2 * this.#slotOf(state, this.#hash(state)) + 1]!;
  }

  /** Copies a state out of the table. */
  read(id: number, into: Int32Array): void {
    const base = id * this.#width;
    for (let i = 0; i < this.#width; i++) into[i] = this.#arena[base + i]!;
  }
  get(id: number): Int32Array {
    return this.#arena.slice(id * this.#width, (id + 1) * this.#width);
  }

  /** The ids from the first state to this one. */
  path(id: number): number[] {
    const ids: number[] = [];
    for (let at = id; at >= 0; at = this.#parent[at]!) ids.push(at);
    return ids.reverse();
  }

  #hash(state: Int32Array): number {
    let hash = 0;
    for (let i = 0; i < this.#width; i++) {
      hash = Math.imul(hash ^ state[i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash;
  }

  /** Where the state is in the table, or the free slot where it belongs. */
  #slotOf(state: Int32Array, hash: number): number {
    let slot = hash & this.#mask;
    for (; ; slot = (slot + 1) & this.#mask) {
      const id = this.#slots[2 * slot + 1]!;
      if (id < 0) return slot;
      if (this.#slots[2 * slot] === hash && this.#holds(id, state)) return slot;
    }
  }

  #holds(id: number, state: Int32Array): boolean {
    const base = id * this.#width;
    for (let i = 0; i < this.#width; i++) if (this.#arena[base + i] !== state[i]) return false;
    return true;
  }

  #rehash(): void {
    const old = this.#slots;
    const larger = new Int32Array(old.length * 2).fill(-1);
    const mask = (larger.length >> 1) - 1;
    for (let i = 0; i < old.length; i += 2) {
      if (old[i + 1]! < 0) continue;
      let at = old[i]! & mask;
      while (larger[2 * at + 1]! >= 0) at = (at + 1) & mask;
      larger[2 * at] = old[i]!;
      larger[2 * at + 1] = old[i + 1]!;
    }
    this.#slots = larger;
    this.#mask = mask;
  }
}

/**
 * The edges of a search, which lie beside each other for each state because states are expanded in
 * the order of their ids.
 */
export class EdgeList {
  #first = new Int32Array(1 << 14);
  #to = new Int32Array(1 << 15);
  #kind = new Uint8Array(1 << 15);
  #states = 0;
  #edges = 0;

  get bytes(): number {
    return this.#first.byteLength + this.#to.byteLength + this.#kind.byteLength;
  }

  /** The edges that are added from here on leave the next state. */
  begin(): void {
    if (this.#states + 1 >= this.#first.length)
      this.#first = enlarged(this.#first, more(this.#first.length));
    this.#first[this.#states++] = this.#edges;
  }

  /** `to` is -1 where the path ends with this edge. */
  add(to: number, kind: number): void {
    if (this.#edges === this.#to.length) {
      this.#to = enlarged(this.#to, more(this.#edges));
      const kinds = new Uint8Array(this.#to.length);
      kinds.set(this.#kind);
      this.#kind = kinds;
    }
    this.#to[this.#edges] = to;
    this.#kind[this.#edges++] = kind;
  }

  /** Once every state has begun: what graph.ts reads. */
  graph(): {
    readonly count: number;
    readonly first: Int32Array;
    readonly to: Int32Array;
    readonly kind: Uint8Array;
  } {
    const count = this.#states;
    this.#first[count] = this.#edges;
    return { count, first: this.#first, to: this.#to, kind: this.#kind };
  }
}

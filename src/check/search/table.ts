// What a search keeps: the states that it has visited and the edges between them. Memory is what
// bounds a search, so both are packed words in chunks: an array that grows by a copy holds its
// contents twice at the worst moment, and the copies took a tenth of the time of a long search.

/** Chunks of states and edges. The first of each is all that most searches fill. */
const CHUNK_BITS = 11;
const CHUNK = 1 << CHUNK_BITS;
const CHUNK_MASK = CHUNK - 1;
/** Of whole chunks. */
const rounded = (count: number): number => Math.ceil(count / CHUNK) * CHUNK;

/** Ids of the patcher and of the environment, then those of the CPUs and waiting tasks. */
const HEADS = 2;
/** What fits in half a word. */
const HALF = 0x10000;

/**
 * How a state is packed: two ids a word as long as they are small, else a word for each. CPUs are
 * many where there are many core images; patchers and environments hardly ever are.
 */
class Packing {
  readonly width: number;
  readonly wideHeads: boolean;
  readonly wideCpus: boolean;
  readonly words: number;

  constructor(width: number, wideHeads: boolean, wideCpus: boolean) {
    this.width = width;
    this.wideHeads = wideHeads;
    this.wideCpus = wideCpus;
    const cpus = width - HEADS;
    this.words = (wideHeads ? HEADS : 1) + (wideCpus ? cpus : (cpus + 1) >> 1);
  }

  /** Whether some id of the state is too large for it. */
  isTooNarrow(state: Int32Array): boolean {
    const { width, wideHeads, wideCpus } = this;
    if (!wideHeads && (state[0]! | state[1]!) >= HALF) return true;
    if (wideCpus) return false;
    let all = 0;
    for (let i = HEADS; i < width; i++) all |= state[i]!;
    return all >= HALF;
  }

  pack(state: Int32Array, into: Int32Array): void {
    const { width, wideHeads, wideCpus } = this;
    let at = 0;
    if (wideHeads) {
      into[at++] = state[0]!;
      into[at++] = state[1]!;
    } else into[at++] = state[0]! | (state[1]! << 16);
    if (wideCpus) for (let i = HEADS; i < width; i++) into[at++] = state[i]!;
    else {
      let i = HEADS;
      for (; i + 1 < width; i += 2) into[at++] = state[i]! | (state[i + 1]! << 16);
      if (i < width) into[at] = state[i]!;
    }
  }

  unpack(chunk: Int32Array, from: number, into: Int32Array): void {
    const { width, wideHeads, wideCpus } = this;
    let at = from;
    const head = chunk[at++]!;
    into[0] = wideHeads ? head : head & 0xffff;
    into[1] = wideHeads ? chunk[at++]! : head >>> 16;
    if (wideCpus) for (let i = HEADS; i < width; i++) into[i] = chunk[at++]!;
    else
      for (let i = HEADS; i < width; i += 2) {
        const word = chunk[at++]!;
        into[i] = word & 0xffff;
        if (i + 1 < width) into[i + 1] = word >>> 16;
      }
  }
}

/**
 * Visited states. A state's id is its place in the order of its discovery, so the ids in turn are
 * the queue of a breadth-first search. Only the parent is kept of how a state is reached: the moves
 * of a path are found again by expanding its states.
 *
 * Lookup is open addressing, at most two thirds full. A slot holds an id in as many low bits as the
 * table's size needs, and above them bits of the hash, so that hardly any other state is compared.
 */
export class StateTable {
  #packing: Packing;
  /** A record for each state: its words, and its parent behind them. */
  #chunks: Int32Array[] = [];
  #slots = new Int32Array(1 << 10);
  #mask = (1 << 10) - 1;
  #count = 0;
  readonly #words: Int32Array;

  constructor(width: number) {
    this.#packing = new Packing(width, false, false);
    this.#words = new Int32Array(width);
  }

  get count(): number {
    return this.#count;
  }
  get bytes(): number {
    return 4 * rounded(this.#count) * (this.#packing.words + 1) + this.#slots.byteLength;
  }

  /** The state's id; a state that was not visited yet gets the next one, and this parent. */
  intern(state: Int32Array, parent: number): number {
    if (this.#packing.isTooNarrow(state)) this.#widen(state);
    const words = this.#words;
    this.#packing.pack(state, words);
    const hash = this.#hash(words, 0);
    const slot = this.#slotOf(words, hash);
    const known = (this.#slots[slot]! & this.#mask) - 1;
    if (known >= 0) return known;
    const id = this.#count++;
    this.#slots[slot] = (hash & ~this.#mask) | this.#count;
    this.#keep(id, words, parent);
    if (3 * this.#count > 2 * this.#mask) this.#rehash(2 * this.#slots.length);
    return id;
  }

  /** -1 for a state that was not visited. */
  find(state: Int32Array): number {
    if (this.#packing.isTooNarrow(state)) return -1;
    const words = this.#words;
    this.#packing.pack(state, words);
    return (this.#slots[this.#slotOf(words, this.#hash(words, 0))]! & this.#mask) - 1;
  }

  /** Copies a state out of the table. */
  read(id: number, into: Int32Array): void {
    const record = (id & CHUNK_MASK) * (this.#packing.words + 1);
    this.#packing.unpack(this.#chunks[id >>> CHUNK_BITS]!, record, into);
  }
  get(id: number): Int32Array {
    const state = new Int32Array(this.#packing.width);
    this.read(id, state);
    return state;
  }

  /** The ids from the first state to this one. */
  path(id: number): number[] {
    const { words } = this.#packing;
    const ids: number[] = [];
    for (let at = id; at >= 0;) {
      ids.push(at);
      at = this.#chunks[at >>> CHUNK_BITS]![(at & CHUNK_MASK) * (words + 1) + words]!;
    }
    return ids.reverse();
  }

  /** Of the words of a state, from one on. Its low bits choose the slot, so they are mixed last. */
  #hash(words: Int32Array, from: number): number {
    let hash = 0;
    for (let i = from; i < from + this.#packing.words; i++) {
      hash = Math.imul(hash ^ words[i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash;
  }

  /** Where the state is in the table, or the free slot where it belongs. */
  #slotOf(words: Int32Array, hash: number): number {
    const [slots, mask] = [this.#slots, this.#mask];
    const above = hash & ~mask;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot]!;
      const id = (entry & mask) - 1;
      if (id < 0 || ((entry & ~mask) === above && this.#holds(id, words))) return slot;
    }
  }

  #holds(id: number, words: Int32Array): boolean {
    const count = this.#packing.words;
    const chunk = this.#chunks[id >>> CHUNK_BITS]!;
    const record = (id & CHUNK_MASK) * (count + 1);
    for (let i = 0; i < count; i++) if (chunk[record + i] !== words[i]) return false;
    return true;
  }

  #keep(id: number, words: Int32Array, parent: number): void {
    const count = this.#packing.words;
    if ((id & CHUNK_MASK) === 0) this.#chunks.push(new Int32Array(CHUNK * (count + 1)));
    const chunk = this.#chunks[id >>> CHUNK_BITS]!;
    const record = (id & CHUNK_MASK) * (count + 1);
    for (let i = 0; i < count; i++) chunk[record + i] = words[i]!;
    chunk[record + count] = parent;
  }

  #rehash(length: number): void {
    const mask = length - 1;
    const slots = new Int32Array(length);
    const size = this.#packing.words + 1;
    for (let id = 0; id < this.#count; id++) {
      const hash = this.#hash(this.#chunks[id >>> CHUNK_BITS]!, (id & CHUNK_MASK) * size);
      let slot = hash & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = (hash & ~mask) | (id + 1);
    }
    this.#slots = slots;
    this.#mask = mask;
  }

  /** Packs every state anew, so that this one can be kept too. */
  #widen(state: Int32Array): void {
    const old = this.#packing;
    const { width } = old;
    const heads = old.wideHeads || state[0]! >= HALF || state[1]! >= HALF;
    const cpus = old.wideCpus || state.subarray(HEADS).some((id) => id >= HALF);
    const packing = new Packing(width, heads, cpus);
    const each = new Int32Array(width);
    const size = old.words + 1;
    for (const [number, chunk] of this.#chunks.entries()) {
      const wider = new Int32Array(CHUNK * (packing.words + 1));
      for (let i = 0; i < CHUNK; i++) {
        old.unpack(chunk, i * size, each);
        packing.pack(each, this.#words);
        wider.set(this.#words.subarray(0, packing.words), i * (packing.words + 1));
        wider[i * (packing.words + 1) + packing.words] = chunk[i * size + old.words]!;
      }
      this.#chunks[number] = wider;
    }
    this.#packing = packing;
    this.#rehash(this.#slots.length);
  }
}

/**
 * The edges of a search, which lie beside each other for each state because states are expanded in
 * the order of their ids.
 */
export class EdgeList {
  /** By state, how many edges had been added before it. */
  readonly #first: Int32Array[] = [];
  readonly #to: Int32Array[] = [];
  readonly #kind: Uint8Array[] = [];
  #states = 0;
  #edges = 0;

  get bytes(): number {
    return 4 * rounded(this.#states) + 5 * rounded(this.#edges);
  }

  /** The edges that are added from here on leave the next state. */
  begin(): void {
    const at = this.#states++;
    if ((at & CHUNK_MASK) === 0) this.#first.push(new Int32Array(CHUNK));
    this.#first[at >>> CHUNK_BITS]![at & CHUNK_MASK] = this.#edges;
  }

  /** `to` is -1 where the path ends with this edge. */
  add(to: number, kind: number): void {
    const at = this.#edges++;
    const [chunk, i] = [at >>> CHUNK_BITS, at & CHUNK_MASK];
    if (i === 0) {
      this.#to.push(new Int32Array(CHUNK));
      this.#kind.push(new Uint8Array(CHUNK));
    }
    this.#to[chunk]![i] = to;
    this.#kind[chunk]![i] = kind;
  }

  /** Once every state has begun: what graph.ts reads. The list is empty afterwards. */
  graph(): {
    readonly count: number;
    readonly first: Int32Array;
    readonly to: Int32Array;
    readonly kind: Uint8Array;
  } {
    const [count, edges] = [this.#states, this.#edges];
    const first = new Int32Array(count + 1);
    const to = new Int32Array(edges);
    const kind = new Uint8Array(edges);
    drain(this.#first, first.subarray(0, count));
    drain(this.#to, to);
    drain(this.#kind, kind);
    first[count] = edges;
    return { count, first, to, kind };
  }
}

/** Copies chunks end to end, and lets go of them. */
function drain<T extends Int32Array | Uint8Array>(chunks: T[], into: T): void {
  for (const [number, chunk] of chunks.entries()) {
    const at = number << CHUNK_BITS;
    into.set(chunk.subarray(0, into.length - at), at);
  }
  chunks.length = 0;
}

// A CPU's state as words, interned: equal states are one image. `pack` and `unpack` go through the
// same fields in the same order.

import type { Addr } from '../../base/addr.js';
import { invariant } from '../../base/invariant.js';
import { CONTEXTS, type Context } from './context.js';
import { WordTable } from './intern.js';
import { STOPS, nodeOf, type Node, type Stop } from './node.js';
import type { Region } from './space.js';
import type { State } from './state.js';

/** Bits of a packed word: the lowest one, and how many. */
interface Field {
  readonly low: number;
  readonly bits: number;
}
const pick = (word: number, { low, bits }: Field): number => (word >>> low) & ((1 << bits) - 1);

const FLAGS = { flags: { low: 0, bits: 30 }, user: { low: 30, bits: 1 } } as const;
const COUNTS = {
  bits: { low: 0, bits: 16 },
  nmiLevel: { low: 16, bits: 2 },
  contexts: { low: 18, bits: 4 },
  buffered: { low: 22, bits: 4 },
  stop: { low: 26, bits: 4 },
} as const;
const CONTEXT = {
  kind: { low: 0, bits: 4 },
  /** One more than the site's number. */
  site: { low: 4, bits: 4 },
  entered: { low: 8, bits: 2 },
  passes: { low: 10, bits: 22 },
} as const;
/** Of a word of private memory that is not zero. */
const WORD = { number: { low: 0, bits: 12 }, tag: { low: 12, bits: 20 } } as const;
/** Bytes that were fetched: four in the first word, three in the second, and how many. */
const FETCHED = { most: 7, longest: 15, count: { low: 24, bits: 8 } } as const;

const REGISTER_WORDS = 32;
const NOTHING: readonly number[] = [];

/** Words of the longest image. */
const LONGEST = 8192;

class Writer {
  readonly words: Uint32Array<ArrayBuffer> = new Uint32Array(LONGEST);
  at = 0;

  word(value: number): void {
    this.words[this.at++] = value;
  }
  /** Its low and high 32 bits; `>>>` is modulo 2^32 for negative ones too. */
  addr(value: Addr): void {
    this.word(value >>> 0);
    this.word(Math.floor(value / 2 ** 32) >>> 0);
  }
}

class Reader {
  readonly words: Uint32Array<ArrayBuffer> = new Uint32Array(LONGEST);
  at = 0;
  end = 0;

  get more(): boolean {
    return this.at < this.end;
  }
  word(): number {
    return this.words[this.at++]!;
  }
  addr(): Addr {
    const low = this.word();
    return (this.word() | 0) * 2 ** 32 + low;
  }
}

export class Images {
  readonly #table = new WordTable();
  readonly #nodes: Node[] = [];
  readonly #writer = new Writer();
  readonly #reader = new Reader();

  get count(): number {
    return this.#table.count;
  }

  node(id: number): Node {
    return this.#nodes[id]!;
  }

  save(state: State, stop: Stop): number {
    const { words, at } = pack(this.#writer, state, stop);
    const id = this.#table.intern(words, at);
    if (id === this.#nodes.length) this.#nodes.push(nodeOf(id, state, stop));
    return id;
  }

  load(id: number, state: State): void {
    this.#reader.end = this.#table.copy(id, this.#reader.words);
    unpack(this.#reader, state);
  }
}

function pack(out: Writer, state: State, { kind, at, length }: Stop): Writer {
  const { cpu, memory } = state;
  out.words.set(state.registers32);
  out.at = REGISTER_WORDS;
  out.addr(cpu.rip);
  out.word(cpu.flags | (Number(cpu.user) << FLAGS.user.low));
  out.addr(cpu.ssp ?? 0);
  packFetched(out, state.pending ?? NOTHING);
  out.word(
    state.bits |
      (state.nmiLevel << COUNTS.nmiLevel.low) |
      (state.contexts.length << COUNTS.contexts.low) |
      (state.buffer.length << COUNTS.buffered.low) |
      (STOPS.indexOf(kind) << COUNTS.stop.low),
  );
  out.word(length);
  out.word(at >>> 0);
  for (const context of state.contexts) packContext(out, context);
  for (const { word, value } of state.buffer) {
    out.word(word);
    out.word(Number(value & 0xffffffffn));
    out.word(Number(value >> 32n));
  }
  for (const region of memory.regions) {
    const end = region.first + region.bytes / 8;
    for (let w = firstLive(state, region); w < end; w++) {
      const low = memory.halves[2 * w]!;
      const high = memory.halves[2 * w + 1]!;
      const tag = memory.tags[w]!;
      if (low === 0 && high === 0 && tag === 0) continue;
      out.word(w | (tag << WORD.tag.low));
      out.word(low);
      out.word(high);
    }
  }
  return out;
}

function unpack(from: Reader, state: State): void {
  const { cpu, memory } = state;
  for (let i = 0; i < REGISTER_WORDS; i++) state.registers32[i] = from.words[i]!;
  from.at = REGISTER_WORDS;
  cpu.rip = from.addr();
  const flags = from.word();
  cpu.flags = pick(flags, FLAGS.flags);
  cpu.user = pick(flags, FLAGS.user) !== 0;
  const ssp = from.addr();
  cpu.ssp = state.fixture.shadowStacks ? ssp : null;
  state.pending = unpackFetched(from);
  const counts = from.word();
  state.bits = pick(counts, COUNTS.bits);
  state.nmiLevel = pick(counts, COUNTS.nmiLevel);
  from.at += 2; // the stop's length and address, which its node has
  // Loops, because Array.from takes ten times as long.
  state.contexts = [];
  for (let left = pick(counts, COUNTS.contexts); left > 0; left--)
    state.contexts.push(unpackContext(from));
  state.buffer = [];
  for (let left = pick(counts, COUNTS.buffered); left > 0; left--)
    state.buffer.push({
      word: from.word(),
      value: BigInt(from.word()) | (BigInt(from.word()) << 32n),
    });
  memory.clear();
  while (from.more) {
    const head = from.word();
    const word = pick(head, WORD.number);
    memory.halves[2 * word] = from.word();
    memory.halves[2 * word + 1] = from.word();
    memory.tags[word] = pick(head, WORD.tag);
  }
}

/** A count and seven bytes in two words; an instruction that is longer takes two more. */
function packFetched(out: Writer, bytes: readonly number[]): void {
  if (bytes.length === 0) {
    out.word(0);
    out.word(0);
    return;
  }
  invariant(bytes.length <= FETCHED.longest, 'no instruction is longer than that');
  const [first, second] = wordsOf(bytes.slice(0, FETCHED.most));
  out.word(first);
  out.word(second | (bytes.length << FETCHED.count.low));
  if (bytes.length > FETCHED.most)
    for (const word of wordsOf(bytes.slice(FETCHED.most))) out.word(word);
}

/** Eight bytes at most, the first one lowest. */
function wordsOf(bytes: readonly number[]): readonly [number, number] {
  let [first, second] = [0, 0];
  for (const [i, byte] of bytes.entries()) {
    if (i < 4) first |= byte << (8 * i);
    else second |= byte << (8 * (i - 4));
  }
  return [first, second];
}
const byteOf = (words: readonly number[], i: number): number =>
  (words[i >> 2]! >>> (8 * (i & 3))) & 0xff;

function unpackFetched(from: Reader): readonly number[] | null {
  const [first, second] = [from.word(), from.word()];
  const count = pick(second, FETCHED.count);
  if (count === 0) return null;
  const words = [first, second];
  const more = count > FETCHED.most ? [from.word(), from.word()] : [];
  return Array.from({ length: count }, (_, i) =>
    i < FETCHED.most ? byteOf(words, i) : byteOf(more, i - FETCHED.most),
  );
}

function packContext(out: Writer, { kind, site, entered, passes, snapshot, rsp, ssp }: Context) {
  out.word(
    CONTEXTS.indexOf(kind) |
      ((site + 1) << CONTEXT.site.low) |
      (entered << CONTEXT.entered.low) |
      (passes << CONTEXT.passes.low),
  );
  out.word(snapshot);
  out.addr(rsp);
  out.addr(ssp);
}

function unpackContext(from: Reader): Context {
  const head = from.word();
  return {
    kind: CONTEXTS[pick(head, CONTEXT.kind)]!,
    site: pick(head, CONTEXT.site) - 1,
    entered: pick(head, CONTEXT.entered),
    passes: pick(head, CONTEXT.passes),
    snapshot: from.word(),
    rsp: from.addr(),
    ssp: from.addr(),
  };
}

/**
 * Memory below a stack pointer is dead, whatever an interrupt would leave there: the first word of
 * the region that is not.
 */
function firstLive(state: State, region: Region): number {
  if (region.kind === 'percpu') return region.first;
  const top = region.at + region.bytes;
  const { environment } = state.fixture;
  // A process may use the 128 bytes below its stack pointer (the red zone, psABI 3.2.2).
  const below = region.kind === 'stack' && environment === 'user' ? 128 : 0;
  let live = top;
  const see = (sp: Addr): void => {
    if (sp >= region.at && sp <= top) live = Math.min(live, Math.max(region.at, sp - below));
  };
  if (region.kind === 'shadow') {
    see(state.cpu.ssp ?? top);
    for (const { ssp } of state.contexts) see(ssp);
  } else {
    see(state.rsp);
    for (const { rsp } of state.contexts) see(rsp);
  }
  return region.first + Math.floor((live - region.at) / 8);
}

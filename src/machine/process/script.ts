// Writes a run down as operations and performs them by one call into machine code
// (native/script.ts says how they lie in memory).

import type { Addr } from '../../base/addr.js';
import { invariant } from '../../base/invariant.js';
import { COPY, HEADER, OPERATION, ROUTINES, SYSTEM, WORD, WORDS } from '../../native/script.js';
import { STORE, type StoreLoop } from '../../native/stores.js';
import type { Batch } from '../../plan/batch.js';
import { FUTEX } from '../../base/linux.js';
import { SYS, type Call, type Native } from '../linux/native.js';

/** Where the routines lie in this process: those here, and the store loops. */
export type Routines = Readonly<Record<(typeof ROUTINES)[number] | StoreLoop, Addr>>;

type Columns = Readonly<Record<'at' | 'length' | 'old' | 'new' | 'way', Addr>>;

/**
 * Where a script stopped: at a store that found other bytes than the old ones, a system call with
 * another result than it should have, or a word that holds something else.
 */
export interface Stop {
  readonly operation: number;
  /** The mark of that operation. */
  readonly mark: number;
  readonly what:
    | { readonly batch: Batch; readonly edit: number }
    | { readonly block: number }
    | { readonly call: Call; readonly result: number }
    | { readonly expected: number };
}

/** What an operation does. */
type What = Batch | Call | 'word' | 'words' | 'block';

/** What a script needs of the process that performs it. */
export type Performer = Pick<Native, 'addressOf' | 'procedure' | 'system'>;

export class Script {
  readonly #native: Performer;
  readonly #routines: Routines;
  readonly #perform: (header: number) => number;
  #count = 0;
  #mark = 0;
  /**
   * Header and operations; written as halves of words, because a bigint costs more than most of
   * what it does.
   */
  #halves!: Int32Array;
  #words!: BigUint64Array;
  #at!: Addr;
  /** For each operation: whose step it is, and what it does, which also keeps its memory alive. */
  readonly #marks: number[] = [];
  readonly #whats: What[] = [];
  readonly #columns = new WeakMap<Batch, Columns>();
  /** The last of them: all stores of a run are mostly of one batch. */
  #last: { readonly batch: Batch; readonly columns: Columns } | null = null;

  /** @param room operations that it takes before its words move */
  constructor(native: Performer, routines: Routines, room = 16) {
    this.#native = native;
    this.#routines = routines;
    this.#perform = native.procedure(routines.perform);
    this.#grow(room);
  }

  #grow(operations: number): void {
    const words = new BigUint64Array((operations + 1) * (OPERATION.size / 8));
    if (this.#count > 0) words.set(this.#words);
    this.#words = words;
    this.#halves = new Int32Array(words.buffer);
    this.#at = this.#native.addressOf(words);
  }

  /** Writes a word of an operation, by the index of its first half. */
  put(half: number, value: number): void {
    this.#halves[half] = value;
    this.#halves[half + 1] = Math.floor(value * 2 ** -32);
  }

  /** The same for an integer of 32 bits, which needs no arithmetic. */
  small(half: number, value: number): void {
    this.#halves[half] = value;
    this.#halves[half + 1] = value >> 31;
  }

  /** @returns index of its words' first half */
  #add(routine: Addr, what: What): number {
    const k = this.#count++;
    if ((k + 2) * OPERATION.size > this.#words.byteLength) this.#grow(2 * k);
    this.#marks[k] = this.#mark;
    this.#whats[k] = what;
    const half = this.wordsOf(k);
    this.put(half - OPERATION.words / 4, routine);
    return half;
  }
  /** Index of the first half of an operation's words. */
  wordsOf(k: number): number {
    return (k + 1) * (OPERATION.size / 4) + OPERATION.words / 4;
  }

  get count(): number {
    return this.#count;
  }
  /** The header and the operations, as they lie there. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.#words.buffer);
  }
  /** Where the header lies: what the routine `perform` is handed. */
  get at(): Addr {
    return this.#at;
  }
  clear(): void {
    this.#count = 0;
  }

  /** Of all operations that are added from here on. */
  mark(mark: number): void {
    this.#mark = mark;
  }

  /** One store of eight bytes. @returns where the value stands, for `put` */
  word(at: Addr, value: number): number {
    const half = this.#wordsWithRoom();
    const count = this.#halves[half + WORDS.count / 4]!++;
    const word = half + (WORDS.first + WORDS.size * count) / 4;
    this.put(word, at);
    this.put(word + 2, value);
    return word + 2;
  }
  /** The same for the k-th of two columns: a number that is handed over costs an allocation. */
  wordOf(at: readonly Addr[], offset: number, values: readonly number[], k: number): void {
    const half = this.#wordsWithRoom();
    const count = this.#halves[half + WORDS.count / 4]!++;
    const word = half + (WORDS.first + WORDS.size * count) / 4;
    this.put(word, at[k]! + offset);
    this.put(word + 2, values[k]!);
  }
  /** Words that follow each other in one step are one operation. */
  #wordsWithRoom(): number {
    const last = this.#count - 1;
    const half = this.wordsOf(last);
    if (
      last >= 0 &&
      this.#whats[last] === 'words' &&
      this.#marks[last] === this.#mark &&
      this.#halves[half + WORDS.count / 4]! < WORDS.most
    )
      return half;
    const added = this.#add(this.#routines.words, 'words');
    this.put(added + WORDS.count / 4, 0);
    return added;
  }
  /** Stops where eight bytes hold something else. @returns where the value stands, for `put` */
  expect(at: Addr, value: number): number {
    const half = this.#add(this.#routines.expect, 'word');
    this.put(half + WORD.at / 4, at);
    this.put(half + WORD.value / 4, value);
    return half + WORD.value / 4;
  }

  /**
   * Machine code that reads its words and writes what it found there.
   * @returns index of the first half of its words, for `put`, `small` and `half`
   */
  block(routine: Addr): number {
    return this.#add(routine, 'block');
  }
  /** A word of an operation that has no more than 31 bits. */
  half(half: number): number {
    return this.#halves[half]!;
  }
  /** The words of another script's operation. @returns as `block` */
  blockOf(routine: Addr, from: Script, k: number): number {
    const half = this.block(routine);
    const words = from.wordsOf(k);
    const end = words + (OPERATION.size - OPERATION.words) / 4;
    this.#halves.set(from.#halves.subarray(words, end), half);
    return half;
  }
  /** Where a word of an operation lies, until the script outgrows its room. */
  addressOf(half: number): Addr {
    return this.#at + 4 * half;
  }

  copy(from: Addr, to: Addr, size: number): void {
    const half = this.#add(this.#routines.copy, 'word');
    this.put(half + COPY.from / 4, from);
    this.put(half + COPY.to / 4, to);
    this.put(half + COPY.size / 4, size);
  }

  /**
   * Edits [from, to) of a batch, `away` bytes from where they run.
   * @param ways only those that go one of these ways (bits of WAY); all without it
   */
  store(
    how: StoreLoop,
    batch: Batch,
    from: number,
    to: number,
    away: number,
    source: 'old' | 'new',
    ways = 0,
  ): void {
    const columns = this.columns(batch);
    const half = this.#add(this.#routines[how], batch);
    this.put(half + STORE.from / 4, from);
    this.put(half + STORE.to / 4, to);
    this.put(half + STORE.at / 4, columns.at);
    this.put(half + STORE.length / 4, columns.length);
    this.put(half + STORE.old / 4, columns.old);
    this.put(half + STORE.new / 4, columns[source]);
    this.put(half + STORE.away / 4, away);
    // Where all edits go one of them, none is asked.
    const asks = ways !== 0 && (batch.ways & ~ways) !== 0;
    this.put(half + STORE.way / 4, asks ? columns.way : 0);
    this.put(half + STORE.ways / 4, ways);
  }

  /** A system call that must return `expected`. */
  system(call: Call, expected: number, a = 0, b = 0, c = 0, d = 0): void {
    this.#addCall(this.#routines.system, call, expected, a, b, c, d);
  }
  /** The same on a descriptor that stands in a word by the time it is made. */
  using(file: Addr, call: Call, expected: number, b = 0, c = 0, d = 0): void {
    this.#addCall(this.#routines.using, call, expected, file, b, c, d);
  }
  /** A system call whose result is kept in a word; stops where it is an error. */
  obtain(into: Addr, call: Call, a = 0, b = 0, c = 0, d = 0): void {
    this.#addCall(this.#routines.obtain, call, into, a, b, c, d);
  }
  /** A call that a thread of its own makes, by that routine; stops where no thread is made. */
  aside(routine: Addr, call: Call, a: number): void {
    this.#addCall(routine, call, 0, a, 0, 0, 0);
  }
  /** The lock, for the thread that performs this; stops where another one has it. */
  take(lock: Addr): void {
    this.#addCall(this.#routines.take, 'gettid', 0, lock, 0, 0, 0);
  }
  give(lock: Addr): void {
    this.#addCall(this.#routines.give, 'futex', 0, lock, FUTEX.wakePrivate, 1, 0);
  }
  #addCall(
    routine: Addr,
    call: Call,
    expected: number,
    a: number,
    b: number,
    c: number,
    d: number,
  ): void {
    const half = this.#add(routine, call);
    this.put(half + SYSTEM.number / 4, SYS[call]);
    this.put(half + SYSTEM.arguments / 4, a);
    this.put(half + SYSTEM.arguments / 4 + 2, b);
    this.put(half + SYSTEM.arguments / 4 + 4, c);
    this.put(half + SYSTEM.arguments / 4 + 6, d);
    this.put(half + SYSTEM.expected / 4, expected);
  }

  /** Where a batch's columns lie; they never move. */
  columns(batch: Batch): Columns {
    if (this.#last?.batch === batch) return this.#last.columns;
    let columns = this.#columns.get(batch);
    if (!columns) {
      const native = this.#native;
      columns = {
        at: native.addressOf(batch.at),
        length: native.addressOf(batch.length),
        old: native.addressOf(batch.old),
        new: native.addressOf(batch.new),
        way: native.addressOf(batch.way),
      };
      this.#columns.set(batch, columns);
    }
    this.#last = { batch, columns };
    return columns;
  }

  /** Performs the operations from the given one on. @returns null when all are done */
  perform(from = 0): Stop | null {
    this.prepare(from);
    return this.stopOf(this.#perform(this.#at));
  }

  /** Completes the header: from here on machine code may perform it. */
  prepare(from = 0): void {
    const first = this.#at + OPERATION.size;
    this.put(HEADER.next / 4, first + from * OPERATION.size);
    this.put(HEADER.end / 4, first + this.#count * OPERATION.size);
    this.put(HEADER.system / 4, this.#native.system ?? this.#routines.enter);
  }

  /** What the routine's result says. */
  stopOf(value: number): Stop | null {
    if (value === -1) return null;
    const first = this.#at + OPERATION.size;
    const operation = (Number(this.#words[HEADER.next / 8]) - first) / OPERATION.size;
    const mark = this.#marks[operation];
    const what = this.#whats[operation];
    invariant(
      mark !== undefined && what !== undefined,
      'a script stops at an operation of its own',
    );
    if (typeof what === 'object') return { operation, mark, what: { batch: what, edit: value } };
    const word = (offset: number): bigint =>
      this.#words[((operation + 1) * OPERATION.size + OPERATION.words + offset) / 8]!;
    invariant(what !== 'words', 'a store of a word does not fail');
    if (what === 'block') return { operation, mark, what: { block: value } };
    if (what === 'word') return { operation, mark, what: { expected: Number(word(WORD.value)) } };
    const result = Number(BigInt.asIntN(64, word(SYSTEM.result)));
    return { operation, mark, what: { call: what, result } };
  }
}

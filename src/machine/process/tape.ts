// What a run does to the process, written down as a list of operations and performed by one call
// into machine code: words of the handler's data, stores into text, system calls, in the order of
// the protocol's steps. Between two synchronisations JavaScript then does nothing at all, and how
// long an update takes is the kernel's affair. The tape stops at the first operation that fails and
// says which one; what to make of that is the caller's. On a kernel that throws away the TLB at
// every system call (page table isolation without PCID) each return to JavaScript is dear besides.
//
//   operation {routine, seven words for it}: 64 bytes        header {next, end, system}: 64 bytes before the first
//
// An operation names its routine by address, so one that is added is a routine here and a method
// below. A routine finds its words at rdi and returns -1 when it is done.

import type { Addr } from '../../base/addr.js';
import type { Batch } from '../../plan/batch.js';
import { assemble, bytes, label, mem, type Code, type Program } from '../../trap/assembler.js';
import { SYS, type Call, type Native } from './native.js';
import { STORE, type Sweeping } from './sweep.js';

/** Offsets in bytes. */
export const HEADER = { next: 0, end: 8, system: 16 } as const;
export const OPERATION = { routine: 0, words: 8, size: 64 } as const;
/** The words of a routine, from OPERATION.words; those of a store are STORE (sweep.ts). */
export const WORD = { at: 0, value: 8 } as const;
export const COPY = { from: 0, to: 8, size: 16 } as const;
export const SYSTEM = { number: 0, arguments: 8, expected: 40, result: 48 } as const;

const program: Program = [
  label('perform'),
  ['push', 'rbx'],
  ['push', 'rbp'],
  ['push', 'r12'], // and the stack is aligned for what is called
  ['mov', 'rbx', 'rdi'],
  ['mov', 'rbp', mem('rbx', HEADER.next)],
  ['jmp', 'more'],
  label('operation'),
  ['lea', 'rdi', mem('rbp', OPERATION.words)],
  ['mov', 'rsi', mem('rbx', HEADER.system)],
  ['call', mem('rbp', OPERATION.routine)],
  ['cmp', 'rax', -1],
  ['jne', 'stop'],
  ['add', 'rbp', OPERATION.size],
  label('more'),
  ['cmp', 'rbp', mem('rbx', HEADER.end)],
  ['jb', 'operation'],
  ['mov', 'rax', -1],
  label('stop'),
  ['mov', mem('rbx', HEADER.next), 'rbp'],
  ['pop', 'r12'],
  ['pop', 'rbp'],
  ['pop', 'rbx'],
  ['ret'],

  label('word'),
  ['mov', 'rax', mem('rdi', WORD.at)],
  ['mov', 'rcx', mem('rdi', WORD.value)],
  ['mov', mem('rax'), 'rcx'],
  ['mov', 'rax', -1],
  ['ret'],

  label('expect'),
  ['mov', 'rcx', mem('rdi', WORD.at)],
  ['mov', 'rcx', mem('rcx')],
  ['mov', 'rax', -1],
  ['cmp', 'rcx', mem('rdi', WORD.value)],
  ['je', 'as it should'],
  ['xor', 'eax', 'eax'],
  label('as it should'),
  ['ret'],

  label('copy'),
  ['mov', 'rcx', mem('rdi', COPY.size)],
  ['mov', 'rsi', mem('rdi', COPY.from)],
  ['mov', 'rdi', mem('rdi', COPY.to)],
  bytes(0xf3, 0xa4), // rep movsb: the instruction table has no string instructions
  ['mov', 'rax', -1],
  ['ret'],

  // What makes the call is handed in, by C's convention: it is `enter`, or a test's own that
  // refuses some.
  label('system'),
  ['push', 'rbx'],
  ['mov', 'rbx', 'rdi'],
  ['mov', 'rax', 'rsi'],
  ['mov', 'rdi', mem('rbx', SYSTEM.number)],
  ['mov', 'rsi', mem('rbx', SYSTEM.arguments)],
  ['mov', 'rdx', mem('rbx', SYSTEM.arguments + 8)],
  ['mov', 'rcx', mem('rbx', SYSTEM.arguments + 16)],
  ['mov', 'r8', mem('rbx', SYSTEM.arguments + 24)],
  ['call', 'rax'],
  ['mov', mem('rbx', SYSTEM.result), 'rax'],
  ['cmp', 'rax', mem('rbx', SYSTEM.expected)],
  ['mov', 'rax', -1],
  ['je', 'as expected'],
  ['xor', 'eax', 'eax'],
  label('as expected'),
  ['pop', 'rbx'],
  ['ret'],

  /** int64 enter(number, a, b, c, d): the result or the negated error number. */
  label('enter'),
  ['mov', 'rax', 'rdi'],
  ['mov', 'rdi', 'rsi'],
  ['mov', 'rsi', 'rdx'],
  ['mov', 'rdx', 'rcx'],
  ['mov', 'r10', 'r8'],
  ['syscall'],
  ['ret'],
];

export function tapeCode(): Code {
  return assemble(program);
}

export const ROUTINES = ['perform', 'word', 'expect', 'copy', 'system', 'enter'] as const;
/** Where the routines lie in this process: those here, and the sweeps that store. */
export type Routines = Readonly<Record<(typeof ROUTINES)[number] | Sweeping, Addr>>;

interface Columns {
  readonly at: Addr;
  readonly length: Addr;
  readonly old: Addr;
  readonly new: Addr;
}

/**
 * Where a tape stopped: at a store that found other bytes than the old ones, a system call with
 * another result than it should have, or a word that holds something else.
 */
export interface Stop {
  readonly operation: number;
  /** The mark of that operation. */
  readonly mark: number;
  readonly what:
    | { readonly batch: Batch; readonly edit: number }
    | { readonly call: Call; readonly result: number }
    | { readonly expected: number };
}

export class Tape {
  readonly #native: Native;
  readonly #routines: Routines;
  readonly #perform: (header: number) => number;
  #count = 0;
  #mark = 0;
  /**
   * Header and operations; written as halves of words, for a bigint costs more than most of what it
   * does.
   */
  #halves!: Int32Array;
  #words!: BigUint64Array;
  #at!: Addr;
  /** For each operation: whose step it is, and what it does, which also keeps its memory alive. */
  readonly #marks: number[] = [];
  readonly #whats: (Batch | Call | 'word')[] = [];
  readonly #columns = new WeakMap<Batch, Columns>();
  /** The last of them: all stores of a run are mostly of one batch. */
  #last: { readonly batch: Batch; readonly columns: Columns } | null = null;

  constructor(native: Native, routines: Routines) {
    this.#native = native;
    this.#routines = routines;
    this.#perform = native.procedure(routines.perform);
    this.#grow(16);
  }

  #grow(operations: number): void {
    const words = new BigUint64Array((operations + 1) * (OPERATION.size / 8));
    if (this.#count > 0) words.set(this.#words);
    this.#words = words;
    this.#halves = new Int32Array(words.buffer);
    this.#at = this.#native.addressOf(words);
  }

  #put(half: number, value: number): void {
    this.#halves[half] = value;
    this.#halves[half + 1] = Math.floor(value * 2 ** -32);
  }

  /** @returns index of its words' first half */
  #add(routine: Addr, what: Batch | Call | 'word'): number {
    const k = this.#count++;
    if ((k + 2) * OPERATION.size > this.#words.byteLength) this.#grow(2 * k);
    this.#marks[k] = this.#mark;
    this.#whats[k] = what;
    const half = (k + 1) * (OPERATION.size / 4);
    this.#put(half, routine);
    return half + OPERATION.words / 4;
  }

  get count(): number {
    return this.#count;
  }
  clear(): void {
    this.#count = 0;
  }

  /** Of all operations that are added from here on. */
  mark(mark: number): void {
    this.#mark = mark;
  }

  /** One store of eight bytes. */
  word(at: Addr, value: number): void {
    this.#addWord(this.#routines.word, at, value);
  }
  /** Stops where eight bytes hold something else. */
  expect(at: Addr, value: number): void {
    this.#addWord(this.#routines.expect, at, value);
  }
  #addWord(routine: Addr, at: Addr, value: number): void {
    const half = this.#add(routine, 'word');
    this.#put(half + WORD.at / 4, at);
    this.#put(half + WORD.value / 4, value);
  }

  copy(from: Addr, to: Addr, size: number): void {
    const half = this.#add(this.#routines.copy, 'word');
    this.#put(half + COPY.from / 4, from);
    this.#put(half + COPY.to / 4, to);
    this.#put(half + COPY.size / 4, size);
  }

  /** Edits [from, to) of a batch, `away` bytes from where they run. */
  store(
    how: Sweeping,
    batch: Batch,
    from: number,
    to: number,
    away: number,
    source: 'old' | 'new',
  ): void {
    const columns = this.columns(batch);
    const half = this.#add(this.#routines[how], batch);
    this.#put(half + STORE.from / 4, from);
    this.#put(half + STORE.to / 4, to);
    this.#put(half + STORE.at / 4, columns.at);
    this.#put(half + STORE.length / 4, columns.length);
    this.#put(half + STORE.old / 4, columns.old);
    this.#put(half + STORE.new / 4, columns[source]);
    this.#put(half + STORE.away / 4, away);
  }

  /** A system call that must return `expected`. */
  system(call: Call, expected: number, a = 0, b = 0, c = 0, d = 0): void {
    const half = this.#add(this.#routines.system, call);
    this.#put(half + SYSTEM.number / 4, SYS[call]);
    this.#put(half + SYSTEM.arguments / 4, a);
    this.#put(half + SYSTEM.arguments / 4 + 2, b);
    this.#put(half + SYSTEM.arguments / 4 + 4, c);
    this.#put(half + SYSTEM.arguments / 4 + 6, d);
    this.#put(half + SYSTEM.expected / 4, expected);
  }

  /** Where a batch's columns lie; they never move. */
  columns(batch: Batch): Columns {
    if (this.#last?.batch === batch) return this.#last.columns;
    let columns = this.#columns.get(batch);
    if (!columns) {
      const { addressOf } = this.#native;
      columns = {
        at: addressOf(batch.at),
        length: addressOf(batch.length),
        old: addressOf(batch.old),
        new: addressOf(batch.new),
      };
      this.#columns.set(batch, columns);
    }
    this.#last = { batch, columns };
    return columns;
  }

  /** Performs the operations from the given one on. @returns null when all are done */
  perform(from = 0): Stop | null {
    const first = this.#at + OPERATION.size;
    this.#put(HEADER.next / 4, first + from * OPERATION.size);
    this.#put(HEADER.end / 4, first + this.#count * OPERATION.size);
    this.#put(HEADER.system / 4, this.#native.system ?? this.#routines.enter);
    const value = this.#perform(this.#at);
    if (value === -1) return null;
    const operation = (Number(this.#words[HEADER.next / 8]) - first) / OPERATION.size;
    const mark = this.#marks[operation]!;
    const what = this.#whats[operation]!;
    if (typeof what === 'object') return { operation, mark, what: { batch: what, edit: value } };
    if (what === 'word')
      return {
        operation,
        mark,
        what: {
          expected: Number(
            this.#words[((operation + 1) * OPERATION.size + OPERATION.words + WORD.value) / 8]!,
          ),
        },
      };
    const result =
      this.#words[((operation + 1) * OPERATION.size + OPERATION.words + SYSTEM.result) / 8]!;
    return { operation, mark, what: { call: what, result: Number(BigInt.asIntN(64, result)) } };
  }
}

// From a program, which is an array, to machine code. Handlers, entry code, trampolines and the
// checker's test programs are written in it, so that what a process runs and what the simulator
// explores are the same bytes. A branch takes the short form wherever that reaches. What differs
// from process to process is a *named word*, eight bytes that `place` fills in; everything else is
// fixed when the program is assembled. Labels outside the program are given as `symbols`, with the
// address at which the code will lie.
//
//   const code = assemble([
//     ['movabs', 'r8', word('data')],
//     ['cmp', mem('r8', 8), 0],
//     ['je', 'out'],
//     ['call', mem('r8', 8)],
//     label('out'),
//     ['ret'],
//   ]);

import type { Addr } from '../base/addr.js';
import { nearest } from '../base/nearest.js';
import { accepts, candidates, encode, encodeForm } from './encode.js';
import type { Form, Kind } from './encoding.js';
import { INT3, type Lockable, type Rows, type Shape } from './table.js';
import {
  register,
  type ControlRegister,
  type Mem,
  type Operand,
  type R16,
  type R32,
  type R64,
  type R8,
} from './operand.js';

export {
  fs,
  gs,
  gs32,
  gs8,
  mem,
  mem16,
  mem32,
  mem8,
  rip,
  rip32,
  rip8,
  type R64,
} from './operand.js';

/** Eight bytes whose value is known only where the code is placed. */
export interface Word {
  readonly word: string;
}
export const word = (name: string): Word => ({ word: name });

type Number64 = number | bigint;
interface Written {
  r8: R8;
  r16: R16;
  r32: R32;
  r64: R64;
  rm8: R8 | Mem<8>;
  rm16: R16 | Mem<16>;
  rm32: R32 | Mem<32>;
  rm64: R64 | Mem<64>;
  R64: R64;
  m64: Mem<64>;
  m: Mem;
  cr: ControlRegister;
  imm8: Number64;
  imm16: Number64;
  imm64: Number64 | Word;
  simm8: Number64;
  iz32: Number64;
  iz64: Number64;
  rel8: string;
  rel32: string;
  one: 1;
  cl: 'cl';
}
type Tuple<N, K> = K extends readonly string[]
  ? readonly [N, ...{ [I in keyof K]: K[I] extends keyof Written ? Written[K[I]] : never }]
  : never;
type Plain<S> = S extends { name: infer N; kinds: infer K } ? Tuple<N, K> : never;
type Locked<I> = I extends readonly [infer N, ...infer O] ? readonly ['lock', N, ...O] : never;

/**
 * `['mov', 'rax', mem('rdx', 168)]`, `['jne', 'label']`, `['lock', 'inc', mem('rax')]`: a row of
 * the table with its operands.
 */
export type Instruction = Plain<Shape<Rows>> | Locked<Plain<Shape<Lockable<Rows>>>>;

/**
 * How the caller's frame is found at an instruction, as unwind tables say it. `call`: the caller's
 * RSP was base + offset, and the return address lies just below. `frame`: a hardware exception
 * frame (RIP, CS, RFLAGS, RSP, SS) lies at base + offset. `none`: the chain cannot be followed from
 * here.
 */
export type CfaRule =
  | { readonly kind: 'call' | 'frame'; readonly base: R64; readonly offset: number }
  | { readonly kind: 'none' };

export type Item =
  | Instruction
  | { readonly item: 'label'; readonly name: string }
  | { readonly item: 'bytes'; readonly bytes: readonly number[] }
  | { readonly item: 'quad'; readonly value: Number64 | Word }
  | { readonly item: 'align'; readonly to: number; readonly fill: number }
  | { readonly item: 'cfa'; readonly rule: CfaRule };

export type Program = readonly Item[];

export const label = (name: string): Item => ({ item: 'label', name });
export const bytes = (...values: readonly number[]): Item => ({ item: 'bytes', bytes: values });
export const quad = (value: Number64 | Word): Item => ({ item: 'quad', value });
/** Filled with int3 unless told otherwise, so that running into a gap shows. */
export const align = (to: number, fill: number = INT3): Item => ({ item: 'align', to, fill });
/** Holds from here to the next rule. */
export const cfa = (rule: CfaRule): Item => ({ item: 'cfa', rule });

/** The nops that the manual recommends (volume 2, NOP, table 4-12), as one instruction each. */
export function nop(length: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9): Item {
  const at = (index: 0 | null, dispBytes: 0 | 1 | 4): readonly Operand[] => [
    { kind: 'mem', size: 32, base: 0, index, scale: 1, disp: 0, segment: null, dispBytes },
  ];
  const shapes: Readonly<
    Record<typeof length, readonly [pad: readonly number[], operands: readonly Operand[]]>
  > = {
    1: [[], []],
    2: [[0x66], []],
    3: [[], at(null, 0)],
    4: [[], at(null, 1)],
    5: [[], at(0, 1)],
    6: [[0x66], at(0, 1)],
    7: [[], at(null, 4)],
    8: [[], at(0, 4)],
    9: [[0x66], at(0, 4)],
  };
  const [pad, operands] = shapes[length];
  const [form] = candidates('nop', operands);
  if (form === undefined) throw new AssemblyError('the instruction table has no nop');
  return bytes(...encodeForm(form, operands, false, pad));
}

/**
 * A program that is none: an unknown instruction, wrong operands, a label that is missing or out of
 * reach.
 */
export class AssemblyError extends Error {
  override readonly name = 'AssemblyError';
}

export interface Code {
  /** With every named word zero. */
  readonly bytes: Uint8Array;
  /** Offsets from the first byte. */
  readonly labels: ReadonlyMap<string, number>;
  readonly words: readonly { readonly name: string; readonly offset: number }[];
  /** Ascending; each rule holds from its offset on. */
  readonly cfa: readonly { readonly offset: number; readonly rule: CfaRule }[];
}

export interface Where {
  /** Address of the first byte; needed only where `symbols` are used. */
  readonly at?: Addr;
  /** Labels outside the program. */
  readonly symbols?: Readonly<Record<string, Addr>>;
}

/** One item on its way: how long it is now, and how it is written once every label is known. */
interface Fragment {
  length: number;
  readonly emit: (offset: number, resolve: Resolve) => number[];
  /** For branches: the longer form, or null when this is the only one. */
  grow: ((offset: number, resolve: Resolve) => boolean) | null;
  readonly align?: number;
}
/** Offset of a label from the first byte. */
type Resolve = (name: string) => number;

export function assemble(program: Program, { at = 0, symbols = {} }: Where = {}): Code {
  const labels = new Map<string, number>();
  const words: { name: string; offset: number }[] = [];
  const rules: { offset: number; rule: CfaRule }[] = [];
  const marks: { before: number; set: (offset: number) => void }[] = [];
  const names = new Set<string>();
  const fragments: Fragment[] = [];
  const fixed = (values: readonly number[]) =>
    fragments.push({ length: values.length, emit: () => [...values], grow: null });
  const mark = (set: (offset: number) => void) => marks.push({ before: fragments.length, set });
  const wordAt = (name: string, back: number) =>
    mark((offset) => words.push({ name, offset: offset - back }));

  program.forEach((item, position) => {
    if (!('item' in item)) {
      const { fragment, word: name } = instruction(item as readonly unknown[], position);
      fragments.push(fragment);
      if (name !== null) wordAt(name, 8);
      return;
    }
    switch (item.item) {
      case 'label':
        if (names.has(item.name))
          throw new AssemblyError(`item ${position}: label ${item.name} is defined twice`);
        names.add(item.name);
        mark((offset) => labels.set(item.name, offset));
        break;
      case 'bytes':
        if (item.bytes.some((byte) => !Number.isInteger(byte) || byte < 0 || byte > 255))
          throw new AssemblyError(`item ${position}: a byte is 0 to 255`);
        fixed(item.bytes);
        break;
      case 'quad': {
        const { value } = item;
        if (typeof value === 'object') {
          fixed([0, 0, 0, 0, 0, 0, 0, 0]);
          wordAt(value.word, 8);
        } else fixed([...little64(value)]);
        break;
      }
      case 'align':
        if (item.to < 1 || (item.to & (item.to - 1)) !== 0)
          throw new AssemblyError(`item ${position}: cannot align to ${item.to}`);
        fragments.push({
          length: 0,
          align: item.to,
          emit: function () {
            return Array<number>(this.length).fill(item.fill);
          },
          grow: null,
        });
        break;
      case 'cfa':
        mark((offset) => rules.push({ offset, rule: item.rule }));
        break;
    }
  });

  const resolve: Resolve = (name) => {
    const inside = labels.get(name);
    if (inside !== undefined) return inside;
    const outside = symbols[name];
    if (outside !== undefined) return outside - at;
    const close = nearest(name, [...names, ...Object.keys(symbols)]);
    throw new AssemblyError(
      `label ${name} is not defined${close === undefined ? '' : `; did you mean ${close}?`}`,
    );
  };

  // Branches only ever grow, so this ends, and always at the same place: the least lengths that
  // reach.
  const offsets: number[] = [];
  for (let settled = false; !settled;) {
    let offset = 0;
    fragments.forEach((fragment, i) => {
      if (fragment.align !== undefined) fragment.length = -(at + offset) & (fragment.align - 1);
      offsets[i] = offset;
      offset += fragment.length;
    });
    offsets[fragments.length] = offset;
    words.length = rules.length = 0;
    for (const { before, set } of marks) set(offsets[before] as number);
    settled = true;
    fragments.forEach((fragment, i) => {
      if (fragment.grow?.(offsets[i] as number, resolve)) settled = false;
    });
  }
  const out = new Uint8Array(offsets[fragments.length] as number);
  fragments.forEach((fragment, i) => {
    const written = fragment.emit(offsets[i] as number, resolve);
    if (written.length !== fragment.length)
      throw new AssemblyError(
        `a fragment of ${fragment.length} bytes came out as ${written.length}`,
      );
    out.set(written, offsets[i]);
  });
  return { bytes: out, labels, words, cfa: rules };
}

/** Fills the named words; every one must be given, and nothing else. */
export function place(code: Code, values: Readonly<Record<string, Number64>>): Uint8Array {
  const out = code.bytes.slice();
  const known = new Set(code.words.map(({ name }) => name));
  for (const name of Object.keys(values))
    if (!known.has(name)) throw new AssemblyError(`the code has no word ${name}`);
  for (const { name, offset } of code.words) {
    const value = values[name];
    if (value === undefined) throw new AssemblyError(`word ${name} has no value`);
    out.set(little64(value), offset);
  }
  return out;
}

function little64(value: Number64): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
  return out;
}

function instruction(
  written: readonly unknown[],
  position: number,
): { fragment: Fragment; word: string | null } {
  const lock = written[0] === 'lock';
  const [name, ...rest] = (lock ? written.slice(1) : written) as [string, ...unknown[]];
  const say = (problem: string) =>
    new AssemblyError(
      `item ${position}, ${[...(lock ? ['lock'] : []), name, ...rest.map(show)].join(' ')}: ${problem}`,
    );

  const [target] = rest;
  if (rest.length === 1 && typeof target === 'string' && register(target) === undefined) {
    const forms = candidates(name, [{ kind: 'rel', distance: 0 }]);
    const lengths = forms.map((form) => encodeForm(form, [{ kind: 'rel', distance: 0 }]).length);
    if (forms.length === 0 || lock) throw say(`no such instruction; ${target} is not a register`);
    let choice = 0;
    const distance = (offset: number, resolve: Resolve) =>
      resolve(target) - offset - (lengths[choice] as number);
    const chosen = () => forms[choice] as Form;
    const reaches = (offset: number, resolve: Resolve) =>
      accepts(chosen().kinds[0] as Kind, { kind: 'rel', distance: distance(offset, resolve) });
    const fragment: Fragment = {
      length: lengths[0] as number,
      emit(offset, resolve) {
        return encodeForm(chosen(), [{ kind: 'rel', distance: distance(offset, resolve) }]);
      },
      grow(offset, resolve) {
        if (reaches(offset, resolve)) return false;
        if (choice + 1 === forms.length) throw say(`${target} is out of reach`);
        choice++;
        fragment.length = lengths[choice] as number;
        return true;
      },
    };
    return { fragment, word: null };
  }

  let wordName: string | null = null;
  let pointer: { label: string; disp: number } | null = null;
  const operands = rest.map((value): Operand => {
    if (typeof value === 'number' || typeof value === 'bigint') {
      if (typeof value === 'number' && !Number.isSafeInteger(value))
        throw say(`${value} is not an exact integer`);
      return { kind: 'imm', value: BigInt(value) };
    }
    if (typeof value === 'string') {
      const found = register(value);
      if (found === undefined) throw say(`${value} is not a register`);
      return found;
    }
    if (typeof value === 'object' && value !== null && 'word' in value) {
      wordName = String(value.word);
      return { kind: 'imm', value: 0n };
    }
    const memory = value as Mem;
    if (memory?.kind !== 'mem')
      throw say('an operand is a register, a number, a memory operand, a word or a label');
    if (memory.label !== undefined) pointer = { label: memory.label, disp: memory.disp };
    return memory;
  });
  if (wordName !== null && name !== 'movabs')
    throw say('a word stands only in movabs, whose immediate has eight bytes');
  const first = encode(name, operands, lock);
  if (first === null)
    throw say(
      candidates(name, operands).length > 0
        ? 'LOCK is not allowed here'
        : 'no such instruction with these operands',
    );
  if (pointer === null)
    return { fragment: { length: first.length, emit: () => first, grow: null }, word: wordName };
  const { label: to, disp } = pointer as { label: string; disp: number };
  const emit = (offset: number, resolve: Resolve): number[] => {
    const relative = resolve(to) + disp - offset - first.length;
    return (
      encode(
        name,
        operands.map((operand) =>
          operand.kind === 'mem' ? { ...operand, disp: relative } : operand,
        ),
        lock,
      ) ?? first
    );
  };
  return { fragment: { length: first.length, emit, grow: null }, word: wordName };
}

function show(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'kind' in value) return '[memory]';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

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
import { candidates, encode, encodeForm, takes } from './encode.js';
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
  eax: 'eax';
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

/** One item on its way. Labels and unwind rules are fragments of no bytes. */
interface Fragment {
  /** As far as the lengths before it are known. */
  offset: number;
  length: number;
  /** Its bytes, once every label is known. */
  readonly emit: (resolve: Resolve) => readonly number[];
  /** For a branch: takes its next longer form where the present one does not reach. */
  readonly grow?: (resolve: Resolve) => boolean;
  readonly align?: number;
  readonly label?: string;
  /** Name of the word that is its last eight bytes. */
  readonly word?: string;
  readonly rule?: CfaRule;
}
/** Offset of a label from the first byte. */
type Resolve = (name: string) => number;

const fixed = (
  values: readonly number[],
  rest: Pick<Fragment, 'label' | 'word' | 'rule'> = {},
): Fragment => ({ offset: 0, length: values.length, emit: () => values, ...rest });

export function assemble(program: Program, { at = 0, symbols = {} }: Where = {}): Code {
  const labels = new Map<string, number>();
  const fragments: Fragment[] = [];
  for (const [position, item] of program.entries()) {
    const fragment = fragmentOf(item, position);
    if (fragment.label !== undefined) {
      if (labels.has(fragment.label))
        throw new AssemblyError(`item ${position}: label ${fragment.label} is defined twice`);
      labels.set(fragment.label, 0);
    }
    fragments.push(fragment);
  }
  const resolve: Resolve = (name) => {
    const inside = labels.get(name);
    if (inside !== undefined) return inside;
    const outside = symbols[name];
    if (outside !== undefined) return outside - at;
    const close = nearest(name, [...labels.keys(), ...Object.keys(symbols)]);
    throw new AssemblyError(
      `label ${name} is not defined${close === undefined ? '' : `; did you mean ${close}?`}`,
    );
  };

  // Branches only ever grow, so this ends, and always at the same place: the least lengths that
  // reach.
  let length = lay(fragments, at, labels);
  while (fragments.filter((fragment) => fragment.grow?.(resolve)).length > 0)
    length = lay(fragments, at, labels);

  const out = new Uint8Array(length);
  for (const fragment of fragments) {
    const written = fragment.emit(resolve);
    if (written.length !== fragment.length)
      throw new AssemblyError(
        `a fragment of ${fragment.length} bytes came out as ${written.length}`,
      );
    out.set(written, fragment.offset);
  }
  const words: Code['words'][number][] = [];
  const rules: Code['cfa'][number][] = [];
  for (const { offset, length: size, word: name, rule } of fragments) {
    if (name !== undefined) words.push({ name, offset: offset + size - 8 });
    if (rule !== undefined) rules.push({ offset, rule });
  }
  return { bytes: out, labels, words, cfa: rules };
}

/** Gives every fragment and label its offset. @returns the length of the code */
function lay(fragments: readonly Fragment[], at: Addr, labels: Map<string, number>): number {
  let offset = 0;
  for (const fragment of fragments) {
    if (fragment.align !== undefined) fragment.length = -(at + offset) & (fragment.align - 1);
    if (fragment.label !== undefined) labels.set(fragment.label, offset);
    fragment.offset = offset;
    offset += fragment.length;
  }
  return offset;
}

function fragmentOf(item: Item, position: number): Fragment {
  if (!('item' in item)) return instruction(item, position);
  switch (item.item) {
    case 'label':
      return fixed([], { label: item.name });
    case 'bytes':
      if (item.bytes.some((byte) => !Number.isInteger(byte) || byte < 0 || byte > 255))
        throw new AssemblyError(`item ${position}: a byte is 0 to 255`);
      return fixed(item.bytes);
    case 'quad':
      return typeof item.value === 'object'
        ? fixed([0, 0, 0, 0, 0, 0, 0, 0], { word: item.value.word })
        : fixed([...little64(item.value)]);
    case 'align': {
      if (item.to < 1 || (item.to & (item.to - 1)) !== 0)
        throw new AssemblyError(`item ${position}: cannot align to ${item.to}`);
      const gap: Fragment = {
        offset: 0,
        length: 0,
        align: item.to,
        emit: () => Array<number>(gap.length).fill(item.fill),
      };
      return gap;
    }
    case 'cfa':
      return fixed([], { rule: item.rule });
  }
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

/** An instruction as the program has it, taken apart. */
interface Sentence {
  readonly name: string;
  readonly lock: boolean;
  readonly operands: readonly unknown[];
  /** The error that names the instruction and its place. */
  readonly refuse: (problem: string) => AssemblyError;
}

function instruction(written: readonly unknown[], position: number): Fragment {
  const lock = written[0] === 'lock';
  const [name, ...operands] = lock ? written.slice(1) : written;
  const refuse = (problem: string) =>
    new AssemblyError(`item ${position}, ${written.map(show).join(' ')}: ${problem}`);
  const sentence: Sentence = { name: String(name), lock, operands, refuse };
  const [target] = operands;
  return operands.length === 1 && typeof target === 'string' && register(target) === undefined
    ? branch(sentence, target)
    : plain(sentence);
}

/** A branch to a label, in the shortest form until that does not reach. */
function branch({ name, lock, refuse }: Sentence, target: string): Fragment {
  const to = (distance: number): Operand[] => [{ kind: 'rel', distance }];
  const [shortest, ...longer] = candidates(name, to(0)).map((form) => ({
    form,
    length: encodeForm(form, to(0)).length,
  }));
  if (shortest === undefined || lock)
    throw refuse(`no such instruction; ${target} is not a register`);
  let chosen = shortest;
  const operands = (resolve: Resolve) => to(resolve(target) - fragment.offset - chosen.length);
  const fragment: Fragment = {
    offset: 0,
    length: chosen.length,
    emit: (resolve) => encodeForm(chosen.form, operands(resolve)),
    grow(resolve) {
      if (takes(chosen.form, operands(resolve))) return false;
      const next = longer.shift();
      if (next === undefined) throw refuse(`${target} is out of reach`);
      chosen = next;
      fragment.length = next.length;
      return true;
    },
  };
  return fragment;
}

/** Every other instruction: its length is known at once. */
function plain({ name, lock, operands: written, refuse }: Sentence): Fragment {
  const operands = written.map((value) => operandOf(value, refuse));
  const named = written.find(isWord);
  if (named !== undefined && name !== 'movabs')
    throw refuse('a word stands only in movabs, whose immediate has eight bytes');
  const first = encode(name, operands, lock);
  if (first === null)
    throw refuse(
      candidates(name, operands).length > 0
        ? 'LOCK is not allowed here'
        : 'no such instruction with these operands',
    );
  const whole = fixed(first, named === undefined ? {} : { word: named.word });
  const pointer = operands.find((operand) => operand.kind === 'mem');
  const to = pointer?.label;
  if (pointer === undefined || to === undefined) return whole;
  const fragment: Fragment = {
    ...whole,
    emit(resolve) {
      const disp = resolve(to) + pointer.disp - fragment.offset - first.length;
      const resolved = operands.map((operand) =>
        operand.kind === 'mem' ? { ...operand, disp } : operand,
      );
      return encode(name, resolved, lock) ?? first;
    },
  };
  return fragment;
}

const isWord = (value: unknown): value is Word =>
  typeof value === 'object' && value !== null && 'word' in value;
const isMem = (value: unknown): value is Mem =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'mem';

function operandOf(value: unknown, refuse: Sentence['refuse']): Operand {
  if (typeof value === 'number' || typeof value === 'bigint') {
    if (typeof value === 'number' && !Number.isSafeInteger(value))
      throw refuse(`${value} is not an exact integer`);
    return { kind: 'imm', value: BigInt(value) };
  }
  if (typeof value === 'string') {
    const found = register(value);
    if (found === undefined) throw refuse(`${value} is not a register`);
    return found;
  }
  if (isWord(value)) return { kind: 'imm', value: 0n };
  if (isMem(value)) return value;
  throw refuse('an operand is a register, a number, a memory operand, a word or a label');
}

function show(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'kind' in value) return '[memory]';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

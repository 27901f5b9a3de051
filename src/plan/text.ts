// The text of a protocol that brings its own, `SiteText.states`: what its bytes mean, and where an
// instruction begins that a thread may execute.

import { decode } from '../asm/decode.js';
import { INT3 } from '../asm/table.js';
import { Fault } from '../base/fault.js';
import type { SiteText, TextState } from './protocol.js';

/**
 * A byte of a state: itself, the one that was there before, or a part of a distance to a target.
 */
type TextByte = number | 'kept' | { readonly to: string; readonly part: number };

export interface ParsedState extends Pick<TextState, 'name' | 'runs'> {
  readonly trap: TextState['trap'] | null;
  readonly bytes: readonly TextByte[];
}

export interface ParsedText {
  readonly length: number;
  readonly entry: number;
  readonly ends: 'behind' | 'return';
  readonly changes: readonly string[];
  readonly leaf: boolean;
  readonly states: readonly ParsedState[];
}

/** Longest text that is patched. */
export const LONGEST_TEXT = 32;
const DISTANCE = 4;
const TARGET = /^\{(A|B|C|return)\}$/;

function parseByte(word: string): readonly TextByte[] | null {
  const to = TARGET.exec(word)?.[1];
  if (to !== undefined) return Array.from({ length: DISTANCE }, (_, part) => ({ to, part }));
  if (word === '..') return ['kept'];
  return /^[0-9a-f]{2}$/.test(word) ? [Number.parseInt(word, 16)] : null;
}

const wrong = (field: string, found: string, hint?: string): Fault =>
  new Fault('bad-protocol', `${field} ${found}`, {
    at: field,
    ...(hint === undefined ? {} : { hint }),
  });

function parseState(state: TextState, field: string, first: boolean): ParsedState {
  const { name, runs, trap = null } = state;
  const bytes = state.bytes.split(' ').map(parseByte);
  const unread = bytes.indexOf(null);
  if (unread >= 0)
    throw wrong(
      `${field}.bytes`,
      `has ${state.bytes.split(' ')[unread]}, which is no byte`,
      'write bytes in hexadecimal, .. for what was there, {A} for the distance to a target',
    );
  const flat = bytes.flatMap((each) => each ?? []);
  if (flat.length > LONGEST_TEXT)
    throw wrong(`${field}.bytes`, `are ${flat.length}; at most ${LONGEST_TEXT} are patched`);
  if (first && flat.includes('kept'))
    throw wrong(`${field}.bytes`, 'keep what was there before, and nothing was: it is the first');
  return { name, runs, trap, bytes: flat };
}

/** @throws Fault `bad-protocol` where a state has another length, or does not decode */
export function parseText(text: SiteText): ParsedText | null {
  const { states: given, entry = 0, ends = 'behind', changes = [], leaf = false } = text;
  if (given === undefined) return null;
  const states = given.map((state, i) => parseState(state, `text.states[${i}]`, i === 0));
  const length = states[0]!.bytes.length;
  for (const [i, { bytes }] of states.entries())
    if (bytes.length !== length)
      throw wrong(
        `text.states[${i}].bytes`,
        `are ${bytes.length}, and the first state has ${length}`,
      );
  if (entry >= length) throw wrong('text.entry', `is ${entry}, outside a text of ${length} bytes`);
  const parsed = { length, entry, ends, changes, leaf, states };
  checkDecodes(parsed);
  return parsed;
}

/** Every state is walked once, with distances that no part of the text lies at. */
function checkDecodes(text: ParsedText): void {
  let before: readonly number[] = [];
  for (const [i, state] of text.states.entries()) {
    const bytes = bytesOf(state, before, () => 0x01020304);
    before = bytes;
    const { undecoded } = walk(bytes, text.entry, state.trap);
    if (undecoded !== null)
      throw wrong(
        `text.states[${i}].bytes`,
        `hold no known instruction at offset ${undecoded}, where a thread may come`,
      );
  }
}

/**
 * The bytes of a state.
 * @param distance to a target, from the end of the four bytes, which lie at that offset
 */
export function bytesOf(
  { bytes }: ParsedState,
  before: readonly number[],
  distance: (to: string, end: number) => number,
): number[] {
  return bytes.map((byte, i) => {
    if (byte === 'kept') return before[i]!;
    if (typeof byte === 'number') return byte;
    return (distance(byte.to, i - byte.part + DISTANCE) >> (8 * byte.part)) & 0xff;
  });
}

interface Walked {
  /** By offset, the bytes of the instruction that begins there. */
  readonly starts: ReadonlyMap<number, readonly number[]>;
  /** Offsets behind calls. */
  readonly returns: ReadonlySet<number>;
  /** A place that a thread may come to and that does not decode. */
  readonly undecoded: number | null;
}

/** Where instructions begin, by following every jump inside the text. */
export function walk(bytes: readonly number[], entry: number, trap: ParsedState['trap']): Walked {
  const starts = new Map<number, readonly number[]>();
  const returns = new Set<number>();
  const open = typeof trap === 'number' ? [entry, trap] : [entry];
  for (const at of open) {
    if (at < 0 || at >= bytes.length || starts.has(at)) continue;
    const insn = decode(bytes.slice(at));
    if (typeof insn === 'string') return { starts, returns, undecoded: at };
    const end = at + insn.length;
    starts.set(at, bytes.slice(at, end));
    if (insn.form.name === 'call') returns.add(end);
    open.push(...after(insn, bytes[at] === INT3 ? trap : null, end));
  }
  return { starts, returns, undecoded: null };
}

/** Offsets at which a thread may go on behind an instruction that ends at `end`. */
function after(
  insn: Exclude<ReturnType<typeof decode>, string>,
  trap: ParsedState['trap'],
  end: number,
): number[] {
  const { name } = insn.form;
  if (trap !== null) return typeof trap === 'number' ? [trap] : [];
  const [operand] = insn.operands;
  const jumped = operand?.kind === 'rel' && name !== 'call' ? [end + operand.distance] : [];
  return name === 'jmp' || name === 'ret' ? jumped : [end, ...jumped];
}

/** The bytes that some update changes: the first, and the one behind the last. */
export function changedOf({ states, length }: ParsedText): { from: number; to: number } {
  const differs = Array.from({ length }, (_, i) => {
    const values = states.map(({ bytes }) => bytes[i]!).filter((byte) => byte !== 'kept');
    return new Set(values.map((byte) => JSON.stringify(byte))).size > 1;
  });
  const from = differs.indexOf(true);
  return from < 0 ? { from: 0, to: length } : { from, to: differs.lastIndexOf(true) + 1 };
}

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
  /** Of the fresh code; none where the text has none. */
  readonly fresh: readonly TextByte[];
}

export interface ParsedText {
  readonly length: number;
  /** Of the fresh code; 0 where the text has none. */
  readonly freshLength: number;
  readonly entry: number;
  readonly ends: 'behind' | 'return';
  readonly changes: readonly string[];
  readonly leaf: boolean;
  readonly states: readonly ParsedState[];
}

/** Longest text that is patched, and longest fresh code. */
export const LONGEST_TEXT = 32;
const DISTANCE = 4;
const TARGET = /^\{(A|B|C|return|fresh|end)\}$/;

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

function parseBytes(text: string, field: string, first: boolean): readonly TextByte[] {
  const words = text.split(' ');
  const flat = words.flatMap((word) => {
    const bytes = parseByte(word);
    if (bytes !== null) return bytes;
    throw wrong(
      field,
      `has ${word}, which is no byte`,
      'write bytes in hexadecimal, .. for what was there, {A} for the distance to a target',
    );
  });
  if (flat.length > LONGEST_TEXT)
    throw wrong(field, `are ${flat.length}; at most ${LONGEST_TEXT} are patched`);
  if (first && flat.includes('kept'))
    throw wrong(field, 'keep what was there before, and nothing was: it is the first');
  return flat;
}

/** Whether a thread comes to fresh code from these bytes. */
export const leadsToFresh = ({ bytes }: Pick<ParsedState, 'bytes'>): boolean =>
  bytes.some((byte) => typeof byte === 'object' && byte.to === 'fresh');

/** The fresh code of a state, as long as the first one's. */
function parseFresh(given: readonly TextState[], i: number): readonly TextByte[] {
  const field = `text.states[${i}].fresh`;
  const [first, state] = [given[0]?.fresh, given[i]?.fresh];
  if (first === undefined) {
    if (state === undefined) return [];
    throw wrong('text.states[0].fresh', 'is missing: what the place held before it was written');
  }
  const length = parseBytes(first, 'text.states[0].fresh', true).length;
  if (state === undefined) return Array.from({ length }, () => 'kept');
  const bytes = parseBytes(state, field, i === 0);
  if (bytes.length !== length)
    throw wrong(field, `are ${bytes.length} bytes, and the first state has ${length}`);
  return bytes;
}

/** @throws Fault `bad-protocol` where a state has another length, or does not decode */
export function parseText(text: SiteText): ParsedText | null {
  const { states: given, entry = 0, ends = 'behind', changes = [], leaf = false } = text;
  if (given === undefined) return null;
  const states = given.map((state, i): ParsedState => {
    const { name, runs, trap = null } = state;
    const bytes = parseBytes(state.bytes, `text.states[${i}].bytes`, i === 0);
    return { name, runs, trap, bytes, fresh: parseFresh(given, i) };
  });
  const { length } = states[0]!.bytes;
  const freshLength = states[0]!.fresh.length;
  for (const [i, { bytes }] of states.entries()) {
    const field = `text.states[${i}].bytes`;
    if (bytes.length !== length)
      throw wrong(field, `are ${bytes.length}, and the first state has ${length}`);
    if (freshLength === 0 && leadsToFresh({ bytes }))
      throw wrong(field, 'lead to {fresh}, and no state has fresh code');
  }
  if (entry >= length) throw wrong('text.entry', `is ${entry}, outside a text of ${length} bytes`);
  const parsed = { length, freshLength, entry, ends, changes, leaf, states };
  checkDecodes(parsed);
  return parsed;
}

/** Every state is walked once, with distances that no part of the text lies at. */
function checkDecodes(text: ParsedText): void {
  const freshAt = 2 * LONGEST_TEXT;
  const places: Readonly<Record<string, number>> = { fresh: freshAt, end: text.length };
  const elsewhere = 0x01020304;
  const distance = (to: string, end: number): number => (places[to] ?? elsewhere) - end;
  const before: { bytes: readonly number[]; fresh: readonly number[] } = { bytes: [], fresh: [] };
  for (const [i, state] of text.states.entries()) {
    before.bytes = bytesOf(state.bytes, before.bytes, distance);
    before.fresh = bytesOf(state.fresh, before.fresh, (to, end) => distance(to, freshAt + end));
    const pieces = [
      { from: 0, bytes: before.bytes },
      { from: freshAt, bytes: before.fresh },
    ];
    const { undecoded } = walk(pieces, text.entry, state.trap);
    if (undecoded === null) continue;
    const [field, at] = undecoded < freshAt ? ['bytes', undecoded] : ['fresh', undecoded - freshAt];
    throw wrong(
      `text.states[${i}].${field}`,
      `hold no known instruction at offset ${at}, where a thread may come`,
    );
  }
}

/**
 * The bytes of a state, or of its fresh code.
 * @param distance to a target, from the end of the four bytes, which lie at that offset
 */
export function bytesOf(
  bytes: readonly TextByte[],
  before: readonly number[],
  distance: (to: string, end: number) => number,
): number[] {
  return bytes.map((byte, i) => {
    if (byte === 'kept') return before[i]!;
    if (typeof byte === 'number') return byte;
    return (distance(byte.to, i - byte.part + DISTANCE) >> (8 * byte.part)) & 0xff;
  });
}

/** Bytes that lie together, from an offset on. */
interface Piece {
  readonly from: number;
  readonly bytes: readonly number[];
}

interface Walked {
  /** By offset, the bytes of the instruction that begins there. */
  readonly starts: ReadonlyMap<number, readonly number[]>;
  /** Offsets behind calls. */
  readonly returns: ReadonlySet<number>;
  /** A place that a thread may come to and that does not decode. */
  readonly undecoded: number | null;
}

/** Where instructions begin, by following every jump and call inside the pieces. */
export function walk(pieces: readonly Piece[], entry: number, trap: ParsedState['trap']): Walked {
  const starts = new Map<number, readonly number[]>();
  const returns = new Set<number>();
  const open = typeof trap === 'number' ? [entry, trap] : [entry];
  for (const at of open) {
    const piece = pieces.find(({ from, bytes }) => at >= from && at < from + bytes.length);
    if (piece === undefined || starts.has(at)) continue;
    const bytes = piece.bytes.slice(at - piece.from);
    const insn = decode(bytes);
    if (typeof insn === 'string') return { starts, returns, undecoded: at };
    const end = at + insn.length;
    starts.set(at, bytes.slice(0, insn.length));
    if (insn.form.name === 'call') returns.add(end);
    open.push(...after(insn, bytes[0] === INT3 ? trap : null, end));
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
  const jumped = operand?.kind === 'rel' ? [end + operand.distance] : [];
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

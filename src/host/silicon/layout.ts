// What the two threads of a litmus program share: where its text lies, which bytes its instruction
// may hold, and one page of words.

import { PAGE, type Addr } from '../../base/addr.js';
import { assemble, type Program } from '../../asm/assembler.js';
import type { DataProgram, LandingProgram } from '../../plan/litmus.js';
import { bytesOf, type ParsedText } from '../../plan/text.js';
import { SITE_FORMS } from '../../x86/forms.js';

/** Far from everything: the address space two gigabytes up and down is empty. */
export const TEXT: Addr = 0x6000_8000_0000;
/** The program's own pages. */
export const TEXT_SIZE = 2 * PAGE;
/** `order`: behind it pads of 16 bytes, one for each number modulo this. */
export const PADS = 4096;
export const PADS_AT = TEXT_SIZE;
/**
 * A sample in which the writer went further than this between two looks at its word says nothing
 * about order.
 */
export const WINDOW = 1024;

/**
 * The page that both threads share, a line for each writer of it. `counts` is a word an outcome.
 */
export const BLOCK = {
  counts: 0,
  stop: 2048,
  cpu: 2112,
  said: 2176,
  traps: 2240,
  ack: 2304,
  alias: 2368,
  siteAt: 2376,
  yAt: 2384,
  ball: 2432,
} as const;
export const COUNTS = BLOCK.stop / 8;
/** Counted where the site fell through: what does nothing in place of a call. */
export const THROUGH = COUNTS - 1;
/** Of a load: neither value. */
export const NEITHER = 2;

export const CALL = 0xe8;
const CALL_BYTES = 5;
const NOP = [0x0f, 0x1f, 0x44, 0x00, 0x00] as const;
/** They differ in all four bytes. */
export const OLD = 0x12345678;
export const NEW = 0xed5a3b45;
export const little = (value: number): number[] =>
  [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
export const int32 = (bytes: readonly number[]): number =>
  new DataView(Uint8Array.from(bytes).buffer).getInt32(0, true);

/** Where each target lies, from the site on: of a call at the site the distance is OLD or NEW. */
const TARGETS: Readonly<Record<string, number>> = {
  A: OLD + CALL_BYTES,
  B: (NEW | 0) + CALL_BYTES,
  C: 0x2b6c1d5a,
  return: 0x3c8e9f21,
};
export const targetAt = (from: number): string | undefined =>
  Object.keys(TARGETS).find((name) => TARGETS[name] === from);

/** What the site holds in turn: before an update, after it, and so on round. */
export function contentsOf({ from, text }: Asked): readonly (readonly number[])[] {
  if (text !== undefined) return statesOf(text);
  const fresh = [CALL, ...little(NEW)];
  const old = {
    call: [CALL, ...little(OLD)],
    nop: [...NOP],
    off: [...SITE_FORMS.test5.bytes.subarray(0, 1), ...little(NEW)],
  }[from];
  return [old, fresh];
}
type Asked = Pick<DataProgram, 'from'> & Pick<LandingProgram, 'text'>;

function statesOf({ states, length }: ParsedText): number[][] {
  const contents: number[][] = [];
  const places: Readonly<Record<string, number>> = { ...TARGETS, end: length };
  for (const { bytes } of states) {
    const before = contents.at(-1) ?? [];
    contents.push(bytesOf(bytes, before, (to, end) => (places[to] ?? 0) - end));
  }
  return contents;
}

export const lengthOf = (program: Program): number => assemble(program).bytes.length;

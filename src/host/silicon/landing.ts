// Code at every place where a torn call or jump can go, so that it is counted and crashes nothing:
// each byte of a distance may hold what any store leaves there, and every mixture of those has a
// pad that says which one it is.

import { INT3 } from '../../asm/table.js';
import { PAGE, type Addr } from '../../base/addr.js';
import { MAP, PROT, type Native } from '../../machine/linux/native.js';
import type { LandingProgram } from '../../plan/litmus.js';
import { CALL, contentsOf, COUNTS, int32, little, targetAt, TEXT } from './layout.js';
import type { Effect } from './writer.js';

const JMP = 0xe9;
/** Of the distance in a call or jump. */
const WIDTH = 4;

/** A place where a call or jump may go. */
export interface Mixture {
  /**
   * Of a call: for each byte of the distance, the lowest first, 0 if it is the old one and 1 if it
   * is the new one; a higher number is a byte that a step planted. Of a text: the target, or the
   * bytes of the distance.
   */
  readonly name: string;
  /** From the site on. */
  readonly at: number;
}

/** In the order of their counters. */
export function mixturesOf(program: LandingProgram, effects: readonly Effect[]): Mixture[] {
  const contents = contentsOf(program);
  const [old = [], fresh = []] = contents;
  const variants = old.map((_, at) => {
    const stored = effects.flatMap((effect) =>
      effect === 'sync' ? [] : (effect.bytes[at - effect.at] ?? []),
    );
    return [...new Set([...contents.flatMap((bytes) => bytes[at] ?? []), ...stored])];
  });
  const found = new Map<number, Mixture>();
  for (const [offset, opcodes] of variants.entries()) {
    const from = offset + 1;
    const width = variants.slice(from, from + WIDTH);
    if (width.length < WIDTH || !opcodes.some((byte) => byte === CALL || byte === JMP)) continue;
    for (const bytes of mixed(width)) {
      const at = from + WIDTH + int32(bytes);
      const digits = bytes.map((byte, i) =>
        digit(byte, old[from + i], fresh[from + i], width[i] ?? []),
      );
      const hex = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
      const name = program.text === undefined ? digits.join('') : (targetAt(at) ?? hex);
      if (!found.has(at)) found.set(at, { name, at });
    }
  }
  return [...found.values()];
}

const mixed = (variants: readonly (readonly number[])[]): readonly (readonly number[])[] =>
  variants.reduce<readonly (readonly number[])[]>(
    (before, values) => values.flatMap((value) => before.map((each) => [...each, value])),
    [[]],
  );

/** What does not change is new. */
function digit(
  byte: number,
  old: number | undefined,
  fresh: number | undefined,
  values: readonly number[],
): number {
  if (byte === fresh) return 1;
  return byte === old ? 0 : values.indexOf(byte);
}

export const tooMany = (mixtures: readonly Mixture[]): boolean => mixtures.length >= COUNTS;

/** A `return` goes back and says nothing; any other place is told in R9. */
const pad = (number: number, { name }: Mixture): readonly number[] =>
  name === 'return' ? [RET] : [0x41, 0xb9, ...little(number), RET];
const RET = 0xc3;

/**
 * A pad at each mixture; false where something lies there, or two lie over each other. Some
 * mixtures lead into the program's own pages, `own`: there a pad has room among the trap bytes, and
 * where code lies none is needed to count what that code does.
 */
export function land(
  native: Native,
  site: Addr,
  mixtures: readonly Mixture[],
  own: Uint8Array,
): boolean {
  const code = new Map<Addr, number[]>();
  for (const [number, mixture] of mixtures.entries()) {
    const bytes = pad(number, mixture);
    const at = site + mixture.at;
    const inside = at - TEXT;
    if (inside >= 0 && inside < own.length) {
      if (own.subarray(inside, inside + bytes.length).every((byte) => byte === INT3))
        own.set(bytes, inside);
      continue;
    }
    if (!bytes.every((byte, i) => put(code, at + i, byte))) return false;
  }
  return mapped(native, code);
}

/** False where a byte is taken. */
function put(code: Map<Addr, number[]>, at: Addr, byte: number): boolean {
  const page = Math.floor(at / PAGE) * PAGE;
  const content = code.get(page) ?? Array<number>(PAGE).fill(INT3);
  code.set(page, content);
  if (content[at - page] !== INT3) return false;
  content[at - page] = byte;
  return true;
}

function mapped(native: Native, code: ReadonlyMap<Addr, number[]>): boolean {
  const flags = MAP.private | MAP.anonymous | MAP.fixedNoReplace;
  for (const [page, content] of code) {
    const at = native.call('mmap', page, PAGE, PROT.read | PROT.write, flags, -1, 0);
    if (at !== page) return false;
    new Uint8Array(native.view(page, PAGE)).set(content);
    native.call('mprotect', page, PAGE, PROT.read | PROT.exec);
  }
  return true;
}

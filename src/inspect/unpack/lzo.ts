// LZO1X, as its decoder reads it (the kernel's Documentation/staging/lzo.rst). What an instruction
// below 16 means depends on how many literals came out before it.

import { Fault } from '../../base/fault.js';
import { Window } from './window.js';

/** After a run of literals of its own, whatever its length. */
const RUN = 4;
/** A match from here ends the stream. */
const END = 16_384;

export function unpackLzo(bytes: Uint8Array, limit: number): Uint8Array {
  const window = new Window('lzo', bytes, limit);
  let before = 0;
  const [first = 0] = bytes;
  if (first > 17) {
    window.number(1);
    window.literals(first - 17);
    before = Math.min(first - 17, RUN);
  }
  while (!window.ended) {
    const tag = window.number(1);
    if (tag < 16 && before === 0) {
      window.literals(3 + extended(window, tag, 15));
      before = RUN;
      continue;
    }
    const { distance, length, literals } = matchOf(window, tag, before);
    if (distance === END) return window.result();
    window.match(distance, length);
    window.literals(literals);
    before = literals;
  }
  throw new Fault('bad-packing', 'the lzo stream has no end');
}

/** How far back and how long a match is, and how many literals follow it. */
function matchOf(
  window: Window,
  tag: number,
  before: number,
): { readonly distance: number; readonly length: number; readonly literals: number } {
  if (tag >= 64) {
    const distance = (window.number(1) << 3) + ((tag >> 2) & 7) + 1;
    return { distance, length: (tag >> 5) + 1, literals: tag & 3 };
  }
  if (tag >= 16) {
    const near = tag >= 32;
    const length = 2 + (near ? extended(window, tag & 31, 31) : extended(window, tag & 7, 7));
    const word = window.number(2);
    const distance = (word >> 2) + (near ? 1 : END + ((tag & 8) << 11));
    return { distance, length, literals: word & 3 };
  }
  const distance = (window.number(1) << 2) + (tag >> 2) + 1;
  return before === RUN
    ? { distance: distance + 2048, length: 3, literals: tag & 3 }
    : { distance, length: 2, literals: tag & 3 };
}

/** A length of zero stands for `most` and what follows: zeros of 255 each, and one other byte. */
function extended(window: Window, length: number, most: number): number {
  if (length > 0) return length;
  for (let sum = most; ; sum += 255) {
    const byte = window.number(1);
    if (byte > 0) return sum + byte;
  }
}

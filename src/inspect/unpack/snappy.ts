// A block of snappy (google/snappy, format_description.txt): its length, then literals and copies.

import { Window } from './window.js';

/** Literals of more than this many bytes have their length behind the tag. */
const SHORT = 60;

export function unpackSnappy(bytes: Uint8Array, limit: number): Uint8Array {
  const window = new Window('snappy', bytes, limit);
  // The length is believed of no one: the page's size is the bound.
  while (window.number(1) >= 128);
  while (!window.ended) {
    const tag = window.number(1);
    const length = (tag >> 2) + 1;
    switch (tag & 3) {
      case 0:
        window.literals(length > SHORT ? window.number(length - SHORT) + 1 : length);
        break;
      case 1:
        window.match(((tag >> 5) << 8) + window.number(1), ((tag >> 2) & 7) + 4);
        break;
      case 2:
        window.match(window.number(2), length);
        break;
      default:
        window.match(window.number(4), length);
    }
  }
  return window.result();
}

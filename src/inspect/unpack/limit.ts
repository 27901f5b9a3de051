// What unpacking may take. Both bounds are asked of every format, whatever its decoder is.

import { Fault } from '../../base/fault.js';

/** No kernel image is near it, and two copies of it fit into one gigabyte. */
export const LIMIT: number = 384 * 1024 * 1024;
/** What the smallest file may unpack to. */
const FLOOR = 64 * 1024 * 1024;
/** Kernels and modules shrink to a third or a tenth; what shrinks to a hundredth is a bomb. */
const RATIO = 64;

/** The most bytes that may come out of so many packed ones. */
export function allowance(packed: number): number {
  return Math.min(LIMIT, Math.max(FLOOR, packed * RATIO));
}

export const tooMuch = (packing: string, limit: number): Fault =>
  new Fault('bad-packing', `the ${packing} stream holds more than ${limit} bytes`, {
    hint: 'no kernel or module is packed so tightly; if this one is, unpack it by its own program',
  });

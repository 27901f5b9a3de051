// What unpacking may take. Both bounds are asked of every format, whatever its decoder is.

import { createContext, runInContext } from 'node:vm';
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

/**
 * Bytes a millisecond. The slowest decoder that is run so does 45 MB/s on an idle machine. On one
 * where five programs shared each CPU it did 20 MB/s and less, and an honest kernel was refused.
 */
const PACE = 4_000;
const START_MS = 2000;

/**
 * Runs a decoder that is JavaScript and checks no lengths of its own: a few bytes of damage can
 * keep its inner loop busy for minutes. The engine ends it from another thread.
 */
export function timed<T>(packing: string, bytes: number, decode: () => T): T {
  const timeout = START_MS + Math.ceil(bytes / PACE);
  const done: { result?: { value: T } } = {};
  try {
    runInContext('run()', createContext({ run: () => void (done.result = { value: decode() }) }), {
      timeout,
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
  }
  if (done.result) return done.result.value;
  throw new Fault('bad-packing', `the ${packing} stream took more than ${timeout / 1000} s`, {
    hint: 'it is damaged, or this machine is busy: unpack it by its own program',
  });
}

// bzip2 by way of seek-bzip, the only file that knows it.

import { createRequire } from 'node:module';
import { Fault } from '../../base/fault.js';
import { tooMuch } from './limit.js';

interface SeekBzip {
  decode(
    input: Uint8Array,
    output: { writeByte(byte: number): void; flush(): void },
    multistream: boolean,
  ): void;
}

export function unpackBzip2(bytes: Uint8Array, size: number | null, limit: number): Uint8Array {
  requireFullBlocks(bytes, limit);
  const { decode } = createRequire(import.meta.url)('seek-bzip') as SeekBzip;
  // A byte sink of our own: the package's doubles without a bound.
  let sink = new Uint8Array(size ?? Math.min(limit, Math.max(4096, bytes.length * 4)));
  let length = 0;
  const writeByte = (byte: number): void => {
    if (length === sink.length) {
      if (length >= limit) throw tooMuch('bzip2', limit);
      const larger = new Uint8Array(Math.min(limit, length * 2));
      larger.set(sink);
      sink = larger;
    }
    sink[length++] = byte;
  };
  decode(bytes, { writeByte, flush() {} }, true);
  return sink.subarray(0, length);
}

/** What begins a block, at any bit: the digits of pi. */
const [PI_HIGH, PI_LOW] = [0x31415926, 0x5359];
/** Of a block, by the level in the header; the decoder makes room for all of it at once. */
const LEVEL = 100_000;
/** Blocks that need not be full: the last one of a stream, in a file of several streams. */
const SPARE = 64;

/**
 * A block of one byte takes 35 bytes and as much time as a full one, so blocks are counted before
 * any is decoded. A full block holds its size before run lengths are packed, which may add a
 * quarter.
 */
function requireFullBlocks(bytes: Uint8Array, limit: number): void {
  const level = (bytes[3] ?? 0) - 0x30;
  if (!(level >= 1 && level <= 9)) return; // the decoder refuses it
  const most = SPARE + (1.25 * limit) / (LEVEL * level);
  if (countBlocks(bytes) > most)
    throw new Fault('bad-packing', `the bzip2 stream has more than ${Math.floor(most)} blocks`);
}

function countBlocks(bytes: Uint8Array): number {
  let blocks = 0;
  let window = 0;
  for (const [at, byte] of bytes.entries()) {
    // The 32 bits before this byte, and then each of its bits in turn.
    for (let bit = 0; bit < 8; bit++)
      if (((window << bit) | (byte >> (8 - bit))) === PI_HIGH && sixteen(bytes, at, bit) === PI_LOW)
        blocks++;
    window = (window << 8) | byte;
  }
  return blocks;
}

function sixteen(bytes: Uint8Array, at: number, bit: number): number {
  const [a = 0, b = 0, c = 0] = bytes.subarray(at, at + 3);
  return (((a << 16) | (b << 8) | c) >> (8 - bit)) & 0xffff;
}

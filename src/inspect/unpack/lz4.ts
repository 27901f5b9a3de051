// The legacy frame of lz4, the one that the kernel's build uses (`lz4 -l`): the magic number, then
// blocks of at most 8 MiB, each behind its packed length. Written here because a block is twenty
// lines, and lz4js, which was tried, reads a match from before the beginning of its output without
// a word.

import { Fault } from '../../base/fault.js';

const BLOCK = 8 * 1024 * 1024;
const MAGIC = 0x184c2102;

export function unpackLz4(bytes: Uint8Array, size: number | null, limit: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  // A length byte of 255 stands for 255 bytes, and nothing for more.
  const out = new Uint8Array(
    size === null ? Math.min(limit, bytes.length * 255) : Math.min(size, bytes.length * 255),
  );
  let length = 0;
  for (let at = 4; at < bytes.length;) {
    if (at + 4 > bytes.length) throw cut();
    const packed = view.getUint32(at, true);
    at += 4;
    if (packed === MAGIC) continue; // a frame behind a frame, as concatenated files have it
    if (at + packed > bytes.length) throw cut();
    length = unpackBlock(bytes, at, at + packed, out, length);
    at += packed;
  }
  return size === null ? out.slice(0, length) : out.subarray(0, length);
}

/**
 * Decodes one block to `out` from `start` on; returns where it ends. Matches stay inside the block.
 */
function unpackBlock(
  source: Uint8Array,
  from: number,
  end: number,
  out: Uint8Array,
  start: number,
): number {
  const room = Math.min(out.length, start + BLOCK);
  let at = from;
  let to = start;
  const count = (nibble: number): number => {
    let sum = nibble;
    for (let byte = nibble === 15 ? 255 : 0; byte === 255; sum += byte) {
      if (at >= end) throw cut();
      byte = source[at++]!;
    }
    return sum;
  };
  while (at < end) {
    const token = source[at++]!;
    const literals = count(token >> 4);
    if (at + literals > end) throw cut();
    if (to + literals > room) throw full();
    if (literals < 16) for (let i = 0; i < literals; i++) out[to + i] = source[at + i]!;
    else out.set(source.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at === end) return to; // the last sequence has no match
    if (at + 2 > end) throw cut();
    const distance = source[at]! | (source[at + 1]! << 8);
    at += 2;
    const match = count(token & 15) + 4;
    if (distance === 0 || to - distance < start)
      throw new Fault(
        'bad-packing',
        `an lz4 match reaches ${distance} bytes back, before its block`,
      );
    if (to + match > room) throw full();
    // The two may overlap, and then the bytes just written are copied again.
    if (distance >= match && match > 32) out.copyWithin(to, to - distance, to - distance + match);
    else for (let i = 0; i < match; i++) out[to + i] = out[to + i - distance]!;
    to += match;
  }
  return to;
}

const cut = (): Fault => new Fault('bad-packing', 'the lz4 stream ends inside a block');
const full = (): Fault =>
  new Fault('bad-packing', 'an lz4 block holds more than the frame or its stated size allows');

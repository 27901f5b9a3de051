// zstd by the zlib of Node where it knows it (22.15 and later), else by fzstd; the only file that
// knows that package. The frames are walked first, block header by block header: fzstd allocates
// whatever window and content size a frame claims, and copies a whole window for every block unless
// it is given the room to write into.

import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import * as zlib from 'node:zlib';
import { Fault } from '../../base/fault.js';
import { tooMuch } from './limit.js';
import { timed } from './timed.js';

interface Fzstd {
  decompress(bytes: Uint8Array, out: Uint8Array): Uint8Array;
}
type ZlibZstd = {
  zstdDecompressSync?: (
    bytes: Uint8Array,
    options: { maxOutputLength: number; chunkSize: number },
  ) => Uint8Array;
};

/** What `zstd --ultra -22` uses, and the most that the kernel's own decoder is built for. */
const WINDOW = 128 * 1024 * 1024;
/** The format's own bound for a block's content. */
const BLOCK = 128 * 1024;
const MAGIC = 0xfd2fb528;
/**
 * A block costs the time of a full one, and encoders cut some short: so many times the bytes that
 * come out may all blocks stand for.
 */
const SLACK = 4;

interface Frame {
  readonly from: number;
  readonly lastBlockAt: number;
  /** Behind the last block, before the checksum. */
  readonly blocksEnd: number;
  /** All of its blocks, if they were full. */
  readonly most: number;
  /** What the frame says of itself; null where it does not tell. */
  readonly content: number | null;
}

export function unpackZstd(bytes: Uint8Array, size: number | null, limit: number): Uint8Array {
  const frames = framesOf(bytes);
  const sum = (of: (frame: Frame) => number): number =>
    frames.reduce((total, frame) => total + of(frame), 0);
  const most = sum((frame) => frame.most);
  const room = sum((frame) => frame.content ?? Math.min(frame.most, limit));
  const known = frames.every((frame) => frame.content !== null);
  if ((known && room > limit) || most > SLACK * Math.max(limit, BLOCK))
    throw tooMuch('zstd', limit);
  if (size !== null && size > most)
    throw new Fault(
      'bad-packing',
      `the zstd blocks hold at most ${most} bytes, not the ${size} that are stated`,
    );
  const { zstdDecompressSync } = zlib as ZlibZstd;
  if (zstdDecompressSync)
    return zstdDecompressSync(bytes, {
      maxOutputLength: Math.max(1, limit),
      chunkSize: Math.max(64, Math.min(limit, size ?? room)),
    });
  const { decompress } = createRequire(import.meta.url)('fzstd') as Fzstd;
  return timed('zstd', most, () => {
    const parts: Uint8Array[] = [];
    let left = limit;
    for (const frame of frames) {
      const part = unpackFrame(decompress, bytes, frame, left);
      left -= part.length;
      parts.push(part);
    }
    const [only] = parts;
    return only && parts.length === 1 ? only : Buffer.concat(parts);
  });
}

/** Of our own last block. */
const MARK = 16;

/**
 * Into one buffer. fzstd does not say how much it wrote and believes what the frame states, so the
 * frame is given one block more: a raw one of random bytes, whose place is the length.
 */
function unpackFrame(
  decompress: Fzstd['decompress'],
  bytes: Uint8Array,
  { from, lastBlockAt, blocksEnd, most, content }: Frame,
  limit: number,
): Uint8Array {
  const room = content ?? Math.min(most, limit);
  const mark = randomBytes(MARK);
  const marked = Buffer.concat([
    bytes.subarray(from, blocksEnd),
    Uint8Array.of((MARK << 3) | 1, 0, 0),
    mark,
  ]);
  marked[lastBlockAt - from] = (bytes[lastBlockAt] ?? 0) & 0xfe;
  // The checksum is cut off, and so is the flag that announces it.
  marked[4] = (bytes[from + 4] ?? 0) & ~4;
  const out = Buffer.from(decompress(marked, new Uint8Array(room + MARK)).buffer);
  const length = out.lastIndexOf(mark);
  if (length < 0) throw tooMuch('zstd', room);
  if (content !== null && length !== content)
    throw new Fault(
      'bad-packing',
      `a zstd frame holds ${length} bytes, not the ${content} that it states`,
    );
  return out.subarray(0, length);
}

/** RFC 8878 section 3.1. */
function framesOf(bytes: Uint8Array): Frame[] {
  const frames: Frame[] = [];
  const reader = new Reader(bytes);
  while (reader.at < bytes.length) {
    const from = reader.at;
    const magic = reader.number(4);
    if (magic >>> 4 === 0x184d2a5) reader.skip(reader.number(4));
    else if (magic === MAGIC) frames.push(readFrame(reader, from));
    else throw new Fault('bad-packing', 'what follows a zstd frame is none');
  }
  return frames;
}

class Reader {
  at = 0;
  readonly #bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  skip(length: number): void {
    this.at += length;
    if (this.at > this.#bytes.length)
      throw new Fault('bad-packing', 'the zstd stream ends inside a frame');
  }
  number(length: number): number {
    const from = this.at;
    this.skip(length);
    let value = 0;
    for (let i = from + length - 1; i >= from; i--) value = value * 256 + (this.#bytes[i] ?? 0);
    return value;
  }
}

const ID_SIZES = [0, 1, 2, 4] as const;

function readFrame(reader: Reader, from: number): Frame {
  const flags = reader.number(1);
  const single = (flags & 0x20) !== 0;
  if (!single) {
    const descriptor = reader.number(1);
    const base = 2 ** (10 + (descriptor >> 3));
    if (base + (base / 8) * (descriptor & 7) > WINDOW)
      throw new Fault('bad-packing', `a zstd frame wants a window beyond ${WINDOW} bytes`);
  }
  reader.skip(ID_SIZES[flags & 3] ?? 0);
  const content = readContentSize(reader, flags >> 6, single);
  let most = 0;
  for (;;) {
    const lastBlockAt = reader.at;
    const header = reader.number(3);
    const type = (header >> 1) & 3;
    const length = header >> 3;
    if (type === 3 || length > BLOCK)
      throw new Fault('bad-packing', 'a zstd block is of no known kind or too long');
    most += type === 2 ? BLOCK : length;
    reader.skip(type === 1 ? 1 : length);
    if ((header & 1) === 0) continue;
    const blocksEnd = reader.at;
    if (flags & 4) reader.skip(4);
    return { from, lastBlockAt, blocksEnd, most, content };
  }
}

/** `kind` is the frame header's field of two bits. */
function readContentSize(reader: Reader, kind: number, single: boolean): number | null {
  if (kind === 0) return single ? reader.number(1) : null;
  return kind === 1 ? reader.number(2) + 256 : reader.number(2 ** kind);
}

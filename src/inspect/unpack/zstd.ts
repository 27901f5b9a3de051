// zstd by the zlib of Node where it knows it (22.15 and later), else by fzstd; the only file that
// knows that package. The frames are walked first, block header by block header: fzstd allocates
// whatever window and content size a frame claims.

import { createRequire } from 'node:module';
import * as zlib from 'node:zlib';
import { Fault } from '../../base/fault.js';

interface Fzstd {
  decompress(bytes: Uint8Array, out?: Uint8Array): Uint8Array;
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

export function unpackZstd(bytes: Uint8Array, size: number | null, limit: number): Uint8Array {
  const { frames, most, content } = measure(bytes);
  const wanted = size ?? content;
  if ((wanted ?? most) > limit)
    throw new Fault(
      'bad-packing',
      `the zstd stream holds up to ${wanted ?? most} bytes; ${limit} are the most here`,
    );
  if (wanted !== null && wanted > most)
    throw new Fault(
      'bad-packing',
      `the zstd blocks hold at most ${most} bytes, not the ${wanted} that are stated`,
    );
  const { zstdDecompressSync } = zlib as ZlibZstd;
  if (zstdDecompressSync)
    return zstdDecompressSync(bytes, {
      maxOutputLength: Math.max(1, limit),
      chunkSize: Math.max(64, wanted ?? most),
    });
  const { decompress } = createRequire(import.meta.url)('fzstd') as Fzstd;
  if (size !== null && content !== null && size !== content)
    throw new Fault(
      'bad-packing',
      `the zstd stream holds ${content} bytes, not the ${size} that are stated`,
    );
  // Into one buffer where the size is known: otherwise fzstd moves a whole window for every block.
  // It does not say how much it wrote, so a size that no frame states is taken at its word.
  return frames === 1 && wanted !== null
    ? decompress(bytes, new Uint8Array(wanted))
    : decompress(bytes);
}

/**
 * What the frames say of themselves: RFC 8878 section 3.1. `content` is null where one does not
 * tell.
 */
function measure(bytes: Uint8Array): { frames: number; most: number; content: number | null } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let frames = 0;
  let most = 0;
  let content: number | null = 0;
  let at = 0;
  const take = (length: number): number => {
    const from = at;
    at += length;
    if (at > bytes.length) throw new Fault('bad-packing', 'the zstd stream ends inside a frame');
    return from;
  };
  while (at < bytes.length) {
    const magic = view.getUint32(take(4), true);
    if (magic >>> 4 === 0x184d2a5) {
      take(view.getUint32(take(4), true));
      continue;
    }
    if (magic !== MAGIC) throw new Fault('bad-packing', 'what follows a zstd frame is none');
    frames++;
    const flags = bytes[take(1)]!;
    const single = (flags & 0x20) !== 0;
    if (!single) {
      const descriptor = bytes[take(1)]!;
      const base = 2 ** (10 + (descriptor >> 3));
      if (base + (base / 8) * (descriptor & 7) > WINDOW)
        throw new Fault('bad-packing', `a zstd frame wants a window beyond ${WINDOW} bytes`);
    }
    take([0, 1, 2, 4][flags & 3]!);
    const sizeBytes = [single ? 1 : 0, 2, 4, 8][flags >> 6]!;
    const sizeAt = take(sizeBytes);
    const stated =
      sizeBytes === 0
        ? null
        : sizeBytes === 1
          ? bytes[sizeAt]!
          : sizeBytes === 2
            ? view.getUint16(sizeAt, true) + 256
            : sizeBytes === 4
              ? view.getUint32(sizeAt, true)
              : Number(view.getBigUint64(sizeAt, true));
    content = stated === null || content === null ? null : content + stated;
    for (let last = false; !last;) {
      const headerAt = take(3);
      const header = bytes[headerAt]! | (bytes[headerAt + 1]! << 8) | (bytes[headerAt + 2]! << 16);
      last = (header & 1) !== 0;
      const type = (header >> 1) & 3;
      const length = header >> 3;
      if (type === 3 || length > BLOCK)
        throw new Fault('bad-packing', 'a zstd block is of no known kind or too long');
      most += type === 2 ? BLOCK : length;
      take(type === 1 ? 1 : length);
    }
    if (flags & 4) take(4);
  }
  return { frames, most, content };
}

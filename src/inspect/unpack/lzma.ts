// xz, with the x86 filter that kernel images use, and the older lzma by way of lzma-native, the
// only file that knows it. (Of the pure decoders tried, none knows that filter.)

import { createRequire } from 'node:module';
import { tooMuch } from './limit.js';

interface Stream {
  on(event: 'data', listener: (chunk: Uint8Array) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  on(event: 'end', listener: () => void): void;
  write(bytes: Uint8Array, done: () => void): void;
  end(): void;
  destroy(): void;
}
interface LzmaNative {
  createStream(
    coder: 'autoDecoder',
    options: { memlimit: number; synchronous: boolean; bufsize: number },
  ): Stream;
}

/** Dictionaries of kernels and modules are 1 to 128 MiB; the header may claim 4 GiB. */
const MEMORY = 160 * 1024 * 1024;
/**
 * Of the input, between two looks at how much came out: lzma-native decodes all that it is given
 * before it hears of anything else, and a byte can become 7,000.
 */
const PIECE = 4096;

export async function unpackLzma(
  bytes: Uint8Array,
  size: number | null,
  limit: number,
): Promise<Uint8Array> {
  const stated = bytes[0] === 0x5d ? statedByLzma(bytes) : statedByXz(bytes);
  if (stated !== null && stated > limit) throw tooMuch('xz', limit);
  const most = size ?? stated ?? limit;
  const { createStream } = createRequire(import.meta.url)('lzma-native') as LzmaNative;
  const stream = createStream('autoDecoder', {
    memlimit: MEMORY,
    synchronous: true,
    bufsize: 1 << 20,
  });
  const chunks: Uint8Array[] = [];
  const seen: { length: number; ended: boolean; error?: Error } = { length: 0, ended: false };
  let wake = (): void => {};
  stream.on('data', (chunk) => {
    seen.length += chunk.length;
    chunks.push(chunk);
  });
  stream.on('error', (error) => ((seen.error ??= error), wake()));
  stream.on('end', () => ((seen.ended = true), wake()));
  for (let at = 0; at < bytes.length && !seen.error && !seen.ended; at += PIECE) {
    // Woken by an error too: then nothing calls back.
    await new Promise<void>((resolve) => {
      wake = resolve;
      stream.write(bytes.subarray(at, at + PIECE), resolve);
    });
    if (seen.length > most) {
      stream.destroy();
      throw tooMuch('xz', most);
    }
  }
  if (!seen.error && !seen.ended)
    await new Promise<void>((resolve) => {
      wake = resolve;
      stream.end();
    });
  if (seen.error) throw seen.error;
  if (seen.length > most) throw tooMuch('xz', most);
  return Buffer.concat(chunks, seen.length);
}

/** The header has the size, or ones for a stream that ends by a mark. */
function statedByLzma(bytes: Uint8Array): number | null {
  if (bytes.length < 13) return null;
  const size = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(5, true);
  return size === 0xffff_ffff_ffff_ffffn ? null : Number(size);
}

const FOOTER = 12;
const HEADER = 12;

/**
 * What the indexes of all its streams add up to, from the last footer backwards; null where they
 * cannot be followed, and the decoder then says what is wrong (The .xz File Format 1.0.4, 2.1.2 and
 * 4).
 */
function statedByXz(bytes: Uint8Array): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let total = 0;
  for (let end = withoutPadding(view, bytes.length); end > 0; end = withoutPadding(view, end)) {
    if (end < HEADER + FOOTER || view.getUint16(end - 2) !== 0x595a) return null; // YZ
    const indexSize = (view.getUint32(end - 8, true) + 1) * 4;
    const indexAt = end - FOOTER - indexSize;
    if (indexAt < HEADER || bytes[indexAt] !== 0) return null;
    const index = readIndex(bytes.subarray(indexAt + 1, end - FOOTER));
    if (index === null) return null;
    total += index.plain;
    end = indexAt - index.packed - HEADER;
    if (end < 0) return null;
  }
  return total;
}

/** Streams may be followed by zeros, by fours. */
function withoutPadding(view: DataView, end: number): number {
  let at = end;
  while (at >= 4 && view.getUint32(at - 4) === 0) at -= 4;
  return at;
}

function readIndex(bytes: Uint8Array): { plain: number; packed: number } | null {
  let at = 0;
  /** Seven bits a byte, the lowest first. */
  const number = (): number => {
    let value = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return NaN;
  };
  let [plain, packed] = [0, 0];
  for (let left = number(); left > 0; left--) {
    packed += Math.ceil(number() / 4) * 4;
    plain += number();
    if (Number.isNaN(plain)) return null;
  }
  return { plain, packed };
}

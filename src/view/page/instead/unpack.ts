// In place of inspect/unpack.ts, in the page: what the browser and twenty lines of our own unpack.
// The decoders of the other formats would double the page.

import { Fault } from '../../../base/fault.js';
import type { Packing } from '../../../inspect/packing.js';
import { allowance, tooMuch } from '../../../inspect/unpack/limit.js';
import { unpackLz4 } from '../../../inspect/unpack/lz4.js';

/** @throws Fault `bad-packing`, `no-unpacker` */
export async function unpack(
  bytes: Uint8Array,
  packing: Packing,
  at: string,
  size: number | null = null,
): Promise<Uint8Array> {
  const most = Math.min(size ?? Infinity, allowance(bytes.length));
  switch (packing) {
    case 'gzip':
      return gunzip(bytes, most, at);
    case 'lz4':
      return unpackLz4(bytes, size, most);
    default:
      throw new Fault('no-unpacker', `the page does not unpack ${packing}`, {
        at,
        hint: `unpack it first (${PROGRAMS[packing]}), or ask static-call inspect on the command line`,
      });
  }
}

const PROGRAMS = {
  bzip2: 'bunzip2',
  lzma: 'unxz --format=lzma',
  xz: 'unxz',
  zstd: 'zstd -d',
} as const satisfies Partial<Record<Packing, string>>;

async function gunzip(bytes: Uint8Array, most: number, at: string): Promise<Uint8Array> {
  const plain = new Blob([new Uint8Array(bytes)])
    .stream()
    .pipeThrough(new DecompressionStream('gzip'));
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = plain.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      length += next.value.length;
      if (length > most) throw tooMuch('gzip', most);
      chunks.push(next.value);
    }
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault('bad-packing', 'the gzip stream does not unpack', { at, cause });
  }
  const whole = new Uint8Array(length);
  let end = 0;
  for (const chunk of chunks) {
    whole.set(chunk, end);
    end += chunk.length;
  }
  return whole;
}

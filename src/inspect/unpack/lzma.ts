// xz, with the x86 filter that kernel images use, and the older lzma by way of lzma-native, the
// only file that knows it. (Of the pure decoders tried, none knows that filter.)

import { createRequire } from 'node:module';
import { Fault } from '../../base/fault.js';

interface Stream {
  on(event: 'data', listener: (chunk: Uint8Array) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  on(event: 'end', listener: () => void): void;
  end(bytes: Uint8Array): void;
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

export function unpackLzma(
  bytes: Uint8Array,
  _size: number | null,
  limit: number,
): Promise<Uint8Array> {
  const { createStream } = createRequire(import.meta.url)('lzma-native') as LzmaNative;
  return new Promise((resolve, reject) => {
    const stream = createStream('autoDecoder', {
      memlimit: MEMORY,
      synchronous: true,
      bufsize: 1 << 20,
    });
    const chunks: Uint8Array[] = [];
    let length = 0;
    stream.on('data', (chunk) => {
      length += chunk.length;
      if (length > limit) {
        stream.destroy();
        reject(new Fault('bad-packing', `the stream holds more than ${limit} bytes`));
      } else chunks.push(chunk);
    });
    stream.on('error', reject);
    stream.on('end', () => resolve(Buffer.concat(chunks, length)));
    stream.end(bytes);
  });
}

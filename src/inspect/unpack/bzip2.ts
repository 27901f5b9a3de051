// bzip2 by way of seek-bzip, the only file that knows it.

import { createRequire } from 'node:module';
import { Fault } from '../../base/fault.js';

interface SeekBzip {
  decode(
    input: Uint8Array,
    output: { writeByte(byte: number): void; flush(): void },
    multistream: boolean,
  ): void;
}

export function unpackBzip2(bytes: Uint8Array, size: number | null, limit: number): Uint8Array {
  const { decode } = createRequire(import.meta.url)('seek-bzip') as SeekBzip;
  // A byte sink of our own: the package's doubles without a bound.
  let sink = new Uint8Array(size ?? Math.min(limit, Math.max(4096, bytes.length * 4)));
  let length = 0;
  const writeByte = (byte: number): void => {
    if (length === sink.length) {
      if (length >= limit)
        throw new Fault('bad-packing', `the bzip2 stream holds more than ${limit} bytes`);
      const larger = new Uint8Array(Math.min(limit, length * 2));
      larger.set(sink);
      sink = larger;
    }
    sink[length++] = byte;
  };
  decode(bytes, { writeByte, flush() {} }, true);
  return sink.subarray(0, length);
}

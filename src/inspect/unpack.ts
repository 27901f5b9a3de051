// Packed bytes to plain bytes: the seven forms in which kernels and modules are distributed, told
// apart by their first bytes. The invariant is a bound (unpack/limit.ts): never more bytes come out
// than a packed file of that size may hold, and no more memory is asked for, whatever sizes the
// stream claims. What the bytes mean is not asked here.
//
// Packages that decode are optional and are loaded by the first file that needs one. Where one is
// missing the program of the same format is asked instead; where that is missing too, a fault names
// both.

import { spawnSync } from 'node:child_process';
import { gunzipSync } from 'node:zlib';
import { Fault, isFault } from '../base/fault.js';
import type { Packing } from './packing.js';
import { unpackBzip2 } from './unpack/bzip2.js';
import { allowance, tooMuch } from './unpack/limit.js';
import { unpackLz4 } from './unpack/lz4.js';
import { unpackLzma } from './unpack/lzma.js';
import { unpackZstd } from './unpack/zstd.js';

/**
 * `size` is the exact length of the result where something outside the stream tells it, else null.
 */
export type Unpack = (
  bytes: Uint8Array,
  size: number | null,
  limit: number,
) => Uint8Array | Promise<Uint8Array>;

interface Row {
  readonly unpack: Unpack;
  /** What to install, and what to run where it is not; null for what needs neither. */
  readonly package: string | null;
  readonly program: readonly string[] | null;
}

const PACKINGS: Readonly<Record<Packing, Row>> = {
  gzip: { unpack: unpackGzip, package: null, program: null },
  bzip2: {
    unpack: unpackBzip2,
    package: 'seek-bzip',
    program: ['bzip2', '-dc'],
  },
  lzma: {
    unpack: unpackLzma,
    package: 'lzma-native',
    program: ['xz', '-dc', '--format=lzma'],
  },
  xz: {
    unpack: unpackLzma,
    package: 'lzma-native',
    program: ['xz', '-dc', '--format=xz'],
  },
  lz4: { unpack: unpackLz4, package: null, program: null },
  zstd: {
    unpack: unpackZstd,
    package: 'fzstd',
    program: ['zstd', '-dc'],
  },
};

/** @throws Fault `bad-packing`, `no-unpacker`. */
export async function unpack(
  bytes: Uint8Array,
  packing: Packing,
  at: string,
  size: number | null = null,
): Promise<Uint8Array> {
  const row = PACKINGS[packing];
  const most = allowance(bytes.length);
  if (size !== null && size > most)
    throw new Fault(
      'bad-packing',
      `the ${packing} stream claims ${size} bytes; ` +
        `${most} are the most that are unpacked of ${bytes.length}`,
      { at },
    );
  let plain: Uint8Array;
  try {
    plain = await row.unpack(bytes, size, size ?? most);
  } catch (error) {
    if (isFault(error))
      throw new Fault(error.code, error.message, { at, hint: error.hint, cause: error });
    if (!isMissing(error))
      throw new Fault('bad-packing', `the ${packing} stream does not unpack: ${said(error)}`, {
        at,
        cause: error,
      });
    plain = byProgram(row, bytes, packing, at, size ?? most);
  }
  if (size !== null && plain.length !== size) {
    throw new Fault(
      'bad-packing',
      `the ${packing} stream holds ${plain.length} bytes, ` +
        `not the ${size} that are stated behind it`,
      { at },
    );
  }
  return plain;
}

/** Smaller ones would cost an object each, and the size that the stream states may be a lie. */
const CHUNK_LEAST = 1 << 16;

/**
 * One chunk as large as the result spares a second copy; deflate cannot do better than 1032 to 1.
 */
function unpackGzip(bytes: Uint8Array, size: number | null, limit: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const stated = size ?? (bytes.length >= 18 ? view.getUint32(bytes.length - 4, true) : 0);
  const chunkSize = Math.max(CHUNK_LEAST, Math.min(stated, bytes.length * 1032, limit));
  try {
    return gunzipSync(bytes, { maxOutputLength: Math.max(1, limit), chunkSize });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw tooMuch('gzip', limit);
    throw error;
  }
}

function byProgram(
  row: Row,
  bytes: Uint8Array,
  packing: Packing,
  at: string,
  limit: number,
): Uint8Array {
  const [program = '', ...args] = row.program ?? [];
  const done = spawnSync(program, args, {
    input: bytes,
    maxBuffer: limit,
    timeout: 60_000,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  if ((done.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') {
    throw new Fault(
      'no-unpacker',
      `${packing} needs the package ${row.package} or the program ${program}, and neither is here`,
      {
        at,
        hint: `npm install ${row.package}, or install ${program}`,
      },
    );
  }
  if (done.error)
    throw new Fault('bad-packing', `${program} did not unpack it: ${done.error.message}`, {
      at,
      cause: done.error,
    });
  if (done.status !== 0)
    throw new Fault(
      'bad-packing',
      `${program} refused the ${packing} stream with status ${done.status}`,
      { at },
    );
  return done.stdout;
}

function isMissing(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  // The second is node-gyp-build on a system that the package brings no binary for.
  return (
    code === 'MODULE_NOT_FOUND' ||
    code === 'ERR_MODULE_NOT_FOUND' ||
    (message ?? '').startsWith('No native build was found')
  );
}

const said = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';

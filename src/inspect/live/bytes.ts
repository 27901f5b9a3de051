// Bytes by offset, so that a dump of any size is read in pieces. A dump is damaged or hostile until
// it is read: what lies behind its end is null here and a refusal of the caller's.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { Fault } from '../../base/fault.js';
import { KCORE, kcoreRefused } from './kcore.js';

export interface Bytes {
  readonly size: number;
  /** Null where fewer bytes are there. What is returned is not to be written to. */
  read(offset: number, length: number): Uint8Array | null;
  /** Forgets what was read: the memory of a running machine changes. */
  refresh(): void;
}

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** An unsigned number of a file's header: exact below 2^53, and too large for any file above. */
export function unsigned64(view: DataView, at: number, little: boolean = true): number {
  const [low, high] = little ? [at, at + 4] : [at + 4, at];
  return view.getUint32(high, little) * 0x1_0000_0000 + view.getUint32(low, little);
}

export class Held implements Bytes {
  readonly size: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.size = bytes.length;
  }
  read(offset: number, length: number): Uint8Array | null {
    return offset >= 0 && length >= 0 && offset + length <= this.size
      ? this.#bytes.subarray(offset, offset + length)
      : null;
  }
  refresh(): void {}
}

const PIECE = 1 << 16;
/** 64 MB of pieces; then all of them are forgotten. */
const MOST_PIECES = 1024;

export class FileBytes implements Bytes, Disposable {
  readonly size: number;
  readonly path: string;
  readonly #file: number;
  readonly #pieces = new Map<number, Uint8Array>();

  /** `endless`: it is /proc/kcore. @throws Fault `no-such-file`, `unreadable-file`, `no-kcore` */
  constructor(path: string, endless: boolean) {
    this.path = path;
    this.#file = opened(path);
    const stat = fstatSync(this.#file);
    // /proc states a size that says nothing.
    this.size = endless ? Number.MAX_SAFE_INTEGER : stat.size;
    if (stat.isFile()) return;
    closeSync(this.#file);
    if (endless) throw kcoreRefused('MASKED');
    throw new Fault('unreadable-file', 'it is no regular file', { at: path });
  }
  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
  refresh(): void {
    this.#pieces.clear();
  }

  read(offset: number, length: number): Uint8Array | null {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) return null;
    const within = offset % PIECE;
    if (within + length <= PIECE) return slice(this.#piece(offset - within), within, length);
    const whole = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const from = (offset + done) % PIECE;
      const part = Math.min(PIECE - from, length - done);
      const bytes = slice(this.#piece(offset + done - from), from, part);
      if (bytes === null) return null;
      whole.set(bytes, done);
      done += part;
    }
    return whole;
  }

  #piece(at: number): Uint8Array {
    const known = this.#pieces.get(at);
    if (known) return known;
    const buffer = new Uint8Array(PIECE);
    let length = 0;
    try {
      for (let got = 1; got > 0 && length < PIECE; length += got)
        got = readSync(this.#file, buffer, length, PIECE - length, at + length);
    } catch (error) {
      // /proc/kcore refuses pages that are not there (EFAULT, EIO), or all of it (EPERM under lockdown).
      if (codeOf(error) === 'EPERM') throw kcoreRefused('EPERM', error);
    }
    const piece = buffer.subarray(0, length);
    if (this.#pieces.size >= MOST_PIECES) this.#pieces.clear();
    this.#pieces.set(at, piece);
    return piece;
  }
}

const slice = (piece: Uint8Array, from: number, length: number): Uint8Array | null =>
  from + length <= piece.length ? piece.subarray(from, from + length) : null;

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';
export const said = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

function opened(path: string): number {
  try {
    // Without waiting: opening a fifo waits for a writer.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (path === KCORE) throw kcoreRefused(codeOf(error), error);
    if (codeOf(error) === 'ENOENT')
      throw new Fault('no-such-file', 'there is no such file or directory', { at: path });
    throw new Fault('unreadable-file', `it cannot be read: ${said(error)}`, {
      at: path,
      cause: error,
    });
  }
}

// Arguments to bytes: files, directories and standard input. Directories give their files in the
// order of their names, whatever order the disk has them in; what is neither ELF, archive, kernel
// image nor packed module is passed over there, and a fault where it was named. The bytes handed
// out are those of one buffer, used again for the next file: ninety megabytes of modules need the
// room of the largest.

import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  opendirSync,
  readSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../base/fault.js';
import { isElf } from '../elf/magic.js';
import { isArchive } from './archive.js';
import { isBzImage } from './bzimage.js';
import { packingOf } from './packing.js';

export interface Input {
  readonly path: string;
  /**
   * Its path below the directory that was named, or its last part: what two builds have in common.
   */
  readonly relative: string;
  /** Valid until the next input is asked for. A Fault where it could not be read. */
  readonly bytes: Uint8Array | Fault;
}

/** More than any kernel, and half of what a run may ever allocate. */
export const MOST: number = 512 * 1024 * 1024;
const HEAD = 4096;

export function* inputs(paths: readonly string[]): Generator<Input> {
  const reader = new Reader();
  for (const path of paths) {
    if (path === '-') {
      yield { path: '-', relative: '-', bytes: fromStandardInput() };
      continue;
    }
    let directory = false;
    try {
      directory = statSync(path).isDirectory();
    } catch (error) {
      yield { path, relative: path, bytes: unreadable(error, path) };
      continue;
    }
    if (!directory) {
      yield {
        path,
        relative: path.slice(path.lastIndexOf('/') + 1),
        bytes: reader.read(path, () => true)!,
      };
      continue;
    }
    let any = false;
    for (const file of walk(path, '')) {
      const found =
        file.fault ??
        reader.read(join(path, file.relative), (head) => worthReading(head, file.relative));
      if (!found) continue;
      any = true;
      yield { path: join(path, file.relative), relative: file.relative, bytes: found };
    }
    if (!any)
      yield {
        path,
        relative: '',
        bytes: new Fault('unreadable-file', 'no object, module or kernel is in this directory', {
          at: path,
          hint: 'give a directory that holds some, or the files themselves',
        }),
      };
  }
}

/** Symbolic links are not followed: a module tree points back at its sources. */
function* walk(root: string, below: string): Generator<{ relative: string; fault?: Fault }> {
  const entries: { name: string; directory: boolean; file: boolean }[] = [];
  try {
    const directory = opendirSync(join(root, below), { bufferSize: 256 });
    try {
      for (let entry = directory.readSync(); entry; entry = directory.readSync())
        entries.push({ name: entry.name, directory: entry.isDirectory(), file: entry.isFile() });
    } finally {
      directory.closeSync();
    }
  } catch (error) {
    yield { relative: below, fault: unreadable(error, join(root, below)) };
    return;
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, directory, file } of entries) {
    const relative = below === '' ? name : `${below}/${name}`;
    if (directory) yield* walk(root, relative);
    else if (file) yield { relative };
  }
}

/** Packed files are everywhere; of those only what is called a module or a kernel. */
function worthReading(head: Uint8Array, name: string): boolean {
  return (
    isElf(head) ||
    isBzImage(head) ||
    isArchive(head) ||
    (packingOf(head) !== null && /\.ko\.\w+$|(^|\/)vmlinu[xz][^/]*$/.test(name))
  );
}

class Reader {
  #buffer = new Uint8Array(1 << 20);

  /** Null where the head is not wanted. */
  read(path: string, wanted: (head: Uint8Array) => boolean): Uint8Array | Fault | null {
    let file: number | undefined;
    try {
      // Without waiting: opening a fifo waits for a writer, which may never come.
      file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const stat = fstatSync(file);
      if (!stat.isFile())
        return new Fault('unreadable-file', 'it is no regular file', {
          at: path,
          hint: 'name a file, or - for standard input',
        });
      if (stat.size > MOST)
        return new Fault(
          'unreadable-file',
          `it has ${stat.size} bytes; ${MOST} are the most that are read`,
          { at: path },
        );
      if (stat.size > this.#buffer.length)
        this.#buffer = new Uint8Array(Math.max(stat.size, Math.min(this.#buffer.length * 2, MOST)));
      let length = readSync(file, this.#buffer, 0, Math.min(HEAD, stat.size), 0);
      if (!wanted(this.#buffer.subarray(0, length))) return null;
      // A file may shrink while it is read: what there is, is what is looked at.
      for (let got = 1; got > 0 && length < stat.size; length += got)
        got = readSync(file, this.#buffer, length, stat.size - length, length);
      return this.#buffer.subarray(0, length);
    } catch (error) {
      return unreadable(error, path);
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }
}

/**
 * All that a source gives, by pieces, because a pipe has no size that could be held against the
 * bound.
 * @param read fills the beginning of a piece and says how much; 0 at the end
 */
export function readPieces(read: (piece: Uint8Array) => number): Uint8Array | Fault {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const piece = new Uint8Array(1 << 20);
    const got = read(piece);
    if (got === 0) return Buffer.concat(pieces, length);
    length += got;
    if (length > MOST)
      return new Fault(
        'unreadable-file',
        `it has more than ${MOST} bytes, the most that are read`,
        { at: '-' },
      );
    pieces.push(piece.subarray(0, got));
  }
}

function fromStandardInput(): Uint8Array | Fault {
  try {
    return readPieces(readStandardInput);
  } catch (error) {
    return unreadable(error, '-');
  }
}

/** Another process may have made the pipe non-blocking: it is waited for. */
function readStandardInput(piece: Uint8Array): number {
  for (;;) {
    try {
      return readSync(0, piece);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

function unreadable(error: unknown, at: string): Fault {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT')
    return new Fault('no-such-file', 'there is no such file or directory', { at });
  return new Fault('unreadable-file', `it cannot be read: ${message}`, { at, cause: error });
}

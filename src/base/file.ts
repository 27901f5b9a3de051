// Files in and out, with their failures as Faults. A file is replaced whole or not at all: the new
// bytes are written beside it and renamed over it, so that whoever opens it meanwhile sees one of
// the two. They are not forced to the disk: what this writes can be made again, and for a kernel's
// modules the waiting would take longer than all the work.

import {
  chmodSync,
  chownSync,
  closeSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Fault } from './fault.js';

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** @throws Fault `no-such-file`, `unreadable-file`, `no-memory` */
export function readWhole(path: string): Buffer {
  // A fifo or a terminal would make the read wait for somebody.
  sizeOf(path);
  return reading(path, () => readFileSync(path));
}

/** Bytes in a regular file. @throws Fault `no-such-file`, `unreadable-file` for anything else */
export function sizeOf(path: string): number {
  const stat = reading(path, () => statSync(path));
  if (!stat.isFile())
    throw new Fault(
      'unreadable-file',
      stat.isDirectory() ? 'is a directory' : 'is not a regular file',
      { at: path },
    );
  return stat.size;
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new Fault('no-such-file', `there is no file ${path}`, { at: path });
    // What the engine throws where it gets no buffer has no code.
    if (
      code === 'ENOMEM' ||
      code === 'ERR_MEMORY_ALLOCATION_FAILED' ||
      (error instanceof RangeError && code === undefined)
    )
      throw new Fault('no-memory', 'the file does not fit into memory', { at: path, cause: error });
    throw new Fault('unreadable-file', `cannot be read (${code ?? String(error)})`, {
      at: path,
      cause: error,
    });
  }
}

/**
 * Replaces or makes a file; an existing one keeps its mode and owner, and a symbolic link stays
 * one. The mode of a new file is that of `like`, if given.
 * @throws Fault `unwritable-file`.
 */
export function replaceFile(path: string, bytes: Uint8Array | string, like?: string): void {
  const target = existing(path) ?? path;
  const temporary = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`);
  let made = false;
  try {
    const model = statOrNull(target) ?? (like === undefined ? null : statOrNull(like));
    const file = openSync(temporary, 'wx', 0o666);
    made = true;
    try {
      const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
      for (let at = 0; at < data.length;) at += writeSync(file, data, at);
    } finally {
      closeSync(file);
    }
    if (model) {
      if (statOrNull(target)) keepOwner(temporary, model);
      chmodSync(temporary, model.mode & 0o7777);
    }
    renameSync(temporary, target);
  } catch (error) {
    if (made) rmSync(temporary, { force: true });
    throw new Fault('unwritable-file', `cannot be written (${codeOf(error) ?? String(error)})`, {
      at: path,
      cause: error,
    });
  }
}

function existing(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

function statOrNull(path: string): { mode: number; uid: number; gid: number } | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}

/**
 * Only root may give a file away; for everybody else the new file is theirs, as the old one was.
 */
function keepOwner(path: string, { uid, gid }: { uid: number; gid: number }): void {
  try {
    chownSync(path, uid, gid);
  } catch (error) {
    if (codeOf(error) !== 'EPERM') throw error;
  }
}

// Files of /proc. A process may lose them at any time: its descriptors are used up, it changed its
// root, a sandbox was entered. No descriptor of /proc is kept for that case: a directory's would
// lead out of a root that is changed later, and each would be inherited by every child of fork.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { Fault } from '../../base/fault.js';

const CURES: Readonly<Record<string, string>> = {
  ENOENT:
    'mount /proc where this process sees it, ' +
    'or use protocol store with writer alias, which read nothing of it',
  EMFILE:
    'descriptors are used up: close some or raise the limit (ulimit -n); ' +
    'protocol store with writer alias needs none',
};

/** What to say where a file of /proc cannot be read. */
export function procFault(path: string, error: unknown): Fault {
  const code = String((error as NodeJS.ErrnoException).code ?? error);
  const hint = CURES[code];
  return new Fault('no-proc', `${path} cannot be read: ${code}`, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** @throws Fault `no-proc` */
export function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw procFault(path, error);
  }
}

const line = Buffer.alloc(1024);

/** The same for a file of one line, by half of the system calls. */
export function readLineOrNone(path: string): string {
  let file = -1;
  try {
    file = openSync(path, 'r');
    return line.toString('latin1', 0, readSync(file, line, 0, line.length, 0));
  } catch {
    return '';
  } finally {
    if (file >= 0) closeSync(file);
  }
}

/** The same for a file that stays open, to be read again. @returns -1 where it cannot be opened */
export function openOrNone(path: string): number {
  try {
    return openSync(path, 'r');
  } catch {
    return -1;
  }
}

/** What such a file says now. */
export function readAgain(file: number): string {
  try {
    return file < 0 ? '' : line.toString('latin1', 0, readSync(file, line, 0, line.length, 0));
  } catch {
    return '';
  }
}

/** A file that need not be there, or need not be ours to read. */
export function readProcOrNone(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

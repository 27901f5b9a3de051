// Files in and out, with their failures as Faults.
//
// A file is replaced whole or not at all: the new bytes are written to a temporary file beside it,
// which is then renamed over it, so a process that opens it meanwhile sees the old bytes or the new
// ones. The bytes are not forced to the disk: what this writes can be made again, and for a
// kernel's modules the waiting would take longer than all the work.
//
// The directory may belong to another user, who can swap every name in it at every moment, and root
// may be the one that writes. Hence:
// - the path is walked part by part, each directory held by a descriptor, so that it stays the one
//   that was looked at;
// - owner and mode are set on the descriptor of the temporary file, never by its name;
// - a symbolic link of another user is not followed at the end of a path, nor by root on the way;
// - what is written in place is the file that was read, told by device and inode;
// - a set-user-ID bit is kept for nothing but that same file with the same owner and group.

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs';
import { isAbsolute } from 'node:path';
import { Fault, isFault } from './fault.js';

/** Of Linux on x86-64; Node does not name it. The descriptor needs no permission to list. */
const O_PATH = 0o10000000;
const LINUX = process.platform === 'linux';
const SET_ID = 0o6000;
/** As many as the kernel follows (path_resolution(7)). */
const LINKS_MAX = 40;

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** The bytes of a file, and which file they are of. */
export interface Original {
  readonly path: string;
  readonly bytes: Buffer;
  readonly stats: Stats;
}

/** @throws Fault `no-such-file`, `unreadable-file`, `no-memory` */
export function readOriginal(path: string): Original {
  return reading(path, () => {
    // Asked before it is opened too: to open some devices is to start them. Without waiting: a FIFO
    // that took the name meanwhile would be opened only when something writes to it.
    requireRegular(statSync(path), path);
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(file);
      requireRegular(stats, path);
      return { path, bytes: readFileSync(file), stats };
    } finally {
      closeSync(file);
    }
  });
}

/** @throws Fault `no-such-file`, `unreadable-file`, `no-memory` */
export function readWhole(path: string): Buffer {
  return readOriginal(path).bytes;
}

/** Bytes in a regular file. @throws Fault `no-such-file`, `unreadable-file` for anything else */
export function sizeOf(path: string): number {
  const stats = reading(path, () => statSync(path));
  requireRegular(stats, path);
  return stats.size;
}

function requireRegular(stats: Stats, path: string): void {
  if (stats.isFile()) return;
  throw new Fault(
    'unreadable-file',
    stats.isDirectory() ? 'is a directory' : 'is not a regular file',
    { at: path },
  );
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (isFault(error)) throw error;
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
 * Makes a file, or gives an existing one new contents. An existing file keeps its owner and its
 * permissions; a new one gets those of `like`, if given, less the umask. A symbolic link stays one.
 * A terminal, a pipe or a device is written to.
 * @throws Fault `unwritable-file`.
 */
export function replaceFile(path: string, bytes: Uint8Array | string, like?: Stats): void {
  const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
  writing(path, () => {
    if (path.endsWith('/')) throw notAFile(path, 'is a directory');
    const place = placeOf(path);
    if (typeof place === 'number') return writeAll(place, data);
    try {
      const found = statOrNull(place.path);
      if (found === null || found.isFile()) replaceRegular(place, data, found, like ?? null);
      else writeToDevice(place.path, data, path);
    } finally {
      place.close();
    }
  });
}

/**
 * Gives the file that was read new contents: all that it was, its set-user-ID bit too, stays.
 * @throws Fault `unwritable-file`, also where another file has its name by now
 */
export function rewriteFile(original: Original, data: Uint8Array): void {
  const { path, stats } = original;
  writing(path, () => {
    const place = placeOf(path);
    if (typeof place === 'number') throw changed(path);
    try {
      const now = statOrNull(place.path);
      if (!now || !unchanged(now, stats)) throw changed(path);
      writeBeside(place, data, (file) => keepAll(file, stats));
    } finally {
      place.close();
    }
  });
}

const changed = (path: string): Fault =>
  new Fault('unwritable-file', 'was changed or replaced since it was read', {
    at: path,
    hint: 'see what else writes in that directory, and run it again',
  });

const unchanged = (a: Stats, b: Stats): boolean =>
  a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtimeMs === b.mtimeMs;

function writing(path: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    if (isFault(error)) throw error;
    throw new Fault('unwritable-file', `cannot be written (${codeOf(error) ?? String(error)})`, {
      at: path,
      cause: error,
    });
  }
}

function writeAll(file: number, data: Uint8Array): void {
  for (let at = 0; at < data.length;) at += writeSync(file, data, at);
}

/** A name in a directory that is held, so that it cannot lead elsewhere between two steps. */
interface Place {
  readonly path: string;
  /** Another name in the same directory. */
  beside(name: string): string;
  close(): void;
}

/**
 * Where a path leads, part by part; what is there is no link. Or a descriptor of this process where
 * the path is another name of one (/dev/stdout). A descriptor is written to and not opened again: a
 * file behind it would be written from its beginning, and a socket cannot be opened.
 */
function placeOf(path: string): Place | number {
  let folder = openFolder(isAbsolute(path) ? '/' : '.');
  try {
    const ahead = partsOf(path);
    for (let links = 0; links <= LINKS_MAX;) {
      const name = ahead.pop();
      if (name === undefined) throw notAFile(path, 'is a directory');
      const stats = statOrNull(folder.path(name));
      if (stats?.isSymbolicLink()) {
        links++;
        if (isOwnDescriptor(folder, name)) return close(folder, Number(name));
        if (ahead.length === 0 || process.geteuid?.() === 0) requireTrusted(stats, path);
        const to = readlinkSync(folder.path(name));
        if (isAbsolute(to)) folder = close(folder, openFolder('/'));
        ahead.push(...partsOf(to));
      } else if (ahead.length > 0) {
        folder = close(folder, openFolder(folder.path(name)));
      } else {
        const { path: at, close: end } = folder;
        return { path: at(name), beside: at, close: end };
      }
    }
  } catch (error) {
    folder.close();
    throw error;
  }
  folder.close();
  throw notAFile(path, `has more than ${LINKS_MAX} symbolic links on its way`);
}

/** The first part last. Nothing is resolved by its text: `link/..` is not where the link is. */
const partsOf = (path: string): string[] =>
  path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .reverse();

interface Folder {
  path(name: string): string;
  close(): void;
}

function openFolder(path: string): Folder {
  if (LINUX) {
    const file = openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    const held = `/proc/self/fd/${file}`;
    if (existsSync(held))
      return { path: (name) => `${held}/${name}`, close: () => closeSync(file) };
    closeSync(file);
  }
  // Without /proc there is no name for what is held.
  return { path: (name) => (path === '/' ? `/${name}` : `${path}/${name}`), close: () => {} };
}

function close<T>(folder: Folder, next: T): T {
  folder.close();
  return next;
}

function isOwnDescriptor(folder: Folder, name: string): boolean {
  if (!/^\d+$/.test(name)) return false;
  const real = realpathSync(folder.path('.'));
  return new RegExp(`^/proc/${process.pid}/(task/\\d+/)?fd$`).test(real);
}

/**
 * A link of root's or of the caller's own is followed. Another user can point his at any file of
 * the caller's, at any moment.
 */
function requireTrusted(stats: Stats, path: string): void {
  const me = process.geteuid?.();
  if (me === undefined || stats.uid === me || stats.uid === 0 || isUnmapped(stats.uid)) return;
  const what = stats.isFIFO() ? 'pipe' : 'symbolic link';
  throw notAFile(path, `leads through a ${what} of another user (uid ${stats.uid})`);
}

/**
 * In a user namespace that knows few users (a sandbox, a container without root) root's files show
 * the kernel's overflow user (user_namespaces(7)).
 */
function isUnmapped(uid: number): boolean {
  if (uid !== 65534 || !existsSync('/proc/self/uid_map')) return false;
  const rows = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n');
  return !rows.some((row) => {
    const [from = 0, , count = 0] = row.trim().split(/\s+/).map(Number);
    return uid >= from && uid < from + count;
  });
}

const notAFile = (path: string, message: string): Fault =>
  new Fault('unwritable-file', message, { at: path, hint: 'name a file' });

/** Of the name itself, not of what a link leads to. */
function statOrNull(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}

function replaceRegular(
  place: Place,
  data: Uint8Array,
  found: Stats | null,
  like: Stats | null,
): void {
  writeBeside(place, data, (file) =>
    found
      ? keepOwner(file, found, found.mode & 0o777)
      : fchmodSync(file, (like?.mode ?? 0o666) & 0o777 & ~process.umask()),
  );
}

/**
 * The temporary file is its writer's alone until its owner and mode are set. Its name is drawn at
 * random: what a killed run left behind is in no later run's way.
 */
function writeBeside(place: Place, data: Uint8Array, dress: (file: number) => void): void {
  const temporary = place.beside(`.static-call.${randomBytes(8).toString('hex')}.tmp`);
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  let renamed = false;
  try {
    try {
      writeAll(file, data);
      dress(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, place.path);
    renamed = true;
  } finally {
    if (!renamed) removeQuietly(temporary);
  }
}

/** After a failure, which is what the user hears of. */
function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Its directory is gone, or another user put a directory in its place.
  }
}

/** For the file that was read: the set-user-ID bits too, if owner and group are the same. */
function keepAll(file: number, { uid, gid, mode }: Stats): void {
  keepOwner(file, { uid, gid }, mode & 0o777);
  const now = fstatSync(file);
  // After the owner: the kernel takes these bits away where the owner changes.
  if (mode & SET_ID && now.uid === uid && now.gid === gid)
    fchmodSync(file, (now.mode & 0o777) | (mode & SET_ID));
}

/**
 * Only root may give a file away: for another user the new file is that user's, in the old group
 * where the user is in it. Where the group is another one it gets what all others had.
 */
function keepOwner(file: number, { uid, gid }: Pick<Stats, 'uid' | 'gid'>, mode: number): void {
  for (const owner of [uid, process.geteuid?.() ?? uid]) {
    try {
      fchownSync(file, owner, gid);
      break;
    } catch (error) {
      if (codeOf(error) !== 'EPERM' && codeOf(error) !== 'EINVAL') throw error;
    }
  }
  const strange = fstatSync(file).gid !== gid;
  fchmodSync(file, strange ? (mode & 0o707) | ((mode & 0o007) << 3) : mode);
}

/** Without O_CREAT and O_TRUNC: a file that took the name meanwhile is not emptied. */
function writeToDevice(target: string, data: Uint8Array, path: string): void {
  requireDevice(lstatSync(target), path);
  const file = openSync(target, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NOCTTY);
  try {
    requireDevice(fstatSync(file), path);
    writeAll(file, data);
  } finally {
    closeSync(file);
  }
}

/** A block device is refused: it holds a file system. To open another user's FIFO may hang. */
function requireDevice(stats: Stats, path: string): void {
  if (stats.isCharacterDevice()) return;
  if (stats.isFIFO()) return requireTrusted(stats, path);
  throw notAFile(
    path,
    stats.isDirectory() ? 'is a directory' : 'is neither a file nor a pipe nor a terminal',
  );
}

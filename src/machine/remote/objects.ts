// The objects of a target that have keys, with the files that they were loaded from. A path is the
// target's own: it may name another file here, or none, or one that was built since. So files are
// opened through /proc/PID: the program's by `exe`, which also opens a deleted one; others by
// `map_files`, which needs privileges, or below `root`, where the file's number must be the mapping's.

import { readFileSync, statSync } from 'node:fs';
import { hex, PAGE, type Addr } from '../../base/addr.js';
import { Fault, inFile } from '../../base/fault.js';
import { readWhole } from '../../base/file.js';
import { PF_X, PT_LOAD } from '../../elf/names.js';
import type { ElfObject } from '../../elf/object.js';
import { readElf } from '../../elf/read.js';
import { keysOf } from '../../keys/bind.js';
import type { KeyDef } from '../../keys/key.js';
import type { Mapping } from '../linux/maps.js';
import type { Loaded } from '../process/loaded.js';
import type { Target } from './target.js';

export interface RemoteObject extends Loaded {
  readonly keys: readonly KeyDef[];
  /** As hex digits; null where the linker wrote none. */
  readonly buildId: string | null;
}

export interface Wanted {
  /** Name or path, as the target sees it; undefined: every object with keys. */
  readonly object?: string | undefined;
  /** A file with the same build id, in place of the one that the target names. */
  readonly file?: string | undefined;
}

const DELETED = ' (deleted)';
const MARK = Buffer.from('__SC');

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
const plain = (path: string): string =>
  path.endsWith(DELETED) ? path.slice(0, -DELETED.length) : path;

/**
 * @throws Fault `no-sites` where no object has keys, `not-same-file`, `unreadable-file`, and what
 *   reading and binding throw
 */
export function objectsOf(target: Target, wanted: Wanted): RemoteObject[] {
  const maps = target.maps();
  const homes = new Map<string, Mapping>();
  for (const map of maps)
    if (map.path.startsWith('/') && !map.path.startsWith('/memfd:') && !homes.has(map.path))
      homes.set(map.path, map);
  const found: RemoteObject[] = [];
  for (const [path, home] of homes) {
    const named = plain(path);
    if (wanted.object !== undefined && wanted.object !== named && wanted.object !== nameOf(named))
      continue;
    if (!isElfHeader(target, home)) continue;
    const bytes = bytesOf(target, path, home, wanted);
    if (bytes === null || !bytes.includes(MARK)) continue;
    const object = inFile(named, () => readElf(bytes, named));
    // Static keys are left to the process itself.
    const keys = inFile(named, () => keysOf(object)).filter(({ kind }) => kind === 'call');
    if (keys.length > 0) found.push(objectAt(target, named, home, object, keys));
  }
  if (found.length === 0)
    throw new Fault('no-sites', 'no object of the process has static calls', {
      at: wanted.object ?? target.exe,
    });
  return found;
}

const ELF_MAGIC = 0x464c_457fn;
const isElfHeader = (target: Target, home: Mapping): boolean =>
  home.offset === 0 && ((target.word(home.start) ?? 0n) & 0xffff_ffffn) === ELF_MAGIC;

function bytesOf(target: Target, path: string, home: Mapping, wanted: Wanted): Buffer | null {
  const program = path === target.exe;
  if (wanted.file !== undefined && (program || wanted.object !== undefined))
    return readWhole(wanted.file);
  const proc = `/proc/${target.pid}`;
  const range = `${home.start.toString(16)}-${home.end.toString(16)}`;
  const ways = [...(program ? [`${proc}/exe`] : []), `${proc}/map_files/${range}`];
  for (const way of ways) {
    try {
      return readFileSync(way);
    } catch {
      // The next way.
    }
  }
  return belowRoot(`${proc}/root${plain(path)}`, home, path.endsWith(DELETED));
}

/** The file of that path in the target's tree, if it is the one that is mapped. */
function belowRoot(path: string, home: Mapping, deleted: boolean): Buffer | null {
  try {
    if (deleted || statSync(path).ino !== home.inode) return null;
    return readFileSync(path);
  } catch {
    return null;
  }
}

function objectAt(
  target: Target,
  path: string,
  home: Mapping,
  object: ElfObject,
  keys: readonly KeyDef[],
): RemoteObject {
  const first = object.segments.find((s) => s.type === PT_LOAD && s.offset === 0);
  const bias = home.start - Math.floor((first?.address ?? 0) / PAGE) * PAGE;
  checkSameFile(target, path, home, object);
  const texts = object.segments
    .filter((s) => s.type === PT_LOAD && (s.flags & PF_X) !== 0)
    .map((s) => ({
      start: bias + Math.floor(s.address / PAGE) * PAGE,
      end: bias + Math.ceil((s.address + s.memorySize) / PAGE) * PAGE,
    }));
  return { path, object, keys, handle: 0, bias, adopted: true, texts, buildId: buildIdOf(object) };
}

/** The first page holds the headers, and mostly the build id: another build differs there. */
function checkSameFile(target: Target, path: string, home: Mapping, object: ElfObject): void {
  const size = Math.min(PAGE, home.end - home.start, object.bytes.length);
  const memory = target.read(home.start, size);
  const at = memory.findIndex((byte, i) => byte !== object.bytes[i]);
  if (at < 0) return;
  throw new Fault('not-same-file', `the file differs at ${hex(at)} from what is in memory`, {
    at: path,
  });
}

function buildIdOf(object: ElfObject): string | null {
  const section = object.sections.find((s) => s.name === '.note.gnu.build-id');
  if (!section) return null;
  // namesz, descsz, type, "GNU\0", then the id.
  return Buffer.from(
    object.bytes.subarray(section.offset + 16, section.offset + section.size),
  ).toString('hex');
}

/** A symbol of any of the objects, as the dynamic linker would find it; 0 where none defines it. */
export function symbolIn(objects: readonly RemoteObject[], name: string): Addr {
  for (const { object, bias } of objects)
    for (const table of [object.dynamicSymbols, object.symbols]) {
      if (!table) continue;
      for (let i = 1; i < table.count; i++)
        if (table.defined(i) && table.label(i) === name) return bias + table.value(i);
    }
  return 0;
}

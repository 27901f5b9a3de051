// An object in this process: loaded now or long ago, where it lies, and whether it is the file it
// says it is.

import { realpathSync } from 'node:fs';
import { hex, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { readWhole } from '../../base/file.js';
import { lastNotAbove } from '../../base/search.js';
import { PF_W, PF_X, PT_LOAD } from '../../elf/names.js';
import type { ElfObject } from '../../elf/object.js';
import { readElf } from '../../elf/read.js';
import type { KeyDef } from '../../keys/key.js';
import { TRAMPOLINE_LENGTH } from '../../x86/forms.js';
import { readMaps, type Mapping } from '../linux/maps.js';
import type { Native } from '../linux/native.js';

export interface Loaded {
  readonly path: string;
  readonly object: ElfObject;
  readonly handle: Addr;
  /** What is added to an address as linked. */
  readonly bias: Addr;
  /** Whether it was in the process before. */
  readonly adopted: boolean;
  /** Executable pages, as they lie in memory. */
  readonly texts: readonly { readonly start: Addr; readonly end: Addr }[];
}

/** @throws Fault `no-such-file`, `unreadable-file`, what readElf throws */
export function readObject(path: string): { path: string; object: ElfObject } {
  const bytes = readWhole(path);
  return { path: realPath(path), object: readElf(bytes, path) };
}

/**
 * A memory file has no path but the one through its descriptor (/proc/self/fd/N), and is loaded by
 * that. Nor has a file that was deleted since it was opened.
 */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/**
 * @throws Fault `not-loaded` where the dynamic linker refuses, or another file of that name is
 *   loaded.
 */
export function loadObject(
  native: Native,
  path: string,
  object: ElfObject,
  keys: readonly KeyDef[],
): Loaded {
  const before = readMaps().some((m) => m.path === path);
  const running = path === realPath('/proc/self/exe');
  // glibc refuses it as well (since 2.30), in words that do not say what to do.
  if (!running && object.isProgram) {
    throw new Fault('not-loaded', 'it is a program, and a process has one', {
      at: path,
      hint:
        'link the code with -shared as well, or open the program from within: its own path, ' +
        'in a process that runs it',
    });
  }
  // The running program itself cannot be loaded by name; its handle has none.
  const handle = native.load(running ? null : path);
  const bias = Number(new BigUint64Array(native.view(native.linkMap(handle), 8))[0]);
  const texts = object.segments
    .filter((s) => s.type === PT_LOAD && (s.flags & PF_X) !== 0)
    .map((s) => ({
      start: bias + Math.floor(s.address / PAGE) * PAGE,
      end: bias + Math.ceil((s.address + s.memorySize) / PAGE) * PAGE,
    }));
  const loaded = { path, object, handle, bias, texts };
  checkSameFile(native, loaded, keys);
  return { ...loaded, adopted: before };
}

/** Whether a mapping shows a file under the name that the kernel gives it once it is replaced. */
const isReplaced = (map: Mapping, path: string): boolean => map.path === `${path} (deleted)`;

/**
 * A file that was built again after it was loaded describes other code than the one in memory. The
 * dynamic linker does not notice: it finds an object by its name first. The first page (headers,
 * mostly the build id) tells at once. It can be the same although the code is not, so where the
 * mapping bears another name than the file (replaced, moved, a second link) all of the code is
 * compared. Elsewhere it is not: profilers and tracers patch code too, and their bytes are none of
 * our business.
 */
function checkSameFile(
  native: Native,
  { path, object, bias, texts }: Omit<Loaded, 'adopted'>,
  keys: readonly KeyDef[],
): void {
  const maps = readMaps();
  const at = texts[0]?.start ?? bias;
  const home = maps.find((m) => at >= m.start && at < m.end);
  const beside = maps.find((m) => isReplaced(m, path) && m.access.includes('x'));
  if (beside && home?.path === path) throw rebuilt(path, 'another file of that name is in memory');
  const whole = home?.path !== path;
  for (const segment of object.segments) {
    if (segment.type !== PT_LOAD || (segment.flags & PF_W) !== 0) continue;
    if (!whole && segment.offset !== 0) continue;
    const size = whole ? segment.fileSize : Math.min(segment.fileSize, PAGE);
    const memory = new Uint8Array(native.view(bias + segment.address, size));
    const file = object.bytes.subarray(segment.offset, segment.offset + size);
    const difference = firstDifference(memory, file, segment.address, keys);
    if (difference !== null)
      throw rebuilt(path, `the file differs at ${hex(difference)} from the object in memory`);
  }
}

const rebuilt = (path: string, what: string): Fault =>
  new Fault('not-loaded', what, {
    at: path,
    hint: 'it was rebuilt while it was loaded; restart the process',
  });

/**
 * The first address whose byte is another one, and that no runtime or debugger may have changed.
 */
function firstDifference(
  memory: Uint8Array,
  file: Uint8Array,
  base: Addr,
  keys: readonly KeyDef[],
): Addr | null {
  let ours: Ours | undefined;
  for (let from = 0; from < file.length; from += PAGE) {
    const to = Math.min(from + PAGE, file.length);
    if (Buffer.compare(memory.subarray(from, to), file.subarray(from, to)) === 0) continue;
    ours ??= new Ours(keys);
    for (let i = from; i < to; i++)
      if (memory[i] !== file[i] && memory[i] !== INT3 && !ours.has(base + i)) return base + i;
  }
  return null;
}

const INT3 = 0xcc;

/** Sites and trampolines: what an earlier opening may have patched. */
class Ours {
  readonly #starts: Float64Array;
  readonly #ends = new Map<Addr, Addr>();

  constructor(keys: readonly KeyDef[]) {
    for (const { sites, trampoline } of keys) {
      for (const { at, length } of sites) this.#ends.set(at, at + length);
      if (trampoline !== null) this.#ends.set(trampoline, trampoline + TRAMPOLINE_LENGTH);
    }
    this.#starts = Float64Array.from(this.#ends.keys()).sort();
  }
  has(at: Addr): boolean {
    const end = this.#ends.get(this.#starts[lastNotAbove(this.#starts, at)] ?? NaN);
    return end !== undefined && at < end;
  }
}

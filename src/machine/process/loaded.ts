// An object in this process: loaded now or long ago, where it lies, and whether it is the file it
// says it is.

import { realpathSync } from 'node:fs';
import { PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { readWhole } from '../../base/file.js';
import { PF_X, PT_LOAD } from '../../elf/names.js';
import type { ElfObject } from '../../elf/object.js';
import { readElf } from '../../elf/read.js';
import { readMaps } from '../linux/maps.js';
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
  return { path: realpathSync(path), object: readElf(bytes, path) };
}

/**
 * @throws Fault `not-loaded` where the dynamic linker refuses, or another file of that name is loaded.
 */
export function loadObject(native: Native, path: string, object: ElfObject): Loaded {
  const before = readMaps().some((m) => m.path === path);
  const running = path === realpathSync('/proc/self/exe');
  // glibc refuses it as well (since 2.30), in words that help nobody.
  if (!running && object.isProgram) {
    throw new Fault('not-loaded', 'it is a program, and a process has one', {
      at: path,
      hint: 'link the code with -shared as well, or open the program from within: its own path, in a process that runs it',
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
  checkSameFile(native, path, object, bias);
  return { path, object, handle, bias, adopted: before, texts };
}

/**
 * A file that was built again after it was loaded describes other code than the one in memory. The
 * headers and what follows them on the first page (the build id, as a rule) tell.
 */
function checkSameFile(native: Native, path: string, object: ElfObject, bias: Addr): void {
  const first = object.segments.find(
    (s) => s.type === PT_LOAD && s.offset === 0 && (s.flags & 2) === 0,
  );
  if (!first) return;
  const size = Math.min(first.fileSize, PAGE);
  const memory = new Uint8Array(native.view(bias + first.address, size));
  if (Buffer.compare(memory, object.bytes.subarray(0, size)) !== 0) {
    throw new Fault('not-loaded', 'the file differs from the object of that name in memory', {
      at: path,
      hint: 'it was rebuilt while it was loaded; restart the process',
    });
  }
}

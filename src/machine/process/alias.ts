// The writer `alias`: the text's pages are replaced by a shared memory file that is mapped a second
// time, writable, at an unrelated address. A store of ours is a plain store there. Profilers see a
// memory file instead of the object.
//
// A child of fork must not reach its parent's text through either mapping, whatever handlers run:
//  - the writable one is not inherited (MADV_DONTFORK);
//  - the executable one is inherited and is the same pages, so fork's handler puts a private copy
//    in its place (native/fork.ts). Where no handler runs, as after a raw clone(), it is still
//    sealed: mprotect() cannot make it writable, nor can the file be mapped or written anew.

import { hex, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import { ERRNO, MADV, MAP, PROT, SEAL } from '../../base/linux.js';
import type { Batch } from '../../plan/batch.js';
import { REGION } from '../../trap/registry.js';
import { readMaps } from '../linux/maps.js';
import { memoryFile } from '../linux/memory.js';
import { errorName, type Native } from '../linux/native.js';
import type { Script } from './script.js';
import type { SharedData } from './shared-data.js';
import { loopOf, sourceOf, waysAt, type OwnText, type StoreStep } from './text.js';

export class AliasText implements OwnText {
  readonly writer = 'alias';
  readonly start: Addr;
  readonly end: Addr;
  readonly bytes: Uint8Array;
  /** From where a byte runs to where it is written. */
  readonly #away: number;

  constructor(native: Native, start: Addr, end: Addr, alias: Addr) {
    this.start = start;
    this.end = end;
    this.bytes = new Uint8Array(native.view(start, end - start));
    this.#away = alias - start;
  }

  read(at: Addr, length: number): Uint8Array {
    return this.bytes.subarray(at - this.start, at - this.start + length);
  }

  store(script: Script, step: StoreStep, batch: Batch, from: number, to: number): void {
    script.store(loopOf(step), batch, from, to, this.#away, sourceOf(step), waysAt(step));
  }
}

/**
 * Maps the text a second time. The pages are copied to a memory file, and its shared mapping takes
 * their place in one system call: a thread that runs there faults and waits for it, and finds the
 * same bytes. Call it with the lock held.
 * @throws Fault `no-memory`, `not-supported`
 */
export function aliasText(shared: SharedData, start: Addr, end: Addr): AliasText {
  const { native } = shared;
  const known = knownAlias(shared, start, end);
  if (known !== null) return new AliasText(native, start, end, known);
  const size = end - start;
  invariant(start % PAGE === 0 && size % PAGE === 0, 'a text begins and ends on a page');
  // Data that lies between code, as -N and some linker scripts put it, would be lost to the
  // program.
  if (readMaps().some((m) => m.start < end && m.end > start && m.access[1] === 'w')) {
    throw new Fault(
      'not-supported',
      'the text may be written where it runs, and a second mapping would take that away',
      { at: hex(start), hint: "open with writer 'procmem'" },
    );
  }
  // Before the text is shared: shared text that is in no list would be shared with a child of fork,
  // too.
  const region = shared.allocate(REGION.size, 8);
  const fd = memoryFile(native, 'static-call-text', size);
  try {
    const alias = mapWritable(native, fd, size);
    new Uint8Array(native.view(alias, size)).set(new Uint8Array(native.view(start, size)));
    try {
      sealed(native, fd);
      mapOver(native, fd, start, size);
    } catch (error) {
      native.call('munmap', alias, size);
      throw error;
    }
    const words = new BigUint64Array(native.view(region, REGION.size));
    words[REGION.next / 8] = shared.word('regions');
    words[REGION.start / 8] = BigInt(start);
    words[REGION.end / 8] = BigInt(end);
    words[REGION.alias / 8] = BigInt(alias);
    shared.setWord('regions', BigInt(region));
    return new AliasText(native, start, end, alias);
  } finally {
    native.call('close', fd);
  }
}

/** The writable half, which a child does not inherit. */
function mapWritable(native: Native, fd: number, size: number): Addr {
  const alias = native.call('mmap', 0, size, PROT.read | PROT.write, MAP.shared, fd, 0);
  if (alias < 0)
    throw new Fault(
      'no-memory',
      `mapping ${size} bytes of text a second time failed: ${errorName(alias)}`,
    );
  const kept = native.call('madvise', alias, size, MADV.dontFork);
  if (kept < 0) {
    native.call('munmap', alias, size);
    throw new Fault(
      'no-memory',
      `keeping the second mapping of the text from children failed: ${errorName(kept)}`,
    );
  }
  return alias;
}

/** From here on no further mapping of the file can be written, nor be made writable. */
function sealed(native: Native, fd: number): void {
  const done = native.call('fcntl', fd, SEAL.add, SEAL.futureWrite);
  // A kernel before 5.1 does not know the seal; fork's handler alone keeps the text apart there.
  if (done < 0 && done !== -ERRNO.invalid)
    throw new Fault('no-memory', `sealing the text's memory file failed: ${errorName(done)}`);
}

function mapOver(native: Native, fd: number, start: Addr, size: number): void {
  const text = native.call(
    'mmap',
    start,
    size,
    PROT.read | PROT.exec,
    MAP.shared | MAP.fixed,
    fd,
    0,
  );
  if (text >= 0) return;
  if (text === -ERRNO.perm)
    throw new Fault('not-supported', 'the text is sealed (mseal) and cannot be mapped anew', {
      at: hex(start),
      hint: "open with writer 'procmem', which leaves the mapping as it is",
    });
  throw new Fault(
    'no-memory',
    `replacing the text by its second mapping failed: ${errorName(text)}`,
    { at: hex(start) },
  );
}

/** Where the text is already writable because another runtime of the process mapped it so. */
export function knownAlias(shared: SharedData, start: Addr, end: Addr): Addr | null {
  for (let region = Number(shared.word('regions')); region !== 0;) {
    const words = new BigUint64Array(shared.native.view(region, REGION.size));
    const from = Number(words[REGION.start / 8]);
    if (start >= from && end <= Number(words[REGION.end / 8]))
      return Number(words[REGION.alias / 8]) + (start - from);
    region = Number(words[REGION.next / 8]);
  }
  return null;
}

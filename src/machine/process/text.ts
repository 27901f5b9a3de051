// Two ways to write text that may not be written where it runs, by one interface.
//
// `procmem` writes through /proc/self/mem: the kernel copies a private page once and then writes it by its own
// memcpy, so the mapping stays what it was and debuggers, profilers and backtraces keep working. A system
// call for each site would cost half a microsecond, so neighbouring sites are written by one call; the bytes
// between them are written as they are. Which instructions the kernel's memcpy runs is its own affair:
// a single byte cannot tear, anything wider is an assumption (`atomicWide`).
//
// `alias` replaces the text's pages by a shared memory file that is mapped a second time, writable, at an
// unrelated address: a store of ours is a store there. Profilers see a memory file instead of the object.

import { hex, LINE, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import type { Batch } from '../../plan/batch.js';
import type { Step } from '../../plan/protocol.js';
import { REGION } from '../../trap/registry.js';
import { memoryFile, type Ground } from './ground.js';
import { errorName, MAP, PROT, type Native } from './native.js';

export type WriterName = 'procmem' | 'alias';
export type StoreStep = Extract<Step, { do: 'store' }>;

/** A stretch of executable pages, readable in place. */
export interface Text {
  readonly writer: WriterName;
  readonly start: Addr;
  readonly end: Addr;
  /** The bytes where they run. */
  readonly bytes: Uint8Array;
  /** Performs a store step for edits [from, to), all inside this text. */
  store(step: StoreStep, batch: Batch, from: number, to: number): void;
}

/** The first and last byte that differ, as a run: what `changed` stands for. Empty if nothing differs. */
export function changedRun(batch: Batch, i: number): { first: number; end: number } {
  let first = 0;
  let end = batch.length[i]!;
  while (first < end && batch.old[8 * i + first] === batch.new[8 * i + first]) first++;
  while (end > first && batch.old[8 * i + end - 1] === batch.new[8 * i + end - 1]) end--;
  return { first, end };
}

const TRAP = 0xcc;

/** Which bytes of site i a step writes, and what: calls back with (offset in the site, value). */
function eachByte(step: StoreStep, batch: Batch, i: number, write: (offset: number, value: number) => void): void {
  const source = step.bytes === 'old' ? batch.old : batch.new;
  let [first, end] = [0, batch.length[i]!];
  if (step.part === 'first') end = 1;
  else if (step.part === 'rest') first = 1;
  else if (step.part === 'changed') ({ first, end } = changedRun(batch, i));
  for (let b = first; b < end; b++) write(b, step.bytes === 'trap' ? TRAP : source[8 * i + b]!);
}

/** An eight-byte window inside the site's cache line that holds the whole site. */
export function windowAt(at: Addr): Addr {
  return Math.min(at, Math.floor(at / LINE) * LINE + LINE - 8);
}

export class ProcmemText implements Text {
  readonly writer = 'procmem';
  readonly start: Addr;
  readonly end: Addr;
  readonly bytes: Uint8Array;
  readonly #native: Native;
  readonly #file: number;
  /** Runs are joined over gaps up to this: rewriting 256 bytes costs less than a tenth of a system call. */
  static readonly gap: number = 256;
  #buffer: Uint8Array = new Uint8Array(PAGE);

  /** @param file an open descriptor of /proc/self/mem */
  constructor(native: Native, file: number, start: Addr, end: Addr) {
    this.#native = native;
    this.#file = file;
    this.start = start;
    this.end = end;
    this.bytes = new Uint8Array(native.view(start, end - start));
  }

  store(step: StoreStep, batch: Batch, from: number, to: number): void {
    if (step.as === 'exchange' || (step.as === 'one' && step.part !== 'first')) {
      for (let i = from; i < to; i++) this.#storeWide(step, batch, i);
      return;
    }
    if (step.part === 'whole' && step.as === 'bytes') {
      // One call a byte: this is the way that must be seen to fail, so nothing may make it better.
      for (let i = from; i < to; i++) {
        eachByte(step, batch, i, (offset, value) => this.#write(batch.at[i]! + offset, Uint8Array.of(value), 1));
      }
      return;
    }
    for (let first = from; first < to; ) {
      const start = batch.at[first]!;
      let last = first;
      let end = start + batch.length[first]!;
      while (last + 1 < to && batch.at[last + 1]! - end <= ProcmemText.gap) {
        last++;
        end = batch.at[last]! + batch.length[last]!;
      }
      if (step.part === 'first') end = batch.at[last]! + 1;
      const size = end - start;
      if (this.#buffer.length < size) this.#buffer = new Uint8Array(2 * size);
      const buffer = this.#buffer;
      buffer.set(this.bytes.subarray(start - this.start, end - this.start));
      for (let i = first; i <= last; i++) {
        const at = batch.at[i]! - start;
        eachByte(step, batch, i, (offset, value) => (buffer[at + offset] = value));
      }
      this.#write(start, buffer, size);
      first = last + 1;
    }
  }

  /** One write of four or eight bytes inside a line; the kernel copies those by one instruction on all we saw. */
  #storeWide(step: StoreStep, batch: Batch, i: number): void {
    const at = batch.at[i]!;
    const { first, end } = changedRun(batch, i);
    if (first === end) return;
    const [start, size] = first >= 1 && end <= 5 ? [at + 1, 4] : [windowAt(at), 8];
    const bytes = this.bytes.slice(start - this.start, start - this.start + size);
    eachByte(step, batch, i, (offset, value) => (bytes[at + offset - start] = value));
    this.#write(start, bytes, size);
  }

  #write(at: Addr, bytes: Uint8Array, size: number): void {
    const written = this.#native.call('pwrite', this.#file, this.#native.addressOf(bytes), size, at);
    if (written !== size) {
      throw new Fault('no-text-write', written < 0 ? `writing through /proc/self/mem is refused: ${errorName(written)}` : `only ${written} of ${size} bytes were written`, { at: hex(at) });
    }
  }
}

const O_RDWR_CLOEXEC = 0o2000002;

/** Opened once for a runtime; a child of fork would still write its parent through it. @throws Fault `no-text-write` */
export function openProcmem(native: Native): number {
  const path = new TextEncoder().encode('/proc/self/mem\0');
  const file = native.call('open', native.addressOf(path), O_RDWR_CLOEXEC);
  if (file < 0) throw new Fault('no-text-write', `opening /proc/self/mem is refused: ${errorName(file)}`);
  return file;
}
/** Writes a byte of executable memory as it is. @throws Fault `no-text-write` */
export function probeProcmem(native: Native, file: number, at: Addr): void {
  const byte = new Uint8Array(native.view(at, 1)).slice();
  const written = native.call('pwrite', file, native.addressOf(byte), 1, at);
  if (written !== 1) throw new Fault('no-text-write', `writing text through /proc/self/mem is refused: ${errorName(written)}`);
}
export function closeProcmem(native: Native, file: number): void {
  native.call('close', file);
}

export class AliasText implements Text {
  readonly writer = 'alias';
  readonly start: Addr;
  readonly end: Addr;
  readonly bytes: Uint8Array;
  readonly #alias: Uint8Array;
  /** Views whose base is shifted by 0 to 3 and 0 to 7 bytes: an element of one of them lies anywhere. */
  readonly #words: Int32Array[];
  readonly #quads: BigUint64Array[];
  readonly #scratch = new Uint8Array(8);
  readonly #quad: BigUint64Array = new BigUint64Array(this.#scratch.buffer);
  readonly #word: Int32Array = new Int32Array(this.#scratch.buffer);

  constructor(native: Native, start: Addr, end: Addr, alias: Addr) {
    this.start = start;
    this.end = end;
    const size = end - start;
    this.bytes = new Uint8Array(native.view(start, size));
    this.#alias = new Uint8Array(native.view(alias, size));
    this.#words = [0, 1, 2, 3].map((phase) => new Int32Array(native.view(alias + phase, size - 4)));
    this.#quads = [0, 1, 2, 3, 4, 5, 6, 7].map((phase) => new BigUint64Array(native.view(alias + phase, size - 8)));
  }

  store(step: StoreStep, batch: Batch, from: number, to: number): void {
    const { at, length, start, alias } = { at: batch.at, length: batch.length, start: this.start, alias: this.#alias };
    if (step.part === 'first') {
      const source = step.bytes === 'old' ? batch.old : batch.new;
      if (step.bytes === 'trap') for (let i = from; i < to; i++) alias[at[i]! - start] = TRAP;
      else for (let i = from; i < to; i++) alias[at[i]! - start] = source[8 * i]!;
    } else if (step.as === 'bytes') {
      const source = step.bytes === 'old' ? batch.old : batch.new;
      for (let i = from; i < to; i++) {
        const site = at[i]! - start;
        for (let b = step.part === 'rest' ? 1 : 0; b < length[i]!; b++) alias[site + b] = source[8 * i + b]!;
      }
    } else {
      for (let i = from; i < to; i++) this.#storeWide(step, batch, i);
    }
  }

  // Atomics because they compile to one instruction on every tier of the engine; DataView and Buffer do not.
  #storeWide(step: StoreStep, batch: Batch, i: number): void {
    const at = batch.at[i]!;
    const { first, end } = changedRun(batch, i);
    if (first === end) return;
    const site = at - this.start;
    if (first >= 1 && end <= 5) {
      eachByte({ ...step, part: 'rest' }, batch, i, (offset, value) => offset <= 4 && (this.#scratch[offset - 1] = value));
      Atomics.store(this.#words[(site + 1) & 3]!, (site + 1) >> 2, this.#word[0]!);
      return;
    }
    const window = windowAt(at) - this.start;
    const quads = this.#quads[window & 7]!;
    // The eight bytes hold up to three of a neighbour, so they are exchanged only if nobody changed them.
    this.#scratch.set(this.bytes.subarray(window, window + 8));
    for (let b = 0; b < batch.length[i]!; b++) this.#scratch[site - window + b] = batch.old[8 * i + b]!;
    const expected = this.#quad[0]!;
    eachByte({ ...step, part: 'whole' }, batch, i, (offset, value) => (this.#scratch[site - window + offset] = value));
    if (Atomics.compareExchange(quads, window >> 3, expected, this.#quad[0]!) !== expected) {
      throw new Fault('drift', 'bytes on the site changed while it was being written', { at: hex(at) });
    }
  }
}

/**
 * Maps the text a second time. The pages are copied to a memory file, and its shared mapping takes their place
 * in one system call: a thread that runs there faults and waits for it, and finds the same bytes.
 * @throws Fault `no-memory`
 */
export function aliasText(ground: Ground, start: Addr, end: Addr): AliasText {
  const { native } = ground;
  const known = knownAlias(ground, start, end);
  if (known !== null) return new AliasText(native, start, end, known);
  const size = end - start;
  invariant(start % PAGE === 0 && size % PAGE === 0, 'a text begins and ends on a page');
  const fd = memoryFile(native, 'static-call-text', size);
  try {
    const alias = native.call('mmap', 0, size, PROT.read | PROT.write, MAP.shared, fd, 0);
    if (alias < 0) throw new Fault('no-memory', `mapping ${size} bytes of text a second time failed: ${errorName(alias)}`);
    new Uint8Array(native.view(alias, size)).set(new Uint8Array(native.view(start, size)));
    const text = native.call('mmap', start, size, PROT.read | PROT.exec, MAP.shared | MAP.fixed, fd, 0);
    if (text < 0) {
      native.call('munmap', alias, size);
      throw new Fault('no-memory', `replacing the text by its second mapping failed: ${errorName(text)}`, { at: hex(start) });
    }
    const region = ground.allocate(REGION.size, 8);
    const words = new BigUint64Array(native.view(region, REGION.size));
    words[REGION.next / 8] = ground.word('regions');
    words[REGION.start / 8] = BigInt(start);
    words[REGION.end / 8] = BigInt(end);
    words[REGION.alias / 8] = BigInt(alias);
    ground.setWord('regions', BigInt(region));
    return new AliasText(native, start, end, alias);
  } finally {
    native.call('close', fd);
  }
}

/** Where the text is already writable because another runtime of the process mapped it so. */
export function knownAlias(ground: Ground, start: Addr, end: Addr): Addr | null {
  for (let region = Number(ground.word('regions')); region !== 0; ) {
    const words = new BigUint64Array(ground.native.view(region, REGION.size));
    const from = Number(words[REGION.start / 8]);
    if (start >= from && end <= Number(words[REGION.end / 8])) return Number(words[REGION.alias / 8]) + (start - from);
    region = Number(words[REGION.next / 8]);
  }
  return null;
}

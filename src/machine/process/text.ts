// Two ways to write text that may not be written where it runs, by one interface.
//
// `procmem` writes through /proc/self/mem: the kernel copies a private page once and then writes it
// by its own memcpy, so the mapping stays what it was and debuggers, profilers and backtraces keep
// working. A system call for each site would cost half a microsecond, so neighbouring sites are
// written by one call; the bytes between them are written as they are. Which instructions the
// kernel's memcpy runs is its own affair: a single byte cannot tear, anything wider is an
// assumption (`atomicWide`).
//
// `alias` replaces the text's pages by a shared memory file that is mapped a second time, writable,
// at an unrelated address: a store of ours is a store there. Profilers see a memory file instead of
// the object.

import { INT3 } from '../../asm/table.js';
import { hex, LINE, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import type { Batch } from '../../plan/batch.js';
import type { Step } from '../../plan/protocol.js';
import { REGION } from '../../trap/registry.js';
import { memoryFile, type Runtime } from './runtime.js';
import { readMaps } from '../linux/maps.js';
import { errorName, MAP, PROT, type Native } from '../linux/native.js';
import type { StoreLoop } from '../../native/stores.js';
import type { Script } from './script.js';

export type WriterName = 'procmem' | 'alias';
export type StoreStep = Extract<Step, { do: 'store' }>;

/** A stretch of executable pages, readable in place. */
export interface Text {
  readonly writer: WriterName;
  readonly start: Addr;
  readonly end: Addr;
  /** The bytes where they run. */
  readonly bytes: Uint8Array;
  /** Writes down a store step for edits [from, to), all inside this text. */
  store(script: Script, step: StoreStep, batch: Batch, from: number, to: number): void;
}

/**
 * The first and last byte that differ, as a run: what `changed` stands for. Empty if nothing
 * differs.
 */
export function changedRun(batch: Batch, i: number): { first: number; end: number } {
  let first = 0;
  let end = batch.length[i]!;
  while (first < end && batch.old[8 * i + first] === batch.new[8 * i + first]) first++;
  while (end > first && batch.old[8 * i + end - 1] === batch.new[8 * i + end - 1]) end--;
  return { first, end };
}

/**
 * The sweep that performs a store step. `one` of more than a byte is exchanged: that is one store
 * too, and notices more.
 */
function loopOf(step: StoreStep): StoreLoop {
  if (step.part === 'first') return step.bytes === 'trap' ? 'trap' : 'first';
  return step.as === 'bytes' ? (step.part === 'rest' ? 'rest' : 'whole') : 'exchange';
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
  /**
   * Runs are joined over gaps up to this: rewriting 256 bytes costs less than a tenth of a system
   * call.
   */
  static readonly gap: number = 256;
  #buffer: Uint8Array = new Uint8Array(PAGE);
  #bufferAt: Addr;
  /** What operations of a script may still point at. */
  readonly #outgrown: Uint8Array[] = [];
  readonly #trap: Uint8Array = Uint8Array.of(INT3);
  readonly #trapAt: Addr;

  /** @param file an open descriptor of /proc/self/mem */
  constructor(native: Native, file: number, start: Addr, end: Addr) {
    this.#native = native;
    this.#file = file;
    this.start = start;
    this.end = end;
    this.bytes = new Uint8Array(native.view(start, end - start));
    this.#bufferAt = native.addressOf(this.#buffer);
    this.#trapAt = native.addressOf(this.#trap);
  }

  store(script: Script, step: StoreStep, batch: Batch, from: number, to: number): void {
    if (step.as === 'exchange' || (step.as === 'one' && step.part !== 'first')) {
      for (let i = from; i < to; i++) this.#storeWide(script, step, batch, i);
      return;
    }
    const { at, length } = batch;
    const columns = script.columns(batch);
    const source = columns[step.bytes === 'old' ? 'old' : 'new'];
    if (step.part === 'whole') {
      // One call a byte: this is the way that must be seen to fail, so nothing may make it better.
      for (let i = from; i < to; i++)
        for (let b = 0; b < length[i]!; b++) this.#write(script, source + 8 * i + b, 1, at[i]! + b);
      return;
    }
    for (let first = from; first < to;) {
      const start = at[first]!;
      let next = first + 1;
      let end = start + length[first]!;
      for (; next < to && at[next]! - end <= ProcmemText.gap; next++)
        end = at[next]! + length[next]!;
      // A site by itself goes straight from the batch, and its first byte is not written again with
      // its rest.
      if (next - first === 1 && step.part === 'rest')
        this.#write(script, source + 8 * first + 1, length[first]! - 1, start + 1);
      else if (next - first === 1 && step.part === 'first')
        this.#write(script, step.bytes === 'trap' ? this.#trapAt : source + 8 * first, 1, start);
      else {
        if (step.part === 'first') end = at[next - 1]! + 1;
        this.#compose(
          script,
          start,
          end - start,
          loopOf(step),
          batch,
          first,
          next,
          step.bytes === 'old' ? 'old' : 'new',
          end - start,
        );
      }
      first = next;
    }
  }

  /**
   * One write of four or eight bytes inside a line; the kernel copies those by one instruction on
   * all we saw.
   */
  #storeWide(script: Script, step: StoreStep, batch: Batch, i: number): void {
    const at = batch.at[i]!;
    const { first, end } = changedRun(batch, i);
    if (first === end) return;
    const [start, size, how] =
      first >= 1 && end <= 5
        ? ([at + 1, 4, 'rest'] as const)
        : ([windowAt(at), 8, 'whole'] as const);
    this.#compose(
      script,
      start,
      size,
      how,
      batch,
      i,
      i + 1,
      step.bytes === 'old' ? 'old' : 'new',
      Math.max(size, at + 8 - start),
    );
  }

  /**
   * A piece of the text as it is at that moment of the run, the sites in it as they shall be, in
   * one write.
   */
  #compose(
    script: Script,
    start: Addr,
    size: number,
    how: StoreLoop,
    batch: Batch,
    from: number,
    to: number,
    source: 'old' | 'new',
    room: number,
  ): void {
    if (this.#buffer.length < room) {
      this.#outgrown.push(this.#buffer);
      this.#buffer = new Uint8Array(2 * room);
      this.#bufferAt = this.#native.addressOf(this.#buffer);
    }
    script.copy(start, this.#bufferAt, size);
    script.store(how, batch, from, to, this.#bufferAt - start, source);
    this.#write(script, this.#bufferAt, size, start);
  }

  #write(script: Script, from: Addr, size: number, at: Addr): void {
    script.system('pwrite', size, this.#file, from, size, at);
  }
}

const O_RDWR_CLOEXEC = 0o2000002;

/**
 * Opened once for a runtime; a child of fork would still write its parent through it. @throws Fault
 * `no-text-write`
 */
export function openProcmem(native: Native): number {
  const path = new TextEncoder().encode('/proc/self/mem\0');
  const file = native.call('open', native.addressOf(path), O_RDWR_CLOEXEC);
  if (file < 0)
    throw new Fault('no-text-write', `opening /proc/self/mem is refused: ${errorName(file)}`);
  return file;
}
/** Writes a byte of executable memory as it is. @throws Fault `no-text-write` */
export function probeProcmem(native: Native, file: number, at: Addr): void {
  const byte = new Uint8Array(native.view(at, 1)).slice();
  const written = native.call('pwrite', file, native.addressOf(byte), 1, at);
  if (written !== 1)
    throw new Fault(
      'no-text-write',
      `writing text through /proc/self/mem is refused: ${errorName(written)}`,
    );
}
export function closeProcmem(native: Native, file: number): void {
  native.call('close', file);
}

export class AliasText implements Text {
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

  store(script: Script, step: StoreStep, batch: Batch, from: number, to: number): void {
    script.store(loopOf(step), batch, from, to, this.#away, step.bytes === 'old' ? 'old' : 'new');
  }
}

/**
 * Maps the text a second time. The pages are copied to a memory file, and its shared mapping takes
 * their place in one system call: a thread that runs there faults and waits for it, and finds the
 * same bytes.
 * @throws Fault `no-memory`
 */
export function aliasText(runtime: Runtime, start: Addr, end: Addr): AliasText {
  const { native } = runtime;
  const known = knownAlias(runtime, start, end);
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
  const region = runtime.allocate(REGION.size, 8);
  const fd = memoryFile(native, 'static-call-text', size);
  try {
    const alias = native.call('mmap', 0, size, PROT.read | PROT.write, MAP.shared, fd, 0);
    if (alias < 0)
      throw new Fault(
        'no-memory',
        `mapping ${size} bytes of text a second time failed: ${errorName(alias)}`,
      );
    new Uint8Array(native.view(alias, size)).set(new Uint8Array(native.view(start, size)));
    const text = native.call(
      'mmap',
      start,
      size,
      PROT.read | PROT.exec,
      MAP.shared | MAP.fixed,
      fd,
      0,
    );
    if (text < 0) {
      native.call('munmap', alias, size);
      throw new Fault(
        'no-memory',
        `replacing the text by its second mapping failed: ${errorName(text)}`,
        { at: hex(start) },
      );
    }
    const words = new BigUint64Array(native.view(region, REGION.size));
    words[REGION.next / 8] = runtime.word('regions');
    words[REGION.start / 8] = BigInt(start);
    words[REGION.end / 8] = BigInt(end);
    words[REGION.alias / 8] = BigInt(alias);
    runtime.setWord('regions', BigInt(region));
    return new AliasText(native, start, end, alias);
  } finally {
    native.call('close', fd);
  }
}

/** Where the text is already writable because another runtime of the process mapped it so. */
export function knownAlias(runtime: Runtime, start: Addr, end: Addr): Addr | null {
  for (let region = Number(runtime.word('regions')); region !== 0;) {
    const words = new BigUint64Array(runtime.native.view(region, REGION.size));
    const from = Number(words[REGION.start / 8]);
    if (start >= from && end <= Number(words[REGION.end / 8]))
      return Number(words[REGION.alias / 8]) + (start - from);
    region = Number(words[REGION.next / 8]);
  }
  return null;
}

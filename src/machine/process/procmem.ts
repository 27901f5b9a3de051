// The writer `procmem`: text is written through /proc/self/mem. The kernel copies a private page
// once and then writes it by its own memcpy, so the mapping stays what it was and debuggers,
// profilers and backtraces keep working. Each site costs a system call for each of the protocol's
// stores. Joining neighbouring sites into one write would save most of them, but the bytes between
// two sites would be written as they were read a moment before: a debugger that takes its
// breakpoint away in between would find it back. No other call writes many places of text at once:
// process_vm_writev() heeds the protection of a page and refuses text, and pwritev() writes one
// range. io_uring takes a thousand writes in one call, but gives each to a worker thread of the
// kernel's, because the file cannot be written asynchronously: that took longer than pwrite() does.
//
// Which instructions the kernel's memcpy runs is its own affair: a single byte cannot tear,
// anything wider is an assumption (`assume: 'procmem-stores-are-atomic'`).

import { INT3 } from '../../asm/table.js';
import { hex, LINE, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { ERRNO, MADV, MAP, PROT, SEEK } from '../../base/linux.js';
import { DISPLACEMENT } from '../../x86/forms.js';
import type { Batch } from '../../plan/batch.js';
import { changedRun, FIELD } from '../../plan/way.js';
import { readMaps } from '../linux/maps.js';
import { errorName, type Memory, type Native } from '../linux/native.js';
import type { Script } from './script.js';
import type { HeldData } from './shared-data.js';
import { sourceOf, waysAt, type OwnText, type StoreStep, type Text } from './text.js';

const O_RDWR_CLOEXEC = 0o2000002;
/** Marks lie behind every address of a program, so that a stray read of the file finds nothing. */
const FIRST_MARK = 2 ** 48;

/** What to do where the file cannot be opened, by error; the row's own hint otherwise. */
const CURES: Readonly<Record<number, string>> = {
  [-ERRNO.noEntry]:
    'mount /proc where this process sees it, or open with writer alias, which needs no file',
  [-ERRNO.access]:
    'the process gave up the credentials it was started with, or is not dumpable, so the file is ' +
    "root's: open the object before that, or with writer alias",
  [-ERRNO.tooManyFiles]: 'descriptors are used up: close some or raise the limit (ulimit -n)',
};

/** The caller closes it. @throws Fault `no-text-write` */
export function openProcmem(native: Native): number {
  const path = new TextEncoder().encode('/proc/self/mem\0');
  const file = native.call('open', native.addressOf(path), O_RDWR_CLOEXEC);
  if (file >= 0) return file;
  const hint = CURES[file];
  throw new Fault(
    'no-text-write',
    `opening /proc/self/mem is refused: ${errorName(file)}`,
    hint === undefined ? {} : { hint },
  );
}

/**
 * The process's one descriptor of /proc/self/mem. It is kept from the first `open` on, because the
 * file cannot be opened any more once the process has given up its credentials, used up its
 * descriptors or changed its root. It must not be inherited: fork's handler in the child closes it
 * (native/fork.ts), and the process remembers it where that handler finds it.
 *
 * Opening it for each update and closing it again was the alternative. That costs 5 us an update
 * where knowing the kept one again costs 2, which is little either way; but a server that binds its
 * port as root and then drops its privileges could never update again.
 */
export class Procmem {
  readonly #shared: HeldData;
  /** What the descriptor must read back, so that it is known to be this process's memory. */
  readonly #nonce: Float64Array = new Float64Array(2);
  readonly #nonceAt: Addr;
  #file: number = -1;

  constructor(shared: HeldData) {
    this.#shared = shared;
    this.#nonceAt = shared.native.addressOf(this.#nonce);
  }

  /** As `ready` found it. */
  get file(): number {
    return this.#file;
  }

  /**
   * Finds the descriptor or opens one. Call it with the lock held, so that no fork comes between
   * the opening and the entry by which a child finds what to close.
   * @throws Fault `no-text-write`
   */
  ready(): void {
    const known = this.#shared.held('procmem') - 1;
    if (known >= 0 && this.#isOwnMemory(known)) {
      this.#file = known;
      return;
    }
    this.#file = openProcmem(this.#shared.native);
    this.#shared.setWord('procmem', BigInt(this.#file + 1));
  }

  /**
   * Programs that close all descriptors, as daemons do, close this one too, and the number then
   * belongs to another file. In a child of a raw clone() the file is the parent's memory, which
   * holds another nonce.
   */
  #isOwnMemory(file: number): boolean {
    const nonce = this.#nonce;
    nonce[0] = Math.random();
    nonce[1] = -1;
    const read = this.#shared.native.call('pread', file, this.#nonceAt + 8, 8, this.#nonceAt);
    if (read < 0 && read !== -ERRNO.badFile)
      throw new Fault('no-text-write', `reading /proc/self/mem is refused: ${errorName(read)}`);
    return nonce[1] === nonce[0];
  }

  /**
   * Marks the descriptor that `ready` has just found to be this process's memory: its position is
   * set to a number that no other file is at. The same number stands in a page that a copy of the
   * process finds zeroed. Where both are there, the number of the descriptor still means the file
   * that was read, and this is still the process whose memory it was found to be. To ask that
   * is one call that touches no memory, where a word that is read through the file costs as much as
   * one that is written.
   * @returns whether the kernel lets it be marked
   */
  mark(): boolean {
    const word = this.#alone();
    if (word === null) return false;
    const at = (position: number, from: number): number =>
      this.#shared.native.call('lseek', this.#file, position, from);
    const mark = Number(word[0]) || FIRST_MARK + Math.floor(Math.random() * FIRST_MARK);
    if (at(0, SEEK.current) !== mark && at(mark, SEEK.set) !== mark) return false;
    word[0] = BigInt(mark);
    return true;
  }

  /** null where the process has no page for it. */
  #alone(): BigUint64Array | null {
    const page = this.#shared.held('alone');
    return page === 0 ? null : new BigUint64Array(this.#shared.native.view(page, 8));
  }

  /** Adds to a script that the descriptor has its mark, and the process too. */
  addTo(script: Script): void {
    const [mark = 0n] = this.#alone() ?? [];
    script.expect(this.#shared.held('alone'), Number(mark));
    script.system('lseek', Number(mark), this.#file, 0, SEEK.current);
  }

  /** Before a script is performed again. @returns whether it names the descriptor that is kept */
  renew(file: number): boolean {
    if (this.#shared.held('procmem') - 1 !== file) return false;
    this.#file = file;
    return true;
  }

  /**
   * Before anything is begun: opens the descriptor for one more program, and writes a byte of code
   * as it is, because a kernel may refuse each write and not the file (41e8149c8892, in v6.12).
   * Call it with the lock held. @throws Fault `no-text-write`
   */
  hold(code: Addr): void {
    const { native } = this.#shared;
    this.ready();
    mapAlone(this.#shared);
    this.#shared.setWord('procmemUsers', this.#shared.word('procmemUsers') + 1n);
    const byte = new Uint8Array(native.view(code, 1)).slice();
    const written = native.call('pwrite', this.#file, native.addressOf(byte), 1, code);
    if (written === 1) return;
    this.release();
    throw new Fault(
      'no-text-write',
      `writing text through /proc/self/mem is refused: ${errorName(written)}`,
    );
  }

  /** The last program that is closed closes the descriptor. Call it with the lock held. */
  release(): void {
    const users = this.#shared.word('procmemUsers');
    const file = Number(this.#shared.word('procmem')) - 1;
    if (users > 0n) this.#shared.setWord('procmemUsers', users - 1n);
    if (users > 1n || file < 0) return;
    this.#shared.setWord('procmem', 0n);
    if (this.#isOwnMemory(file)) this.#shared.native.call('close', file);
  }
}

/** Without the page no update is kept as a script, and each reads through the descriptor. */
function mapAlone(shared: HeldData): void {
  if (shared.held('alone') !== 0) return;
  const { native } = shared;
  const [access, flags] = [PROT.read | PROT.write, MAP.private | MAP.anonymous];
  const page = native.call('mmap', 0, PAGE, access, flags, -1, 0);
  if (page < 0) return;
  if (native.call('madvise', page, PAGE, MADV.wipeOnFork) === 0)
    shared.setWord('alone', BigInt(page));
  else native.call('munmap', page, PAGE);
}

/**
 * The kernel writes a copy of a page that may not be written, and a shared page has no copy.
 * @throws Fault `no-text-write`, `no-proc`
 */
export function checkPrivate(start: Addr, end: Addr): void {
  const shared = readMaps().find((m) => m.start < end && m.end > start && m.access[3] === 's');
  if (shared)
    throw new Fault(
      'no-text-write',
      'the text lies in shared memory, which cannot be written through /proc/self/mem',
      { at: hex(shared.start), hint: "open with writer 'alias'" },
    );
}

/** An eight-byte window inside the site's cache line that holds the whole site. */
function windowAt(at: Addr): Addr {
  return Math.min(at, Math.floor(at / LINE) * LINE + LINE - 8);
}

const TRAP = Uint8Array.of(INT3);

/** The stores of a protocol as writes to a process's memory, by that process itself. */
export abstract class ProcmemStores implements Omit<Text, 'read'> {
  readonly writer = 'procmem';
  readonly start: Addr;
  readonly end: Addr;
  readonly #trapAt: Addr;
  /** Where a wide store is put together. */
  readonly #buffer: Uint8Array = new Uint8Array(8);
  readonly #bufferAt: Addr;

  constructor(native: Pick<Memory, 'addressOf'>, start: Addr, end: Addr) {
    this.start = start;
    this.end = end;
    this.#bufferAt = native.addressOf(this.#buffer);
    this.#trapAt = native.addressOf(TRAP);
  }

  /** Writes down one write of so many bytes. */
  protected abstract write(script: Script, from: Addr, size: number, at: Addr): void;

  store(script: Script, step: StoreStep, batch: Batch, from: number, to: number): void {
    const ways = waysAt(step);
    for (let i = from; i < to; i++)
      if (ways === 0 || (batch.way[i]! & ways) !== 0) this.#store(script, step, batch, i);
  }

  #store(script: Script, step: StoreStep, batch: Batch, i: number): void {
    const [site, length] = [batch.address(i), batch.lengthAt(i)];
    const source = script.columns(batch)[sourceOf(step)] + 8 * i;
    const opcode = length - DISPLACEMENT - 1;
    switch (step.part) {
      case 'first':
        return this.write(script, step.bytes === 'trap' ? this.#trapAt : source, 1, site);
      case 'opcode':
        return this.write(script, source + opcode, 1, site + opcode);
      case 'byte': {
        const { first } = changedRun(batch, i);
        return this.write(script, source + first, 1, site + first);
      }
      case 'displacement':
        return this.write(script, source + opcode + 1, DISPLACEMENT, site + opcode + 1);
      case 'rest':
        if (step.as === 'bytes') return this.write(script, source + 1, length - 1, site + 1);
        return this.#storeWide(script, step, batch, i);
      default:
        if (step.as !== 'bytes') return this.#storeWide(script, step, batch, i);
        // One call a byte: this is the way that must be seen to fail, so nothing may make it better.
        for (let b = 0; b < length; b++) this.write(script, source + b, 1, site + b);
    }
  }

  /**
   * One write of four or eight bytes inside a line; the kernel copies those by one instruction on
   * all we saw. Where more than the displacement changes up to three bytes of a neighbour are in
   * the eight: they are written as they are at that moment of the run.
   */
  #storeWide(script: Script, step: StoreStep, batch: Batch, i: number): void {
    const at = batch.at[i]!;
    const { first, end } = changedRun(batch, i);
    if (first === end) return;
    const narrow = first >= FIELD.from && end <= FIELD.to;
    const start = narrow ? at + FIELD.from : windowAt(at);
    const size = narrow ? DISPLACEMENT : 8;
    script.copy(start, this.#bufferAt, size);
    script.store(
      narrow ? 'rest' : 'whole',
      batch,
      i,
      i + 1,
      this.#bufferAt - start,
      sourceOf(step),
    );
    this.write(script, this.#bufferAt, size, start);
  }
}

/** A text of this process. */
export class ProcmemText extends ProcmemStores implements OwnText {
  readonly bytes: Uint8Array;
  readonly #procmem: Pick<Procmem, 'file'>;

  constructor(
    native: Pick<Memory, 'addressOf' | 'view'>,
    procmem: Pick<Procmem, 'file'>,
    start: Addr,
    end: Addr,
  ) {
    super(native, start, end);
    this.#procmem = procmem;
    this.bytes = new Uint8Array(native.view(start, end - start));
  }

  read(at: Addr, length: number): Uint8Array {
    return this.bytes.subarray(at - this.start, at - this.start + length);
  }

  protected write(script: Script, from: Addr, size: number, at: Addr): void {
    script.system('pwrite', size, this.#procmem.file, from, size, at);
  }
}

// What static-call leaves in a process for the rest of its life: the trap handler, its data, and
// memory that is given out and never taken back. A process has one runtime, whoever made it: worker
// threads and other copies of this library find it in /proc/self/maps by the name of its mapping
// and share it.
//
// The mapping is private, so a forked child has its own copy as of the fork: its threads are
// emulated to the targets of that moment and not to those that the parent chooses later. Code is
// written before it is made executable and never after.

import { INT3 } from '../../asm/table.js';
import { existsSync } from 'node:fs';
import { hex, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { place } from '../../asm/assembler.js';
import { image, type Piece } from '../../native/image.js';
import { ROUTINES } from '../../native/script.js';
import { STORE_LOOPS } from '../../native/stores.js';
import { DATA, MAGIC, VERSION } from '../../trap/registry.js';
import { readMaps } from '../linux/maps.js';
import { FUTEX, MAP, PROT } from '../../base/linux.js';
import { mapAnonymous, memoryFile } from '../linux/memory.js';
import { errorName, type Native } from '../linux/native.js';
import { snapshotTexts } from './records.js';
import { Survey } from './survey.js';
import type { Routines } from './script.js';

const NAME = 'static-call';
const CHUNK = 1 << 20;
/**
 * struct timespec: how long somebody waits before he looks whether the owner of the lock is still
 * there.
 */
const LOOK_FOR_OWNER: BigInt64Array = BigInt64Array.of(0n, 100_000_000n);

export class Runtime {
  readonly native: Native;
  readonly handler: Addr;
  readonly data: Addr;
  /** Machine code for what an update does to every site. */
  readonly survey: Survey;
  /** The machine code that performs what a script says. */
  readonly routines: Routines;
  readonly #pieces: readonly Piece[] = image();
  readonly #words: BigUint64Array;
  readonly #halves: Int32Array;
  readonly #thread: number;

  /** Finds the runtime of this process or makes it. @throws Fault `no-memory`, `other-runtime` */
  constructor(native: Native) {
    this.native = native;
    this.handler = claimed(native, () => findRuntime() ?? makeRuntime(native, this.#pieces));
    this.data = this.handler + PAGE;
    this.#words = new BigUint64Array(native.view(this.data, DATA.size));
    this.#halves = new Int32Array(this.#words.buffer);
    this.#thread = native.call('gettid');
    if (this.word('magic') !== MAGIC || this.word('version') !== VERSION) {
      throw new Fault(
        'other-runtime',
        `the process holds version ${this.word('version')} of the handler's data, this library has ${VERSION}`,
      );
    }
    const piece = (name: Piece['name']): Piece => this.#pieces.find((p) => p.name === name)!;
    const survey = piece('survey');
    this.survey = new Survey(native, this.handler + survey.offset, survey.code);
    const within = (
      { offset, code }: Piece,
      names: readonly (keyof Routines)[],
    ): [string, Addr][] =>
      names.map((name) => [name, this.handler + offset + code.labels.get(name)!]);
    this.routines = Object.fromEntries([
      ...within(piece('stores'), STORE_LOOPS),
      ...within(piece('script'), ROUTINES),
    ]) as Routines;
  }

  /** What a key's `update` points at while a runtime has its object open. */
  get updater(): Addr {
    return this.handler + this.#pieces.find((p) => p.name === 'request')!.offset;
  }

  word(name: keyof typeof DATA): bigint {
    return this.#words[DATA[name] / 8]!;
  }
  setWord(name: keyof typeof DATA, value: bigint): void {
    Atomics.store(this.#words, DATA[name] / 8, value);
  }

  /** The 32-bit words, which threads sleep on. */
  half(name: 'server' | 'doorbell'): number {
    return Atomics.load(this.#halves, DATA[name] / 4);
  }
  /** Changes a word and wakes who sleeps on it. */
  ring(name: 'server' | 'doorbell', value: number): void {
    Atomics.store(this.#halves, DATA[name] / 4, value);
    this.native.call('futex', this.data + DATA[name], FUTEX.wakePrivate, 1);
  }
  /** Sleeps while the word is what it was; may wake for nothing. */
  sleep(name: 'server' | 'doorbell', value: number): void {
    this.native.call('futex', this.data + DATA[name], FUTEX.waitPrivate, value, 0);
  }
  /** Takes what a list head holds and leaves it empty. */
  take(name: 'requests'): Addr {
    return Number(Atomics.exchange(this.#words, DATA[name] / 8, 0n));
  }

  /**
   * Runs `body` while no other thread of the process updates. A worker that is terminated in the
   * middle of an update never gives the lock back: whoever waits takes it over once that thread is
   * gone, and reads back what it left in the texts.
   * @throws Fault `busy` when nested.
   */
  locked<T>(body: () => T): T {
    const halves = this.#halves;
    const [lock, waiters] = [DATA.lock / 4, DATA.waiters / 4];
    for (;;) {
      const owner = Atomics.compareExchange(halves, lock, 0, this.#thread);
      if (owner === 0) break;
      if (owner === this.#thread)
        throw new Fault('busy', 'an update was begun from within an update');
      Atomics.add(halves, waiters, 1);
      // The kernel compares the word again under its own lock, so no wake-up is lost in between.
      this.native.call(
        'futex',
        this.data + DATA.lock,
        FUTEX.waitPrivate,
        owner,
        this.native.addressOf(LOOK_FOR_OWNER),
      );
      Atomics.sub(halves, waiters, 1);
      if (
        this.#isGone(owner) &&
        Atomics.compareExchange(halves, lock, owner, this.#thread) === owner
      ) {
        snapshotTexts(this);
        break;
      }
    }
    try {
      return body();
    } finally {
      Atomics.store(halves, lock, 0);
      if (Atomics.load(halves, waiters) > 0)
        this.native.call('futex', this.data + DATA.lock, FUTEX.wakePrivate, 1);
    }
  }

  /**
   * Where /proc shows other numbers than gettid says (that of another namespace), nobody is taken
   * for gone.
   */
  #isGone(thread: number): boolean {
    return (
      !existsSync(`/proc/self/task/${thread}`) && existsSync(`/proc/self/task/${this.#thread}`)
    );
  }

  /**
   * Memory for good, zeroed, writable. Call it while holding the lock. @throws Fault `no-memory`
   */
  allocate(size: number, align: number): Addr {
    const at = Math.ceil(Number(this.word('free')) / align) * align;
    if (at !== 0 && at + size <= Number(this.word('freeEnd'))) {
      this.setWord('free', BigInt(at + size));
      return at;
    }
    const length = Math.max(CHUNK, Math.ceil(size / PAGE) * PAGE);
    const chunk = mapAnonymous(this.native, length, PROT.read | PROT.write);
    if (length === CHUNK) {
      this.setWord('free', BigInt(chunk + size));
      this.setWord('freeEnd', BigInt(chunk + length));
    }
    return chunk;
  }
}

/**
 * Where two threads decide which of them makes the runtime: the kernel gives a fixed address to one
 * of them. The page is never accessible and goes away at once; the runtime itself lies where the
 * kernel chose.
 */
const CLAIM: Addr = 0x5ca1_1000_0000;

function claimed<T>(native: Native, body: () => T): T {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waitedMs = 0; ; waitedMs++) {
    const page = native.call(
      'mmap',
      CLAIM,
      PAGE,
      PROT.none,
      MAP.private | MAP.anonymous | MAP.fixedNoReplace,
      -1,
      0,
    );
    if (page === CLAIM) break;
    if (waitedMs > 10_000)
      throw new Fault(
        'no-memory',
        `the page at ${hex(CLAIM)} was not to be had: ${errorName(page)}`,
      );
    Atomics.wait(pause, 0, 0, 1);
  }
  try {
    return body();
  } finally {
    native.call('munmap', CLAIM, PAGE);
  }
}

function findRuntime(): Addr | null {
  const found = readMaps().find(
    (m) => m.path.startsWith(`/memfd:${NAME} `) && m.access === 'r-xp' && m.offset === 0,
  );
  return found?.start ?? null;
}

function makeRuntime(native: Native, made: readonly Piece[]): Addr {
  // A private mapping of a memory file and not anonymous memory: only that has a name in
  // /proc/self/maps on every kernel (PR_SET_VMA_ANON_NAME is an option of the kernel's build).
  const fd = memoryFile(native, NAME, 2 * PAGE);
  const at = native.call('mmap', 0, 2 * PAGE, PROT.read | PROT.write, MAP.private, fd, 0);
  native.call('close', fd);
  if (at < 0) throw new Fault('no-memory', `mapping the trap handler failed: ${errorName(at)}`);
  try {
    const data = new BigUint64Array(native.view(at + PAGE, DATA.size));
    data[DATA.magic / 8] = MAGIC;
    data[DATA.version / 8] = VERSION;
    const text = new Uint8Array(native.view(at, PAGE)).fill(INT3);
    for (const { offset, code } of made)
      text.set(place(code, code.words.length === 0 ? {} : { data: at + PAGE }), offset);
    const protectedText = native.call('mprotect', at, PAGE, PROT.read | PROT.exec);
    if (protectedText < 0)
      throw new Fault(
        'no-memory',
        `the trap handler could not be made executable: ${errorName(protectedText)}`,
      );
    const fork = made.find((p) => p.name === 'fork')!;
    const entry = (name: string): Addr => at + fork.offset + fork.code.labels.get(name)!;
    native.atFork(entry('prepare'), entry('parent'), entry('child'));
  } catch (error) {
    // Whoever looks for the runtime would take it for whole, and its forks would never be handled.
    // Nobody has seen it yet.
    native.call('munmap', at, 2 * PAGE);
    throw error;
  }
  return at;
}

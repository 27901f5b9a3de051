// What static-call leaves in a process for the rest of its life: the trap handler, its data, and
// memory that is given out and never taken back. A process has one runtime. The first environment
// that opens an object makes it; worker threads and other copies of this library find it in
// /proc/self/maps by the name of its mapping.
//
// The mapping is private, so a forked child has its own copy as of the fork: its threads are
// emulated to the targets of that moment and not to those that the parent chooses later. Code is
// written before it is made executable and never after.

import { PAGE, type Addr } from '../../base/addr.js';
import { INT3 } from '../../asm/table.js';
import { Fault } from '../../base/fault.js';
import { ERRNO, FUTEX, PROT } from '../../base/linux.js';
import { invariant } from '../../base/invariant.js';
import { place } from '../../asm/assembler.js';
import { image, type Piece } from '../../native/image.js';
import { REQUEST_ENTRIES } from '../../native/request.js';
import { ROUTINES } from '../../native/script.js';
import { STORE_LOOPS } from '../../native/stores.js';
import { DATA, MAGIC, VERSION } from '../../trap/registry.js';
import { claimed } from './claim.js';
import { readMaps, type Mapping } from '../linux/maps.js';
import { mapAnonymous, mapMemoryFile } from '../linux/memory.js';
import { errorName, type Native } from '../linux/native.js';
import { snapshotTexts } from './records.js';
import { Survey } from './survey.js';
import type { Routines } from './script.js';

const NAME = 'static-call';
const CHUNK = 1 << 20;
/**
 * struct timespec: how long a thread of JavaScript sleeps in the kernel at a time. An environment
 * is terminated between two statements, so this is also how long its end may take.
 */
const SLICE: BigInt64Array = BigInt64Array.of(0n, 100_000_000n);

/** Where the entries of native/request.ts lie in this process. */
export type Requests = Readonly<Record<(typeof REQUEST_ENTRIES)[number], Addr>>;

export class Runtime {
  readonly native: Native;
  readonly handler: Addr;
  readonly data: Addr;
  /** Machine code for what an update does to every site. */
  readonly survey: Survey;
  /** The machine code that performs what a script says. */
  readonly routines: Routines;
  /** The machine code behind `static_call_update()`. */
  readonly requests: Requests;
  readonly #words: BigUint64Array;
  readonly #halves: Int32Array;
  /** The number of the thread that runs this. */
  readonly thread: number;
  readonly #slice: Addr;

  /** Finds the runtime of this process or makes it. @throws Fault `no-memory`, `other-runtime` */
  constructor(native: Native) {
    const pieces = image();
    this.native = native;
    this.handler =
      findRuntime(native) ??
      claimed(native, () => findRuntime(native) ?? makeRuntime(native, pieces));
    this.data = this.handler + PAGE;
    this.#words = new BigUint64Array(native.view(this.data, DATA.size));
    this.#halves = new Int32Array(this.#words.buffer);
    this.thread = native.call('gettid');
    this.#slice = native.addressOf(SLICE);
    const at = (name: Piece['name']): Map<string, Addr> =>
      entries(pieceOf(pieces, name), this.handler);
    this.routines = pick([...at('stores'), ...at('script')], [...STORE_LOOPS, ...ROUTINES]);
    const { survey } = pick(at('survey'), ['survey']);
    this.survey = new Survey(native, this.routines, survey);
    this.requests = pick([...at('request')], REQUEST_ENTRIES);
    // From here on the thread gives back what it holds when it ends.
    native.setThreadValue(Number(this.word('key')) - 1, this.data);
  }

  /** What a key's `update` points at while a runtime has its object open. */
  get updater(): Addr {
    return this.requests.update;
  }

  word(name: keyof typeof DATA): bigint {
    return this.#words[DATA[name] / 8]!;
  }
  /** Without a bigint, which costs more than the load. Call it with the lock held. */
  held(name: keyof typeof DATA): number {
    const half = DATA[name] / 4;
    return (this.#halves[half]! >>> 0) + this.#halves[half + 1]! * 2 ** 32;
  }
  setWord(name: keyof typeof DATA, value: bigint): void {
    Atomics.store(this.#words, DATA[name] / 8, value);
  }

  /** What is mapped in the process. */
  maps(): readonly Mapping[] {
    return readMaps();
  }

  /**
   * A change of targets, records or tables is about to be made: what another process drew before is
   * outdated. Call it with the lock held.
   */
  countChange(): void {
    const epoch = this.held('epoch') + 1;
    const half = DATA.epoch / 4;
    // Two stores are enough under the lock, and make no bigint.
    this.#halves[half] = epoch;
    this.#halves[half + 1] = epoch * 2 ** -32;
  }

  /**
   * Sleeps until a word is another, at most so long, without a return to JavaScript unless a signal
   * comes.
   */
  await(at: Addr, value: number, seconds: number): void {
    const limit = BigInt64Array.of(BigInt(seconds), 0n);
    const address = this.native.addressOf(limit);
    while (this.native.call('futex', at, FUTEX.waitPrivate, value, address) === -ERRNO.interrupted);
  }
  /** Wakes the thread that awaits a word. */
  wake(at: Addr): void {
    this.native.call('futex', at, FUTEX.wakePrivate, 1);
  }
  /** Count of the requests so far. */
  get doorbell(): number {
    return Atomics.load(this.#halves, DATA.doorbell / 4);
  }
  /** Has every server look at the requests and at its own slot. */
  ring(): void {
    Atomics.add(this.#halves, DATA.doorbell / 4, 1);
    this.native.call('futex', this.data + DATA.doorbell, FUTEX.wakePrivate, 2 ** 31 - 1);
  }
  /** Sleeps a slice at most while the count is what it was; may wake for nothing. */
  sleep(doorbell: number): void {
    this.#sleepOn('doorbell', doorbell);
  }
  #sleepOn(name: 'doorbell' | 'lock', value: number): void {
    this.native.call('futex', this.data + DATA[name], FUTEX.waitPrivate, value, this.#slice);
  }

  /**
   * Runs `body` while no other thread of the process updates. A worker that is terminated in the
   * middle of an update gives the lock back as its thread ends (native/request.ts); what it left in
   * the texts is then read back first.
   * @throws Fault `busy` when nested.
   */
  locked<T>(body: () => T): T {
    this.#lock();
    try {
      if (this.#halves[DATA.stale / 4] !== 0) {
        snapshotTexts(this);
        this.setWord('stale', 0n);
      }
      return body();
    } finally {
      const halves = this.#halves;
      Atomics.store(halves, DATA.lock / 4, 0);
      if (Atomics.load(halves, DATA.waiters / 4) > 0)
        this.native.call('futex', this.data + DATA.lock, FUTEX.wakePrivate, 1);
    }
  }

  #lock(): void {
    const halves = this.#halves;
    const waiters = DATA.waiters / 4;
    for (;;) {
      const owner = Atomics.compareExchange(halves, DATA.lock / 4, 0, this.thread);
      if (owner === 0) return;
      if (owner === this.thread)
        throw new Fault('busy', 'an update was begun from within an update');
      // The kernel compares the word again under its own lock, so no wake-up is lost in between. A
      // thread that is terminated here stays counted, which costs wake-ups for nothing.
      Atomics.add(halves, waiters, 1);
      this.#sleepOn('lock', owner);
      Atomics.sub(halves, waiters, 1);
    }
  }

  /**
   * Memory that is never freed, zeroed, writable. Call it while holding the lock.
   * @throws Fault `no-memory`
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

export function pieceOf(pieces: readonly Piece[], name: Piece['name']): Piece {
  const piece = pieces.find((p) => p.name === name);
  invariant(piece, `the image has a piece ${name}`);
  return piece;
}

/** The labels of a piece as addresses. */
export function entries({ offset, code }: Piece, page: Addr): Map<string, Addr> {
  return new Map([...code.labels].map(([name, at]) => [name, page + offset + at]));
}

export function pick<N extends string>(
  from: Iterable<readonly [string, Addr]>,
  names: readonly N[],
): Readonly<Record<N, Addr>> {
  const wanted: ReadonlySet<string> = new Set(names);
  return Object.fromEntries([...from].filter(([name]) => wanted.has(name))) as Record<N, Addr>;
}

/**
 * The runtime of this process, if there is a complete one: two pages of one memory file, the code
 * and behind it the data. @throws Fault `other-runtime`
 */
function findRuntime(native: Native): Addr | null {
  for (const data of runtimes(native)) {
    if (data.words[DATA.ready / 8] === 1n) return data.at - PAGE;
  }
  return null;
}

interface Data {
  readonly at: Addr;
  readonly words: BigUint64Array;
}

/** Also those whose maker ended before they were complete. @throws Fault `other-runtime` */
function* runtimes(native: Native): Generator<Data> {
  const maps = readMaps();
  for (const [i, code] of maps.entries()) {
    if (!code.path.startsWith(`/memfd:${NAME} `) || code.access !== 'r-xp' || code.offset !== 0)
      continue;
    const data = maps[i + 1];
    const words =
      data?.path === code.path && data.start === code.start + PAGE && data.access === 'rw-p'
        ? new BigUint64Array(native.view(data.start, DATA.size))
        : null;
    const [magic, version] = [words?.[DATA.magic / 8], words?.[DATA.version / 8]];
    if (!data || !words || magic !== MAGIC || version !== VERSION)
      throw new Fault(
        'other-runtime',
        `the process holds version ${version} of the handler's data, this library has ${VERSION}`,
      );
    yield { at: data.start, words };
  }
}

/** Call it with the claim held. */
function makeRuntime(native: Native, pieces: readonly Piece[]): Addr {
  const [begun] = runtimes(native);
  const data = begun ?? mapRuntime(native, pieces);
  const page = data.at - PAGE;
  // Each of them once, for the life of the process: a thread that was terminated in here is
  // followed by one that goes on where it stopped.
  const once = (word: 'key' | 'forks', act: () => number): void => {
    if (data.words[DATA[word] / 8] === 0n) data.words[DATA[word] / 8] = BigInt(act());
  };
  const gone = entries(pieceOf(pieces, 'request'), page).get('gone');
  const fork = entries(pieceOf(pieces, 'fork'), page);
  const [prepare, parent, child] = [fork.get('prepare'), fork.get('parent'), fork.get('child')];
  invariant(gone && prepare && parent && child, 'the image has its entries');
  once('key', () => native.createThreadKey(gone) + 1);
  once('forks', () => {
    native.atFork(prepare, parent, child);
    return 1;
  });
  Atomics.store(data.words, DATA.ready / 8, 1n);
  return page;
}

function mapRuntime(native: Native, pieces: readonly Piece[]): Data {
  // A private mapping of a memory file and not anonymous memory: only that has a name in
  // /proc/self/maps on every kernel (PR_SET_VMA_ANON_NAME is an option of the kernel's build).
  const at = mapMemoryFile(native, NAME, 2 * PAGE);
  const words = new BigUint64Array(native.view(at + PAGE, DATA.size));
  words[DATA.magic / 8] = MAGIC;
  words[DATA.version / 8] = VERSION;
  const text = new Uint8Array(native.view(at, PAGE)).fill(INT3);
  for (const { offset, code } of pieces)
    text.set(place(code, code.words.length === 0 ? {} : { data: at + PAGE }), offset);
  const done = native.call('mprotect', at, PAGE, PROT.read | PROT.exec);
  if (done < 0) {
    native.call('munmap', at, 2 * PAGE);
    throw new Fault(
      'no-memory',
      `the trap handler could not be made executable: ${errorName(done)}`,
    );
  }
  return { at: at + PAGE, words };
}

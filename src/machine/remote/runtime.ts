// The runtime of another process: found where that process or an earlier tool made it, or made now
// through a borrowed thread. It is the same in both cases: one page of code, one of data, a private
// mapping by the name `static-call`, so that Node and C in the process find it as one of theirs.
// What only they need (handlers around fork, a pthread key) they add when they come; until then it
// is not `ready` for them, and complete for us.

import { closeSync, fstatSync, openSync, readlinkSync, statSync, writeSync } from 'node:fs';
import { INT3 } from '../../asm/table.js';
import { place } from '../../asm/assembler.js';
import { PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import { ERRNO, MAP, MFD, PROT } from '../../base/linux.js';
import { BORROW_ENTRIES } from '../../native/borrow.js';
import { image } from '../../native/image.js';
import { ROUTINES } from '../../native/script.js';
import { STORE_LOOPS } from '../../native/stores.js';
import { DATA, MAGIC, VERSION } from '../../trap/registry.js';
import type { Mapping } from '../linux/maps.js';
import { errorName, type Call, type Native } from '../linux/native.js';
import { entries, pick, pieceOf } from '../process/runtime.js';
import type { Registry } from '../process/register.js';
import type { Routines } from '../process/script.js';
import { findWayIn, type Borrower, type Inside } from './borrow.js';
import { pause, restIfBusy } from './pause.js';
import {
  isAbandoned,
  LOWEST_PLACE,
  ownMark,
  scratchAt,
  scratchesIn,
  SMALLEST_SCRATCH,
  type Scratch,
} from './scratch.js';
import { Snapshot } from './snapshot.js';
import type { Target } from './target.js';

/** Memory of the target that is ours to fill. */
export interface Room {
  readonly at: Addr;
  readonly size: number;
}

export const NAME = 'static-call';
/** How long another tool may take to make the runtime, ms. */
const PATIENCE_MS = 2000;

/** The thread that holds the lock; behind it stands how many wait. */
export const OWNER_MASK = 0xffff_ffffn;

export const isNamed = ({ path }: Mapping, name: string): boolean =>
  path.startsWith(`/memfd:${name} `);

export class RemoteRuntime {
  readonly target: Target;
  readonly borrower: Borrower;
  readonly handler: Addr;
  readonly data: Addr;
  readonly routines: Routines;
  readonly restorer: Addr;
  /** A routine of scripts (native/borrow.ts). */
  readonly aside: Addr;
  readonly snapshot: Snapshot;
  scratch: Scratch;
  readonly #borrow: Addr;
  readonly #mark: Uint8Array = ownMark();
  #words: BigUint64Array;

  /** @throws Fault `other-runtime`, `no-way-in`, `call-refused`, and what borrowing throws */
  constructor(borrower: Borrower) {
    this.borrower = borrower;
    this.target = borrower.target;
    const scratch = this.#enter();
    this.handler = scratch.handler;
    this.scratch = scratch.scratch;
    this.data = this.handler + PAGE;
    this.snapshot = new Snapshot(this.target);
    const at = (name: 'stores' | 'script' | 'borrow'): Map<string, Addr> =>
      entries(pieceOf(image(), name), this.handler);
    this.routines = pick([...at('stores'), ...at('script')], [...STORE_LOOPS, ...ROUTINES]);
    const own = pick([...at('borrow')], BORROW_ENTRIES);
    this.#borrow = own.borrow;
    this.restorer = own.restorer;
    this.aside = own.aside;
    this.#words = this.#read();
  }

  /**
   * Maps what is missing, by one thread that is stopped once. Two tools that come at once choose
   * the same place, which the kernel gives to one of them; the other finds what that one made.
   */
  #enter(): { handler: Addr; scratch: Scratch } {
    const { target, borrower } = this;
    const mark = this.#mark;
    const began = performance.now();
    for (;;) {
      const maps = target.maps();
      const found = findRuntime(target, maps);
      // One of which there is only a part is being made, or its tool was killed.
      const begun = found === null && maps.some((map) => isNamed(map, NAME));
      const waits = performance.now() - began < PATIENCE_MS;
      const left = found === null ? [] : abandoned(target, borrower);
      if (!begun || !waits) {
        // What can be known before is not found out while a thread is held.
        const way = findWayIn(target, maps);
        const drawn = drawRuntime(maps);
        const size = SMALLEST_SCRATCH;
        const place = freePlace(maps, size, drawn.at + 3 * PAGE);
        restIfBusy();
        try {
          return borrower.inside(way, (inside) => {
            const handler = found ?? makeRuntime(target, inside, drawn, !waits);
            for (const { start, end } of left) inside.call('munmap', start, end - start);
            return { handler, scratch: makeScratch(target, inside, { size, place, mark }) };
          });
        } catch (error) {
          if (!(error instanceof Taken)) throw error;
        }
      }
      pause(5);
    }
  }

  /**
   * The epoch is read before the lock. An update that is under way holds the lock, and one that
   * came in between has made the epoch another: what is read after a free lock belongs to that
   * epoch, or the run that expects it finds out.
   */
  #read(): BigUint64Array {
    const epoch = this.target.word(this.data + DATA.epoch);
    const words = this.#readData();
    words[DATA.epoch / 8] = epoch ?? 0n;
    return words;
  }
  #readData(): BigUint64Array {
    return new BigUint64Array(this.target.read(this.data, DATA.size).buffer);
  }

  /** Looks again. What was known is forgotten if something was changed since. */
  refresh(): void {
    const before = this.word('epoch');
    this.#words = this.#read();
    if (this.word('epoch') !== before) this.snapshot.forget();
  }

  /** A run of ours counted a change, and has found the epoch of the last look before it. */
  advance(): void {
    this.#words[DATA.epoch / 8] = this.word('epoch') + 1n;
  }

  /** Whether a thread of the target was in an update at the last look. */
  get locked(): boolean {
    return (this.word('lock') & OWNER_MASK) !== 0n;
  }

  /**
   * Whether anything was changed since the last look, or is being changed. The lock is read before
   * the epoch: an update that holds it no more has made the epoch another.
   */
  get moved(): boolean {
    const lock = this.target.word(this.data + DATA.lock) ?? 0n;
    const epoch = this.target.word(this.data + DATA.epoch);
    return (lock & OWNER_MASK) !== 0n || epoch !== this.word('epoch');
  }

  /** As it was at the last look. */
  word(name: keyof typeof DATA): bigint {
    const word = this.#words[DATA[name] / 8];
    invariant(word !== undefined, 'the data has its words');
    return word;
  }

  /** What registering keys and sites needs of a runtime. */
  registry(native: Native): Registry {
    return {
      native,
      routines: this.routines,
      data: this.data,
      word: (name) => this.word(name),
      setWord: () => invariant(false, 'words of another process are set by runs'),
      allocate: (size, align) => this.snapshot.allocate(size, align),
      maps: () => this.target.maps(),
      countChange: () => {},
    };
  }

  /** Has a thread perform what lies in the scratch; the parameters are those of `Borrower.send`. */
  send(mailbox: Uint8Array | null, told: Int32Array): void {
    const code = {
      entry: this.#borrow,
      restorer: this.restorer,
      start: this.handler,
      end: this.handler + PAGE,
    };
    this.borrower.send(code, this.scratch, mailbox, told);
  }

  /** A larger scratch in place of this one. */
  grow(size: number): void {
    const { target, borrower, scratch } = this;
    const grown = 2 * Math.ceil(size / PAGE) * PAGE;
    const place = freePlace(target.maps(), grown);
    borrower.settle();
    this.scratch = this.inside((inside) => {
      inside.call('munmap', scratch.start, scratch.end - scratch.start);
      return makeScratch(target, inside, { size: grown, place, mark: this.#mark });
    });
  }

  /** Memory for records and tables, which stays. @throws Fault `call-refused` */
  makeRoom(size: number): Room {
    const length = Math.ceil(size / PAGE) * PAGE;
    const at = this.mapped(PROT.read | PROT.write, length, (maps) => freePlace(maps, length));
    return { at, size: length };
  }

  /** Memory without a file, where `place` says; again where another was faster. */
  mapped(access: number, length: number, place: (maps: readonly Mapping[]) => Addr): Addr {
    return this.inside((inside) => {
      for (;;)
        try {
          return mapAnonymous(inside, place(this.target.maps()), length, access);
        } catch (error) {
          if (!(error instanceof Taken)) throw error;
        }
    });
  }

  inside<T>(body: (inside: Inside) => T): T {
    return this.borrower.inside(findWayIn(this.target, this.target.maps()), body);
  }

  /** Takes the scratch away. Runtime, records and handler stay. */
  leave(): void {
    const { start, end } = this.scratch;
    this.borrower.settle();
    this.inside((inside) => inside.call('munmap', start, end - start));
  }
}

/** @throws Fault `other-runtime` */
export function findRuntime(target: Target, maps: readonly Mapping[]): Addr | null {
  for (const [i, code] of maps.entries()) {
    if (!isNamed(code, NAME) || code.access !== 'r-xp' || code.offset !== 0) continue;
    const data = maps[i + 1];
    const whole = data?.path === code.path && data.start === code.start + PAGE;
    const words = whole
      ? new BigUint64Array(target.read(data.start, DATA.size).buffer)
      : new BigUint64Array(DATA.size / 8);
    const version = words[DATA.version / 8];
    if (words[DATA.magic / 8] !== MAGIC || version !== VERSION)
      throw new Fault(
        'other-runtime',
        `the process holds version ${version} of the handler's data, this library has ${VERSION}`,
      );
    // What is jumped to must be what was written: a target may have anything by that name.
    if (Buffer.compare(target.read(code.start, PAGE), pageFor(code.start + PAGE)) !== 0)
      throw new Fault('other-runtime', 'the page of that name holds other code than this library');
    return code.start;
  }
  return null;
}

/** The code, for data that lies there. */
function pageFor(data: Addr): Uint8Array {
  const page = new Uint8Array(PAGE).fill(INT3);
  for (const { offset, code } of image())
    page.set(place(code, code.words.length === 0 ? {} : { data }), offset);
  return page;
}

/** A runtime as it will be, at a place that was free. */
function drawRuntime(maps: readonly Mapping[]): { readonly at: Addr; readonly bytes: Uint8Array } {
  const at = freePlace(maps, 2 * PAGE);
  const bytes = new Uint8Array(2 * PAGE);
  bytes.set(pageFor(at + PAGE));
  const words = new BigUint64Array(bytes.buffer, PAGE);
  words[DATA.magic / 8] = MAGIC;
  words[DATA.version / 8] = VERSION;
  return { at, bytes };
}

/**
 * The data's page is mapped first: without the code in front of it no runtime takes it for one, and
 * with it both are complete.
 */
function makeRuntime(
  target: Target,
  inside: Inside,
  { at, bytes }: ReturnType<typeof drawRuntime>,
  whatever: boolean,
): Addr {
  if (!whatever && target.maps().some((map) => isNamed(map, NAME))) throw new Taken();
  const [read, write, exec] = [PROT.read, PROT.write, PROT.exec];
  mapFile(target, inside, bytes, [
    { at: at + PAGE, access: read | write, offset: PAGE },
    { at, access: read | exec, offset: 0 },
  ]);
  return at;
}

/** The place was free when it was looked for; where it is not any more, another one is found. */
function makeScratch(
  target: Target,
  inside: Inside,
  { size, place, mark }: { readonly size: number; readonly place: Addr; readonly mark: Uint8Array },
): Scratch {
  for (let at = place; ; at = freePlace(target.maps(), size))
    try {
      mapAnonymous(inside, at, size, PROT.read | PROT.write);
      target.write(at, mark);
      return scratchAt(at, size);
    } catch (error) {
      if (!(error instanceof Taken)) throw error;
    }
}

/** Scratches of tools that have ended, and that no thread is in any more. */
function abandoned(target: Target, borrower: Borrower): Mapping[] {
  return scratchesIn(target, target.maps()).filter(
    (map) => isAbandoned(target, map) && !borrower.anyThreadAt(map.start, map.end),
  );
}

/** Another tool was given the place, or the program took away what was being made. */
class Taken extends Error {}

const made = (call: Call, result: number): number => {
  if (result >= 0) return result;
  if (result === -ERRNO.exists) throw new Taken();
  throw new Fault('call-refused', `the process may not ${call}: ${errorName(result)}`);
};

/**
 * Memory without a file: no descriptor is needed, not even for a moment.
 * @throws Fault `call-refused`
 */
export function mapAnonymous(inside: Inside, at: Addr, length: number, access: number): Addr {
  const flags = MAP.private | MAP.anonymous | MAP.fixedNoReplace;
  const mapped = made('mmap', inside.call('mmap', at, length, access, flags, -1, 0));
  if (mapped === at) return at;
  inside.call('munmap', mapped, length);
  return made('mmap', -ERRNO.exists);
}

interface Piece {
  readonly at: Addr;
  readonly access: number;
  readonly offset: number;
}

/**
 * A memory file of the target's, filled by the tool through /proc/PID/fd before anything of it is
 * mapped, and closed again. Only the runtime needs one: it is found by the name. Another thread may
 * close every descriptor of the program meanwhile and open a file of its own by the same number:
 * what the number stands for is asked before each use, and it all begins again where that is
 * another file.
 */
function mapFile(
  target: Target,
  inside: Inside,
  content: Uint8Array,
  pieces: readonly Piece[],
): void {
  const fd = made('memfd_create', inside.call('memfd_create', inside.text(NAME), MFD.cloExec));
  const path = `/proc/${target.pid}/fd/${fd}`;
  const mapped: Piece[] = [];
  let ours: number | null = null;
  try {
    ours = fill(path, content);
    for (const piece of pieces) {
      const { at, access, offset } = piece;
      if (inodeOf(path) !== ours) throw new Taken();
      const flags = MAP.private | MAP.fixedNoReplace;
      const result = made('mmap', inside.call('mmap', at, PAGE, access, flags, fd, offset));
      mapped.push({ ...piece, at: result });
      // A kernel before 4.17 takes the address for a wish.
      if (result !== at) made('mmap', -ERRNO.exists);
    }
    const maps = target.maps();
    const inodeAt = (at: Addr): number | undefined => maps.find(({ start }) => start === at)?.inode;
    if (pieces.some(({ at }) => inodeAt(at) !== ours)) throw new Taken();
  } catch (error) {
    for (const { at } of mapped) inside.call('munmap', at, PAGE);
    throw error;
  } finally {
    if (ours !== null && inodeOf(path) === ours) inside.call('close', fd);
  }
}

/** @returns the file's inode @throws Taken where the path names another file, or none any more */
function fill(path: string, content: Uint8Array): number {
  const file = openAgain(path);
  try {
    if (!readlinkSync(`/proc/self/fd/${file}`).startsWith(`/memfd:${NAME} `)) throw new Taken();
    writeSync(file, content, 0, content.length, 0);
    return fstatSync(file).ino;
  } finally {
    closeSync(file);
  }
}

function openAgain(path: string): number {
  try {
    return openSync(path, 'r+');
  } catch {
    throw new Taken();
  }
}

function inodeOf(path: string): number | null {
  try {
    return statSync(path).ino;
  } catch {
    return null;
  }
}

/** A hole that nothing is mapped near, at an address or behind it. */
function freePlace(maps: readonly Mapping[], size: number, from: Addr = LOWEST_PLACE): Addr {
  let at = from;
  for (const map of maps.toSorted((a, b) => a.start - b.start)) {
    if (map.end <= at) continue;
    if (map.start >= at + size + PAGE) break;
    at = map.end + PAGE;
  }
  return at;
}

// One call into a borrowed thread: what an update or a registration does, from taking the lock to
// giving it back. A run is whole in itself. A tool that dies while it is under way leaves neither the
// lock nor the descriptor of /proc/self/mem in the target.
//
//   take ── expect the epoch, open ── the steps ── mirrors, epoch + 1 ── close ── give
//
// The descriptor lives for one run only. A program that closes all of its descriptors and opens a file
// of its own would otherwise have our bytes written into that file, at an address as offset.

import type { Addr } from '../../base/addr.js';
import { memoryOf } from '../../base/bytes.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import { MAILBOX, ROW } from '../../native/borrow.js';
import { DATA } from '../../trap/registry.js';
import { SYNC_CORE } from '../linux/membarrier.js';
import { errorName, type Call, type Native } from '../linux/native.js';
import { Script, type Performer } from '../process/script.js';
import { NOT_YET } from './borrow.js';
import type { RemoteRuntime } from './runtime.js';

/** The epoch is another one: what was drawn is outdated. */
export class Moved extends Error {}
/** A thread of the target has the lock. */
export class Locked extends Error {}
/** The scratch is too small for so many bytes. */
export class Outgrown extends Error {
  readonly size: number;
  constructor(size: number) {
    super('the scratch is too small');
    this.size = size;
  }
}

/** Buffers begin at multiples of it. */
const LINE = 64;
const O_RDWR_CLOEXEC = 0o2000002;
const DONE = -1n;
const ROWS = ['take', 'begin', 'steps', 'end', 'close', 'give'] as const;
type RowName = (typeof ROWS)[number];
/** Behind the row without a script, which is the end: a word that is told with the results. */
const REPORT = MAILBOX.rows + (ROWS.length + 1) * ROW.size;
const MAILBOX_SIZE = REPORT + 8;
/** Bytes that are written while a thread stands, because one call then writes its frame too. */
const MOST_HELD = 1 << 16;
/** Operations that most scripts have room for. */
const USUAL = 8;
/** The word of a mailbox that says how a row ended. */
const resultOf = (row: number): number => (MAILBOX.rows + row * ROW.size + ROW.result) / 8;
/** The first halves of these words. */
const RESULTS = ROWS.map((_, row) => 2 * resultOf(row));
/** Behind a row that stopped. */
const OTHERWISE: Readonly<Record<RowName, RowName | null>> = {
  take: null,
  begin: 'close',
  steps: 'close',
  end: 'close',
  close: 'give',
  give: null,
};

export class Run implements Performer, Pick<Native, 'call'> {
  readonly system = null;
  readonly #runtime: RemoteRuntime;
  readonly #buffers = new Map<ArrayBufferView, Addr>();
  #next: Addr;
  readonly #file: BigInt64Array = BigInt64Array.of(-1n);
  readonly #path: Uint8Array = new TextEncoder().encode('/proc/self/mem\0');
  /** What the rows perform, but for the steps: `begin` before them and `end` behind, locked. */
  readonly #take: Script;
  readonly begin: Script;
  readonly end: Script;
  readonly #close: Script;
  readonly #give: Script;
  /** Where the epoch stands in `begin`, and the next one in `end`. */
  readonly #expected: number;
  #counted: number | null = null;
  #whole = true;
  #reports = false;
  /** Mailbox and buffers, as they are written to the scratch. */
  #image = new Uint8Array(0);
  /** Whether it is performed as it was before, in another epoch. */
  #again = false;
  /** The mailbox as the run has left it; in halves of words, because a bigint is an allocation. */
  readonly #halves = new Int32Array(MAILBOX_SIZE / 4);
  readonly #told = new BigInt64Array(this.#halves.buffer);

  constructor(runtime: RemoteRuntime) {
    this.#runtime = runtime;
    this.#next = runtime.scratch.buffers;
    const { data, routines } = runtime;
    this.#take = new Script(this, routines, 1);
    this.#take.take(data + DATA.lock);
    this.begin = new Script(this, routines, USUAL);
    this.end = new Script(this, routines, USUAL);
    this.#close = new Script(this, routines, 1);
    this.#close.using(this.fileAt, 'close', 0);
    this.#give = new Script(this, routines, 1);
    this.#give.give(data + DATA.lock);
    this.#expected = this.begin.expect(data + DATA.epoch, Number(runtime.word('epoch')));
    this.begin.obtain(this.fileAt, 'open', this.addressOf(this.#path), O_RDWR_CLOEXEC);
  }

  /** The word that holds the descriptor of the target's memory while the run is under way. */
  get fileAt(): Addr {
    return this.addressOf(this.#file);
  }

  addressOf(buffer: ArrayBufferView): Addr {
    let at = this.#buffers.get(buffer);
    if (at === undefined) {
      at = Math.ceil(this.#next / LINE) * LINE;
      this.#next = at + buffer.byteLength;
      this.#buffers.set(buffer, at);
    }
    return at;
  }

  procedure(): (header: number) => number {
    return (header) => this.#perform(header);
  }

  /** For a run that changes something, at its end: what others have read is outdated. */
  counts(): void {
    const { data } = this.#runtime;
    this.#counted = this.end.word(data + DATA.epoch, Number(this.#runtime.word('epoch')) + 1);
  }

  /** At the end of the run a word of the target is told. */
  reports(at: Addr): void {
    this.#reports = true;
    this.end.copy(at, this.#runtime.scratch.mailbox + REPORT, 8);
  }
  get reported(): bigint {
    return this.#told[REPORT / 8] ?? 0n;
  }

  /** To be performed again, in another epoch than the one that it was written down in. */
  renew(): void {
    const epoch = Number(this.#runtime.word('epoch'));
    this.begin.put(this.#expected, epoch);
    if (this.#counted !== null) this.end.put(this.#counted, epoch + 1);
    this.#again = true;
  }

  /** Whether it still ends as it was written down: not where its steps have failed. */
  get isWhole(): boolean {
    return this.#whole;
  }

  /** Code is written before anything leads to it. */
  adds(code: readonly { readonly at: Addr; readonly bytes: Uint8Array }[]): void {
    for (const { at, bytes } of code)
      this.begin.using(
        this.fileAt,
        'pwrite',
        bytes.length,
        this.addressOf(bytes),
        bytes.length,
        at,
      );
    if (code.length > 0) this.begin.system('membarrier', 0, SYNC_CORE);
  }

  /** A system call of at most four arguments, in a run of its own. */
  call(name: Call, ...args: readonly number[]): number {
    const [a = 0, b = 0, c = 0, d = 0] = args;
    const script = new Script(this, this.#runtime.routines);
    script.system(name, 0, a, b, c, d);
    const stop = script.perform();
    return stop && 'call' in stop.what ? stop.what.result : 0;
  }

  /** What the run left in a buffer. */
  fetch(buffer: ArrayBufferView): void {
    const found = this.#runtime.target.read(this.addressOf(buffer), buffer.byteLength);
    memoryOf(buffer).set(found);
  }

  /** @throws Moved, Locked, Outgrown, Fault `call-refused`, and what borrowing throws */
  #perform(steps: Addr): number {
    for (const each of [this.#take, this.begin, this.end, this.#close, this.#give]) each.prepare();
    const { target, scratch } = this.#runtime;
    if (this.#next > scratch.end) throw new Outgrown(this.#next - scratch.start);
    const image = this.#written(steps);
    const isLong = image.length > MOST_HELD;
    if (isLong) target.write(scratch.mailbox, image);
    this.#runtime.send(isLong ? null : image, this.#halves);
    if (RESULTS.every((half) => this.#halves[half] === -1 && this.#halves[half + 1] === -1))
      return Number(DONE);
    const results = this.#results();
    for (const buffer of this.#buffers.keys()) this.fetch(buffer);
    if (results.take !== DONE) throw new Locked();
    if (results.begin !== DONE) throw this.#notBegun(results.begin);
    if (results.steps !== DONE) {
      // What follows is the way back, or the rest of the way: the end of the batch is not its end.
      this.end.clear();
      this.#whole = false;
      return Number(BigInt.asIntN(64, results.steps));
    }
    throw refused('closing /proc/self/mem', 'close', Number(results.close));
  }

  /**
   * One write of some kilobytes takes a tenth of the time of a write of twenty pieces, which the
   * kernel makes one by one.
   */
  #written(steps: Addr): Uint8Array {
    const { scratch } = this.#runtime;
    this.#file[0] = -1n;
    const size = this.#next - scratch.mailbox;
    const image = this.#image;
    if (this.#again && image.length === size) {
      for (const { at, bytes } of [this.begin, this.end]) image.set(bytes, at - scratch.mailbox);
      this.#again = false;
      return image;
    }
    this.#image = new Uint8Array(size);
    return this.#filled(this.#image, steps);
  }

  #filled(image: Uint8Array, steps: Addr): Uint8Array {
    const { scratch, routines } = this.#runtime;
    const mailbox = this.#mailbox(routines.perform, steps);
    if (this.#reports) mailbox[REPORT / 8] = BigInt(NOT_YET);
    image.set(memoryOf(mailbox));
    for (const [buffer, at] of this.#buffers) image.set(memoryOf(buffer), at - scratch.mailbox);
    return image;
  }

  #mailbox(perform: Addr, steps: Addr): BigInt64Array {
    return mailboxOf(this.#runtime.scratch.mailbox, perform, {
      take: this.#take.at,
      begin: this.begin.at,
      steps,
      end: this.end.at,
      close: this.#close.at,
      give: this.#give.at,
    });
  }

  #results(): Record<RowName, bigint> {
    const result = (row: RowName): bigint =>
      this.#told[resultOf(ROWS.indexOf(row))] ?? BigInt(NOT_YET);
    return Object.fromEntries(ROWS.map((row) => [row, result(row)])) as Record<RowName, bigint>;
  }

  #notBegun(result: bigint): Error {
    const stop = this.begin.stopOf(Number(result));
    invariant(stop, 'it stopped');
    if ('expected' in stop.what) return new Moved();
    if ('call' in stop.what)
      return refused('what an update needs', stop.what.call, stop.what.result);
    return new Moved();
  }
}

const refused = (what: string, call: Call, result: number): Fault =>
  new Fault(
    'call-refused',
    `${what} is refused to the process: ${call} answers ${result < 0 ? errorName(result) : result}`,
  );

function mailboxOf(
  at: Addr,
  perform: Addr,
  scripts: Readonly<Record<RowName, Addr>>,
): BigInt64Array {
  const words = new BigInt64Array(MAILBOX_SIZE / 8);
  const rowAt = (row: RowName | null): Addr =>
    at + MAILBOX.rows + (row === null ? ROWS.length : ROWS.indexOf(row)) * ROW.size;
  words[MAILBOX.perform / 8] = BigInt(perform);
  for (const [i, row] of ROWS.entries()) {
    const base = (MAILBOX.rows + i * ROW.size) / 8;
    words[base + ROW.script / 8] = BigInt(scripts[row]);
    words[base + ROW.otherwise / 8] = BigInt(rowAt(OTHERWISE[row]));
    words[base + ROW.result / 8] = BigInt(NOT_YET);
  }
  return words;
}

// A CPU as the instruction under way sees it: what a load finds, where a store goes, and what of it
// others can see. An action that they can see may only be the first of a macro-step.

import { hex, type Addr } from '../../base/addr.js';
import { PERCPU } from '../../trap/kernel.js';
import { Crash, Unknown, newJournal, type Interrupted, type Journal } from './context.js';
import type { Bytes, Port } from './cpu.js';
import { Judge } from './judge.js';
import { stopAt, type Stop } from './node.js';
import type { Breach } from './promises.js';
import type { Region, Write } from './space.js';
import { State } from './state.js';

/** What the first action of a macro-step needs from outside. */
export interface Input {
  readonly bytes?: readonly number[];
  readonly value?: bigint;
}

/**
 * Ends a macro-step before something visible. It is thrown half a million times in a long search
 * and is no Error, because capturing a stack trace for each took an eighth of the time.
 */
export class Visible {
  readonly stop: Stop;
  constructor(stop: Stop) {
    this.stop = stop;
  }
}

export class Access extends State implements Port, Interrupted {
  /** What the macro-step under way has done. */
  protected journal: Journal = newJournal();
  protected readonly judge: Judge = new Judge(this, this.journal);
  protected input: Input | null = null;
  /** The action that may be visible is the first of its macro-step. */
  protected first = false;
  /** The instruction under way is LOCKed. */
  protected locked = false;

  /** Whether another context of this CPU, now enabled, could see the per-CPU area. */
  #isShared(at: Addr): boolean {
    const { events, gsBase } = this.fixture;
    // NMI-like entry code keeps lockdep's word as it found it, so only an ordinary interrupt can
    // tell.
    if ((events.nmi || events.mc || events.db) && at !== gsBase + PERCPU.lockdep) return true;
    return this.on && (events.irq || events.preempt);
  }

  #see(stop: Stop): void {
    if (!this.first) throw new Visible(stop);
  }

  /** The word of the shared data at an address; null outside it. */
  #sharedWord(at: Addr, size: Bytes, what: 'load' | 'store'): number | null {
    const { shared } = this.fixture;
    const offset = at - shared.at;
    if (offset < 0 || offset + size > shared.initial.length * 8) return null;
    if (offset % 8 !== 0 || size !== 8)
      throw new Unknown(`a ${what} of ${size} bytes at ${offset} of the protocol's data`);
    return offset / 8;
  }

  read(at: Addr, size: Bytes): bigint {
    const region = this.memory.region(at, size);
    if (region !== null) return this.#readPrivate(region, at, size);
    const word = this.#sharedWord(at, size, 'load');
    if (word !== null) return this.#readShared(word);
    if (this.fixture.isPatchable(at, size)) return this.#answer(stopAt('text', at, size));
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) {
      const byte = this.fixture.byte(at + i);
      if (byte === undefined)
        throw new Crash('load-from-nowhere', `a load from ${at.toString(16)}, where nothing lies`);
      value = (value << 8n) | BigInt(byte);
    }
    return value;
  }

  #readPrivate(region: Region, at: Addr, size: Bytes): bigint {
    if (region.kind === 'percpu') {
      if (this.#isShared(at)) this.#see(stopAt('local', 0, size));
      this.judge.checkStash(this.memory.wordOf(region, at));
    }
    return this.memory.read(region, at, size);
  }

  #readShared(word: number): bigint {
    const { shared } = this.fixture;
    if (shared.sink.has(word)) return 0n;
    if (!shared.mutable.has(word)) return shared.initial[word]!;
    const own = this.buffer.findLast((write) => write.word === word);
    if (own !== undefined) return own.value;
    const value = this.#answer(stopAt('load', word, 8));
    if (shared.targets.has(word)) this.judge.begin();
    this.judge.checkGlobal(word, value);
    return value;
  }

  /** What the input says that memory holds. */
  #answer(stop: Stop): bigint {
    const value = this.input?.value;
    if (value === undefined || !this.first) throw new Visible(stop);
    return value;
  }

  write(at: Addr, size: Bytes, value: bigint): void {
    const region = this.memory.region(at, size);
    if (region !== null) {
      this.#writePrivate(region, at, size, value);
      return;
    }
    const word = this.#sharedWord(at, size, 'store');
    if (word !== null) this.#writeShared({ word, value });
    else if (this.fixture.isPatchable(at, size)) this.#writeText(at, size, value);
    else
      throw new Crash(
        'store-to-nowhere',
        `a store to ${at.toString(16)}, where nothing may be stored`,
      );
  }

  #writePrivate(region: Region, at: Addr, size: Bytes, value: bigint): void {
    const word = this.memory.wordOf(region, at);
    if (region.kind === 'percpu' && this.#isShared(at)) this.#see(stopAt('local', 0, size));
    this.memory.write(region, at, size, value);
    const stashed = region.kind === 'percpu' && this.fixture.stash.has(word);
    this.memory.tags[word] = stashed ? this.owner << 1 : 0;
  }

  #writeShared(write: Write): void {
    if (this.fixture.shared.sink.has(write.word)) return;
    if (this.fixture.tso && !this.locked) {
      this.buffer.push(write);
      return;
    }
    this.#see(stopAt('store', write.word, 8));
    this.drain();
    this.journal.writes.push(write);
  }

  /** A handler writes text through an alias, as the patcher does; a buffered store is of no use. */
  #writeText(at: Addr, size: Bytes, value: bigint): void {
    if (!this.locked) throw new Unknown(`a plain store to patched text at ${hex(at)}`);
    this.#see(stopAt('store', 0, size));
    this.drain();
    const bytes = Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
    this.journal.stores.push({ at, bytes });
  }

  /**
   * The store buffer reaches memory: event delivery, serialising and LOCKed instructions (SDM
   * volume 3, 12.10).
   */
  drain(): void {
    if (this.buffer.length === 0) return;
    this.#see(stopAt('store', 0, 8));
    this.journal.writes.push(...this.buffer);
    this.buffer = [];
  }

  push(value: bigint): void {
    this.rsp -= 8;
    this.write(this.rsp, 8, value);
  }

  /** The word of a stack at an address. */
  wordAt(at: Addr): number {
    const region = this.memory.region(at, 8);
    if (region === null)
      throw new Crash('rsp-off-stack', 'the stack pointer points where no stack is');
    return this.memory.wordOf(region, at);
  }

  called(at: Addr): void {
    this.memory.tags[this.wordAt(at)] = 1;
  }
  serialise(): void {
    this.journal.notes.push({ note: 'serialise' });
  }
  fault(breach: Breach, text: string): void {
    this.judge.fault(breach, text);
  }
}

// One CPU and the task on it: registers, its private memory, and what the checker remembers about
// the pass it is in. It is loaded from an interned image, moved on by one macro-step, and saved;
// equal cores are one image. A macro-step performs one action that others can see or that depends
// on them, and runs on through what touches registers, this context's stack and constant memory
// alone, up to the next such action. Nothing of it depends on any other CPU but through the
// `Input`, so its outcome is remembered by (image, input).
//
// It judges what lies in the CPU itself (stack, flags, lockdep, shadow stack, call chain, stashes)
// at every instruction; what depends on the time (which target is current) it only notes, for
// model.ts to judge.

import type { Addr } from '../../base/addr.js';
import { UCONTEXT } from '../../base/linux.js';
import { invariant } from '../../base/invariant.js';
import { decode } from '../../asm/decode.js';
import type { Insn } from '../../asm/encoding.js';
import { isLocked } from '../../asm/encoding.js';
import { PERCPU } from '../../trap/kernel.js';
import { addrFromBits, hex } from '../../base/addr.js';
import { WordTable } from './intern.js';
import {
  BIT,
  CONTEXTS,
  Crash,
  RSP,
  Unknown,
  type Bad,
  type Context,
  type ContextKind,
  type CoreBit,
  type Interrupted,
  type Note,
} from './context.js';
import { wordsOf, type Region, type Write } from './space.js';
import { execute } from './execute.js';
import { FLAG, newCpu, type Bytes, type Cpu, type Port } from './cpu.js';
import { deliver, deliverTrap, leave, systemCall, trap, type Event } from './events.js';
import type { Fixture } from './fixture.js';
import { endsPath, type PromiseName } from './promises.js';

/** Why a macro-step ended where it did, that is, what the next one must do first. */
export const STOPS = [
  'fetch',
  'retire',
  'load',
  'text',
  'store',
  'local',
  'enter',
  'step',
  'patcher',
  'done',
  'dead',
] as const;
export type Stop = (typeof STOPS)[number];

/** What the first action of a macro-step needs from outside. */
export interface Input {
  readonly bytes?: readonly number[];
  readonly value?: bigint;
}

export interface Outcome {
  readonly next: number;
  readonly notes: readonly Note[];
  readonly writes: readonly Write[];
  /** Stores to text that is patched, each at one instant. */
  readonly stores: readonly TextStore[];
  readonly bad: readonly Bad[];
  /** Set when the simulator met what it does not know: the run ends without a verdict. */
  readonly unknown: string | null;
}

/** What the explorer needs to know about an image without loading it. */
export interface Node {
  readonly id: number;
  readonly stop: Stop;
  /** Address of a fetch or of text read as data; number of a shared word. */
  readonly at: number;
  readonly length: number;
  readonly interruptible: boolean;
  /** Has acknowledged and has yet to serialise. */
  readonly unserialised: boolean;
  readonly done: boolean;
  /**
   * The task is the patcher, whatever interrupts it; its steps are taken while it stands at
   * `patcher`.
   */
  readonly patching: boolean;
  /** Held by a stop request: only an event that cannot be masked runs here. */
  readonly waiting: boolean;
  /** In a context of its own kind: bounds on nesting. */
  readonly inside: ReadonlySet<string>;
  readonly nmiBlocked: boolean;
  readonly nmiLevel: number;
  readonly buffered: number;
  readonly depth: number;
  readonly rip: Addr;
  readonly context: ContextKind;
}

export interface TextStore {
  readonly at: Addr;
  readonly bytes: readonly number[];
}

/**
 * Ends a macro-step before something visible. It is thrown half a million times in a long search and
 * is no Error, because capturing a stack trace for each took an eighth of the time.
 */
class Visible {
  readonly stop: Stop;
  readonly at: number;
  readonly size: number;
  constructor(stop: Stop, at: number, size: number) {
    this.stop = stop;
    this.at = at;
    this.size = size;
  }
}

interface Decoded {
  readonly insn: Insn;
  readonly key: string;
  readonly locked: boolean;
}

/**
 * How finely steps are cut. `plain` stops before every instruction; `split` keeps fetch and
 * retirement of a site apart.
 */
export interface Grain {
  readonly plain: boolean;
  readonly split: boolean;
}

/** In place of the identity of a call that is over. */
const STALE = 0xfff;
const HEADER = 42;
const CONTEXT_WORDS = 6;
/**
 * Instructions without anything visible that a macro-step may run before it is called a runaway.
 */
const RUNAWAY = 20_000;

/** Low and high 32 bits of an address; `>>>` is modulo 2^32 for negative ones too. */
const low = (at: Addr): number => at >>> 0;
const high = (at: Addr): number => Math.floor(at / 2 ** 32) >>> 0;
const join = (lo: number, hi: number): Addr => (hi | 0) * 2 ** 32 + lo;

export class Core implements Port, Interrupted {
  readonly fixture: Fixture;
  readonly grain: Grain;
  readonly cpu: Cpu;
  readonly #r32: Uint32Array;
  /** Bytes fetched and not yet retired. */
  pending: readonly number[] | null = null;
  readonly mem: BigUint64Array<ArrayBuffer>;
  readonly #mem32: Uint32Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  /** Per private word: written by a CALL (bit 0); stash of which emulated call (bits 1 on). */
  readonly tag: Uint32Array<ArrayBuffer>;
  contexts: Context[] = [];
  bits = 0;
  nmiLevel = 0;
  buffer: Write[] = [];
  notes: Note[] = [];
  writes: Write[] = [];
  stores: TextStore[] = [];
  bad: Bad[] = [];

  readonly images = new WordTable();
  readonly snapshots = new WordTable();
  readonly #nodes: Node[] = [];
  readonly #scratch: Uint32Array<ArrayBuffer> = new Uint32Array(8192);
  readonly #static = new Map<Addr, Decoded>();
  readonly #fetched = new Map<string, Decoded | 'short' | 'unknown'>();
  #input: Input | null = null;
  /** The action that may be visible is the first of its macro-step. */
  #first = false;
  steps = 0;

  constructor(fixture: Fixture, grain: Grain) {
    this.fixture = fixture;
    this.grain = grain;
    this.cpu = newCpu(fixture.environment === 'user');
    this.cpu.gsBase = fixture.gsBase;
    this.cpu.wrss = fixture.shadowStacks;
    this.#r32 = new Uint32Array(this.cpu.r.buffer);
    const words = wordsOf(fixture.regions);
    this.mem = new BigUint64Array(words);
    this.#mem32 = new Uint32Array(this.mem.buffer);
    this.#view = new DataView(this.mem.buffer);
    this.tag = new Uint32Array(words);
  }

  get nodes(): number {
    return this.images.count;
  }

  // ----------------------------------------------------------------------------------------------
  // registers

  get rip(): Addr {
    return this.cpu.rip;
  }
  set rip(at: Addr) {
    this.cpu.rip = at;
  }
  get rsp(): Addr {
    return Number(BigInt.asIntN(64, this.cpu.r[RSP] as bigint));
  }
  set rsp(at: Addr) {
    this.cpu.r[RSP] = BigInt.asUintN(64, BigInt(at));
  }
  /** RFLAGS.IF. */
  get on(): boolean {
    return (this.cpu.flags & FLAG.if) !== 0;
  }
  set on(value: boolean) {
    this.cpu.flags = value ? this.cpu.flags | FLAG.if : this.cpu.flags & ~FLAG.if;
  }
  is(bit: CoreBit): boolean {
    return (this.bits & BIT[bit]) !== 0;
  }
  put(bit: CoreBit, value: boolean): void {
    this.bits = value ? this.bits | BIT[bit] : this.bits & ~BIT[bit];
  }
  get top(): Context {
    const context = this.contexts.at(-1);
    invariant(context, 'a core has at least its task');
    return context;
  }
  /**
   * The innermost context with a pass under way: the one that an emulation at this point is for.
   */
  get emulated(): number {
    for (let level = this.contexts.length - 1; level >= 0; level--)
      if ((this.contexts[level] as Context).site >= 0) return level;
    return -1;
  }

  // ----------------------------------------------------------------------------------------------
  // images

  load(id: number): void {
    const image = this.images.get(id);
    const { cpu } = this;
    this.#r32.set(image.subarray(0, 32));
    cpu.rip = join(image[32] as number, image[33] as number);
    cpu.flags = (image[34] as number) & 0x3fffffff;
    cpu.user = ((image[34] as number) & 0x40000000) !== 0;
    cpu.ssp = this.fixture.shadowStacks ? join(image[35] as number, image[36] as number) : null;
    const fetched = (image[38] as number) >>> 24;
    this.pending =
      fetched === 0
        ? null
        : Array.from(
            { length: fetched },
            (_, i) => ((image[37 + (i >> 2)] as number) >>> (8 * (i & 3))) & 0xff,
          );
    const packed = image[39] as number;
    this.bits = packed & 0xffff;
    this.nmiLevel = (packed >>> 16) & 3;
    const depth = (packed >>> 18) & 15;
    const buffered = (packed >>> 22) & 15;
    this.mem.fill(0n);
    this.tag.fill(0);
    this.contexts = [];
    let p = HEADER;
    for (let i = 0; i < depth; i++, p += CONTEXT_WORDS) {
      const head = image[p] as number;
      this.contexts.push({
        kind: head & 15,
        site: ((head >>> 4) & 15) - 1,
        entered: (head >>> 8) & 3,
        passes: head >>> 10,
        snapshot: image[p + 1] as number,
        rsp: join(image[p + 2] as number, image[p + 3] as number),
        ssp: join(image[p + 4] as number, image[p + 5] as number),
      });
    }
    this.buffer = [];
    for (let i = 0; i < buffered; i++, p += 3) {
      this.buffer.push({
        word: image[p] as number,
        value: BigInt(image[p + 1] as number) | (BigInt(image[p + 2] as number) << 32n),
      });
    }
    for (; p < image.length; p += 3) {
      const head = image[p] as number;
      const word = head & 0xfff;
      this.#mem32[2 * word] = image[p + 1] as number;
      this.#mem32[2 * word + 1] = image[p + 2] as number;
      this.tag[word] = head >>> 12;
    }
  }

  /**
   * Interns what is live; memory below a stack pointer is dead, whatever an interrupt would leave
   * there.
   */
  save(stop: Stop, at: number, length: number): number {
    const out = this.#scratch;
    const { cpu } = this;
    out.set(this.#r32);
    out[32] = low(cpu.rip);
    out[33] = high(cpu.rip);
    out[34] = cpu.flags | (cpu.user ? 0x40000000 : 0);
    out[35] = low(cpu.ssp ?? 0);
    out[36] = high(cpu.ssp ?? 0);
    out[37] = out[38] = 0;
    if (this.pending !== null) {
      this.pending.forEach(
        (byte, i) =>
          (out[37 + (i >> 2)] = (out[37 + (i >> 2)] as number) | (byte << (8 * (i & 3)))),
      );
      out[38] = (out[38] as number) | (this.pending.length << 24);
    }
    out[39] =
      this.bits |
      (this.nmiLevel << 16) |
      (this.contexts.length << 18) |
      (this.buffer.length << 22) |
      (STOPS.indexOf(stop) << 26);
    out[40] = length;
    out[41] = at >>> 0;
    let p = HEADER;
    for (const c of this.contexts) {
      out[p] = c.kind | ((c.site + 1) << 4) | (c.entered << 8) | (c.passes << 10);
      out[p + 1] = c.snapshot;
      out[p + 2] = low(c.rsp);
      out[p + 3] = high(c.rsp);
      out[p + 4] = low(c.ssp);
      out[p + 5] = high(c.ssp);
      p += CONTEXT_WORDS;
    }
    for (const { word, value } of this.buffer) {
      out[p++] = word;
      out[p++] = Number(value & 0xffffffffn);
      out[p++] = Number(value >> 32n);
    }
    for (const region of this.fixture.regions) {
      const low = region.kind === 'percpu' ? 0 : this.#liveFrom(region);
      for (let w = region.first + low; w < region.first + region.bytes / 8; w++) {
        const lo = this.#mem32[2 * w] as number;
        const hi = this.#mem32[2 * w + 1] as number;
        const tag = this.tag[w] as number;
        if (lo === 0 && hi === 0 && tag === 0) continue;
        out[p++] = w | (tag << 12);
        out[p++] = lo;
        out[p++] = hi;
      }
    }
    const id = this.images.intern(out, p);
    if (this.#nodes[id] === undefined) this.#nodes[id] = this.#describe(id, stop, at, length);
    return id;
  }

  #liveFrom(region: Region): number {
    const top = region.at + region.bytes;
    let low = top;
    const see = (sp: Addr, below: number) => {
      if (sp >= region.at && sp <= top) low = Math.min(low, Math.max(region.at, sp - below));
    };
    if (region.kind === 'shadow') {
      see(this.cpu.ssp ?? top, 0);
      for (const c of this.contexts) see(c.ssp, 0);
    } else {
      const below = this.fixture.environment === 'user' ? 128 : 0;
      see(this.rsp, below);
      for (const c of this.contexts) see(c.rsp, below);
    }
    return Math.floor((low - region.at) / 8);
  }

  #describe(id: number, stop: Stop, at: number, length: number): Node {
    const kernel = this.fixture.environment === 'kernel';
    return {
      id,
      stop,
      at,
      length,
      interruptible: kernel
        ? this.on && !this.is('shadow') && !this.is('stopped')
        : this.fixture.rules.barrierPassesHandlers ||
          !(this.is('trapped') || this.contexts.some(({ kind }) => CONTEXTS[kind] === 'trap')),
      unserialised: this.is('unserialised'),
      patching: this.is('patching'),
      waiting: this.is('stopped') && this.contexts.length === 1,
      done: this.is('done'),
      inside: new Set(this.contexts.map(({ kind }) => CONTEXTS[kind] as string)),
      nmiBlocked: this.is('nmiBlocked'),
      nmiLevel: this.nmiLevel,
      buffered: this.buffer.length,
      depth: this.contexts.length,
      rip: this.rip,
      context: CONTEXTS[this.top.kind] as ContextKind,
    };
  }

  node(id: number): Node {
    return this.#nodes[id] as Node;
  }

  // ----------------------------------------------------------------------------------------------
  // memory

  #region(at: Addr, size: number): Region | null {
    for (const region of this.fixture.regions)
      if (at >= region.at && at + size <= region.at + region.bytes) return region;
    return null;
  }

  /** Whether another context of this CPU, now enabled, could see the per-CPU area. */
  #shared(at: Addr): boolean {
    const { fixture } = this;
    if (fixture.events.nmi || fixture.events.mc || fixture.events.db) {
      // NMI-like entry code keeps lockdep's word as it found it, so only an ordinary interrupt can
      // tell.
      if (at !== fixture.gsBase + PERCPU.lockdep) return true;
    }
    return this.on && (fixture.events.irq || fixture.events.preempt);
  }

  #see(stop: Stop, at: number, size: number): void {
    if (!this.#first) throw new Visible(stop, at, size);
  }

  read(at: Addr, size: Bytes): bigint {
    const region = this.#region(at, size);
    if (region !== null) {
      if (region.kind === 'percpu') {
        if (this.#shared(at)) this.#see('local', 0, size);
        this.#checkStash(region.first + Math.floor((at - region.at) / 8));
      }
      return this.#get(region.first * 8 + (at - region.at), size);
    }
    const { shared } = this.fixture;
    const offset = at - shared.at;
    if (offset >= 0 && offset + size <= shared.initial.length * 8) {
      const word = Math.floor(offset / 8);
      if (offset % 8 !== 0 || size !== 8)
        throw new Unknown(`a load of ${size} bytes at ${offset} of the protocol's data`);
      if (shared.sink.has(word)) return 0n;
      if (!shared.mutable.has(word)) return shared.initial[word] as bigint;
      for (let i = this.buffer.length - 1; i >= 0; i--)
        if ((this.buffer[i] as Write).word === word) return (this.buffer[i] as Write).value;
      if (this.#input?.value === undefined || !this.#first) throw new Visible('load', word, 8);
      if (shared.targets.has(word)) this.#begin();
      return this.#input.value;
    }
    if (this.fixture.isPatchable(at, size)) {
      if (this.#input?.value === undefined || !this.#first) throw new Visible('text', at, size);
      return this.#input.value;
    }
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) {
      const byte = this.fixture.byte(at + i);
      if (byte === undefined)
        throw new Crash('stack', `a load from ${at.toString(16)}, where nothing lies`);
      value = (value << 8n) | BigInt(byte);
    }
    return value;
  }

  write(at: Addr, size: Bytes, value: bigint): void {
    const region = this.#region(at, size);
    if (region !== null) {
      const word = region.first + Math.floor((at - region.at) / 8);
      if (region.kind === 'percpu' && this.#shared(at)) this.#see('local', 0, size);
      this.#set(region.first * 8 + (at - region.at), size, value);
      this.tag[word] =
        region.kind === 'percpu' && this.fixture.stash.has(word) ? this.#owner() << 1 : 0;
      return;
    }
    const { shared } = this.fixture;
    const offset = at - shared.at;
    if (offset >= 0 && offset + size <= shared.initial.length * 8) {
      const word = Math.floor(offset / 8);
      if (offset % 8 !== 0 || size !== 8)
        throw new Unknown(`a store of ${size} bytes at ${offset} of the protocol's data`);
      if (shared.sink.has(word)) return;
      if (this.fixture.tso && !this.#locked) this.buffer.push({ word, value });
      else {
        this.#see('store', word, 8);
        this.drain();
        this.writes.push({ word, value });
      }
      return;
    }
    if (this.fixture.isPatchable(at, size)) {
      // A handler writes text through an alias, as the patcher does; a buffered store is of no use
      // to it.
      if (!this.#locked) throw new Unknown(`a plain store to patched text at ${hex(at)}`);
      this.#see('store', 0, size);
      this.drain();
      this.stores.push({
        at,
        bytes: Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn)),
      });
      return;
    }
    throw new Crash('stack', `a store to ${at.toString(16)}, where nothing may be stored`);
  }

  /**
   * The store buffer reaches memory: event delivery, serialising and LOCKed instructions (SDM
   * volume 3, 12.10).
   */
  drain(): void {
    if (this.buffer.length === 0) return;
    this.#see('store', 0, 8);
    this.writes.push(...this.buffer);
    this.buffer = [];
  }
  #locked = false;

  #get(byte: number, size: number): bigint {
    switch (size) {
      case 8:
        return this.#view.getBigUint64(byte, true);
      case 4:
        return BigInt(this.#view.getUint32(byte, true));
      case 2:
        return BigInt(this.#view.getUint16(byte, true));
      default:
        return BigInt(this.#view.getUint8(byte));
    }
  }
  #set(byte: number, size: number, value: bigint): void {
    switch (size) {
      case 8:
        this.#view.setBigUint64(byte, BigInt.asUintN(64, value), true);
        break;
      case 4:
        this.#view.setUint32(byte, Number(BigInt.asUintN(32, value)), true);
        break;
      case 2:
        this.#view.setUint16(byte, Number(BigInt.asUintN(16, value)), true);
        break;
      default:
        this.#view.setUint8(byte, Number(BigInt.asUintN(8, value)));
    }
  }
  push(value: bigint): void {
    this.rsp -= 8;
    this.write(this.rsp, 8, value);
  }
  pop(): bigint {
    const value = this.read(this.rsp, 8);
    this.rsp += 8;
    return value;
  }

  /**
   * Identity of the emulated call that runs here: its context's level and which of its passes it
   * is.
   */
  #owner(): number {
    const level = this.emulated;
    return level < 0 ? 0 : (((this.contexts[level] as Context).passes & 0xff) << 4) | (level + 1);
  }
  #checkStash(word: number): void {
    if (!this.fixture.stash.has(word)) return;
    const tag = (this.tag[word] as number) >>> 1;
    if (tag !== 0 && tag !== this.#owner())
      this.fault('slot', 'data stashed for another emulated call is used for this one');
  }

  // ----------------------------------------------------------------------------------------------
  // judging

  fault(property: PromiseName, text: string): void {
    this.bad.push({ property, text });
  }

  #begin(): void {
    const level = this.emulated;
    if (level >= 0) this.notes.push({ note: 'begin', level });
  }

  /** The pass over `site` opens with its first fetch. */
  open(site: number): void {
    const { top } = this;
    if (top.site === site) return; // fetched again: an event threw the first fetch away, or the handler retries
    const image = this.#scratch;
    image.set(this.#r32.subarray(0, 32));
    image[32] = this.on ? 1 : 0;
    let p = 33;
    const region = this.#region(this.rsp, 8);
    if (region !== null) {
      const from = region.first + (this.rsp - region.at) / 8;
      for (let w = from; w < region.first + region.bytes / 8; w++) {
        image[p++] = this.#mem32[2 * w] as number;
        image[p++] = this.#mem32[2 * w + 1] as number;
      }
    }
    top.snapshot = this.snapshots.intern(image, p);
    top.site = site;
    top.entered = 0;
    top.passes = (top.passes + 1) & 0xff;
    this.notes.push({ note: 'open', level: this.contexts.length - 1 });
  }

  /** Control has come to the first instruction of a target. */
  #enter(target: number): void {
    const level = this.contexts.length - 1;
    const { top } = this;
    if (top.site < 0 || top.entered > 0) {
      this.fault(
        'target',
        top.site < 0
          ? 'a target is entered that no pass called'
          : 'one pass enters a second target',
      );
      return;
    }
    top.entered = 1;
    this.notes.push({ note: 'enter', level, target });
    const site = this.fixture.sites[top.site] as Fixture['sites'][number];
    const then = this.snapshots.get(top.snapshot);
    const rspThen = Number(
      BigInt.asIntN(64, BigInt(then[8] as number) | (BigInt(then[9] as number) << 32n)),
    );
    const expected = site.kind === 'call' ? rspThen - 8 : rspThen;
    if (this.rsp !== expected)
      this.fault(
        'stack',
        `the stack pointer is ${this.rsp - expected} bytes off on entry to the target`,
      );
    else if (site.kind === 'call') {
      const back = this.#get(this.#byteOf(this.rsp), 8);
      if (back !== BigInt.asUintN(64, BigInt(site.at + site.length)))
        this.fault(
          'stack',
          `the return address is ${hex(addrFromBits(back))}, not the end of the site`,
        );
    }
    if (!this.#sameAbove(then, rspThen))
      this.fault('stack', 'the stack above the call was changed');
    if ((then[32] === 1) !== this.on)
      this.fault(
        'flags',
        `interrupts are ${this.on ? 'on' : 'off'} on entry to the target, and were ${this.on ? 'off' : 'on'} before the site`,
      );
    for (let n = 0; n < 16; n++) {
      if (n === RSP || n === 11) continue; // R11 may change at a call (psABI 3.2.1), RSP is judged above
      if (this.#r32[2 * n] !== then[2 * n] || this.#r32[2 * n + 1] !== then[2 * n + 1])
        this.fault('flags', `register ${n} was changed before the target`);
    }
    this.#probe();
  }

  #byteOf(at: Addr): number {
    const region = this.#region(at, 8);
    if (region === null) throw new Crash('stack', 'the stack pointer points where no stack is');
    return region.first * 8 + (at - region.at);
  }

  /** The word at `at` is a return address that a RET may be predicted from. */
  called(at: Addr): void {
    this.tag[this.#byteOf(at) >> 3] = 1;
  }

  #sameAbove(then: Uint32Array, rsp: Addr): boolean {
    const region = this.#region(rsp, 8);
    if (region === null) return false;
    let p = 33;
    for (
      let w = region.first + (rsp - region.at) / 8;
      w < region.first + region.bytes / 8;
      w++, p += 2
    ) {
      if (this.#mem32[2 * w] !== then[p] || this.#mem32[2 * w + 1] !== then[p + 1]) return false;
    }
    return true;
  }

  /** lockdep's idea of IF against IF itself, where code of the program may ask. */
  #probe(): void {
    if (this.fixture.environment !== 'kernel' || (this.top.kind !== 0 && this.top.kind !== 1))
      return;
    const believed = this.mem[this.fixture.lockdepWord] !== 0n;
    if (believed !== this.on)
      this.fault(
        'lockdep',
        `lockdep believes interrupts are ${believed ? 'on' : 'off'}, and they are ${this.on ? 'on' : 'off'}`,
      );
  }

  /**
   * The chain of calls from here, by the rules that each code says of itself, to the end of the
   * task or to entry code.
   */
  #unwind(): void {
    const { fixture, cpu } = this;
    let at = cpu.rip;
    let sp = this.rsp;
    const start = fixture.rule(at);
    if (start === 'exempt' || fixture.isEntry(at)) return;
    // A return address belongs to the call before it; an interrupted instruction is its own (B21:
    // the rule is that of ip - 1).
    for (let behind = 0, depth = 0; depth < 32; depth++) {
      if (Number.isNaN(at) || Number.isNaN(sp)) {
        this.fault('unwind', 'the chain of calls leaves the stack');
        return;
      }
      if (fixture.isBottom(at) || (behind === 0 && fixture.isEntry(at))) return;
      if (at === fixture.restorer) {
        [at, sp, behind] = [this.#peek(sp + UCONTEXT.rip), this.#peek(sp + UCONTEXT.rsp), 0];
        continue;
      }
      const rule = depth === 0 ? start : fixture.rule(at - behind);
      if (rule === 'exempt') return;
      if (rule === null || rule.kind === 'none') {
        this.fault('unwind', `no rule finds the caller of ${fixture.nameOf(at)}`);
        return;
      }
      const base =
        depth === 0 ? Number(BigInt.asIntN(64, cpu.r[REGISTERS.indexOf(rule.base)] as bigint)) : sp;
      if (rule.kind === 'call')
        [at, sp, behind] = [this.#peek(base + rule.offset - 8), base + rule.offset, 1];
      else
        [at, sp, behind] = [this.#peek(base + rule.offset), this.#peek(base + rule.offset + 24), 0];
    }
    this.fault('unwind', 'the chain of calls does not end');
  }

  /** A word of private memory, or NaN. */
  #peek(at: Addr): number {
    const region = this.#region(at, 8);
    return region === null
      ? NaN
      : Number(BigInt.asIntN(64, this.#get(region.first * 8 + (at - region.at), 8)));
  }

  /** The instruction after the site is reached in the context that began the pass. */
  #close(): void {
    const { top } = this;
    if (top.site < 0) return;
    const site = this.fixture.sites[top.site] as Fixture['sites'][number];
    const then = this.snapshots.get(top.snapshot);
    const rspThen = Number(
      BigInt.asIntN(64, BigInt(then[8] as number) | (BigInt(then[9] as number) << 32n)),
    );
    const back =
      site.kind === 'call'
        ? site.at + site.length
        : Number(
            BigInt.asIntN(64, BigInt(then[33] as number) | (BigInt(then[34] as number) << 32n)),
          );
    if (this.rip !== back) return;
    const expected = site.kind === 'call' ? rspThen : rspThen + 8;
    if (this.rsp !== expected)
      this.fault('stack', `the stack pointer is ${this.rsp - expected} bytes off after the return`);
    for (const n of [3, 5, 12, 13, 14, 15]) {
      if (this.#r32[2 * n] !== then[2 * n] || this.#r32[2 * n + 1] !== then[2 * n + 1])
        this.fault('flags', `callee-saved register ${n} was changed`);
    }
    if ((then[32] === 1) !== this.on)
      this.fault(
        'flags',
        `interrupts are ${this.on ? 'on' : 'off'} after the pass, and were ${this.on ? 'off' : 'on'} before`,
      );
    const rax = this.cpu.r[0] === 0n;
    this.notes.push({
      note: 'close',
      level: this.contexts.length - 1,
      ran: top.entered > 0 ? 'target' : rax ? 'ret0' : 'null',
    });
    // What was stashed for this call is dead now: whoever reads it still, reads what was another
    // call's, whatever the value.
    const owner = this.#owner() << 1;
    for (const word of this.fixture.stash) {
      if (this.tag[word] !== owner) continue;
      this.mem[word] = 0n;
      this.tag[word] = STALE << 1;
    }
    top.site = -1;
    top.entered = 0;
    top.snapshot = 0;
  }

  // ----------------------------------------------------------------------------------------------
  // running

  /** From registers and memory as they were just set up by hand, to the first visible action. */
  begin(): number {
    this.notes = [];
    this.writes = [];
    this.bad = [];
    return this.#run({}, false);
  }

  /** The oldest store in the buffer reaches memory. */
  flush(id: number): Outcome {
    this.load(id);
    const node = this.node(id);
    const [oldest, ...rest] = this.buffer;
    this.buffer = rest;
    return {
      next: this.save(node.stop, node.at, node.length),
      notes: [],
      writes: oldest === undefined ? [] : [oldest],
      stores: [],
      bad: [],
      unknown: null,
    };
  }

  /**
   * The task of `id` is switched for that of `other`, which waits off the CPU. Registers, stack and
   * mask go with the task; the per-CPU area stays. Null where the scheduler cannot run: in the
   * kernel only with IF set and in no handler.
   */
  swap(
    id: number,
    other: number,
  ): { readonly on: number; readonly off: number; readonly writes: readonly Write[] } | null {
    const kernel = this.fixture.environment === 'kernel';
    this.load(id);
    if (kernel && (!this.on || this.is('shadow') || this.is('stopped') || this.contexts.length > 1))
      return null;
    const area = this.fixture.regions.find(({ kind }) => kind === 'percpu');
    const from = area?.first ?? 0;
    const to = area === undefined ? 0 : area.first + area.bytes / 8;
    const own = { mem: this.mem.slice(from, to), tag: this.tag.slice(from, to) };
    const writes = this.buffer;
    this.buffer = [];
    this.pending = null;
    // lockdep's idea of IF belongs to the task (current->hardirqs_enabled); it runs with IF set on
    // both sides.
    const lockdep = this.fixture.lockdepWord - from;
    const settle = (mem: BigUint64Array | null, tag: Uint32Array | null): number => {
      const believed = kernel ? this.mem[this.fixture.lockdepWord] : 0n;
      if (mem === null || tag === null) {
        this.mem.fill(0n, from, to);
        this.tag.fill(0, from, to);
      } else {
        this.mem.set(mem, from);
        this.tag.set(tag, from);
      }
      if (kernel) this.mem[from + lockdep] = believed as bigint;
      this.notes = [];
      this.bad = [];
      return this.#run({}, false);
    };
    const off = settle(null, null);
    this.load(other);
    return { on: settle(own.mem, own.tag), off, writes };
  }

  /**
   * One macro-step. With a stop of kind `load`, `text` or `fetch`, `input` says what memory or the
   * fetcher answered.
   */
  advance(id: number, input: Input): Outcome {
    this.load(id);
    return this.#outcome(() => this.#run(input, true));
  }

  /**
   * An event reaches this CPU before its next instruction; what it fetched is thrown away. Null
   * where it cannot.
   */
  deliver(id: number, event: Event): Outcome | null {
    this.load(id);
    const { rules } = this.fixture;
    if (rules.discard || event !== 'ipi') this.pending = null;
    if (!rules.shadowEnds && this.is('shadow')) this.put('held', true);
    this.put('shadow', false);
    let taken = true;
    const outcome = this.#outcome(() => {
      this.#first = true;
      if (rules.draining.has('event')) this.drain();
      taken = deliver(this, event);
      return taken ? this.#run({}, false) : -1;
    });
    return taken ? outcome : null;
  }

  #outcome(run: () => number): Outcome {
    this.notes = [];
    this.writes = [];
    this.stores = [];
    this.bad = [];
    let next = -1;
    let unknown: string | null = null;
    try {
      next = run();
    } catch (error) {
      if (error instanceof Crash) this.fault(error.property, error.message);
      else if (error instanceof Unknown) unknown = error.message;
      else throw error;
    }
    return {
      next,
      notes: this.notes,
      writes: this.writes,
      stores: this.stores,
      bad: this.bad,
      unknown,
    };
  }

  /** Until the next visible action; `first` tells that the next action is allowed to be visible. */
  #run(input: Input, first: boolean): number {
    const { fixture, cpu } = this;
    for (let count = 0; ; count++) {
      if (count > RUNAWAY)
        throw new Unknown(
          `more than ${RUNAWAY} instructions at ${hex(this.rip)} without anything visible`,
        );
      this.#input = first ? input : null;
      this.#first = first;
      if (this.bad.some(({ property }) => endsPath(property))) return this.save('dead', 0, 0);
      if (cpu.rip === fixture.done) this.put('done', true);
      if (this.is('done')) return this.save('done', 0, 0);
      if (cpu.rip === fixture.patcher) return this.save('patcher', 0, 0);
      if (this.is('stopped') && this.contexts.length === 1) return this.save('local', 0, 0);
      if (this.is('trapped')) {
        if (!first && this.grain.plain) return this.save('step', 0, 0);
        deliverTrap(this);
        first = false;
        continue;
      }
      const at = cpu.rip;
      const site = fixture.siteAt(at);
      let decoded: Decoded;
      if (this.pending !== null) {
        if (!first) return this.save('retire', at, 0);
        decoded = this.#decodeFetched(this.pending);
        this.pending = null;
      } else if (site >= 0) {
        const { length, meant } = fixture.sites[site] as Fixture['sites'][number];
        if (!first || input.bytes === undefined) return this.save('fetch', at, length);
        this.open(site);
        decoded = this.#decodeFetched(input.bytes);
        const own = input.bytes.slice(0, decoded.insn.length);
        if (!meant.has(own.join())) {
          this.fault(
            'torn',
            `a mixture is executed: ${own.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}`,
          );
          return this.save('dead', 0, 0);
        }
        if (decoded.key !== 'int3' && !fixture.transparent.has(own.join())) this.#begin();
        if (this.grain.split) {
          this.pending = own;
          return this.save('retire', at, 0);
        }
      } else {
        if (!first && this.grain.plain) return this.save('step', 0, 0);
        decoded = this.#decodeStatic(at);
      }
      const stop = this.#step(decoded, first);
      if (stop !== null) return this.save(stop.stop, stop.at, stop.size);
      first = false;
    }
  }

  #decodeStatic(at: Addr): Decoded {
    let decoded = this.#static.get(at);
    if (decoded !== undefined) return decoded;
    const bytes: number[] = [];
    for (let i = 0; i < 15; i++) {
      const byte = this.fixture.byte(at + i);
      if (byte === undefined) break;
      bytes.push(byte);
    }
    if (bytes.length === 0)
      throw new Crash('target', `control goes to ${hex(at)}, where no code lies`);
    const insn = decode(bytes);
    if (insn === 'short' || insn === 'unknown')
      throw new Unknown(
        `no row for the instruction at ${hex(at)}: ${bytes.map((b) => b.toString(16)).join(' ')}`,
      );
    for (let i = 0; i < insn.length; i++)
      if (this.fixture.isPatchable(at + i, 1))
        throw new Crash('torn', `control goes to ${hex(at)}, into the middle of a site`);
    decoded = describe(insn);
    this.#static.set(at, decoded);
    return decoded;
  }

  /** How many of these bytes are the first instruction; all of them where they are none. */
  lengthOf(bytes: readonly number[]): number {
    const insn = decode(bytes);
    return typeof insn === 'string' ? bytes.length : insn.length;
  }

  #decodeFetched(bytes: readonly number[]): Decoded {
    const key = bytes.join();
    let decoded = this.#fetched.get(key);
    if (decoded === undefined) {
      const insn = decode(bytes);
      this.#fetched.set(key, (decoded = typeof insn === 'string' ? insn : describe(insn)));
    }
    // A mixture need not be an instruction, or may go on into the next one: torn either way,
    // whatever it does.
    if (typeof decoded === 'string')
      throw new Crash(
        'torn',
        `a mixture is fetched that is no instruction: ${bytes.map((b) => b.toString(16).padStart(2, '0')).join(' ')}`,
      );
    return decoded;
  }

  /** Executes one instruction, or says why it must wait to be the first of a macro-step. */
  #step({ insn, key, locked }: Decoded, first: boolean): Visible | null {
    const { cpu, fixture } = this;
    const wasOn = this.on;
    this.#locked = locked;
    // What a handler has written to text may be fetched stale by an NMI until the IRET serialises.
    if (!first && fixture.handlersWrite && key === 'iretq') return new Visible('step', 0, 0);
    if (!first && wasOn && (key === 'cli' || key === 'popfq') && fixture.environment === 'kernel')
      return new Visible('local', 0, 0);
    // Back from an interrupt that came just before a target's first instruction is no new entry;
    // back from a trap is.
    const resumes = key === 'iretq' && CONTEXTS[this.top.kind] !== 'trap';
    const transfer = this.grain.split && TRANSFERS.has(key) && !resumes;
    if (transfer) {
      this.#regs.set(cpu.r);
      [this.#rip, this.#flags, this.#ssp] = [cpu.rip, cpu.flags, cpu.ssp];
    }
    const at = cpu.rip;
    const rsp = this.rsp;
    let outcome;
    try {
      if (locked && fixture.rules.draining.has('locked')) this.drain();
      outcome = execute(insn, cpu, this);
    } catch (error) {
      if (error instanceof Visible) return error;
      throw error;
    }
    this.steps++;
    if (transfer && !first && fixture.target(cpu.rip) >= 0) {
      cpu.r.set(this.#regs);
      [cpu.rip, cpu.flags, cpu.ssp] = [this.#rip, this.#flags, this.#ssp];
      return new Visible('enter', 0, 0);
    }
    this.put('shadow', false);
    let moved = false;
    switch (outcome) {
      case 'next':
      case 'swapgs':
      case 'cli':
        break;
      case 'popf':
        this.put('shadow', !fixture.rules.shadowOfStiAlone && !wasOn && this.on);
        break;
      case 'sti':
        this.put('shadow', fixture.rules.stiShadow && !wasOn);
        break;
      case 'jump-indirect':
      case 'call-indirect':
        if (!fixture.isRetpoline(at))
          this.fault(
            'indirect-branch',
            `an indirect ${outcome === 'jump-indirect' ? 'jump' : 'call'} at ${fixture.nameOf(at)}`,
          );
        moved = true;
        break;
      case 'jump':
      case 'call':
        moved = true;
        break;
      case 'return': {
        const word = this.#byteOf(rsp) >> 3;
        if (((this.tag[word] as number) & 1) === 0 && !fixture.isRetpoline(at))
          this.fault(
            'indirect-branch-strict',
            `a return at ${fixture.nameOf(at)} that matches no call`,
          );
        this.tag[word] = 0;
        moved = true;
        break;
      }
      case 'fence':
        if (fixture.rules.draining.has('fence')) this.drain();
        break;
      case 'serialise':
        if (fixture.rules.draining.has('serialise')) this.drain();
        if (fixture.rules.serialising.has('instruction'))
          this.notes.push({ note: 'serialise', level: 0 });
        break;
      case 'iret':
        this.drain();
        leave(this);
        this.put(
          'shadow',
          this.on && ((!fixture.rules.shadowOfStiAlone && !wasOn) || this.is('held')),
        );
        this.put('held', false);
        moved = !resumes;
        break;
      case 'int3':
        trap(this, at);
        break;
      case 'syscall':
        if (fixture.environment !== 'user') throw new Unknown('SYSCALL in the kernel');
        moved = CONTEXTS[this.top.kind] === 'trap';
        if (systemCall(this, moved && !first && this.grain.split))
          return new Visible('enter', 0, 0);
        break;
      case 'halt':
        throw new Unknown('HLT');
      case 'undefined':
        if (fixture.isUnclaimed(at))
          throw new Crash('stray-trap', 'a trap that the protocol planted is claimed by nobody');
        throw new Crash('target', `#UD at ${fixture.nameOf(at)}`);
      case 'general-protection':
        throw new Crash(
          'stack',
          `#GP at ${fixture.nameOf(at)}${key === 'iretq' ? ': the exception frame is damaged' : ''}`,
        );
      case 'control-protection':
        throw new Crash('shadow-stack', `#CP at ${fixture.nameOf(at)}`);
      case 'sysret':
        throw new Unknown('SYSRET');
    }
    if (outcome === 'call' || outcome === 'call-indirect') this.called(this.rsp);
    if (moved) {
      const target = fixture.target(cpu.rip);
      if (target >= 0) this.#enter(target);
    }
    if (this.top.site >= 0) this.#close();
    if (fixture.isProbe(cpu.rip)) this.#probe();
    if (!this.is('trapped')) this.#unwind();
    return null;
  }
  readonly #regs = new BigUint64Array(16);
  #rip = 0;
  #flags = 0;
  #ssp: Addr | null = null;
}

const REGISTERS: readonly string[] = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];

const TRANSFERS: ReadonlySet<string> = new Set(['call', 'jmp', 'ret', 'iretq', 'j{cc}']);

function describe(insn: Insn): Decoded {
  const { key } = insn.form;
  return { insn, key, locked: isLocked(insn) };
}

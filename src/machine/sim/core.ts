// Runs one CPU and the task on it. A core is loaded from an interned image, moved on by one
// macro-step, and saved. A macro-step performs one action that others can see or that depends on
// them, and runs on through instructions that touch only registers, this context's stack and
// constant memory, up to the next such action. Nothing of it depends on any other CPU but through
// the `Input`, so its outcome is remembered by (image, input).

import { hex, type Addr } from '../../base/addr.js';
import { unreachable } from '../../base/invariant.js';
import { PERCPU } from '../../trap/kernel.js';
import {
  Crash,
  Unknown,
  newContext,
  newJournal,
  type Interrupted,
  type Journal,
} from './context.js';
import type { Bytes, Cpu, Outcome as Executed, Port } from './cpu.js';
import { Decoder, spell, type Decoded } from './decoder.js';
import { deliver, deliverTrap, leave, systemCall, trap, type Event } from './events.js';
import { execute } from './execute.js';
import type { Fixture } from './fixture.js';
import { Images } from './image.js';
import { Judge } from './judge.js';
import { stopAt, type Node, type Stop } from './node.js';
import { endsPath, type Breach } from './promises.js';
import type { Region, Write } from './space.js';
import { State } from './state.js';

/** What the first action of a macro-step needs from outside. */
export interface Input {
  readonly bytes?: readonly number[];
  readonly value?: bigint;
}

export interface Outcome extends Readonly<Journal> {
  /** The image afterwards; -1 where the path ends. */
  readonly next: number;
  /** Set when the simulator met what it does not know: the run ends without a verdict. */
  readonly unknown: string | null;
}

/**
 * How finely steps are cut. `plain` stops before every instruction; `split` keeps fetch and
 * retirement of a site apart.
 */
export interface Grain {
  readonly plain: boolean;
  readonly split: boolean;
}

/**
 * Ends a macro-step before something visible. It is thrown half a million times in a long search and
 * is no Error, because capturing a stack trace for each took an eighth of the time.
 */
class Visible {
  readonly stop: Stop;
  constructor(stop: Stop) {
    this.stop = stop;
  }
}

/** How many instructions without a visible action a macro-step may run. */
const RUNAWAY = 20_000;

const TRANSFERS: ReadonlySet<string> = new Set(['call', 'jmp', 'ret', 'iretq', 'j{cc}']);

export class Core extends State implements Port, Interrupted {
  readonly grain: Grain;
  readonly #images = new Images();
  readonly #decoder: Decoder;
  #journal: Journal = newJournal();
  readonly #judge: Judge = new Judge(this, this.#journal);
  #input: Input | null = null;
  /** The action that may be visible is the first of its macro-step. */
  #first = false;
  /** The instruction under way is LOCKed. */
  #locked = false;
  /** Instructions executed so far. */
  steps = 0;

  constructor(fixture: Fixture, grain: Grain) {
    super(fixture);
    this.grain = grain;
    this.#decoder = new Decoder(fixture);
  }

  get nodes(): number {
    return this.#images.count;
  }
  node(id: number): Node {
    return this.#images.node(id);
  }
  load(id: number): void {
    this.#images.load(id, this);
  }
  lengthOf(bytes: readonly number[]): number {
    return this.#decoder.lengthOf(bytes);
  }

  // ----------------------------------------------------------------------------------------------
  // memory, as the instruction under way sees it

  /** Whether another context of this CPU, now enabled, could see the per-CPU area. */
  #isShared(at: Addr): boolean {
    const { events, gsBase } = this.fixture;
    // NMI-like entry code keeps lockdep's word as it found it, so only an ordinary interrupt can
    // tell.
    if ((events.nmi || events.mc || events.db) && at !== gsBase + PERCPU.lockdep) return true;
    return this.on && (events.irq || events.preempt);
  }

  #see(stop: Stop): void {
    if (!this.#first) throw new Visible(stop);
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
      this.#judge.checkStash(this.memory.wordOf(region, at));
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
    if (shared.targets.has(word)) this.#judge.begin();
    return value;
  }

  /** What the input says that memory holds. */
  #answer(stop: Stop): bigint {
    const value = this.#input?.value;
    if (value === undefined || !this.#first) throw new Visible(stop);
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
    if (this.fixture.tso && !this.#locked) {
      this.buffer.push(write);
      return;
    }
    this.#see(stopAt('store', write.word, 8));
    this.drain();
    this.#journal.writes.push(write);
  }

  /** A handler writes text through an alias, as the patcher does; a buffered store is of no use. */
  #writeText(at: Addr, size: Bytes, value: bigint): void {
    if (!this.#locked) throw new Unknown(`a plain store to patched text at ${hex(at)}`);
    this.#see(stopAt('store', 0, size));
    this.drain();
    const bytes = Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
    this.#journal.stores.push({ at, bytes });
  }

  /**
   * The store buffer reaches memory: event delivery, serialising and LOCKed instructions (SDM
   * volume 3, 12.10).
   */
  drain(): void {
    if (this.buffer.length === 0) return;
    this.#see(stopAt('store', 0, 8));
    this.#journal.writes.push(...this.buffer);
    this.buffer = [];
  }

  push(value: bigint): void {
    this.rsp -= 8;
    this.write(this.rsp, 8, value);
  }

  /** The word of a stack at an address. */
  #wordAt(at: Addr): number {
    const region = this.memory.region(at, 8);
    if (region === null)
      throw new Crash('rsp-off-stack', 'the stack pointer points where no stack is');
    return this.memory.wordOf(region, at);
  }

  called(at: Addr): void {
    this.memory.tags[this.#wordAt(at)] = 1;
  }
  serialise(): void {
    this.#journal.notes.push({ note: 'serialise' });
  }
  fault(breach: Breach, text: string): void {
    this.#judge.fault(breach, text);
  }

  // ----------------------------------------------------------------------------------------------
  // macro-steps

  /** The first image of a task, or of the task that patches. */
  start(as: 'task' | 'patcher'): number {
    const { start, environment, lockdepWord, patcher } = this.fixture;
    const { cpu, memory } = this;
    memory.clear();
    cpu.r.set(start.registers);
    this.rsp = start.rsp;
    cpu.rip = as === 'patcher' ? patcher : start.rip;
    cpu.flags = start.flags;
    cpu.user = environment === 'user';
    const shadow = memory.regions.find(({ name }) => name === 'shadow');
    cpu.ssp = shadow === undefined ? null : shadow.at + shadow.bytes;
    this.contexts = [newContext('task', start.rsp, cpu.ssp)];
    this.bits = this.nmiLevel = 0;
    this.put('patching', as === 'patcher');
    this.buffer = [];
    this.pending = null;
    if (environment === 'kernel') memory.words[lockdepWord] = 1n;
    return this.#settle();
  }

  /** From a state that was set up by hand to the first visible action. */
  #settle(): number {
    this.#open();
    return this.#run({}, false);
  }

  #open(): Journal {
    this.#journal = this.#judge.journal = newJournal();
    return this.#journal;
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

  /** The oldest store in the buffer reaches memory. */
  flush(id: number): Outcome {
    this.load(id);
    const { stop, at, length } = this.node(id);
    return this.#outcome(() => {
      this.#journal.writes.push(...this.buffer.splice(0, 1));
      return this.#images.save(this, { kind: stop, at, length });
    });
  }

  /**
   * The task of `id` is switched for that of `other`, which waits off the CPU. Registers, stack and
   * mask go with the task; the per-CPU area stays. Null where the scheduler cannot run: with stores
   * in its buffer, and in the kernel only with IF set and in no handler.
   */
  swap(id: number, other: number): { readonly on: number; readonly off: number } | null {
    const kernel = this.fixture.environment === 'kernel';
    this.load(id);
    if (this.buffer.length > 0) return null;
    if (kernel && (!this.on || this.is('shadow') || this.is('stopped') || !this.inTask))
      return null;
    this.pending = null;
    const area = this.#takeArea();
    const off = this.#settle();
    this.load(other);
    this.#putArea(area);
    return { on: this.#settle(), off };
  }

  /** Takes away the per-CPU area of the CPU, except lockdep's idea of IF, which is the task's. */
  #takeArea(): { readonly words: BigUint64Array; readonly tags: Uint32Array } {
    const [from, to] = this.#areaSpan();
    const { words, tags } = this.memory;
    const area = { words: words.slice(from, to), tags: tags.slice(from, to) };
    this.#putArea({ words: new BigUint64Array(to - from), tags: new Uint32Array(to - from) });
    return area;
  }
  #putArea(area: { readonly words: BigUint64Array; readonly tags: Uint32Array }): void {
    const [from] = this.#areaSpan();
    const { words, tags } = this.memory;
    // current->hardirqs_enabled: it belongs to the task, which runs with IF set on both sides.
    const { environment, lockdepWord } = this.fixture;
    const believed = words[lockdepWord]!;
    words.set(area.words, from);
    tags.set(area.tags, from);
    if (environment === 'kernel') words[lockdepWord] = believed;
  }
  #areaSpan(): readonly [number, number] {
    const area = this.memory.regions.find(({ kind }) => kind === 'percpu');
    return area === undefined ? [0, 0] : [area.first, area.first + area.bytes / 8];
  }

  #outcome(run: () => number): Outcome {
    const journal = this.#open();
    let next = -1;
    let unknown: string | null = null;
    try {
      next = run();
    } catch (error) {
      if (error instanceof Crash) this.fault(error.breach, error.message);
      else if (error instanceof Unknown) unknown = error.message;
      else throw error;
    }
    return { ...journal, next, unknown };
  }

  /** Until the next visible action; `first` says that the next action is allowed to be visible. */
  #run(input: Input, first: boolean): number {
    this.#input = first ? input : null;
    this.#first = first;
    for (let count = 0; count <= RUNAWAY; count++) {
      const stop = this.#standing() ?? this.#next();
      if (stop !== null) return this.#images.save(this, stop);
      this.#input = null;
      this.#first = false;
    }
    throw new Unknown(
      `more than ${RUNAWAY} instructions at ${hex(this.rip)} without anything visible`,
    );
  }

  /** Where the CPU gets no further by itself. */
  #standing(): Stop | null {
    const { done, patcher } = this.fixture;
    if (this.#journal.bad.some(endsPath)) return stopAt('dead');
    if (this.rip === done) this.put('done', true);
    if (this.is('done')) return stopAt('done');
    if (this.rip === patcher) return stopAt('patcher');
    return this.is('stopped') && this.inTask ? stopAt('local') : null;
  }

  /** One instruction or delivery of a trap, or why it must be the first of a macro-step. */
  #next(): Stop | null {
    const waits = !this.#first && this.grain.plain;
    if (this.is('trapped')) {
      if (waits) return stopAt('step');
      deliverTrap(this);
      return null;
    }
    const at = this.rip;
    if (this.pending !== null) {
      if (!this.#first) return stopAt('retire', at);
      const fetched = this.#decoder.fetched(this.pending);
      this.pending = null;
      return this.#step(fetched);
    }
    const site = this.fixture.siteAt(at);
    if (site >= 0) return this.#fetch(site);
    return waits ? stopAt('step') : this.#step(this.#decoder.at(at));
  }

  /** The instruction at a site, whose bytes the input brings. */
  #fetch(site: number): Stop | null {
    const { at, length, meant } = this.fixture.sites[site]!;
    const bytes = this.#input?.bytes;
    if (bytes === undefined) return stopAt('fetch', at, length);
    this.#judge.open(site);
    const fetched = this.#decoder.fetched(bytes);
    const own = bytes.slice(0, fetched.insn.length);
    const said = own.join();
    if (!meant.has(said)) {
      this.fault('mixture-executed', `a mixture is executed: ${spell(own)}`);
      return stopAt('dead');
    }
    if (fetched.key !== 'int3' && !this.fixture.transparent.has(said)) this.#judge.begin();
    if (!this.grain.split) return this.#step(fetched);
    this.pending = own;
    return stopAt('retire', at);
  }

  /** Executes one instruction, or says why it must wait to be the first of a macro-step. */
  #step({ insn, key, locked }: Decoded): Stop | null {
    const { cpu, fixture, rip, rsp, on } = this;
    if (!this.#first && this.#mustStop(key)) return stopAt(key === 'iretq' ? 'step' : 'local');
    // Back from an interrupt that came just before a target's first instruction is no new entry;
    // back from a trap is.
    const resumes = key === 'iretq' && this.top.kind !== 'trap';
    const enters = this.grain.split && TRANSFERS.has(key) && !resumes;
    const before = enters && !this.#first ? savedRegisters(cpu) : null;
    this.#locked = locked;
    let executed: Executed;
    try {
      if (locked && fixture.rules.draining.has('locked')) this.drain();
      executed = execute(insn, cpu, this);
    } catch (error) {
      if (error instanceof Visible) return error.stop;
      throw error;
    }
    this.steps++;
    if (before !== null && fixture.target(cpu.rip) >= 0) {
      restoreRegisters(cpu, before);
      return stopAt('enter');
    }
    this.put('shadow', false);
    if (executed === 'syscall') return this.#systemCall();
    if (CALLS.has(executed)) this.called(this.rsp);
    this.#act(executed, { at: rip, rsp, wasOn: on, key });
    this.#judgeStep(MOVES.has(executed) || (executed === 'iret' && !resumes));
    return null;
  }

  /** What interrupts or other CPUs may come before, though it touches no shared memory. */
  #mustStop(key: Decoded['key']): boolean {
    // What a handler has written to text may be fetched stale by an NMI until the IRET serialises.
    if (key === 'iretq') return this.fixture.handlersWrite;
    return (key === 'cli' || key === 'popfq') && this.on && this.fixture.environment === 'kernel';
  }

  #systemCall(): Stop | null {
    if (this.fixture.environment !== 'user') throw new Unknown('SYSCALL in the kernel');
    const fromTrap = this.top.kind === 'trap';
    if (systemCall(this, fromTrap && !this.#first && this.grain.split)) return stopAt('enter');
    this.#judgeStep(fromTrap);
    return null;
  }

  /** What the outcome of an instruction does beyond its own registers and memory. */
  #act(executed: Exclude<Executed, 'syscall'>, step: Step): void {
    const { rules } = this.fixture;
    switch (executed) {
      case 'next':
      case 'swapgs':
      case 'cli':
      case 'jump':
      case 'call':
        break;
      case 'popf':
        this.put('shadow', !rules.shadowOfStiAlone && !step.wasOn && this.on);
        break;
      case 'sti':
        this.put('shadow', rules.stiShadow && !step.wasOn);
        break;
      case 'jump-indirect':
      case 'call-indirect':
        this.#judgeIndirect(executed === 'jump-indirect' ? 'jump' : 'call', step.at);
        break;
      case 'return':
        this.#judgeReturn(step);
        break;
      case 'fence':
        if (rules.draining.has('fence')) this.drain();
        break;
      case 'serialise':
        if (rules.draining.has('serialise')) this.drain();
        if (rules.serialising.has('instruction')) this.serialise();
        break;
      case 'iret':
        this.#return(step.wasOn);
        break;
      case 'int3':
        trap(this);
        break;
      case 'undefined':
      case 'general-protection':
      case 'control-protection':
        throw this.#exception(executed, step);
      case 'halt':
        throw new Unknown('HLT');
      case 'sysret':
        throw new Unknown('SYSRET');
      default:
        unreachable(executed);
    }
  }

  /** IRET. */
  #return(wasOn: boolean): void {
    this.drain();
    leave(this);
    const shadowed = !this.fixture.rules.shadowOfStiAlone && !wasOn;
    this.put('shadow', this.on && (shadowed || this.is('held')));
    this.put('held', false);
  }

  #exception(
    what: 'undefined' | 'general-protection' | 'control-protection',
    { at, key }: Step,
  ): Crash {
    const { fixture } = this;
    switch (what) {
      case 'undefined':
        return fixture.isUnclaimed(at)
          ? new Crash('trap-unclaimed', 'a trap that the protocol planted is claimed by nobody')
          : new Crash('undefined-instruction', `#UD at ${fixture.nameOf(at)}`);
      case 'general-protection':
        return new Crash(
          'general-protection',
          `#GP at ${fixture.nameOf(at)}${key === 'iretq' ? ': the exception frame is damaged' : ''}`,
        );
      case 'control-protection':
        return new Crash('control-protection', `#CP at ${fixture.nameOf(at)}`);
    }
  }

  #judgeIndirect(what: 'jump' | 'call', at: Addr): void {
    if (!this.fixture.isRetpoline(at))
      this.fault('indirect-branch', `an indirect ${what} at ${this.fixture.nameOf(at)}`);
  }

  #judgeReturn({ at, rsp }: Step): void {
    const word = this.#wordAt(rsp);
    if ((this.memory.tags[word]! & 1) === 0 && !this.fixture.isRetpoline(at))
      this.fault('return-unmatched', `a return at ${this.fixture.nameOf(at)} that matches no call`);
    this.memory.tags[word] = 0;
  }

  /** @param moved whether control was transferred, so that it may have entered a target */
  #judgeStep(moved: boolean): void {
    const { fixture, rip } = this;
    const target = moved ? fixture.target(rip) : -1;
    if (target >= 0) this.#judge.enter(target);
    this.#judge.close();
    if (fixture.isProbe(rip)) this.#judge.probe();
    if (!this.is('trapped')) this.#judge.unwind();
  }
}

/** One instruction, as it was before it was executed. */
interface Step {
  readonly at: Addr;
  readonly rsp: Addr;
  readonly wasOn: boolean;
  readonly key: Decoded['key'];
}

const CALLS: ReadonlySet<Executed> = new Set(['call', 'call-indirect']);
const MOVES: ReadonlySet<Executed> = new Set([
  'jump',
  'jump-indirect',
  'call',
  'call-indirect',
  'return',
]);

type Saved = Pick<Cpu, 'rip' | 'flags' | 'ssp'> & { readonly r: BigUint64Array };

const savedRegisters = ({ r, rip, flags, ssp }: Cpu): Saved => ({ r: r.slice(), rip, flags, ssp });

function restoreRegisters(cpu: Cpu, { r, rip, flags, ssp }: Saved): void {
  cpu.r.set(r);
  cpu.rip = rip;
  cpu.flags = flags;
  cpu.ssp = ssp;
}

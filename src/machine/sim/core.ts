// Runs one CPU and the task on it. A core is loaded from an interned image, moved on by one
// macro-step, and saved. A macro-step performs one action that others can see or that depends on
// them, and runs on through instructions that touch only registers, this context's stack and
// constant memory, up to the next such action. Nothing of it depends on any other CPU but through
// the `Input`, so its outcome is remembered by (image, input).

import { hex } from '../../base/addr.js';
import { Access, Visible, type Input } from './access.js';
import { act } from './act.js';
import { Crash, Unknown, newContext, newJournal, type Journal, type Written } from './context.js';
import type { Cpu, Outcome as Executed } from './cpu.js';
import { Decoder, spell, type Decoded } from './decoder.js';
import { deliver, deliverTrap, systemCall, type Event } from './events.js';
import { execute } from './execute.js';
import type { Fixture } from './fixture.js';
import { Images } from './image.js';
import { stopAt, type Node, type Stop } from './node.js';
import type { Breach } from './promises.js';

export interface Outcome extends Written {
  /** The image afterwards; -1 where the path ends. */
  readonly next: number;
  /** The breach after which the machine cannot go on. */
  readonly crash: Breach | null;
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

/** How many instructions without a visible action a macro-step may run. */
const RUNAWAY = 20_000;

const TRANSFERS: ReadonlySet<string> = new Set(['call', 'jmp', 'ret', 'iretq', 'j{cc}']);

export class Core extends Access {
  readonly grain: Grain;
  readonly #images = new Images();
  readonly #decoder: Decoder;
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
    this.journal = this.judge.journal = newJournal();
    return this.journal;
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
      this.first = true;
      if (rules.draining.has('event')) this.drain();
      taken = deliver(this, event);
      return taken ? this.#run({}, false) : -1;
    });
    return taken ? outcome : null;
  }

  /** A CPU that stands before the instruction at a site has begun to fetch it. */
  open(id: number): Outcome {
    this.load(id);
    const { stop, at, length } = this.node(id);
    return this.#outcome(() => {
      this.#enter(this.fixture.siteAt(this.rip));
      return this.#images.save(this, { kind: stop, at, length });
    });
  }

  /** The oldest store in the buffer reaches memory. */
  flush(id: number): Outcome {
    this.load(id);
    const { stop, at, length } = this.node(id);
    return this.#outcome(() => {
      this.journal.writes.push(...this.buffer.splice(0, 1));
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
    let crash: Breach | null = null;
    let unknown: string | null = null;
    try {
      next = run();
    } catch (error) {
      if (error instanceof Crash) {
        crash = error.breach;
        this.fault(crash, error.message);
      } else if (!(error instanceof Unknown)) throw error;
      // Past a broken promise a CPU may go anywhere. That the model ends there ends this path only.
      else if (!this.is('damaged')) unknown = error.message;
    }
    // Field by field: a spread here took a tenth of the time of a step.
    const { notes, writes, stores, bad } = journal;
    return { notes, writes, stores, bad, next, crash, unknown };
  }

  /** Until the next visible action; `first` says that the next action is allowed to be visible. */
  #run(input: Input, first: boolean): number {
    this.input = first ? input : null;
    this.first = first;
    for (let count = 0; count <= RUNAWAY; count++) {
      const stop = this.#standing() ?? this.#next();
      if (stop !== null) return this.#images.save(this, stop);
      this.input = null;
      this.first = false;
    }
    throw new Unknown(
      `more than ${RUNAWAY} instructions at ${hex(this.rip)} without anything visible`,
    );
  }

  /** Where the CPU gets no further by itself. */
  #standing(): Stop | null {
    const { again, done, patcher } = this.fixture;
    // A task without an end must have come back from its pass where it goes round.
    if (this.rip === again && this.inTask) this.judge.abandoned();
    if (this.rip === done && !this.is('done')) {
      this.judge.abandoned();
      this.put('done', true);
    }
    if (this.is('done')) return stopAt('done');
    if (this.rip === patcher) return stopAt('patcher');
    return this.stands ? stopAt('local') : null;
  }

  /** One instruction or delivery of a trap, or why it must be the first of a macro-step. */
  #next(): Stop | null {
    const waits = !this.first && this.grain.plain;
    if (this.is('trapped')) {
      if (waits) return stopAt('step');
      deliverTrap(this);
      return null;
    }
    const at = this.rip;
    if (this.pending !== null) {
      if (!this.first) return stopAt('retire', at);
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
    const { at: from, meant } = this.fixture.sites[site]!;
    const at = this.rip;
    const bytes = this.input?.bytes;
    if (bytes === undefined) return stopAt('fetch', at, this.fixture.endOf(site, at) - at);
    const inner = this.#enter(site);
    const fetched = this.#decoder.fetched(bytes);
    const own = bytes.slice(0, fetched.insn.length);
    const said = own.join();
    // Where a mixed displacement leads is no part of the model, so the path ends here.
    if (meant.get(at - from)?.has(said) !== true && !this.fixture.isAlso(own))
      throw new Crash('mixture-executed', `a mixture is executed: ${spell(own)}`);
    if (fetched.key === 'int3') this.journal.notes.push({ note: 'trap', level: this.level });
    else if (inner) this.judge.goOn();
    else if (!this.fixture.transparent.has(said)) this.judge.begin();
    if (!this.grain.split) return this.#step(fetched);
    this.pending = own;
    return stopAt('retire', at);
  }

  /**
   * A pass over the site opens, unless one is under way and this is a later instruction of its
   * text.
   * @returns whether it is
   */
  #enter(site: number): boolean {
    const { at, entry } = this.fixture.sites[site]!;
    const inner = this.rip !== at + entry && this.top.site === site;
    if (!inner) this.judge.open(site);
    return inner;
  }

  /** Executes one instruction, or says why it must wait to be the first of a macro-step. */
  #step({ insn, key, locked }: Decoded): Stop | null {
    const { cpu, fixture, rip, rsp, on } = this;
    if (!this.first && this.#mustStop(key)) return stopAt(key === 'iretq' ? 'step' : 'local');
    // Back from an interrupt that came just before a target's first instruction is no new entry;
    // back from a trap is.
    const resumes = key === 'iretq' && this.top.kind !== 'trap';
    const enters = this.grain.split && TRANSFERS.has(key) && !resumes;
    const before = enters && !this.first ? savedRegisters(cpu) : null;
    this.locked = locked;
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
    act(this, executed, { at: rip, rsp, wasOn: on, key });
    this.#judgeStep(MOVES.has(executed) || (executed === 'iret' && !resumes));
    return null;
  }

  /** What interrupts or other CPUs may come before, though it touches no shared memory. */
  #mustStop(key: Decoded['key']): boolean {
    // What a handler has written to text may be fetched stale by an NMI until the IRET serialises.
    if (key === 'iretq') return this.fixture.handlersShow;
    return (key === 'cli' || key === 'popfq') && this.on && this.fixture.environment === 'kernel';
  }

  #systemCall(): Stop | null {
    if (this.fixture.environment !== 'user') throw new Unknown('SYSCALL in the kernel');
    const fromTrap = this.top.kind === 'trap';
    if (systemCall(this, fromTrap && !this.first && this.grain.split)) return stopAt('enter');
    this.#judgeStep(fromTrap);
    return null;
  }

  /** @param moved whether control was transferred, so that it may have entered a target */
  #judgeStep(moved: boolean): void {
    const { fixture, rip } = this;
    const target = moved ? fixture.target(rip) : -1;
    if (target >= 0) this.judge.enter(target);
    this.judge.close();
    if (fixture.isProbe(rip)) this.judge.probe();
    if (!this.is('trapped')) this.judge.unwind();
  }
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

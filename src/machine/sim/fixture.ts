// The program under test and the world around it, for one configuration: functions with a patched
// site, called by a task in a loop and by the interrupts, NMIs or signals of the configuration; the
// targets; the entry code of the environment; the protocol's handler and its tables.

import { bitsFromAddr, type Addr } from '../../base/addr.js';
import { assemble, place, type CfaRule } from '../../asm/assembler.js';
import { PERCPU, POKE } from '../../trap/kernel.js';
import { Code, type Span } from './code.js';
import { FLAG, REG } from './cpu.js';
import { type Events, type FixtureOptions } from './options.js';
import { TARGETS, type Environment } from './settings.js';
import { kernelProgram, unclaimedCode, userProgram } from './programs.js';
import type { Rules } from './rules.js';
import { firstOf, placeSites, type FixtureSite } from './sites.js';
import {
  SPACES,
  istTop,
  regionsOf,
  shadowIstTop,
  type Region,
  type Shared,
  type Space,
  type Write,
} from './space.js';
import { CLAIM, tablesOf, type Tables } from './tables.js';
import type { Sequence } from './tour.js';

/** Where each piece of code lies, from the start of the text. */
const TEXT = { program: 0x1000, unclaimed: 0x5000, handler: 0x6000 } as const;

interface Gates {
  readonly trap: Addr;
  readonly irq: Addr;
  readonly nmi: Addr;
  readonly mc: Addr;
  readonly db: Addr;
  readonly signal: Addr;
}

interface Start {
  readonly rip: Addr;
  readonly rsp: Addr;
  readonly flags: number;
  readonly registers: readonly bigint[];
}

/** Where the program has no entry of its own for a trap, its handler is the entry. */
function gatesOf(program: ReadonlyMap<string, Addr>, handler: Addr): Gates {
  const gate = (name: string): Addr => program.get(name) ?? 0;
  return {
    trap: gate('trap') || handler,
    irq: gate('irq'),
    nmi: gate('nmi'),
    mc: gate('mc'),
    db: gate('db'),
    signal: gate('signal'),
  };
}

const within = ({ from, to }: Span, at: Addr): boolean => at >= from && at < to;

/** Whether some of `size` bytes at an address lie in a site, or in fresh code that it leads to. */
const isIn = ({ at: from, length, fresh }: FixtureSite, at: Addr, size: number): boolean =>
  (at < from + length && at + size > from) ||
  (fresh !== null && at < fresh.at + fresh.length && at + size > fresh.at);

export class Fixture {
  readonly options: FixtureOptions;
  readonly environment: Environment;
  readonly events: Events;
  readonly nmiRaw: boolean;
  readonly tso: boolean;
  readonly shadowStacks: boolean;
  readonly rules: Rules;
  readonly regions: readonly Region[];
  readonly shared: Shared;
  readonly sites: readonly FixtureSite[];
  readonly gsBase: Addr;
  readonly lockdepWord: number;
  readonly stash: ReadonlySet<number>;
  /** Its handler keeps data for one emulated call somewhere. */
  readonly stashes: boolean;
  /** Handlers may write shared data or text: those that share words with the steps. */
  readonly handlersWrite: boolean;
  /**
   * Other CPUs can tell how far a handler is: it writes, or acknowledges what they wait for. So
   * each step of it may be interrupted.
   */
  readonly handlersShow: boolean;
  readonly gates: Gates;
  readonly restorer: Addr;
  /** Planted instructions, as joined bytes: a call does not begin with one. */
  readonly transparent: ReadonlySet<string>;
  readonly start: Start;
  /** Numbers (index into TARGETS) of the targets that successive updates set, the initial first. */
  readonly sequence: readonly number[];
  /** Where updates have no end: the number of each of these states (tour.ts). */
  readonly nodes: Sequence['nodes'];
  readonly restarts: Sequence['restarts'];
  readonly done: Addr;
  /** Where a task without an end goes round; NaN for one that ends. */
  readonly again: Addr;
  /** Where the task that patches stands between its steps, and where its own pass begins. */
  readonly patcher: Addr;
  readonly ownPass: Addr;
  readonly #space: Space;
  readonly code = new Code();
  readonly #tables: Tables;
  readonly #targets: ReadonlyMap<Addr, number>;
  readonly #probes: ReadonlySet<Addr>;
  /** Entry code of the environment: everything of the program behind its tasks. */
  readonly #program: Span;
  readonly #bottom: Span;
  /** Where traps end that nothing claims. */
  readonly #stray: Addr;
  readonly #retpoline: Span;
  readonly #nmiTail: Span;

  constructor(options: FixtureOptions) {
    const { environment, handler } = options;
    this.options = options;
    this.environment = environment;
    this.events = options.events;
    this.nmiRaw = options.nmiRaw;
    this.tso = options.tso;
    this.shadowStacks = options.shadowStacks;
    this.rules = options.rules;
    this.#space = SPACES[environment];
    this.gsBase = this.#space.percpu;
    this.handlersWrite = Object.keys(handler?.words ?? {}).length > 0;
    this.handlersShow = this.handlersWrite || options.acknowledged;
    this.transparent = new Set(options.heads.map(firstOf));

    const { sites, targets, functions, states, nodes, restarts, retpoline } = placeSites(
      this.code,
      options,
      this.#space,
    );
    this.sites = sites;
    this.sequence = states.map((name) => TARGETS.indexOf(name));
    this.nodes = nodes;
    this.restarts = restarts;
    this.#targets = targets;
    this.#retpoline = retpoline;

    const program = this.#placeProgram(functions.at(-1) ?? functions[0]);
    const labelled = (name: string): Addr => program.get(name) ?? NaN;
    const probes = [program.get('probe'), program.get('irq.probe')];
    this.#probes = new Set([...targets.keys(), ...probes.filter((at) => at !== undefined)]);
    this.done = labelled('done');
    this.again = labelled('again');
    this.patcher = labelled('patcher');
    this.ownPass = labelled('patcher.pass');
    this.restorer = labelled('restorer');
    this.#nmiTail = { from: labelled('nmi.tail'), to: labelled('nmi.end') };
    this.#bottom = { from: labelled('task'), to: labelled('bottom') + 1 };
    const { at, bytes } = this.code.blob('program');
    this.#program = { from: at, to: at + bytes.length };
    const { unclaimed, stray } = this.#placeUnclaimed(program.get('foreign') ?? null);
    this.#stray = stray;
    const handlerAt = this.#placeHandler(unclaimed);
    this.gates = gatesOf(program, handlerAt);

    this.regions = regionsOf(options);
    const percpu = this.regions.find(({ kind }) => kind === 'percpu');
    const inPercpu = (offset: number) => (percpu?.first ?? 0) + offset / 8;
    this.lockdepWord = percpu === undefined ? 0 : inPercpu(PERCPU.lockdep);
    this.stash = new Set(percpu === undefined ? [] : (handler?.stash ?? []).map(inPercpu));
    this.stashes = this.stash.size + (handler?.globals ?? []).length > 0;

    this.#tables = tablesOf({
      options,
      sites,
      states,
      code: this.code,
      data: this.#space.data,
      unclaimed,
    });
    const { initial, sink, targets: read, globals } = this.#tables;
    const mutable = this.#mutable();
    this.shared = { at: this.#space.data, initial, mutable, sink, targets: read, globals };
    this.start = this.#startOf(labelled('task'));
  }

  /** The tasks, and what interrupts them. */
  #placeProgram(second: string): ReadonlyMap<string, Addr> {
    const { environment, handler, program } = this.options;
    const tested =
      environment === 'kernel'
        ? kernelProgram(second, handler?.counts ?? null, this.options)
        : userProgram(second, this.options);
    const { text, data } = this.#space;
    return this.code.add('program', text + TEXT.program, program?.program ?? tested, {
      ...this.code.symbols,
      table: data,
      stray: text + TEXT.unclaimed,
    });
  }

  /**
   * Where a trap goes that the handler does not claim; `stray` is where one ends that nothing
   * claims.
   */
  #placeUnclaimed(foreign: Addr | null): { unclaimed: Addr; stray: Addr } {
    const resume = foreign === null ? null : (this.options.handler?.resume ?? null);
    const at = this.#space.text + TEXT.unclaimed;
    const symbols = { foreign: foreign ?? 0 };
    this.code.add('unclaimed', at, unclaimedCode(resume), symbols, [{ from: 0, to: 0x100 }]);
    return { unclaimed: this.code.labelled('unclaimed'), stray: this.code.labelled('stray') };
  }

  /** The protocol's handler, if it has one. @returns where traps go */
  #placeHandler(unclaimed: Addr): Addr {
    const { handler } = this.options;
    if (handler === null) return unclaimed;
    const at = this.#space.text + TEXT.handler;
    const symbols = { ...this.code.symbols, unclaimed, table: this.#space.data };
    const code = assemble(handler.program, { at, symbols });
    const bytes = place(
      code,
      Object.fromEntries(code.words.map(({ name }) => [name, this.#wordValue(name)])),
    );
    const from = code.labels.get('entry') ?? 0;
    const to = code.labels.get('leave') ?? bytes.length;
    this.code.put({ name: 'handler', at, bytes, cfa: code.cfa, exempt: [{ from, to }] });
    for (const [name, offset] of code.labels) this.code.name(`handler.${name}`, at + offset);
    return at + from;
  }

  #wordValue(name: string): bigint {
    if (name === 'table' || name === 'data') return bitsFromAddr(this.#space.data);
    if (name === 'end') return bitsFromAddr(this.sites[0]!.at + this.sites[0]!.length);
    return bitsFromAddr(this.code.labelled(name));
  }

  /** Words of the shared data that some step or handler writes. */
  #mutable(): ReadonlySet<number> {
    const { handler, program, spin, tornDown } = this.options;
    const mutable = new Set(Object.values(handler?.words ?? {}).map((offset) => offset / 8));
    for (let update = 1; update < this.sequence.length; update++)
      for (const cycle of this.#tables.published[update]!.keys())
        for (const { word } of this.publish(update, cycle)) mutable.add(word);
    for (const { word } of tornDown ? this.retire() : []) mutable.add(word);
    for (const word of program?.words ?? []) mutable.add(word);
    if (spin) mutable.add(POKE.lock / 8);
    return mutable;
  }

  #startOf(rip: Addr): Start {
    const registers = Array.from({ length: 16 }, (_, n) => BigInt(0x1111 * (n + 1)));
    // A task without end has nothing to count.
    const { passes } = this.options;
    registers[REG.rbx] = BigInt(passes === 'any' ? 1 : passes);
    // At the call of f the stack is off by eight and inside f it is aligned to 16, as the psABI
    // (3.2.2) wants it at a call.
    const rsp = this.#space.stack + this.#space.stackBytes - 8;
    return { rip, rsp, flags: FLAG.one | FLAG.if, registers };
  }

  /** The stores of `publish` for the nth update, in one of its cycles. */
  publish(update: number, cycle: number): readonly Write[] {
    const { published, claim } = this.#tables;
    const claimed = this.options.tornDown ? [{ word: CLAIM, value: claim }] : [];
    return [...(published[update]?.[cycle] ?? []), ...claimed];
  }

  retire(): readonly Write[] {
    return [{ word: CLAIM, value: 0n }];
  }

  /** The number of a word that the handler shares by name; null where it has none. */
  word(name: string): number | null {
    const offset = this.options.handler?.words[name];
    return offset === undefined ? null : offset / 8;
  }

  /** Whether the protocol says of these bytes that they may be executed at a site. */
  isAlso(bytes: readonly number[]): boolean {
    return this.options.also.some(
      (pattern) =>
        pattern.length === bytes.length &&
        pattern.every((byte, i) => byte === null || byte === bytes[i]),
    );
  }

  /** A byte of code as it was at the start. */
  byte(at: Addr): number | undefined {
    return this.code.byte(at);
  }
  /** The site of which an instruction may begin at an address, or -1. */
  siteAt(at: Addr): number {
    for (let i = 0; i < this.sites.length; i++) {
      const site = this.sites[i]!;
      if (isIn(site, at, 1) && site.meant.has(at - site.at)) return i;
    }
    return -1;
  }
  /** Where the bytes of a site end that lie together with an address: its own, or fresh code. */
  endOf(site: number, at: Addr): Addr {
    const { at: from, length, fresh } = this.sites[site]!;
    return fresh !== null && at >= fresh.at ? fresh.at + fresh.length : from + length;
  }
  isPatchable(at: Addr, size: number): boolean {
    return this.sites.some((site) => site.patched && isIn(site, at, size));
  }
  /** The number of the target that begins there, or -1. */
  target(at: Addr): number {
    return this.#targets.get(at) ?? -1;
  }
  /** Whether code of the program may ask lockdep there. */
  isProbe(at: Addr): boolean {
    return this.#probes.has(at);
  }
  isUnclaimed(at: Addr): boolean {
    return at === this.#stray;
  }
  isNmiTail(at: Addr): boolean {
    return within(this.#nmiTail, at);
  }
  isRetpoline(at: Addr): boolean {
    return within(this.#retpoline, at);
  }
  /** Entry code of the environment: its rules hold at its calls only. */
  isEntry(at: Addr): boolean {
    return within(this.#program, at) && !this.isBottom(at);
  }
  /** Code where the chain of calls ends. */
  isBottom(at: Addr): boolean {
    return within(this.#bottom, at);
  }
  /** How the caller's frame is found at an instruction (code.ts). */
  rule(at: Addr): CfaRule | 'exempt' | null {
    return this.code.rule(at);
  }
  /** For people: a label and an offset. */
  nameOf(at: Addr): string {
    return this.code.nameOf(at);
  }
  ist(kind: 'nmi' | 'mc' | 'db', level: number): Addr {
    return istTop(this.#space, kind, level);
  }
  shadowIst(kind: string, level: number): Addr {
    return shadowIstTop(this.#space, kind, level);
  }
}

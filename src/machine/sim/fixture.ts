// The program under test and the world around it, for one configuration: a function with one
// patched site, called by a task in a loop and by the interrupts, NMIs or signals of the
// configuration; the targets; the entry code of the environment; the protocol's handler and its
// tables. Everything that runs is bytes from the assembler. Registers hold sentinels, so that a
// handler that changes one is seen.

import type { Addr } from '../../base/addr.js';
import { bitsFromAddr } from '../../base/addr.js';
import { invariant } from '../../base/invariant.js';
import {
  assemble,
  bytes,
  cfa,
  gs,
  label,
  mem,
  mem32,
  place,
  rip,
  type CfaRule,
  type Program,
} from '../../asm/assembler.js';
import { ENTRY, FRAME, PERCPU, POKE } from '../../trap/kernel.js';
import {
  DATA,
  RECORD,
  TABLE,
  SLOT,
  emulationWord,
  slotWord,
  type Emulation,
} from '../../trap/registry.js';
import { retpoline } from '../../trap/retpoline.js';
import { SITE_FORMS, emit } from '../../x86/forms.js';
import { decode } from '../../asm/decode.js';
import { INT3 } from '../../asm/table.js';
import { FLAG } from './cpu.js';
import { UCONTEXT_REGS } from './sigframe.js';
import type { Rules } from './rules.js';
import {
  regions,
  type Blob,
  type Region,
  type RegionKind,
  type Shared,
  type Write,
} from './memory.js';

export type Environment = 'kernel' | 'user';
export type SiteShape = 'call' | 'jmp' | 'null' | 'ret0';

/** What may stand at a site: a target by name, nothing, or "return 0". */
export const TARGETS = ['A', 'B', 'C', 'null', 'ret0'] as const;
export type TargetName = (typeof TARGETS)[number];

/** The states that successive updates go through. */
const SEQUENCES: Readonly<Record<SiteShape, readonly TargetName[]>> = {
  call: ['A', 'B', 'C'],
  jmp: ['A', 'B', 'C'],
  null: ['null', 'A', 'null'],
  ret0: ['ret0', 'A', 'ret0'],
};

export interface FixtureOptions {
  readonly environment: Environment;
  readonly site: SiteShape;
  readonly passes: number;
  readonly updates: number;
  readonly events: Events;
  readonly nmiRaw: boolean;
  readonly tso: boolean;
  readonly shadowStacks: boolean;
  /**
   * The table of traps is claimed only while an update runs, by `publish` and `retire`; else for
   * ever.
   */
  readonly tornDown: boolean;
  /** The trap handler and what it must find; null for a protocol that plants no trap. */
  readonly handler: FixtureHandler | null;
  /**
   * What is patched: the site itself, the trampoline that it calls, or only the pointer that it
   * calls through.
   */
  readonly via: 'site' | 'trampoline' | 'pointer' | 'retpoline';
  /** Functions with a site: one, or two where interrupts and signals pass the second. */
  readonly functions: 1 | 2;
  /** How the handler's table lists the sites. */
  readonly order: 'sorted' | 'unsorted' | 'duplicate';
  /**
   * The table says of a tail site that it calls: the flag was lost on the way (68b1eddd421d, in
   * v5.12).
   */
  readonly lostTail: boolean;
  /**
   * How the task treats IF: a spin with IF clear on the updater's lock is what B25 of the facts
   * describes.
   */
  readonly spin: boolean;
  /**
   * The program has an int3 of its own, which belongs to the handler before ours, or to the
   * kernel's notifiers behind it.
   */
  readonly foreign: boolean;
  /** Offset of the site in its cache line. */
  readonly offset: number;
  readonly rules: Rules;
  /** What runs in place of the program under test, if anything. */
  readonly program: FixtureProgram | null;
  /** Bytes other than old, new and int3 that the protocol stores as an instruction of its own. */
  readonly planted: readonly (readonly number[])[];
}

export interface FixtureHandler {
  /** Labels `entry` and `leave` as kernel.ts says; a SIGTRAP handler begins at its first byte. */
  readonly program: Program;
  /** In the kernel: how a trap ends that was another's (kernel.ts). */
  readonly resume: Program | null;
  readonly tables: 'poke' | 'registry';
  /** GS offsets of its stashes. */
  readonly stash: readonly number[];
  /**
   * Words of the POKE table that `publish` fills for the first site: `bytes` are its new ones, with
   * the first old one above them.
   */
  readonly globals: readonly {
    readonly offset: number;
    readonly holds: 'target' | 'end' | 'bytes';
  }[];
  /**
   * Offsets of words that it shares with the steps of a protocol, by the names that those use. Zero
   * at first.
   */
  readonly words: Readonly<Record<string, number>>;
  /** What the entry code of every event counts for it. */
  readonly counts: 'nmi' | 'level' | null;
}

/** A small program of its own, for a question about the machine and not about a protocol. */
export interface FixtureProgram {
  /**
   * Labels: `task` and `done`; `irq`, `nmi`, `trap`, `signal`, `restorer` where there are such
   * events; `previous`, a handler of SIGTRAP before the protocol's. Outside: `f`, `table`.
   */
  readonly program: Program;
  readonly target: (name: string) => Program;
  /** Words behind `table` that it writes. */
  readonly words: readonly number[];
}

export interface Events {
  readonly irq: boolean;
  readonly nmi: boolean;
  readonly mc: boolean;
  readonly db: boolean;
  readonly preempt: boolean;
  readonly signal: boolean;
}

export interface FixtureSite {
  readonly at: Addr;
  readonly length: number;
  readonly kind: 'call' | 'jmp';
  /** Whether some step may write it; where only a pointer changes, none does. */
  readonly patched: boolean;
  /** Instructions that may be executed there, as joined bytes. */
  readonly meant: ReadonlySet<string>;
  /** Full contents of the site in each state of the sequence. */
  readonly contents: readonly (readonly number[])[];
}

const SENTINEL = 0x5a5a;
const KERNEL = {
  text: -0x7f000000,
  data: -0x7e000000,
  stack: -0x36ffffff8000,
  percpu: -0x77fffff00000,
  ist: -0x1ffffffe000,
  shadow: -0x36ffffff0000,
} as const;
const USER = {
  text: 0x401000,
  data: 0x600000,
  stack: 0x7ffc00000000,
  percpu: 0,
  ist: 0,
  shadow: 0x7ff700000000,
} as const;
const STACK_BYTES = { kernel: 1024, user: 4096 } as const;
const IST_BYTES = 512;
/** Where a trap goes that nobody claims, from the start of the text. */
const UNCLAIMED = 0x5000;
const SHADOW_BYTES = 256;

export class Fixture {
  readonly environment: Environment;
  readonly options: FixtureOptions;
  readonly events: Events;
  readonly nmiRaw: boolean;
  readonly tso: boolean;
  readonly shadowStacks: boolean;
  readonly rules: Rules;
  readonly blobs: Blob[] = [];
  readonly regions: readonly Region[];
  readonly shared: Shared;
  readonly sites: readonly FixtureSite[];
  readonly gsBase: Addr;
  readonly lockdepWord: number;
  readonly stash: ReadonlySet<number>;
  /** Handlers may write shared data or text: those that share words with the steps. */
  readonly handlersWrite: boolean;
  readonly gates: {
    readonly trap: Addr;
    readonly irq: Addr;
    readonly nmi: Addr;
    readonly mc: Addr;
    readonly db: Addr;
    readonly signal: Addr;
  };
  readonly restorer: Addr;
  readonly transparent: ReadonlySet<string>;
  readonly start: {
    readonly rip: Addr;
    readonly rsp: Addr;
    readonly flags: number;
    readonly registers: readonly bigint[];
  };
  /** State numbers (index into TARGETS) of the sequence, the initial one first. */
  readonly sequence: readonly number[];
  readonly #targets = new Map<Addr, number>();
  readonly #labels = new Map<string, Addr>();
  readonly #probes = new Set<Addr>();
  readonly done: Addr;
  /** Where the task that patches stands between its steps, and where its own pass begins. */
  readonly patcher: Addr;
  readonly ownPass: Addr;
  readonly #bottom: readonly [Addr, Addr];
  /** Where traps go that the handler does not claim; where those end that nobody claims. */
  readonly #unclaimed: Addr;
  readonly #stray: Addr;
  #retpoline: readonly [Addr, Addr] = [0, 0];
  readonly #nmiTail: readonly [Addr, Addr];
  readonly #tables: Tables;
  readonly #space: {
    readonly text: Addr;
    readonly data: Addr;
    readonly stack: Addr;
    readonly percpu: Addr;
    readonly ist: Addr;
    readonly shadow: Addr;
  };

  constructor(options: FixtureOptions) {
    this.options = options;
    ({
      environment: this.environment,
      events: this.events,
      nmiRaw: this.nmiRaw,
      tso: this.tso,
      shadowStacks: this.shadowStacks,
      rules: this.rules,
    } = options);
    const kernel = options.environment === 'kernel';
    this.#space = kernel ? KERNEL : USER;
    this.handlersWrite = Object.keys(options.handler?.words ?? {}).length > 0;
    const { text } = this.#space;
    this.gsBase = this.#space.percpu;

    // The sites: one in f, which the task and its interrupts call; with two, one in g, which NMIs
    // and signals call.
    const { via } = options;
    const kind = options.site === 'jmp' || via === 'trampoline' ? 'jmp' : 'call';
    const names = options.functions === 2 ? ['f', 'g'] : ['f'];
    const places = names.map((name, i) => {
      const at = text + 0x2000 + i * 0x80 + options.offset;
      this.#labels.set(name, at);
      // A trampoline is aligned to 8: its jump is always inside one quadword.
      return { name, at, patched: via === 'trampoline' ? text + 0x2800 + 8 * i : at };
    });
    const siteAt = (places[0] as { patched: Addr }).patched;
    for (const [name, distance] of Object.entries(DISTANCES)) {
      const at = siteAt + 5 + distance;
      this.#add(name, at, options.program?.target(name) ?? targetCode(name), {}, []);
      this.#targets.set(at, TARGETS.indexOf(name as TargetName));
      this.#probes.add(at);
    }
    this.sequence = SEQUENCES[options.site]
      .slice(0, options.updates + 1)
      .map((name) => TARGETS.indexOf(name));
    const own = (bytes: readonly number[]): string => {
      const insn = decode(bytes);
      invariant(typeof insn !== 'string', 'a site holds an instruction');
      return bytes.slice(0, insn.length).join();
    };
    const planted = options.planted.map((bytes) => own(bytes));
    this.transparent = new Set(planted);
    const caller: Blob['cfa'] = [{ offset: 0, rule: { kind: 'call', base: 'rsp', offset: 8 } }];
    this.sites = places.map(({ name, at, patched }) => {
      if (via === 'pointer' || via === 'retpoline') {
        // The nop is where the pass begins; the pointer is read behind it. R11 may change at a
        // call.
        const call: Program = via === 'pointer' ? [['call', 'r11']] : [['call', 'thunk']];
        const code = assemble(
          [
            ['nop'],
            ['mov', 'r11', rip('pointer')],
            ...call,
            label('end'),
            ['ret'],
            ...(via === 'pointer' ? [] : [label('thunk'), ...retpoline('r11')]),
          ],
          { at, symbols: { pointer: this.#space.data + POINTER } },
        );
        this.blobs.push({ name, at, bytes: code.bytes, cfa: [...caller, ...code.cfa], exempt: [] });
        this.#retpoline = [
          at + (code.labels.get('retpoline') ?? 0),
          at + (code.labels.get('retpoline.end') ?? 0),
        ];
        return {
          at,
          length: code.labels.get('end') as number,
          kind,
          patched: false,
          contents: this.sequence.map(() => []),
          meant: new Set([own([0x90])]),
        };
      }
      const contents = this.sequence.map((state) => this.#contents(kind, patched, state));
      const bytes = contents[0] as number[];
      if (via === 'trampoline') {
        const distance = patched - (at + 5);
        this.#blob(
          name,
          at,
          [
            0xe8,
            distance & 0xff,
            (distance >> 8) & 0xff,
            (distance >> 16) & 0xff,
            (distance >> 24) & 0xff,
            0xc3,
          ],
          [],
          caller,
        );
        this.#blob(`${name}.trampoline`, patched, bytes, [], caller);
        this.#labels.set(`${name}.trampoline`, patched);
      } else this.#blob(name, at, [...bytes, ...(kind === 'call' ? [0xc3] : [])], [], caller);
      return {
        at: patched,
        length: 5,
        kind,
        patched: true,
        contents,
        meant: new Set([...contents.map(own), String(INT3), ...planted]),
      };
    });

    const g = names.at(-1) as string;
    const counts = options.handler?.counts ?? null;
    const program = this.#add(
      'program',
      text + 0x1000,
      options.program?.program ??
        (kernel ? kernelProgram(counts, g, options) : userProgram(g, options)),
      { ...Object.fromEntries(this.#labels), table: this.#space.data, stray: text + UNCLAIMED },
      [],
    );
    for (const name of ['probe', 'irq.probe'])
      if (program.has(name)) this.#probes.add(program.get(name) as Addr);
    const foreign = program.get('foreign') ?? null;
    const unclaimed = this.#add(
      'unclaimed',
      text + UNCLAIMED,
      unclaimedCode(foreign === null ? null : (options.handler?.resume ?? null)),
      { foreign: foreign ?? 0 },
      [{ from: 0, to: 0x100 }],
    );
    this.#stray = unclaimed.get('stray') as Addr;
    this.#unclaimed = unclaimed.get('unclaimed') as Addr;
    this.#nmiTail = [program.get('nmi.tail') ?? 0, program.get('nmi.end') ?? 0];
    this.done = program.get('done') as Addr;
    this.patcher = program.get('patcher') ?? NaN;
    this.ownPass = program.get('patcher.pass') ?? NaN;
    this.#bottom = [program.get('task') as Addr, program.get('bottom') as Addr];
    this.restorer = program.get('restorer') ?? NaN;

    // The protocol's handler and its tables.
    const stash = new Set<number>();
    const handlerAt = text + 0x6000;
    let entry = this.#unclaimed;
    if (options.handler !== null) {
      const code = assemble(options.handler.program, {
        at: handlerAt,
        symbols: { unclaimed: this.#unclaimed, table: this.#space.data },
      });
      const bytes = place(
        code,
        Object.fromEntries(code.words.map(({ name }) => [name, this.#wordValue(name)])),
      );
      const from = code.labels.get('entry') ?? 0;
      const to = code.labels.get('leave') ?? bytes.length;
      this.blobs.push({
        name: 'handler',
        at: handlerAt,
        bytes,
        cfa: code.cfa,
        exempt: [{ from, to }],
      });
      for (const [name, offset] of code.labels)
        this.#labels.set(`handler.${name}`, handlerAt + offset);
      entry = handlerAt + from;
    }
    const gate = (name: string): Addr => program.get(name) ?? 0;
    this.gates = {
      trap: gate('trap') || entry,
      irq: gate('irq'),
      nmi: gate('nmi'),
      mc: gate('mc'),
      db: gate('db'),
      signal: gate('signal'),
    };

    const list: { name: string; kind: RegionKind; at: Addr; bytes: number }[] = [
      {
        name: 'stack',
        kind: 'stack',
        at: this.#space.stack,
        bytes: STACK_BYTES[options.environment],
      },
    ];
    if (kernel) {
      list.push({ name: 'percpu', kind: 'percpu', at: this.#space.percpu, bytes: PERCPU.size });
      const ists = [
        ...(options.events.nmi ? ['nmi0', 'nmi1'] : []),
        ...(options.events.mc ? ['mc0'] : []),
        ...(options.events.db ? ['db0'] : []),
      ];
      for (const name of ists)
        list.push({
          name,
          kind: 'stack',
          at: this.#space.ist + IST_NAMES.indexOf(name) * 0x1000,
          bytes: IST_BYTES,
        });
      if (options.shadowStacks)
        for (const name of ists)
          list.push({
            name: `shadow.${name}`,
            kind: 'shadow',
            at: this.#space.shadow + (1 + IST_NAMES.indexOf(name)) * 0x1000,
            bytes: SHADOW_BYTES,
          });
    }
    if (options.shadowStacks)
      list.push({ name: 'shadow', kind: 'shadow', at: this.#space.shadow, bytes: SHADOW_BYTES });
    this.regions = regions(list);
    const percpu = this.regions.find(({ name }) => name === 'percpu');
    this.lockdepWord = percpu === undefined ? 0 : percpu.first + PERCPU.lockdep / 8;
    if (percpu !== undefined)
      for (const offset of options.handler?.stash ?? []) stash.add(percpu.first + offset / 8);
    this.stash = stash;

    this.#tables =
      via === 'pointer' || via === 'retpoline'
        ? this.#pointerTables()
        : options.handler?.tables === 'registry'
          ? this.#registryTables(kind)
          : this.#pokeTables(kind);
    const { initial, sink, targets } = this.#tables;
    const mutable = new Set<number>();
    for (let update = 1; update <= options.updates; update++)
      for (const { word } of this.publish(update)) mutable.add(word);
    for (const { word } of options.tornDown ? this.retire() : []) mutable.add(word);
    for (const offset of Object.values(options.handler?.words ?? {})) mutable.add(offset / 8);
    for (const word of options.program?.words ?? []) mutable.add(word);
    if (options.spin) mutable.add(POKE.lock / 8);
    this.shared = { at: this.#space.data, initial, mutable, sink, targets };

    const stack = this.#space.stack + STACK_BYTES[options.environment];
    const registers = Array.from({ length: 16 }, (_, n) => BigInt(0x1111 * (n + 1)));
    registers[3] = BigInt(options.passes);
    // At the call of f the stack is off by eight and inside f it is aligned to 16, as the psABI
    // (3.2.2) wants it at a call.
    this.start = {
      rip: program.get('task') as Addr,
      rsp: stack - 8,
      flags: FLAG.one | FLAG.if,
      registers,
    };
  }

  #wordValue(name: string): bigint {
    if (name === 'table' || name === 'data') return bitsFromAddr(this.#space.data);
    const at = this.#labels.get(name);
    invariant(
      at !== undefined,
      `the handler asks for a word ${name} that the fixture does not know`,
    );
    return bitsFromAddr(at);
  }

  #add(
    name: string,
    at: Addr,
    program: Program,
    symbols: Record<string, Addr>,
    exempt: readonly { from: number; to: number }[],
  ): Map<string, Addr> {
    const code = assemble(program, { at, symbols });
    this.blobs.push({ name, at, bytes: code.bytes, cfa: code.cfa, exempt });
    const placed = new Map([...code.labels].map(([key, offset]) => [key, at + offset]));
    for (const [key, where] of placed) this.#labels.set(key, where);
    return placed;
  }
  #blob(
    name: string,
    at: Addr,
    bytes: readonly number[],
    exempt: Blob['exempt'],
    rules: Blob['cfa'],
  ): void {
    this.blobs.push({ name, at, bytes: Uint8Array.from(bytes), cfa: rules, exempt });
  }

  /** The site's bytes in a state. */
  #contents(kind: 'call' | 'jmp', at: Addr, state: number): number[] {
    const name = TARGETS[state] as TargetName;
    const form =
      SITE_FORMS[
        name === 'ret0' ? 'ret0-5' : name === 'null' ? (kind === 'call' ? 'nop5' : 'ret5') : kind
      ];
    return [...emit(form, { at, target: this.#labels.get(name) ?? null })];
  }

  #emulation(said: 'call' | 'jmp', state: number): bigint {
    const kind = this.options.lostTail ? 'call' : said;
    const name = TARGETS[state] as TargetName;
    const form: Emulation =
      name === 'ret0' ? 'ret0' : name === 'null' ? (kind === 'call' ? 'nop' : 'ret') : kind;
    return BigInt(emulationWord(form, this.#labels.get(name) ?? 0));
  }

  /** POKE entries, one for each site, in the order of the configuration. */
  #pokeTables(kind: 'call' | 'jmp'): Tables {
    const { tornDown, handler, order, spin } = this.options;
    const initial = Array.from({ length: POKE.size / 8 }, () => 0n);
    const listed = listing(this.sites, order);
    const words = listed.map((_, i) => (POKE.entries + i * ENTRY.size + ENTRY.word) / 8);
    const globals = handler?.globals ?? [];
    initial[POKE.count / 8] = tornDown ? 0n : BigInt(listed.length);
    initial[POKE.lock / 8] = spin ? 1n : 0n;
    listed.forEach(({ at }, i) => {
      initial[(POKE.entries + i * ENTRY.size + ENTRY.site) / 8] = bitsFromAddr(at);
      initial[words[i] as number] = this.#emulation(kind, this.sequence[0] as number);
    });
    const emulated = this.sequence.map((state, update) => [
      ...words.map((word) => ({ word, value: this.#emulation(kind, state) })),
      ...globals.map(({ offset, holds }) => ({
        word: offset / 8,
        value: this.#global(holds, update),
      })),
    ]);
    for (const { word, value } of emulated[0] ?? []) initial[word] = value;
    const destinations = globals
      .filter(({ holds }) => holds === 'target')
      .map(({ offset }) => offset / 8);
    return {
      initial,
      sink: new Set(),
      targets: new Set([...words, ...destinations]),
      emulated,
      claim: BigInt(listed.length),
    };
  }

  #global(holds: FixtureHandler['globals'][number]['holds'], update: number): bigint {
    const { at, contents } = this.sites[0] as FixtureSite;
    if (holds === 'target')
      return bitsFromAddr(
        this.#labels.get(TARGETS[this.sequence[update] as number] as string) ?? 0,
      );
    if (holds === 'end') return bitsFromAddr(at + 5);
    const [old] = contents[Math.max(0, update - 1)] as readonly number[];
    return [...(contents[update] as readonly number[]), old as number].reduceRight(
      (word, byte) => (word << 8n) | BigInt(byte),
      0n,
    );
  }

  /**
   * The data block, one table with a slot for each site, and one record, laid out as registry.ts
   * says.
   */
  #registryTables(kind: 'call' | 'jmp'): Tables {
    const { data } = this.#space;
    const listed = listing(this.sites, this.options.order);
    const table = DATA.size;
    const record =
      Math.ceil((table + TABLE.slots + listed.length * SLOT.size) / RECORD.size) * RECORD.size;
    const initial = Array.from({ length: (record + RECORD.size) / 8 }, () => 0n);
    const word = (record + (kind === 'call' ? RECORD.call : RECORD.tail)) / 8;
    initial[DATA.tables / 8] = this.options.tornDown ? 0n : BigInt(data + table);
    initial[DATA.previous / 8] = bitsFromAddr(this.#labels.get('previous') ?? this.#unclaimed);
    // As the loader writes it: from the first slot to the last. An unsorted table is the mutant.
    initial[(table + TABLE.first) / 8] = BigInt(Math.min(...listed.map(({ at }) => at)));
    initial[(table + TABLE.end) / 8] = BigInt(Math.max(...listed.map(({ at }) => at)) + 1);
    initial[(table + TABLE.count) / 8] = BigInt(listed.length);
    listed.forEach(({ at }, i) => {
      initial[(table + TABLE.slots + i * SLOT.size + SLOT.site) / 8] = BigInt(at);
      initial[(table + TABLE.slots + i * SLOT.size + SLOT.word) / 8] = slotWord(
        data + 8 * word,
        5,
        0,
      );
    });
    initial[word] = this.#emulation(kind, this.sequence[0] as number);
    const sink = new Set([DATA.orphans / 8, DATA.foreign / 8, (record + RECORD.traps) / 8]);
    return {
      initial,
      sink,
      targets: new Set([word]),
      emulated: this.sequence.map((state) => [{ word, value: this.#emulation(kind, state) }]),
      claim: BigInt(data + table),
    };
  }

  #pointerTables(): Tables {
    const word = POINTER / 8;
    const values = this.sequence.map((state) =>
      bitsFromAddr(this.#labels.get(TARGETS[state] as string) ?? 0),
    );
    const initial = Array.from({ length: POKE.size / 8 }, () => 0n);
    initial[word] = values[0] as bigint;
    return {
      initial,
      sink: new Set(),
      targets: new Set([word]),
      emulated: values.map((value) => [{ word, value }]),
      claim: 0n,
    };
  }

  /**
   * The stores of `publish` for the nth update. Words that nothing reads are left out: nobody could
   * tell.
   */
  publish(update: number): readonly Write[] {
    const { emulated, claim } = this.#tables;
    return [
      ...(emulated[update] as readonly Write[]),
      ...(this.options.tornDown ? [{ word: CLAIM, value: claim }] : []),
    ];
  }

  retire(): readonly Write[] {
    return [{ word: CLAIM, value: 0n }];
  }

  /** The number of a word that the handler shares by name; null where it has none. */
  word(name: string): number | null {
    const offset = this.options.handler?.words[name];
    return offset === undefined ? null : offset / 8;
  }

  // ----------------------------------------------------------------------------------------------
  // questions

  readonly #bytes = new Map<Addr, number>();
  /** A byte of code as it was at the start. */
  byte(at: Addr): number | undefined {
    let value = this.#bytes.get(at);
    if (value === undefined) {
      for (const blob of this.blobs)
        if (at >= blob.at && at < blob.at + blob.bytes.length) value = blob.bytes[at - blob.at];
      if (value !== undefined) this.#bytes.set(at, value);
    }
    return value;
  }

  /** The site that begins at an address, or -1. */
  siteAt(at: Addr): number {
    for (let i = 0; i < this.sites.length; i++)
      if ((this.sites[i] as FixtureSite).at === at) return i;
    return -1;
  }
  isPatchable(at: Addr, size: number): boolean {
    return this.sites.some(
      (site) => site.patched && at < site.at + site.length && at + size > site.at,
    );
  }
  target(at: Addr): number {
    return this.#targets.get(at) ?? -1;
  }
  isProbe(at: Addr): boolean {
    return this.#probes.has(at);
  }
  isUnclaimed(at: Addr): boolean {
    return at === this.#stray;
  }
  isNmiTail(at: Addr): boolean {
    return at >= this.#nmiTail[0] && at < this.#nmiTail[1];
  }
  isRetpoline(at: Addr): boolean {
    return at >= this.#retpoline[0] && at < this.#retpoline[1];
  }
  /** Entry code of the environment: its rules hold at its calls only. */
  isEntry(at: Addr): boolean {
    const blob = this.blobs.find(({ name }) => name === 'program') as Blob;
    return at >= blob.at && at < blob.at + blob.bytes.length && !this.isBottom(at);
  }
  /** Code where the chain of calls ends. */
  isBottom(at: Addr): boolean {
    return at >= this.#bottom[0] && at <= this.#bottom[1];
  }
  /**
   * How the caller's frame is found at an instruction: its rule, `exempt` in entry code, or null
   * where nothing says.
   */
  rule(at: Addr): CfaRule | 'exempt' | null {
    const blob = this.blobs.find((each) => at >= each.at && at < each.at + each.bytes.length);
    if (blob === undefined) return null;
    const offset = at - blob.at;
    if (blob.exempt.some(({ from, to }) => offset >= from && offset < to)) return 'exempt';
    return blob.cfa.findLast((each) => each.offset <= offset)?.rule ?? null;
  }
  ist(kind: 'nmi' | 'mc' | 'db', level: number): Addr {
    return this.#space.ist + istNumber(kind, level) * 0x1000 + IST_BYTES;
  }
  shadowIst(kind: string, level: number): Addr {
    return this.#space.shadow + (1 + istNumber(kind, level)) * 0x1000 + SHADOW_BYTES;
  }

  /** For people: a label and an offset. */
  nameOf(at: Addr): string {
    let best: [string, Addr] | null = null;
    for (const [name, where] of this.#labels)
      if (where <= at && (best === null || where >= best[1])) best = [name, where];
    const blob = this.blobs.find((each) => at >= each.at && at < each.at + each.bytes.length);
    if (blob === undefined) return `0x${bitsFromAddr(at).toString(16)}`;
    if (best === null || best[1] < blob.at) return `${blob.name}+${at - blob.at}`;
    return at === best[1] ? best[0] : `${best[0]}+${at - best[1]}`;
  }
}

interface Tables {
  readonly initial: readonly bigint[];
  readonly sink: ReadonlySet<number>;
  readonly targets: ReadonlySet<number>;
  /** What `publish` stores, for each state of the sequence. */
  readonly emulated: readonly (readonly Write[])[];
  /**
   * What `publish` stores in the first word, so that traps are claimed: how many entries, or where
   * the list of tables begins.
   */
  readonly claim: bigint;
}

function listing(
  sites: readonly FixtureSite[],
  order: FixtureOptions['order'],
): readonly FixtureSite[] {
  return order === 'unsorted'
    ? [...sites].reverse()
    : order === 'duplicate'
      ? sites.flatMap((site) => [site, site])
      : sites;
}

/** The word that claims traps, in either layout: zero claims none. */
const CLAIM = POKE.count / 8;

/** Where the pointer lies that the baselines call through. */
const POINTER = 0;

const IST_NAMES = ['nmi0', 'nmi1', 'mc0', 'db0'];

function istNumber(kind: string, level: number): number {
  const number = IST_NAMES.indexOf(`${kind}${level}`);
  invariant(number >= 0, `${kind} has no stack for level ${level}`);
  return number;
}

/**
 * Every byte of one displacement differs from its fellow in the others, so that any mixture shows.
 */
const DISTANCES = { A: 0x01020304, B: 0x05060708, C: 0x090a0b0c } as const;

const targetCode = (name: string): Program => [
  cfa({ kind: 'call', base: 'rsp', offset: 8 }),
  label(name),
  ['ret'],
];

const pass = (name: string): Program => [
  ['mov', 'eax', SENTINEL],
  ['call', name],
];

/**
 * The task that patches: its steps are taken while it stands at `patcher`, and when an update has
 * returned it passes the site itself.
 */
const patcherTask: Program = [
  label('patcher'),
  ['ud2'],
  label('patcher.pass'),
  ...pass('f'),
  ['jmp', 'patcher'],
];

/**
 * An int3 of the program's own, which is held against what it must be: whoever it belongs to counts
 * in the interrupted RBP, and does so exactly once each time.
 */
const foreignTrap = (foreign: boolean): Program =>
  foreign
    ? [['mov', 'ebp', 0], bytes(INT3), label('foreign'), ['cmp', 'ebp', 1], ['jne', 'stray']]
    : [];

/**
 * In the kernel, what comes after the handler for a trap that it does not claim: the notifiers,
 * then die("int3").
 */
const unclaimedCode = (resume: Program | null): Program =>
  resume === null
    ? [label('unclaimed'), label('stray'), ['ud2']]
    : [
        label('stray'),
        ['ud2'],
        label('unclaimed'),
        ['lea', 'rcx', rip('foreign')],
        ['cmp', 'rcx', mem('rsp', FRAME.rip)],
        ['jne', 'stray'],
        ['inc', mem('rsp', FRAME.rbp)],
        ...resume,
      ];

/** A task that passes the site in a loop, and the interrupts. Entry code saves what it and a call
 * may change, an even number of words. */
function kernelProgram(
  counts: FixtureHandler['counts'],
  g: string,
  { spin, foreign }: Pick<FixtureOptions, 'spin' | 'foreign'>,
): Program {
  const level = (how: 'inc' | 'dec'): Program =>
    counts === 'level' ? [[how, gs(PERCPU.level)]] : [];
  const inNmi = (how: 'inc' | 'dec'): Program => (counts === 'nmi' ? [[how, gs(PERCPU.nmi)]] : []);
  const nmiLike = (name: 'nmi' | 'mc' | 'db', again: Program): Program => [
    label(name),
    cfa({ kind: 'frame', base: 'rsp', offset: 0 }),
    // lockdep is off in an NMI (nmi_enter): whatever the code inside tells it is undone.
    ['push', gs(PERCPU.lockdep)],
    ['push', 'r11'],
    ['push', 'rax'],
    ['push', 'rax'],
    ...level('inc'),
    ...(name === 'db' ? [] : inNmi('inc')),
    label(`${name}.again`),
    cfa({ kind: 'frame', base: 'rsp', offset: 32 }),
    ...pass(g),
    ...again,
    ...(name === 'db' ? [] : inNmi('dec')),
    ...level('dec'),
    ['pop', 'rax'],
    ['pop', 'rax'],
    ['pop', 'r11'],
    ['pop', gs(PERCPU.lockdep)],
    ['iretq'],
    label(`${name}.end`),
  ];
  return [
    label('task'),
    ...(spin
      ? ([
          ['cli'],
          ['mov', gs(PERCPU.lockdep), 0],
          label('spin'),
          ['cmp', rip('table', POKE.lock), 0],
          ['jne', 'spin'],
          ['mov', gs(PERCPU.lockdep), 1],
          ['sti'],
          ['nop'],
        ] as const)
      : []),
    label('loop'),
    ...pass('f'),
    label('probe'),
    ...foreignTrap(foreign),
    ['dec', 'ebx'],
    ['jne', 'loop'],
    label('done'),
    ['ud2'], // never executed: a task that gets here is done
    ...patcherTask,
    label('bottom'),

    label('irq'),
    cfa({ kind: 'frame', base: 'rsp', offset: 0 }),
    ['mov', gs(PERCPU.lockdep), 0],
    ['push', 'r11'],
    ['push', 'rax'],
    ...level('inc'),
    cfa({ kind: 'frame', base: 'rsp', offset: 16 }),
    ...pass('f'),
    label('irq.probe'),
    ...level('dec'),
    ['pop', 'rax'],
    ['pop', 'r11'],
    ['test', mem32('rsp', 16), FLAG.if],
    ['je', 'irq.out'],
    ['mov', gs(PERCPU.lockdep), 1],
    label('irq.out'),
    ['iretq'],
    label('irq.end'),

    ...nmiLike('nmi', [
      ['cmp', gs(PERCPU.repeat), 0],
      ['je', 'nmi.tail'],
      ['mov', gs(PERCPU.repeat), 0],
      ['jmp', 'nmi.again'],
      label('nmi.tail'),
    ]),
    ...nmiLike('mc', []),
    ...nmiLike('db', []),
  ];
}

function userProgram(g: string, { foreign }: Pick<FixtureOptions, 'foreign'>): Program {
  const previous: Program = foreign
    ? [label('previous'), ['inc', mem('rdx', UCONTEXT_REGS[5])], ['ret']]
    : [];
  return [
    label('task'),
    ...pass('f'),
    label('probe'),
    ...foreignTrap(foreign),
    ['dec', 'ebx'],
    ['jne', 'task'],
    label('done'),
    ['ud2'],
    ...patcherTask,
    label('bottom'),
    ...previous,

    label('signal'),
    cfa({ kind: 'call', base: 'rsp', offset: 8 }),
    ...pass(g),
    ['ret'],
    label('restorer'),
    ['mov', 'rax', 15],
    ['syscall'],
  ];
}

// An open program: its keys by name, its updates and their journal, and what can be seen of its
// sites.

import { inspect } from 'node:util';
import { hex, UNIT_NAMES, type Addr } from '../base/addr.js';
import { invariant } from '../base/invariant.js';
import { Fault } from '../base/fault.js';
import { didYouMean } from '../base/nearest.js';
import type { ElfObject, SymbolTable } from '../elf/object.js';
import { STT_FUNC } from '../elf/names.js';
import { accepted } from '../keys/key.js';
import type { EnlistedKey } from '../machine/process/register.js';
import { CUpdates } from '../machine/process/c-updates.js';
import type { Native } from '../machine/linux/native.js';
import type { Runtime } from '../machine/process/runtime.js';
import type { Loaded } from '../machine/process/loaded.js';
import { checkPerformable } from '../machine/process/process.js';
import type { Group } from '../machine/process/records.js';
import { accepts, acceptsChange, draw, KINDS } from '../plan/draw.js';
import type { Batch } from '../plan/batch.js';
import type { Acceptance, Protocol } from '../plan/protocol.js';
import {
  DEFAULT_PROTOCOL,
  isProtocolName,
  PROTOCOL_NAMES,
  RUNNABLE,
  type ProtocolName,
} from '../plan/protocols/index.js';
import { validateProtocol } from '../plan/validate.js';
import type { Changes, Engine, Wanted } from '../machine/process/engine.js';
import { ORIGINAL, sameTarget, switchedTo, targetOf, type Target } from '../plan/target.js';
import { isBranch } from '../sites/site.js';
import { RECORD } from '../trap/registry.js';
import { DISPLACEMENT, recogniseTrampoline, TRAMPOLINE_LENGTH } from '../x86/forms.js';
import { Loans } from './closures.js';
import { Changed, Done, Journal } from './journal.js';
import { Choices, ProgramKey, type Choice } from './program-key.js';
import type { Server } from './serve.js';
import { Targets } from './target.js';
import { checkCalled, checkUntraced, countedAt, Counting } from './trace.js';
import type {
  App,
  Drift,
  FunctionTarget,
  Key,
  Keys,
  OpenOptions,
  SiteReport,
  Trace,
  Unchecked,
  Update,
  UpdateOptions,
} from './types.js';

/** @throws Fault `unknown-protocol`, `bad-protocol` */
export function protocolOf(wanted: ProtocolName | Protocol): Protocol {
  if (typeof wanted === 'object' && wanted !== null) {
    checkPerformable(validateProtocol(wanted));
    return wanted;
  }
  // Own names alone: `toString` is no protocol, though every object has one.
  if (isProtocolName(wanted)) return RUNNABLE[wanted];
  throw new Fault(
    'unknown-protocol',
    `a process runs ${PROTOCOL_NAMES.join(' or ')}, not ${String(wanted)}`,
    {
      hint:
        didYouMean(String(wanted), PROTOCOL_NAMES) ??
        'name one of these, or hand in a protocol as data (docs/protocols.md)',
    },
  );
}

/**
 * Why the protocol does not patch the site in place; null where it does.
 * @param wholeStores whether the text's writer promises that one store is one
 */
export function refusal(
  { accepts: rule }: Protocol,
  at: Addr,
  length: number,
  wholeStores: boolean,
): string | null {
  if (rule.within === null) return null;
  if (!wholeStores) return NO_WHOLE_STORES;
  return acceptsChange(rule, at, length, length - DISPLACEMENT, length)
    ? null
    : `what changes between two functions crosses a ${UNIT_NAMES[rule.within]}`;
}

/** The same for the edit that is drawn at a site, from what stands there. */
function refusalOf(
  { accepts: rule }: Protocol,
  batch: Batch,
  i: number,
  wholeStores: boolean,
): string | null {
  if (rule.within === null || accepts(rule, batch, i))
    return rule.within === null || wholeStores ? null : NO_WHOLE_STORES;
  return `the changed bytes of the site cross a ${UNIT_NAMES[rule.within]}`;
}
const NO_WHOLE_STORES = 'the procmem writer promises no single store';

/** Draws every site's instruction, whatever a protocol can put there. */
const ANY_SITE: Acceptance = { bytes: 'whole', within: null };

/**
 * An option's value is one of its words. TypeScript says so to callers that are compiled; for
 * others a misspelt word must not mean the default.
 * @throws Fault `bad-option`
 */
export function checkOption(option: string, value: unknown, words: readonly string[]): void {
  if (value === undefined || words.some((word) => word === value)) return;
  throw new Fault('bad-option', `${option} is ${inspect(value)}`, {
    hint: didYouMean(String(value), words) ?? `it can be ${words.join(' or ')}`,
  });
}

/** Keys, and where each shall go. */
interface Asked extends Wanted {
  readonly keys: readonly ProgramKey[];
  readonly targets: readonly Choice[];
}

/** The keys that an update names. @throws Fault `bad-option`, `unknown-key` */
function namesIn(targets: unknown, known: ReadonlyMap<string, unknown>): readonly string[] {
  if (typeof targets !== 'object' || targets === null)
    throw new Fault('bad-option', `${inspect(targets)} is no object of keys and their targets`, {
      hint: "write update({ key: 'target' })",
    });
  const names = Object.keys(targets);
  if (names.length === 0 && known.has('__proto__'))
    throw new Fault('unknown-key', 'the update names no key', {
      hint: "write ['__proto__']: without the brackets it sets the object's prototype",
    });
  return names;
}

/**
 * What static_call_update() of the C side calls: the second word of its key. 0 makes it return
 * -ENOSYS. A program that links a runtime of its own has put that there, and it stays.
 */
function exchangeUpdater(native: Native, { key }: ProgramKey, from: Addr, to: Addr): void {
  if (key === null) return;
  const words = new BigUint64Array(native.view(key, 16));
  Atomics.compareExchange(words, 1, BigInt(from), BigInt(to));
}

/** A static key of another object, which is not opened. */
function isOn(native: Native, key: Addr | null): boolean {
  invariant(key !== null, 'a static key has an address');
  const [users = 0] = new Int32Array(native.read(key, 8).buffer);
  return users > 0;
}

/** Sites of a key that do not hold what its target says. */
function driftsOf(engine: Engine, state: ProgramKey, group: Group, target: Target): Drift[] {
  const { columns } = group;
  const { batch } = columns;
  const { bytes } = engine.place(group).text;
  // With nothing refused every site's instruction is drawn; one that stands on its trampoline
  // agrees as well.
  draw(columns, engine.destination(group, target), ANY_SITE);
  const drifts: Drift[] = [];
  for (let i = 0; i < batch.count; i++) {
    const [at, length] = [batch.at[i]!, batch.length[i]!];
    const now = bytes.subarray(at - group.start, at - group.start + length);
    const expected = batch.new.subarray(8 * i, 8 * i + length);
    if (Buffer.compare(now, expected) === 0) continue;
    // On its way through the trampoline, or the trampoline itself as the file has it, which may
    // spell a return otherwise.
    const asLinked =
      state.def.kind === 'call' &&
      Buffer.compare(now, columns.original.subarray(8 * i, 8 * i + length)) === 0;
    if (
      asLinked &&
      (i !== columns.trampoline || sameTarget(target, targetOf(state.record.held('initial'))))
    )
      continue;
    const ours = Buffer.compare(now, batch.old.subarray(8 * i, 8 * i + length)) === 0;
    drifts.push({
      key: state.def.name,
      address: BigInt(at),
      expected: Buffer.from(expected).toString('hex'),
      found: Buffer.from(now).toString('hex'),
      kind: ours ? 'parked' : 'foreign',
    });
  }
  return drifts;
}

export interface Parts {
  readonly runtime: Runtime;
  readonly loaded: Loaded;
  readonly engine: Engine;
  readonly options: OpenOptions;
  /** null where its C code does not update. */
  readonly server: Server | null;
}

export class Program<K extends Keys> implements App<K> {
  readonly path: string;
  readonly keys: { readonly [N in keyof K]: Key<K[N]> };
  readonly #journal = new Journal();
  readonly #runtime: Runtime;
  readonly #loaded: Loaded;
  readonly #engine: Engine;
  readonly #protocol: Protocol;
  readonly #options: OpenOptions;
  readonly #server: Server | null;
  readonly #targets: Targets;
  readonly #loans: Loans;
  readonly #choices: Choices;
  readonly #states = new Map<string, ProgramKey>();
  readonly #byRecord = new Map<Addr, ProgramKey>();
  #serial = 0;
  readonly #fromC: CUpdates;
  /** How many of C's updates the journal has taken in, or passed over as other programs'. */
  #taken: number;
  #closed = false;

  get journal(): readonly Update[] {
    this.#takeFromC();
    return this.#journal.updates;
  }

  /** Call it with the lock held. */
  constructor(
    { runtime, loaded, engine, options, server }: Parts,
    registered: readonly EnlistedKey[],
  ) {
    this.path = loaded.path;
    this.#runtime = runtime;
    this.#loaded = loaded;
    this.#engine = engine;
    this.#options = options;
    this.#server = server;
    this.#protocol = protocolOf(options.protocol ?? DEFAULT_PROTOCOL);
    this.#targets = new Targets(runtime.native, loaded);
    this.#choices = new Choices(this.#targets);
    this.#loans = new Loans(runtime.native);
    this.#fromC = new CUpdates(runtime);
    this.#taken = this.#fromC.count;
    // Without a prototype: a key may be called `constructor`, and `__proto__` is a legal name in C.
    const keys: Record<string, Key<Keys[string]>> = Object.create(null);
    let before: ProgramKey | null = null;
    for (const key of registered) {
      const state = new ProgramKey(engine.keys, key);
      if (before) before.next = state;
      before = state;
      this.#states.set(state.name, state);
      this.#byRecord.set(key.record.at, state);
      keys[state.name] = this.#key(state);
      if (key.fresh) engine.initialise(key.record, this.#initial(key));
    }
    this.keys = Object.freeze(keys) as { readonly [N in keyof K]: Key<K[N]> };
  }

  #key(state: ProgramKey): Key<Keys[string]> {
    const { def, record } = state;
    const name = (): Keys[string] => this.#choices.at(state, Number(record.word('call'))).name;
    return {
      name: def.name,
      get target() {
        return name();
      },
      targets: accepted(def),
      sites: def.sites.length,
      // console.log would show the getter and not what it says.
      [inspect.custom]() {
        return { name: def.name, target: name(), targets: this.targets, sites: this.sites };
      },
    } as Key<Keys[string]>;
  }

  /** What the trampoline does as linked, or whether the static key is on. */
  #initial({ def, trampoline, key }: EnlistedKey): Target {
    const kind = def.initial?.kind ?? 'function';
    if (trampoline === null) {
      const known = kind === 'function' ? isOn(this.#runtime.native, key) : kind === 'on';
      return switchedTo(known);
    }
    if (kind !== 'function') return { kind, address: 0 };
    const name = def.initial?.kind === 'function' ? def.initial.name : null;
    if (name !== null && def.targets.some((t) => t.name === name))
      return this.#targets.resolve(def, name);
    // Nothing is recorded: the trampoline's own jump tells.
    const bytes = new Uint8Array(this.#runtime.native.view(trampoline, TRAMPOLINE_LENGTH));
    const target = recogniseTrampoline(bytes, trampoline)?.target ?? null;
    return target === null ? { kind: 'null', address: 0 } : { kind: 'function', address: target };
  }

  update(
    targets: { readonly [N in keyof K]?: K[N] | Unchecked | FunctionTarget },
    options: UpdateOptions = {},
  ): Update {
    if (this.#closed) throw new Fault('closed', `${this.path} was closed`);
    checkOption('require', options.require, ['inline']);
    const protocol = options.protocol === undefined ? this.#protocol : protocolOf(options.protocol);
    const names = namesIn(targets, this.#states);
    return this.#loans.during((lend) => {
      const keys = new Array<ProgramKey>(names.length);
      const chosen = new Array<Choice>(names.length);
      let before: ProgramKey | null = null;
      for (let k = 0; k < names.length; k++) {
        const name = names[k]!;
        const state = this.#state(name, before?.next);
        keys[k] = before = state;
        chosen[k] = this.#choices.choose(state, lend(name, targets[name as keyof K]));
      }
      return this.#update(() => ({ keys, targets: chosen }), protocol, options.require);
    });
  }

  trace<N extends keyof K & string>(key: N): Trace {
    if (this.#closed) throw new Fault('closed', `${this.path} was closed`);
    const state = this.#state(key);
    checkCalled(state.def);
    const { record, last } = state;
    let counter: Choice | null = null;
    return new Counting({
      key,
      target: this.keys[key].target as string | null,
      calls: () => record.word('calls'),
      begin: () => {
        const ask = (): Asked => ({
          keys: [state],
          targets: [(counter = this.#counter(state))],
        });
        return this.#update(ask, this.#protocol);
      },
      end: (update) => {
        const retargeted = Number(record.word('call')) !== counter?.word;
        update.undo();
        // What was updated before the trace can still be taken back.
        if (!retargeted) state.last = last;
        return retargeted;
      },
    });
  }

  #counter(state: ProgramKey): Choice {
    const { def, record } = state;
    const now = targetOf(record.held('call'));
    checkUntraced(def.name, countedAt(this.#runtime.native, now.address));
    const address = this.#engine.counter(record, now);
    return this.#choices.of(state, { kind: 'function', address });
  }

  /** @param guess the one that it probably is */
  #state(name: string, guess: ProgramKey | null = null): ProgramKey {
    if (guess?.name === name) return guess;
    const state = this.#states.get(name);
    if (state) return state;
    const hint = didYouMean(name, this.#states.keys());
    throw new Fault('unknown-key', `${this.path} has no key ${name}`, hint ? { hint } : {});
  }

  /** @param ask what is wanted, with the lock held */
  #update(ask: () => Asked, protocol: Protocol, require?: 'inline'): Update {
    const began = performance.now();
    const { asked, done } = this.#runtime.locked(() => {
      const wanted = ask();
      const applied = this.#engine.apply(wanted, protocol, require);
      this.#takeFromC();
      return { asked: wanted, done: applied };
    });
    const ns = Math.round((performance.now() - began) * 1e6);
    const update = this.#note(done, asked, done.changes, ns, 'js', protocol);
    // Those too that had the function already, under another of its names.
    if (done.changes.count < asked.keys.length)
      for (const [k, key] of asked.keys.entries()) key.now = asked.targets[k]!;
    return update;
  }

  /** Writes an update down, and makes what takes it back. */
  #note(
    done: Pick<Update, 'inline' | 'trampoline' | 'traps' | 'ways'>,
    asked: Asked,
    { count, which, from }: Changes,
    ns: number,
    by: Update['by'],
    protocol: Protocol,
  ): Update {
    const serial = ++this.#serial;
    const changed = new Changed(count);
    for (let c = 0; c < count; c++) {
      const k = which[c]!;
      const key = asked.keys[k]!;
      changed.keys[c] = key;
      changed.before[c] = this.#choices.at(key, from[c]!);
      changed.after[c] = key.now = asked.targets[k]!;
      key.last = serial;
    }
    const update = new Done(changed, done, ns, by, (self) =>
      this.#undo(self, serial, changed, protocol),
    );
    this.#journal.keep(update);
    return update;
  }

  /** Leads those keys back that were not changed again since. */
  #undo(update: Update, serial: number, changed: Changed, protocol: Protocol): void {
    this.#takeFromC();
    const keys: ProgramKey[] = [];
    const targets: Choice[] = [];
    for (const [c, key] of changed.keys.entries()) {
      if (key.last !== serial || Number(key.record.word('call')) !== changed.after[c]!.word)
        continue;
      keys.push(key);
      targets.push(changed.before[c]!);
    }
    if (keys.length === 0 || this.#closed) return;
    this.#update(() => ({ keys, targets }), protocol);
    this.#loans.returned(update, keys);
  }

  /**
   * Takes C's updates of this program's keys into the journal. An entry is complete before it is
   * counted, so that no lock is needed.
   */
  #takeFromC(): void {
    const count = this.#fromC.count;
    if (count === this.#taken) return;
    for (const { record, from, to, ns, ...done } of this.#fromC.since(this.#taken)) {
      const key = this.#byRecord.get(record);
      if (!key) continue;
      const asked = { keys: [key], targets: [this.#choices.at(key, to)] };
      this.#note(done, asked, { count: 1, which: [0], from: [from] }, ns, 'c', this.#protocol);
    }
    this.#taken = count;
  }

  /**
   * Inlines every site to what its key's words say: what opening does last. Call it with the lock
   * held.
   */
  inline(): void {
    const keys = [...this.#states.values()];
    const targets = keys.map((key) => targetOf(key.held(RECORD.call)));
    this.#engine.apply({ keys, targets }, this.#protocol);
    for (const state of keys) {
      state.record.setWord('users', state.record.word('users') + 1n);
      exchangeUpdater(this.#runtime.native, state, 0, this.#runtime.updater);
    }
  }

  sites<N extends keyof K>(key?: N, target?: K[N] | Unchecked): readonly SiteReport[] {
    const names = new Functions(this.#loaded.object, this.#loaded.bias);
    const states = key === undefined ? [...this.#states.values()] : [this.#state(String(key))];
    const reports = (): SiteReport[] =>
      states.flatMap((state) => {
        const to = target === undefined ? null : this.#targets.resolve(state.def, target);
        return state.record.groups().flatMap((group) => this.#reports(state, group, to, names));
      });
    // What a target would change is drawn into the columns that updates use.
    return target === undefined ? reports() : this.#runtime.locked(reports);
  }

  #reports(state: ProgramKey, group: Group, to: Target | null, names: Functions): SiteReport[] {
    const { text } = this.#engine.place(group);
    const { columns } = group;
    const { batch } = columns;
    const wholeStores = text.writer !== 'procmem' || this.#options.assume !== undefined;
    if (to) draw(columns, this.#engine.destination(group, to), ANY_SITE);
    const refused = (protocol: Protocol, i: number): string | null =>
      to === null
        ? refusal(protocol, batch.at[i]!, batch.length[i]!, wholeStores)
        : refusalOf(protocol, batch, i, wholeStores);
    return Array.from({ length: batch.count }, (_, i) => {
      const [at, length] = [batch.at[i]!, batch.length[i]!];
      const now = text.bytes.subarray(at - group.start, at - group.start + length);
      const original = columns.original.subarray(8 * i, 8 * i + length);
      const trampoline = i === columns.trampoline;
      const kind = KINDS[columns.kind[i]!]!;
      return {
        key: state.def.name,
        address: BigInt(at),
        where: names.where(at),
        kind: trampoline ? ('trampoline' as const) : kind,
        bytes: Buffer.from(now).toString('hex'),
        inline: isBranch(kind) || (!trampoline && Buffer.compare(now, original) !== 0),
        protocols: {
          auto: refused(RUNNABLE.auto, i),
          int3: refused(RUNNABLE.int3, i),
          store: refused(RUNNABLE.store, i),
        },
      };
    });
  }

  verify(): readonly Drift[] {
    return this.#runtime.locked(() =>
      [...this.#states.values()].flatMap((state) => {
        const target = targetOf(state.record.held('call'));
        return state.record
          .groups()
          .flatMap((group) => driftsOf(this.#engine, state, group, target));
      }),
    );
  }

  /** Counters of the keys' records: calls that the trap handler emulated so far. */
  get traps(): number {
    return [...this.#states.values()].reduce((sum, { record }) => sum + record.traps, 0);
  }

  close(): void {
    if (this.#closed) return;
    this.#runtime.locked(() => {
      const states = [...this.#states.values()];
      const last = states.filter(({ record }) => record.word('users') === 1n);
      this.#engine.apply({ keys: last, targets: last.map(() => ORIGINAL) }, this.#protocol);
      for (const state of last)
        exchangeUpdater(this.#runtime.native, state, this.#runtime.updater, 0);
      // Only now: a program whose closing failed is still open, and can be closed again.
      for (const { record } of states) record.setWord('users', record.word('users') - 1n);
      this.#closed = true;
      this.#engine.release();
    });
    this.#loans.returnAll();
    this.#server?.release();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Enclosing functions of addresses, from the file's symbols; sorted once, when a report is asked
 * for.
 */
export class Functions {
  readonly #starts: { at: Addr; size: number; name: string }[] = [];

  constructor(object: ElfObject, bias: Addr) {
    const table: SymbolTable | null = object.symbols ?? object.dynamicSymbols;
    for (let i = 1; table && i < table.count; i++) {
      if (table.type(i) === STT_FUNC && table.defined(i))
        this.#starts.push({ at: bias + table.value(i), size: table.size(i), name: table.label(i) });
    }
    this.#starts.sort((a, b) => a.at - b.at);
  }

  where(at: Addr): string {
    let [low, high] = [0, this.#starts.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]!.at <= at) low = middle + 1;
      else high = middle;
    }
    const f = this.#starts[low - 1];
    return f && at < f.at + Math.max(f.size, 1)
      ? `${f.name}+0x${(at - f.at).toString(16)}`
      : hex(at);
  }
}

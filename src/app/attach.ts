// Taking charge of another process: the same `App`, whose updates are performed by a thread of that
// process, which is borrowed for a fraction of a millisecond (machine/remote).

import { inspect } from 'node:util';
import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { didYouMean } from '../base/nearest.js';
import { STT_FUNC } from '../elf/names.js';
import { accepted, RET0, type KeyDef } from '../keys/key.js';
import type { Native } from '../machine/linux/native.js';
import type { Group } from '../machine/process/records.js';
import type { Piece } from '../machine/remote/door.js';
import { Borrower, type AtStep, type Held } from '../machine/remote/borrow.js';
import { ANY_SITE, RemoteEngine } from '../machine/remote/engine.js';
import { Holder } from '../machine/remote/hold.js';
import type { Applied, Asked, Engine } from '../machine/remote/keeping.js';
import { checkMasks, inspectorOf } from '../machine/remote/masks.js';
import { objectsOf, symbolIn, type RemoteObject } from '../machine/remote/objects.js';
import { RemoteRuntime } from '../machine/remote/runtime.js';
import { checkStoppable } from '../machine/remote/seize.js';
import { declaredIn } from '../machine/remote/standing.js';
import { StoppingEngine } from '../machine/remote/stopping.js';
import { Target } from '../machine/remote/target.js';
import { draw, KINDS } from '../plan/draw.js';
import type { Protocol } from '../plan/protocol.js';
import { RUNNABLE, type ProtocolName } from '../plan/protocols/index.js';
import { int3 } from '../plan/protocols/int3.js';
import { stop } from '../plan/protocols/stop.js';
import { ORIGINAL, sameTarget, type Target as Goal } from '../plan/target.js';
import { place } from '../asm/assembler.js';
import { VENEER, VENEER_SIZE } from '../native/veneer.js';
import { RECORD } from '../trap/registry.js';
import { Done, listed } from './journal.js';
import { checkOption, Functions, protocolOf, refusal } from './program.js';
import { nullRefused, ret0Refused } from './target.js';
import { Repeats, type Asked as Written } from './repeats.js';
import { checkCalled, checkUntraced, countedAt, Counting } from './trace.js';
import { isUnchecked } from './wanted.js';
import type {
  Attached,
  AttachOptions,
  Drift,
  Key,
  Keys,
  SiteReport,
  Trace,
  Unchecked,
  Update,
  UpdateOptions,
} from './types.js';

/** `attach` (index.ts), with effects and steps in the caller's hands: for fault injection too. */
export function attachWith<K extends Keys = Keys>(
  native: Native,
  pid: number,
  options: AttachOptions,
  at?: AtStep,
): RemoteProgram<K> {
  checkOption('protocol', options.protocol, ['int3', 'stop']);
  const target = new Target(pid);
  try {
    if (target.environment('STATIC_CALL_NO_ATTACH') === '1')
      throw new Fault('no-attach', `process ${pid} does not want to be attached to`);
    checkStoppable(target);
    const objects = objectsOf(target, options);
    checkNames(objects);
    if (options.protocol === 'stop') {
      const engine = new StoppingEngine(target, new Holder(native, target, at), native);
      return new RemoteProgram<K>(target, objects, options, engine, stop);
    }
    checkMasks(target, inspectorOf(target));
    const engine = borrowing(native, target, new Borrower(native, target, at));
    return new RemoteProgram<K>(target, objects, options, engine, int3);
  } catch (error) {
    target.close();
    throw error;
  }
}

/** Makes a target ready for updates by a borrowed thread. */
function borrowing(native: Native, target: Target, borrower: Borrower): RemoteEngine {
  const engine = new RemoteEngine(new RemoteRuntime(borrower), native);
  try {
    const caught = target.field('SigCgt');
    engine.prepare(BigInt(`0x${caught === '' ? '0' : caught}`));
    return engine;
  } catch (error) {
    leave(engine);
    throw error;
  }
}

function leave(engine: Engine): void {
  try {
    engine.leave();
  } catch {
    // It has ended, or cannot be stopped any more: the next tool takes the scratch away.
  }
}

/** @throws Fault `ambiguous-key` */
function checkNames(objects: readonly RemoteObject[]): void {
  const homes = new Map<string, string>();
  for (const { keys, path } of objects)
    for (const { name, trampoline } of keys) {
      if (trampoline === null) continue;
      const other = homes.get(name);
      if (other !== undefined)
        throw new Fault('ambiguous-key', `${path} and ${other} both define ${name}`, {
          hint: 'name one of them: object (--object)',
        });
      homes.set(name, path);
    }
}

/** A key, with its definition in each object that has sites of it. */
interface State {
  readonly name: string;
  readonly record: Addr;
  readonly def: KeyDef;
  readonly home: RemoteObject;
  last: Update | null;
}

interface Wanted extends Asked {
  readonly state: State;
}

/** What an update did, and as which it is told. */
interface Made extends Applied<Wanted> {
  readonly told: Update['changes'];
}

export class RemoteProgram<K extends Keys> implements Attached<K> {
  readonly pid: number;
  readonly path: string;
  #keys!: { readonly [N in keyof K]: Key<K[N]> };
  readonly #target: Target;
  readonly #engine: Engine;
  readonly #options: AttachOptions;
  readonly #protocol: Protocol;
  readonly #journal: Update[] = [];
  #objects: readonly RemoteObject[];
  #states: ReadonlyMap<string, State> = new Map();
  readonly #repeats = new Repeats<State, Made>();
  #closed = false;

  constructor(
    target: Target,
    objects: readonly RemoteObject[],
    options: AttachOptions,
    engine: Engine,
    protocol: Protocol,
  ) {
    this.pid = target.pid;
    this.path = target.exe;
    this.#target = target;
    this.#options = options;
    this.#protocol = protocol;
    this.#objects = objects;
    this.#engine = engine;
    try {
      this.#enlist();
    } catch (error) {
      leave(engine);
      throw error;
    }
  }

  get keys(): { readonly [N in keyof K]: Key<K[N]> } {
    return this.#keys;
  }

  get objects(): Attached<K>['objects'] {
    return this.#objects.map(({ path, buildId, keys }) => ({ path, buildId, keys: keys.length }));
  }

  get held(): Held | null {
    return this.#engine.held;
  }

  get journal(): readonly Update[] {
    return [...this.#journal];
  }

  /** Registers what is not registered yet, and inlines every site to what its key's words say. */
  #enlist(): void {
    const registered = this.#engine.register(this.#objects);
    const states = new Map<string, State>();
    let next = 0;
    for (const home of this.#objects)
      for (const def of home.keys) {
        const key = registered[next++];
        if (!key) continue;
        const known = states.get(def.name);
        // The object that defines a key knows more of it than one that calls it.
        if (known && (known.def.trampoline !== null || def.trampoline === null)) continue;
        const last = this.#states.get(def.name)?.last ?? null;
        states.set(def.name, { name: def.name, record: key.record.at, def, home, last });
      }
    this.#states = states;
    this.#repeats.forget();
    this.#keys = this.#makeKeys();
    this.#engine.refresh();
    // Stopping all threads is left to what asks for a change.
    if (this.#protocol === stop) return;
    this.#engine.apply(
      [...states.values()].map((state) => ({ ...state, to: this.#now(state) })),
      this.#protocol,
    );
  }

  #makeKeys(): { readonly [N in keyof K]: Key<K[N]> } {
    const keys: Record<string, Key<string | null>> = Object.create(null);
    for (const state of this.#states.values()) {
      const name = (): string | null => {
        this.#engine.refresh();
        return this.#name(state, this.#now(state));
      };
      keys[state.name] = {
        name: state.name,
        get target() {
          return name();
        },
        targets: accepted(state.def),
        sites: state.def.sites.length,
        [inspect.custom]() {
          return { name: state.name, target: name(), targets: this.targets, sites: this.sites };
        },
      } as Key<string | null>;
    }
    return Object.freeze(keys) as { readonly [N in keyof K]: Key<K[N]> };
  }

  #now({ record }: State): Goal {
    return this.#engine.now(record);
  }

  #resolve({ def, home }: State, wanted: unknown): Goal {
    if (wanted === null) {
      if (!def.mayBeNull) throw nullRefused(def);
      return { kind: 'null', address: 0 };
    }
    if (isUnchecked(wanted)) return this.#unchecked(wanted.unchecked);
    if (typeof wanted === 'string' && def.targets.some((t) => t.name === wanted))
      return declaredIn(this.#target, home, def, wanted);
    if (wanted === RET0) {
      if (!def.mayReturn0) throw ret0Refused(def);
      return { kind: 'ret0', address: 0 };
    }
    const names = def.targets.map((t) => t.name);
    const hint = didYouMean(String(wanted), names);
    throw new Fault(
      'unknown-target',
      `${typeof wanted === 'string' ? wanted : inspect(wanted)} is not declared for ${def.name}; ` +
        `declared: ${names.join(', ') || 'none'}`,
      hint ? { hint } : {},
    );
  }

  #unchecked(wanted: string | bigint): Goal {
    const address = typeof wanted === 'bigint' ? Number(wanted) : symbolIn(this.#objects, wanted);
    const map = this.#target.maps().find((m) => address >= m.start && address < m.end);
    if (!map?.access.includes('x'))
      throw new Fault(
        'unknown-target',
        typeof wanted === 'string'
          ? `no symbol ${wanted} in the objects that are attached to`
          : `${hex(address)} is not in executable memory of process ${this.pid}`,
        { hint: 'give the address of a function' },
      );
    return { kind: 'function', address };
  }

  #name({ def, home }: State, to: Goal): string | null {
    return nameIn(this.#target, home, def, to);
  }

  #state(name: string): State {
    const state = this.#states.get(name);
    if (state) return state;
    const hint = didYouMean(name, this.#states.keys());
    throw new Fault('unknown-key', `${this.path} has no key ${name}`, hint ? { hint } : {});
  }

  update(
    targets: { readonly [N in keyof K]?: K[N] | Unchecked },
    options: UpdateOptions = {},
  ): Update {
    this.#checkOpen();
    checkOption('require', options.require, ['inline']);
    const protocol = this.#protocolFor(options.protocol);
    const names = Object.keys(targets);
    const [name = ''] = names;
    if (names.length === 1)
      return this.#one(this.#state(name), {
        wanted: targets[name as keyof K],
        protocol,
        require: options.require,
      });
    const wanted = names.map((each): Wanted => {
      const state = this.#state(each);
      return wantedOf(state, this.#resolve(state, targets[each as keyof K]));
    });
    return this.#update(wanted, protocol, options.require);
  }

  #one(state: State, asked: Written): Update {
    const { wanted, protocol, require } = asked;
    const began = performance.now();
    const made = this.#repeats.find(state, asked);
    if (made) {
      this.#engine.look();
      const traps = made.again?.perform() ?? null;
      if (traps !== null) return this.#done({ ...made, traps }, protocol, began);
    }
    const goal = wantedOf(state, this.#resolve(state, wanted));
    const pieces = this.#repeats.wasAsked(state, asked) ? declaredWords(this.#target, state) : null;
    this.#engine.look();
    const now = this.#told(this.#engine.apply([goal], protocol, require, pieces));
    const isPlain = typeof wanted === 'string' || wanted === null;
    if (isPlain && now.changes.length > 0) this.#repeats.remember(state, asked, now);
    return this.#done(now, protocol, began);
  }

  /** What stops all threads for one update does so for each. @throws Fault `bad-option` */
  #protocolFor(wanted: UpdateOptions['protocol']): Protocol {
    if (wanted === undefined) return this.#protocol;
    if (this.#protocol === stop)
      throw new Fault('bad-option', 'protocol stop is chosen where a process is attached to');
    const protocol = protocolOf(wanted);
    checkHandled(protocol);
    return protocol;
  }

  trace<N extends keyof K & string>(key: N): Trace {
    this.#checkOpen();
    const state = this.#state(key);
    checkCalled(state.def);
    this.#engine.refresh();
    const { record, last } = state;
    const now = this.#now(state);
    checkUntraced(key, countedAt(this.#target, now.address));
    let counter: Goal | null = null;
    return new Counting({
      key,
      target: this.#name(state, now),
      calls: () => this.#target.word(record + RECORD.calls),
      begin: () => {
        const to: Goal = { kind: 'function', address: this.#engine.counter(record, now) };
        counter = to;
        const update = this.#update([{ name: key, record, to, state }], this.#protocol);
        if (update.changes[0]?.from === this.#name(state, now)) return update;
        update.undo();
        throw new Fault('busy', `${key} was updated, or is being counted, by another tool`, {
          hint: 'try again',
        });
      },
      end: (update) => {
        this.#engine.refresh();
        const retargeted = counter === null || !sameTarget(this.#now(state), counter);
        update.undo();
        if (!retargeted) state.last = last;
        return retargeted;
      },
    });
  }

  #checkOpen(): void {
    if (this.#closed) throw new Fault('closed', `process ${this.pid} was detached from`);
  }

  #update(wanted: readonly Wanted[], protocol: Protocol, require?: 'inline'): Update {
    const began = performance.now();
    this.#engine.look();
    return this.#done(this.#told(this.#engine.apply(wanted, protocol, require)), protocol, began);
  }

  #told(done: Applied<Wanted>): Made {
    const told = done.changes.map(({ asked: { state }, from, to }) => ({
      key: state.name,
      from: this.#name(state, from),
      to: this.#name(state, to),
    }));
    return { ...done, told };
  }

  #done(done: Made, protocol: Protocol, began: number): Update {
    const ns = Math.round((performance.now() - began) * 1e6);
    const update = new Done(listed(done.told), done, ns, 'js', (self) => {
      this.#engine.refresh();
      const back = done.changes.filter(
        ({ asked: { state }, to }) => state.last === self && sameTarget(this.#now(state), to),
      );
      if (back.length > 0 && !this.#closed)
        this.#update(
          back.map(({ asked, from }) => ({ ...asked, to: from })),
          protocol,
        );
    });
    for (const { asked } of done.changes) asked.state.last = update;
    this.#journal.push(update);
    if (this.#journal.length > JOURNAL) this.#journal.splice(0, JOURNAL / 2);
    return update;
  }

  sites<N extends keyof K>(key?: N, target?: K[N] | Unchecked): readonly SiteReport[] {
    this.#engine.refresh();
    const states = key === undefined ? [...this.#states.values()] : [this.#state(String(key))];
    return states.flatMap((state) => {
      const names = new Functions(state.home.object, state.home.bias);
      if (target !== undefined) this.#resolve(state, target);
      return this.#engine
        .groups(state.record)
        .flatMap((group) => reportsOf(this.#target, state.name, group, names));
    });
  }

  verify(): readonly Drift[] {
    this.#engine.refresh();
    return [...this.#states.values()].flatMap((state) =>
      this.#engine.groups(state.record).flatMap((group) => this.#drifts(state, group)),
    );
  }

  #drifts(state: State, group: Group): Drift[] {
    const { columns } = group;
    const { batch } = columns;
    const target = this.#now(state);
    draw(columns, this.#engine.destination(group, target), ANY_SITE);
    const initial = this.#engine.initial(state.record);
    const drifts: Drift[] = [];
    for (let i = 0; i < batch.count; i++) {
      const [at, length] = [batch.address(i), batch.lengthAt(i)];
      const now = this.#target.read(at, length);
      const expected = batch.new.subarray(8 * i, 8 * i + length);
      const is = (bytes: Uint8Array): boolean => Buffer.compare(now, bytes) === 0;
      if (is(expected) || isByVeneer(this.#target, at, now, expected, target)) continue;
      if (
        is(columns.original.subarray(8 * i, 8 * i + length)) &&
        (i !== columns.trampoline || sameTarget(target, initial))
      )
        continue;
      drifts.push({
        key: state.name,
        address: BigInt(at),
        expected: Buffer.from(expected).toString('hex'),
        found: Buffer.from(now).toString('hex'),
        kind: is(batch.old.subarray(8 * i, 8 * i + length)) ? 'parked' : 'foreign',
      });
    }
    return drifts;
  }

  refresh(): void {
    this.#checkOpen();
    this.#objects = objectsOf(this.#target, this.#options);
    checkNames(this.#objects);
    this.#enlist();
  }

  detach(): void {
    if (this.#closed) return;
    this.#closed = true;
    leave(this.#engine);
    this.#target.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#engine.apply(
      [...this.#states.values()].map((state) => ({ ...state, to: ORIGINAL })),
      this.#protocol,
    );
    this.detach();
  }

  [Symbol.dispose](): void {
    this.detach();
  }
}

function reportsOf(
  target: Target,
  key: string,
  { columns }: Group,
  names: Functions,
): SiteReport[] {
  const { batch } = columns;
  return Array.from({ length: batch.count }, (_, i) => {
    const [at, length] = [batch.address(i), batch.lengthAt(i)];
    const now = target.read(at, length);
    const original = columns.original.subarray(8 * i, 8 * i + length);
    const trampoline = i === columns.trampoline;
    const refused = (name: ProtocolName): string | null =>
      refusal(RUNNABLE[name], at, length, false);
    return {
      key,
      address: BigInt(at),
      where: names.where(at),
      kind: trampoline ? ('trampoline' as const) : (KINDS[columns.kind[i] ?? 0] ?? 'call'),
      bytes: Buffer.from(now).toString('hex'),
      inline: !trampoline && Buffer.compare(now, original) !== 0,
      protocols: { auto: refused('auto'), int3: refused('int3'), store: refused('store') },
    };
  });
}

/** The same instruction to another veneer for the same function: another runtime's. */
function isByVeneer(
  target: Target,
  at: Addr,
  now: Uint8Array,
  expected: Uint8Array,
  { kind, address }: Goal,
): boolean {
  const head = now.length - 4;
  if (kind !== 'function') return false;
  if (Buffer.compare(now.subarray(0, head), expected.subarray(0, head)) !== 0) return false;
  const to = at + now.length + new DataView(now.buffer, now.byteOffset + head).getInt32(0, true);
  const maps = target.maps();
  if (!maps.some((m) => to >= m.start && to + VENEER_SIZE <= m.end)) return false;
  const veneer = place(VENEER, { target: address });
  return Buffer.compare(target.read(to, veneer.length), veneer) === 0;
}

/** The words that names of a key's targets are read from. */
const declaredWords = (target: Target, { def, home }: State): Piece[] =>
  def.targets.map(({ slot }) => {
    const at = home.bias + slot;
    return { at, bytes: target.read(at, 8) };
  });

const wantedOf = (state: State, to: Goal): Wanted => ({
  name: state.name,
  record: state.record,
  to,
  state,
});

const JOURNAL = 1000;
/** @throws Fault `store-refused` */
function checkHandled({ name, handler }: Protocol): void {
  if (handler !== null) return;
  throw new Fault(
    'store-refused',
    `${name} needs whole stores, and another process is written through /proc/self/mem`,
  );
}

/** The name of a target for a key: as declared, else as the file's symbols have it, else its address. */
export function nameIn(target: Target, home: RemoteObject, def: KeyDef, to: Goal): string | null {
  if (to.kind !== 'function') return to.kind === 'null' ? null : RET0;
  for (const { name, slot } of def.targets)
    if (Number(target.word(home.bias + slot) ?? 0n) === to.address) return name;
  const counted = countedAt(target, to.address);
  if (counted !== null)
    return `${nameIn(target, home, def, { kind: 'function', address: counted })} (counted)`;
  const { symbols } = home.object;
  for (let i = 1; symbols && i < symbols.count; i++)
    if (
      symbols.type(i) === STT_FUNC &&
      symbols.defined(i) &&
      home.bias + symbols.value(i) === to.address
    )
      return symbols.label(i);
  return hex(to.address);
}

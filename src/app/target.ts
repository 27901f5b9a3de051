// From what a caller writes (a declared name, null, 'ret0', unchecked(...)) to where a call shall
// go, and back from what a key's words say to the name that the caller would have written.

import { inspect } from 'node:util';
import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { didYouMean } from '../base/nearest.js';
import { STT_FUNC } from '../elf/names.js';
import { RET0, type DeclaredTarget, type KeyDef, type ReturnClass } from '../keys/key.js';
import type { Loaded } from '../machine/process/loaded.js';
import { readMaps } from '../machine/linux/maps.js';
import type { Native } from '../machine/linux/native.js';
import { switchedTo, type Target } from '../plan/target.js';
import { Closures } from './closures.js';
import { countedAt } from './trace.js';
import { isUnchecked } from './wanted.js';

const RETURNS: Readonly<Record<ReturnClass | 'unknown', string>> = {
  void: 'returns nothing',
  integer: 'returns a value',
  other: 'returns a value that is no integer or pointer',
  unknown: 'has no record of what it returns',
};

/** The type may forbid it, or only its author has not asked for it. */
export function nullRefused({ name, returns }: KeyDef): Fault {
  if (returns !== 'void')
    return new Fault(
      'null-refused',
      `${name} ${RETURNS[returns ?? 'unknown']}, so it cannot be empty`,
    );
  return new Fault('null-refused', `null is not declared for ${name}`, {
    hint:
      `where the key may be empty, write STATIC_CALL_TARGET_NULL(${name}) in C, ` +
      'and build again',
  });
}

export function ret0Refused({ name, returns }: KeyDef): Fault {
  if (returns !== 'integer')
    return new Fault('ret0-refused', `${name} ${RETURNS[returns ?? 'unknown']}`);
  return new Fault('ret0-refused', `${RET0} is not declared for ${name}`, {
    hint:
      `where the key may return 0, write STATIC_CALL_TARGET_RET0(${name}) in C, ` +
      'and build again',
  });
}

/** @throws Fault `unknown-target` */
function onOrOff({ name }: KeyDef, wanted: unknown): boolean {
  if (typeof wanted === 'boolean') return wanted;
  throw new Fault('unknown-target', `${name} is a static key, and was given ${inspect(wanted)}`, {
    hint: 'a static key is switched by true and false',
  });
}

export class Targets {
  readonly #native: Native;
  readonly #loaded: Loaded;
  readonly #local = new Map<string, Addr>();
  /**
   * What was found in the declared targets' slots, which the dynamic linker fills once; looking
   * costs a microsecond.
   */
  readonly #found = new Map<DeclaredTarget, Target>();
  readonly #names = new Map<KeyDef, Map<Addr, string>>();
  readonly #pinned = new Set<string>();

  constructor(native: Native, loaded: Loaded) {
    this.#native = native;
    this.#loaded = loaded;
  }

  /** @throws Fault `unknown-target`, `null-refused`, `ret0-refused` */
  resolve(def: KeyDef, wanted: unknown): Target {
    if (def.kind === 'branch') return switchedTo(onOrOff(def, wanted));
    if (wanted === null) {
      if (!def.mayBeNull) throw nullRefused(def);
      return { kind: 'null', address: 0 };
    }
    if (isUnchecked(wanted)) return this.#unchecked(wanted.unchecked);
    // What the compiler refuses must not get as far as the dynamic linker, which would end the
    // process.
    if (typeof wanted !== 'string')
      throw new Fault(
        'unknown-target',
        `${def.name} was given ${inspect(wanted)}, which is no target`,
        {
          hint:
            (wanted === undefined ? 'leave the key out to leave it as it is; ' : '') +
            'a target is a declared name, null, unchecked(...) or target(...)',
        },
      );
    const declared = def.targets.find((t) => t.name === wanted);
    if (declared) return this.#declared(declared);
    if (wanted === RET0) {
      if (!def.mayReturn0) throw ret0Refused(def);
      return { kind: 'ret0', address: 0 };
    }
    const names = def.targets.map((t) => t.name);
    const hint = didYouMean(wanted, names);
    throw new Fault(
      'unknown-target',
      `${wanted} is not declared for ${def.name}; declared: ${names.join(', ') || 'none'}`,
      hint ? { hint } : {},
    );
  }

  #namesOf(def: KeyDef): Map<Addr, string> {
    let names = this.#names.get(def);
    if (!names) this.#names.set(def, (names = new Map<Addr, string>()));
    return names;
  }

  /** What the dynamic linker put there: preemption, IFUNC and other objects are its business. */
  #declared(target: DeclaredTarget): Target {
    const known = this.#found.get(target);
    if (known) return known;
    const slot = this.#native.read(this.#loaded.bias + target.slot, 8);
    const address = Number(new DataView(slot.buffer).getBigUint64(0, true));
    if (address === 0)
      throw new Fault('unknown-target', `no loaded object defines ${target.name}`, {
        at: this.#loaded.path,
      });
    const found: Target = { kind: 'function', address };
    this.#found.set(target, found);
    return found;
  }

  #unchecked(wanted: string | bigint): Target {
    const address = typeof wanted === 'bigint' ? Number(wanted) : this.#symbol(wanted);
    const map = readMaps().find((m) => address >= m.start && address < m.end);
    if (!map?.access.includes('x'))
      throw new Fault(
        'unknown-target',
        `${hex(address)} is not in executable memory of this process`,
        { hint: 'give the address of a function' },
      );
    // A handle of ours keeps its object loaded: a dlclose elsewhere would leave the sites calling
    // into nothing. Text that is mapped twice no longer shows its file; the program that mapped it holds
    // such a handle. Other memory files have none.
    if (
      map.path.startsWith('/') &&
      !map.path.startsWith('/memfd:') &&
      map.path !== process.execPath
    )
      this.#pin(map.path);
    return { kind: 'function', address };
  }

  #pin(path: string): void {
    if (this.#pinned.has(path)) return;
    this.#native.load(path);
    this.#pinned.add(path);
  }

  #symbol(name: string): Addr {
    // The dynamic linker would read no further, and find another symbol.
    if (name.includes('\0'))
      throw new Fault('unknown-target', `${name} is no name of a symbol: it holds a NUL`);
    // As readelf and the linker write a version: f@V1, and f@@V2 for the default one.
    const [bare = '', version] = name.split(/@@?/);
    const visible =
      this.#native.symbol(this.#loaded.handle, bare, version) ||
      this.#native.symbol(this.#native.load(null), bare, version);
    if (visible !== 0) return visible;
    const local = this.#locals().get(name);
    if (local === undefined) {
      const hint = didYouMean(name, this.#locals().keys());
      throw new Fault(
        'unknown-target',
        `no symbol ${name} in the object, what it depends on, or the program`,
        hint ? { hint } : {},
      );
    }
    return local;
  }

  /** Functions that the dynamic linker does not see. */
  #locals(): ReadonlyMap<string, Addr> {
    const { symbols } = this.#loaded.object;
    if (this.#local.size === 0 && symbols) {
      for (let i = 1; i < symbols.count; i++)
        if (symbols.type(i) === STT_FUNC && symbols.defined(i))
          this.#local.set(symbols.label(i), this.#loaded.bias + symbols.value(i));
    }
    return this.#local;
  }

  /**
   * The name of a function for a key: as declared, else as the file's symbols have it, else its
   * address. Of a static key, whether it is on.
   */
  name(def: KeyDef, target: Target): string | null | boolean {
    switch (target.kind) {
      case 'on':
      case 'off':
        return target.kind === 'on';
      case 'null':
        return null;
      case 'ret0':
        return RET0;
      case 'function':
        return this.#functionName(def, target);
    }
  }

  #functionName(def: KeyDef, target: Target): string {
    const names = this.#namesOf(def);
    let name = names.get(target.address);
    if (name === undefined) names.set(target.address, (name = this.#nameOf(def, target.address)));
    return name;
  }

  #nameOf(def: KeyDef, address: Addr): string {
    const declared = def.targets.find((t) => this.#declared(t).address === address);
    if (declared) return declared.name;
    for (const [name, at] of this.#locals()) if (at === address) return name;
    const counted = countedAt(this.#native, address);
    if (counted !== null) return `${this.#nameOf(def, counted)} (counted)`;
    return Closures.of(this.#native).nameAt(address) ?? hex(address);
  }
}

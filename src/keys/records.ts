// The sections in which static_call.h tells what a program declared, decoded: the keys that an
// object defines and the targets they may have. A record is a row of pointers, which in a linked
// file are relocations that the dynamic linker has yet to perform; each is read as what it will be.
// Nothing here is believed: a pointer that leads nowhere, a string without an end or a number out
// of its range is a Fault that names its record.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import * as N from '../elf/names.js';
import { NAME_MAX, signed64, stringAt, type ElfObject, type Section } from '../elf/object.js';
import type { ReturnClass } from './key.js';

/**
 * Each name and the one that it has in a program that links a runtime of its own, where it is a
 * word of C. Objects of both kinds may be linked into one file.
 */
const KEYS_SECTIONS: readonly string[] = ['.static_call_keys', 'static_call_keys'];
const TARGETS_SECTIONS: readonly string[] = ['.static_call_targets', 'static_call_targets'];

export const hasKeys = (object: ElfObject): boolean =>
  object.sections.some(({ name }) => KEYS_SECTIONS.includes(name));

/** struct static_call_key_record and struct static_call_target_record of include/static_call.h. */
const KEY = {
  key: 0,
  trampoline: 8,
  initial: 16,
  name: 24,
  initialName: 32,
  version: 40,
  kind: 44,
  returns: 45,
  exported: 46,
  size: 48,
} as const;
const TARGET = { key: 0, func: 8, keyName: 16, name: 24, size: 32 } as const;
/**
 * Objects of version 1 have no macros for what follows; their programs were written when a key's
 * type alone said whether it may be empty or return 0, and are read so.
 */
const VERSIONS: readonly number[] = [1, 2];
const VERSION_BY_TYPE = 1;

const KINDS = ['function', 'null', 'ret0'] as const;
const RETURNS: readonly (ReturnClass | null)[] = [null, 'void', 'integer', 'other'];
const EXPORTS = ['no', 'key', 'trampoline'] as const;
/** In place of a target's name, without a function: STATIC_CALL_TARGET_NULL and _RET0. */
const PERMITS = ['null', 'ret0'] as const;

export interface KeyRecord {
  readonly name: string;
  readonly address: Addr;
  readonly trampoline: Addr;
  readonly kind: (typeof KINDS)[number];
  /** Of the initial target; null unless `kind` is function. */
  readonly initialName: string | null;
  readonly returns: ReturnClass | null;
  readonly exported: (typeof EXPORTS)[number];
  /** What the key takes beside functions, as far as its definition says: see `PermitRecord`. */
  readonly permits: readonly Permit[];
  /** `.static_call_keys+0x30`, for faults. */
  readonly where: string;
}

export interface TargetRecord {
  readonly key: string;
  readonly name: string;
  /** null where the dynamic linker has to look it up. */
  readonly address: Addr | null;
  readonly slot: Addr;
  /** Where its key is, or the symbol of one that another object defines. */
  readonly of: Pointer;
  readonly where: string;
}

/** `null`: the key may be empty. `ret0`: it may return 0. */
export type Permit = (typeof PERMITS)[number];

/** What a macro beside the definition, in any file, permits a key. */
export interface PermitRecord {
  readonly key: string;
  readonly permit: Permit;
  readonly of: Pointer;
  readonly where: string;
}

/** An address that a field will hold, as far as the file knows it. */
export type Pointer = { readonly address: Addr } | { readonly symbol: string };

class Table {
  readonly #object: ElfObject;
  readonly #section: Section;
  readonly #view: DataView;
  readonly #pointers: ReadonlyMap<Addr, Pointer>;
  readonly rows: number;
  readonly #size: number;

  constructor(
    object: ElfObject,
    section: Section,
    size: number,
    pointers: ReadonlyMap<Addr, Pointer>,
  ) {
    const bytes = object.data(section);
    if (bytes.length % size !== 0)
      throw new Fault(
        'bad-keys-section',
        `${bytes.length} bytes are no whole number of records of ${size}`,
        { at: section.name },
      );
    this.#object = object;
    this.#section = section;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#pointers = pointers;
    this.#size = size;
    this.rows = bytes.length / size;
  }

  where(row: number): string {
    return `${this.#section.name}+${hex(row * this.#size)}`;
  }
  fail(row: number, what: string): Fault {
    return new Fault('bad-keys-section', what, { at: this.where(row) });
  }
  /** Address of a field in the loaded object. */
  slot(row: number, field: number): Addr {
    return this.#section.address + row * this.#size + field;
  }
  byte(row: number, field: number): number {
    return this.#view.getUint8(row * this.#size + field);
  }
  word(row: number, field: number): number {
    return this.#view.getUint32(row * this.#size + field, true);
  }
  /**
   * A field without a relocation holds its value: a program at a fixed address, or packed
   * relocations (RELR).
   */
  pointer(row: number, field: number): Pointer {
    return (
      this.#pointers.get(this.slot(row, field)) ?? {
        address: signed64(this.#view, row * this.#size + field),
      }
    );
  }
  /** A pointer into this object. */
  local(row: number, field: number, what: string): Addr {
    const pointer = this.pointer(row, field);
    if ('address' in pointer) return pointer.address;
    throw this.fail(row, `its ${what} is ${pointer.symbol}, which another object defines`);
  }
  one<T>(row: number, field: number, values: readonly T[], what: string): T {
    const value = this.byte(row, field);
    const known = values.at(value);
    if (known === undefined)
      throw this.fail(row, `its ${what} is ${value}; known are 0 to ${values.length - 1}`);
    return known;
  }
  /** A pointer to a name. */
  text(row: number, field: number, what: string): string {
    const address = this.local(row, field, what);
    const offset = this.#object.fileOffset(address);
    // No further than a name can be long: each of many records may lead into the same megabytes
    // without a NUL.
    const bytes =
      offset < 0 ? new Uint8Array(0) : this.#object.bytes.subarray(offset, offset + NAME_MAX + 1);
    const name = bytes.includes(0) ? stringAt(bytes, 0) : '';
    if (name === '' || NO_NAME.test(name))
      throw this.fail(row, `its ${what} at ${hex(address)} is no name`);
    return name;
  }
}

/**
 * Controls, and what is no UTF-8. A target's name is a C++ expression and may hold anything else.
 */
const NO_NAME = /[\p{Cc}\p{Cs}]/u;

/** What the dynamic linker will store in the fields of these sections. */
function pointersIn(object: ElfObject, sections: readonly Section[]): Map<Addr, Pointer> {
  const found = new Map<Addr, Pointer>();
  const symbols = object.dynamicSymbols;
  for (const table of object.dynamicRelocations()) {
    for (let i = 0; i < table.count; i++) {
      const at = table.offset(i);
      if (!sections.some((s) => at >= s.address && at < s.address + s.size)) continue;
      const type = table.type(i);
      const symbol = table.symbol(i);
      if (type === N.R_X86_64_RELATIVE) found.set(at, { address: table.addend(i) });
      else if (type === N.R_X86_64_IRELATIVE) found.set(at, { symbol: 'an IFUNC' });
      else if ((type === N.R_X86_64_64 || type === N.R_X86_64_GLOB_DAT) && symbols) {
        const known = symbols.defined(symbol) && symbols.type(symbol) !== N.STT_GNU_IFUNC;
        found.set(
          at,
          known
            ? { address: symbols.value(symbol) + table.addend(i) }
            : { symbol: symbols.label(symbol) },
        );
      } else
        throw new Fault(
          'bad-keys-section',
          `relocation type ${type} at ${hex(at)} is none that a record needs`,
          { at: table.section.name },
        );
    }
  }
  return found;
}

const isCode = (object: ElfObject, address: Addr): boolean =>
  object.segments.some(
    (s) =>
      s.type === N.PT_LOAD &&
      (s.flags & N.PF_X) !== 0 &&
      address >= s.address &&
      address < s.address + s.memorySize,
  );

const isData = (object: ElfObject, address: Addr): boolean =>
  object.segments.some(
    (s) =>
      s.type === N.PT_LOAD &&
      (s.flags & N.PF_W) !== 0 &&
      address >= s.address &&
      address + 16 <= s.address + s.memorySize,
  );

function keyRecord(object: ElfObject, table: Table, row: number): KeyRecord {
  const version = table.word(row, KEY.version);
  if (!VERSIONS.includes(version))
    throw table.fail(
      row,
      `it is of version ${version}; this program reads ${VERSIONS.join(' and ')}`,
    );
  const name = table.text(row, KEY.name, 'name');
  const kind = table.one(row, KEY.kind, KINDS, 'initial kind');
  const address = table.local(row, KEY.key, 'key');
  if (address % 16 !== 0 || !isData(object, address))
    throw table.fail(row, `key ${name} at ${hex(address)} is not aligned writable data`);
  const trampoline = table.local(row, KEY.trampoline, 'trampoline');
  if (trampoline === 0)
    throw new Fault('no-trampoline', `key ${name} has no trampoline`, { at: table.where(row) });
  const returns = table.one(row, KEY.returns, RETURNS, 'return class');
  return {
    name,
    address,
    trampoline,
    kind,
    initialName:
      kind === 'function' ? table.text(row, KEY.initialName, "initial target's name") : null,
    returns,
    exported: table.one(row, KEY.exported, EXPORTS, 'export code'),
    permits: permitsOf(kind, version === VERSION_BY_TYPE ? returns : null),
    where: table.where(row),
  };
}

/** @param returns null where the type permits nothing */
function permitsOf(kind: KeyRecord['kind'], returns: ReturnClass | null): Permit[] {
  return PERMITS.filter(
    (permit) => permit === kind || (returns !== null && PERMITTED_TYPE[permit] === returns),
  );
}

/** What a key's functions must return where that is known. */
export const PERMITTED_TYPE: Readonly<Record<Permit, ReturnClass>> = {
  null: 'void',
  ret0: 'integer',
};

function targetRecord(object: ElfObject, table: Table, row: number): TargetRecord | PermitRecord {
  const key = table.text(row, TARGET.keyName, "key's name");
  const name = table.text(row, TARGET.name, 'name');
  const pointer = table.pointer(row, TARGET.func);
  const address = 'address' in pointer ? pointer.address : null;
  const permit = PERMITS.find((each) => each === name);
  const [of, where] = [table.pointer(row, TARGET.key), table.where(row)];
  if (address === 0 && permit !== undefined) return { key, permit, of, where };
  if (address !== null && !isCode(object, address))
    throw table.fail(row, `target ${name} of key ${key} at ${hex(address)} is no code`);
  return { key, name, address, slot: table.slot(row, TARGET.func), of, where };
}

export interface Records {
  readonly keys: readonly KeyRecord[];
  readonly targets: readonly TargetRecord[];
  readonly permits: readonly PermitRecord[];
}

/**
 * The keys that a file tells of whatever became of its symbols: what is found by their trampolines.
 * None in a relocatable one. @throws as `readRecords`
 */
export function declaredKeys(object: ElfObject): readonly KeyRecord[] {
  return object.type === 'relocatable' ? [] : readRecords(object).keys;
}

/**
 * What a linked file declares, in the file's order, as it is written: a target may be there several
 * times.
 * @throws Fault `not-linked`, `bad-keys-section`, `no-trampoline`.
 */
export function readRecords(object: ElfObject): Records {
  if (object.type === 'relocatable')
    throw new Fault('not-linked', 'the file is relocatable: its keys have no addresses yet');
  const named = (names: readonly string[]): Section[] =>
    object.sections.filter(({ name }) => names.includes(name));
  const [keys, targets] = [named(KEYS_SECTIONS), named(TARGETS_SECTIONS)];
  if (keys.length + targets.length === 0) return { keys: [], targets: [], permits: [] };
  const pointers = pointersIn(object, [...keys, ...targets]);
  const rows = <T>(
    sections: readonly Section[],
    size: number,
    read: (object: ElfObject, table: Table, row: number) => T,
  ): T[] =>
    sections.flatMap((section) => {
      const table = new Table(object, section, size, pointers);
      return Array.from({ length: table.rows }, (_, row) => read(object, table, row));
    });
  const declared = rows(targets, TARGET.size, targetRecord);
  return {
    keys: rows(keys, KEY.size, keyRecord),
    targets: declared.filter((record) => 'name' in record),
    permits: declared.filter((record) => 'permit' in record),
  };
}

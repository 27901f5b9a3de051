// The sections in which static_call.h tells what a program declared, decoded: the keys that an
// object defines and the targets they may have. A record is a row of pointers, which in a linked
// file are relocations that the dynamic linker has yet to perform; each is read as what it will be.
// Nothing here is believed: a pointer that leads nowhere, a string without an end or a number out
// of its range is a Fault that names its record.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import type { ElfObject, Section } from '../elf/object.js';
import type { ReturnClass } from './key.js';
import { isCode, isData, pointersIn, Table, type Pointer } from './table.js';

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

// Sites to keys: what the header recorded, what the symbols say and who calls, joined by the key's
// name. Every key that is in any of the three is in the result. Where two of them speak of the same
// thing they must agree; a key whose trampoline is missing or is not one is refused, for patching
// it would write into something else.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import type { ElfObject } from '../elf/object.js';
import { checkReadable } from '../sites/readable.js';
import { findSites } from '../sites/find.js';
import { bareName, KEY_PREFIX, TRAMPOLINE_PREFIX, type Site } from '../sites/site.js';
import { bestSymbols, keySymbols } from '../sites/symbols.js';
import { findTrampolines, type Trampoline } from '../sites/trampoline.js';
import { recogniseTrampoline, TRAMPOLINE_LENGTH } from '../x86/forms.js';
import { RET0, type DeclaredTarget, type KeyDef } from './key.js';
import { switchesOf } from './switches.js';
import {
  PERMITTED_TYPE,
  readRecords,
  type KeyRecord,
  type Records,
  type Permit,
  type PermitRecord,
  type TargetRecord,
} from './records.js';

/**
 * The keys of a linked object with its sites, which are found also where its symbols are stripped:
 * the records tell where the trampolines are.
 * @throws Fault as `findSites` and `bindKeys` do.
 */
export function keysOf(object: ElfObject): KeyDef[] {
  const records = readRecords(object);
  return bindKeys(object, findSites(object, undefined, records.keys), records);
}

/**
 * The keys of a linked object, by name.
 * @param sites of the same object (`findSites`), in any order.
 * @param records of the same object, where they were read already.
 * @throws Fault `not-linked`, `bad-keys-section`, `bad-trampoline`, `no-trampoline`,
 *   `ambiguous-target`; for static keys also `bad-sites-section`, `bad-site`.
 */
export function bindKeys(
  object: ElfObject,
  sites: readonly Site[],
  records: Records = recordsOf(object),
): KeyDef[] {
  const calls = bindCalls(object, sites, records);
  const switches = switchesOf(object);
  if (switches.length === 0) return calls;
  const names = new Set(calls.map((key) => key.name));
  const both = switches.find((key) => names.has(key.name));
  if (both)
    throw new Fault('bad-keys-section', `${both.name} is a static call and a static key`, {
      hint: 'a name is one key for the whole program: rename one of the two',
    });
  return [...calls, ...switches].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function recordsOf(object: ElfObject): Records {
  checkReadable(object);
  return readRecords(object);
}

function bindCalls(object: ElfObject, sites: readonly Site[], records: Records): KeyDef[] {
  const recorded = unique(records.keys);
  const trampolines = new Map(findTrampolines(object).map((t) => [t.key, t]));
  const symbols = keyAddresses(object);
  const addresses = namesAt(records.keys, symbols);
  checkKeysOf(records.targets, addresses);
  checkKeysOf(
    records.permits.map(({ permit, ...record }) => ({ ...record, name: permit })),
    addresses,
  );
  const targets = targetsByKey(records.targets);
  const permits = permitsByKey(records.permits, recorded);
  const called = sitesByKey(sites);

  const names = new Set([
    ...recorded.keys(),
    ...symbols.keys(),
    ...trampolines.keys(),
    ...targets.keys(),
    ...permits.keys(),
    ...called.keys(),
  ]);
  const keys = [...names].sort().map((name): KeyDef => {
    const record = recorded.get(name);
    const permitted = new Set([...(record?.permits ?? []), ...(permits.get(name) ?? [])]);
    const of: Declared = {
      name,
      kind: 'call',
      targets: targets.get(name) ?? [],
      mayBeNull: permitted.has('null'),
      mayReturn0: permitted.has('ret0'),
      sites: called.get(name) ?? [],
    };
    if (!record) return unrecorded(of, symbols.get(name) ?? null, trampolines.get(name) ?? null);
    const symbol = symbols.get(name);
    if (symbol !== undefined && symbol !== record.address) {
      throw new Fault(
        'bad-keys-section',
        `key ${name} is at ${hex(record.address)} by its record and at ${hex(symbol)} by ` +
          'its symbol',
        { at: record.where },
      );
    }
    checkTrampoline(object, record);
    const initial: KeyDef['initial'] =
      record.kind === 'function'
        ? { kind: 'function', name: record.initialName! }
        : { kind: record.kind };
    return {
      ...of,
      address: record.address,
      trampoline: record.trampoline,
      returns: record.returns,
      initial,
    };
  });
  checkOwnTrampolines(keys);
  return keys;
}

type Declared = Pick<KeyDef, 'name' | 'kind' | 'targets' | 'mayBeNull' | 'mayReturn0' | 'sites'>;

/**
 * A key that no record describes: another object's, or one that another header defined, as the
 * kernel's does.
 */
function unrecorded(of: Declared, address: number | null, trampoline: Trampoline | null): KeyDef {
  if (address !== null && !trampoline)
    throw new Fault('no-trampoline', `key ${of.name} has no trampoline`, { at: hex(address) });
  if (trampoline && trampoline.form === null)
    throw new Fault(
      'bad-trampoline',
      `the trampoline of key ${of.name} holds other bytes than a trampoline`,
      { at: hex(trampoline.at) },
    );
  return {
    ...of,
    address,
    trampoline: trampoline?.at ?? null,
    returns: null,
    initial: initialOf(trampoline),
  };
}

function initialOf(trampoline: Trampoline | null): KeyDef['initial'] {
  if (!trampoline) return null;
  if (trampoline.target === null) return { kind: 'null' };
  if (trampoline.targetSymbol === '__static_call_return0') return { kind: 'ret0' };
  return trampoline.targetSymbol === null
    ? null
    : { kind: 'function', name: trampoline.targetSymbol };
}

function checkTrampoline(object: ElfObject, record: KeyRecord): void {
  const bytes = object.at(record.trampoline, TRAMPOLINE_LENGTH);
  const is = bytes && recogniseTrampoline(bytes, record.trampoline);
  const at = hex(record.trampoline);
  if (!is)
    throw new Fault(
      'bad-trampoline',
      `the trampoline of key ${record.name} holds other bytes than a trampoline`,
      { at },
    );
  if ((is.target === null) !== (record.kind === 'null')) {
    const recorded = record.kind === 'null' ? 'empty' : 'not empty';
    throw new Fault(
      'bad-trampoline',
      `key ${record.name} is recorded as ${recorded}, but its trampoline is a ${is.form.effect}`,
      { at },
    );
  }
}

function unique(records: readonly KeyRecord[]): Map<string, KeyRecord> {
  const byName = new Map<string, KeyRecord>();
  for (const record of records) {
    const other = byName.get(record.name);
    if (other)
      throw new Fault(
        'bad-keys-section',
        `key ${record.name} is recorded twice, also at ${other.where}`,
        { at: record.where },
      );
    byName.set(record.name, record);
  }
  return byName;
}

function keyAddresses(object: ElfObject): Map<string, Addr> {
  const symbols = bestSymbols(object);
  const found = new Map<string, Addr>();
  if (symbols)
    for (const [name, i] of keySymbols(symbols))
      if (symbols.defined(i)) found.set(bareName(name), symbols.value(i));
  return found;
}

/** Keys by address: as the records have them, and as the symbols do. */
function namesAt(
  records: readonly KeyRecord[],
  symbols: ReadonlyMap<string, Addr>,
): Map<Addr, string> {
  const names = new Map<Addr, string>();
  for (const [name, address] of symbols) names.set(address, name);
  for (const { name, address } of records) names.set(address, name);
  return names;
}

/**
 * The record of a target holds its key's name and the key's address. The preprocessor can pull them
 * apart: a name that is a macro is expanded in the one and not in the other.
 */
function checkKeysOf(
  records: readonly Pick<TargetRecord, 'key' | 'name' | 'of' | 'where'>[],
  names: ReadonlyMap<Addr, string>,
): void {
  for (const { key, name, of, where } of records) {
    const symbol = 'symbol' in of ? of.symbol : KEY_PREFIX + (names.get(of.address) ?? '');
    if (symbol === KEY_PREFIX + key) continue;
    const leads = symbol === KEY_PREFIX ? 'no key' : `key ${bareName(symbol)}`;
    throw new Fault(
      'bad-keys-section',
      `target ${name} is declared for key ${key}, but its record leads to ${leads}`,
      {
        at: where,
        hint:
          `if ${key} is a macro, write its expansion in STATIC_CALL_TARGET; else rebuild ` +
          'the file',
      },
    );
  }
}

/** Linkers fold functions of the same bytes, which trampolines to one target are: --icf=all. */
function checkOwnTrampolines(keys: readonly KeyDef[]): void {
  const owners = new Map<Addr, string>();
  for (const { name, trampoline } of keys) {
    if (trampoline === null) continue;
    const other = owners.get(trampoline);
    if (other !== undefined)
      throw new Fault('bad-trampoline', `keys ${other} and ${name} share one trampoline`, {
        at: hex(trampoline),
        hint:
          'the linker folded them: link with --icf=safe, or ' +
          `--keep-unique=${TRAMPOLINE_PREFIX}${name}`,
      });
    owners.set(trampoline, name);
  }
}

/** By name, each once: compilers emit the records in any order. */
function targetsByKey(records: readonly TargetRecord[]): Map<string, DeclaredTarget[]> {
  const byKey = new Map<string, DeclaredTarget[]>();
  for (const { key, name, address, slot, where } of records) {
    if (name === RET0)
      throw new Fault(
        'ambiguous-target',
        `a target of key ${key} is called ${RET0}, which means "return 0"`,
        { at: where },
      );
    const list = byKey.get(key) ?? [];
    byKey.set(key, list);
    const known = list.find((t) => t.name === name);
    if (!known) list.push({ name, address, slot });
    else if (known.address !== address)
      throw new Fault(
        'ambiguous-target',
        `two functions called ${name} are declared for key ${key}`,
        { at: where },
      );
  }
  for (const list of byKey.values()) list.sort((a, b) => (a.name < b.name ? -1 : 1));
  return byKey;
}

/** The header checks the type; a record that says otherwise is damaged. */
function permitsByKey(
  records: readonly PermitRecord[],
  keys: ReadonlyMap<string, KeyRecord>,
): Map<string, Permit[]> {
  const byKey = new Map<string, Permit[]>();
  for (const { key, permit, where } of records) {
    const returns = keys.get(key)?.returns ?? null;
    if (returns !== null && returns !== PERMITTED_TYPE[permit])
      throw new Fault(
        'bad-keys-section',
        `key ${key} is permitted ${permit}, and its functions return ${returns}`,
        { at: where },
      );
    byKey.set(key, [...(byKey.get(key) ?? []), permit]);
  }
  return byKey;
}

function sitesByKey(sites: readonly Site[]): Map<string, Site[]> {
  const byKey = new Map<string, Site[]>();
  for (const site of sites) {
    const list = byKey.get(site.key);
    if (list) list.push(site);
    else byKey.set(site.key, [site]);
  }
  // A table may list a site twice; patched twice in one batch, the second edit would find what the
  // first one wrote.
  for (const [key, list] of byKey)
    byKey.set(
      key,
      list.sort((a, b) => a.at - b.at).filter((site, i) => site.at !== list[i - 1]?.at),
    );
  return byKey;
}

// The static keys of a linked object and the branches on them, as static_key.h recorded both. A
// branch is not searched for, because its record is made where its instruction is. What the record
// says is held against the instruction and against the key: a byte is written there.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import type { ElfObject, Section } from '../elf/object.js';
import { SITE_INIT, type BranchKind, type Site } from '../sites/site.js';
import { destination, SITE_FORMS } from '../x86/forms.js';
import type { KeyDef } from './key.js';
import { isCode, isData, pointersIn, Table, type Pointer } from './table.js';

export const SWITCHES_SECTION = 'static_keys';
export const BRANCHES_SECTION = 'static_key_sites';

/** struct static_key_record and struct static_key_site of include/static_key.h. */
const KEY = { key: 0, name: 8, version: 16, initial: 20, exported: 21, size: 24 } as const;
const SITE = { code: 0, target: 4, key: 8, size: 16 } as const;
const VERSION = 1;
const YES_NO = [false, true] as const;

/** What a branch holds while it is taken, and while it is not. */
const TAKEN = SITE_FORMS.jmp;
const PASSED = SITE_FORMS.test5;

interface Switch {
  readonly name: string;
  readonly address: Addr;
  readonly initial: boolean;
  readonly where: string;
}

interface Branch {
  readonly at: Addr;
  readonly to: Addr;
  readonly kind: BranchKind;
  /** Of its key, without the bit that says which kind it is. */
  readonly of: Pointer;
  readonly where: string;
}

/** Whether the file has something to say of static keys. */
export const mentionsSwitches = (object: ElfObject): boolean =>
  object.section(SWITCHES_SECTION) !== undefined || object.section(BRANCHES_SECTION) !== undefined;

/**
 * The static keys of a linked object with their branches, by name: those that it defines, and those
 * of other objects that it tests.
 * @throws Fault `bad-keys-section`, `bad-sites-section`, `bad-site`
 */
export function switchesOf(object: ElfObject): KeyDef[] {
  if (object.type === 'relocatable') return [];
  const keySection = object.section(SWITCHES_SECTION);
  const siteSection = object.section(BRANCHES_SECTION);
  const sections = [keySection, siteSection].filter((s) => s !== undefined);
  if (sections.length === 0) return [];
  const pointers = pointersIn(object, sections);
  const keys = keySection
    ? switchesIn(object, new Table(object, keySection, KEY.size, pointers))
    : [];
  const named = unique(keys);
  const byAddress = new Map(keys.map((key) => [key.address, key]));
  const sites = new Map<string, Site<BranchKind>[]>();
  if (siteSection) {
    const table = new Table(object, siteSection, SITE.size, pointers, 'bad-sites-section');
    for (const branch of branchesIn(object, table)) {
      const key = keyOf(branch, byAddress, named);
      const list = sites.get(key.name) ?? [];
      sites.set(key.name, list);
      list.push(siteOf(object, branch, key));
    }
  }
  return [...new Set([...named.keys(), ...sites.keys()])].map((name) =>
    define(name, named.get(name) ?? null, sites.get(name) ?? []),
  );
}

function define(name: string, key: Switch | null, sites: readonly Site<BranchKind>[]): KeyDef {
  return {
    name,
    kind: 'branch',
    address: key?.address ?? null,
    trampoline: null,
    returns: null,
    initial: key && { kind: key.initial ? 'on' : 'off' },
    targets: [],
    mayBeNull: false,
    mayReturn0: false,
    sites: sites.toSorted((a, b) => a.at - b.at),
  };
}

function switchesIn(object: ElfObject, table: Table): Switch[] {
  return Array.from({ length: table.rows }, (_, row) => {
    const version = table.word(row, KEY.version);
    if (version !== VERSION)
      throw table.fail(row, `it is of version ${version}; this program reads ${VERSION}`);
    const name = table.text(row, KEY.name, 'name');
    const address = table.local(row, KEY.key, 'key');
    if (address % 16 !== 0 || !isData(object, address))
      throw table.fail(row, `key ${name} at ${hex(address)} is not aligned writable data`);
    return {
      name,
      address,
      initial: table.one(row, KEY.initial, YES_NO, 'initial state'),
      where: table.where(row),
    };
  });
}

function unique(keys: readonly Switch[]): Map<string, Switch> {
  const byName = new Map<string, Switch>();
  for (const key of keys) {
    const other = byName.get(key.name);
    if (other)
      throw new Fault(
        'bad-keys-section',
        `static key ${key.name} is recorded twice, also at ${other.where}`,
        { at: key.where, hint: 'two files define a key of this name: rename one of them' },
      );
    byName.set(key.name, key);
  }
  return byName;
}

function branchesIn(object: ElfObject, table: Table): Branch[] {
  const seen = new Map<Addr, string>();
  return Array.from({ length: table.rows }, (_, row): Branch => {
    const at = table.distance(row, SITE.code);
    const where = table.where(row);
    const other = seen.get(at);
    if (other !== undefined)
      throw table.fail(row, `it names the branch at ${hex(at)}, as ${other} does`);
    seen.set(at, where);
    if (!isCode(object, at)) throw table.fail(row, `it names ${hex(at)}, where no code is`);
    const { of, negated } = keyField(table.pointer(row, SITE.key));
    return {
      at,
      to: table.distance(row, SITE.target),
      kind: negated ? 'unless' : 'if',
      of,
      where,
    };
  });
}

/** The lowest bit of the address says which kind of branch it is. */
function keyField(field: Pointer): { readonly of: Pointer; readonly negated: boolean } {
  const low = 'address' in field ? field.address : field.addend;
  const negated = Math.abs(low % 2) === 1;
  if (!negated) return { of: field, negated };
  const of = 'address' in field ? { address: low - 1 } : { ...field, addend: low - 1 };
  return { of, negated };
}

/** The key of a branch: one of the file's own, or another object's of which only the name is known. */
function keyOf(
  { at, of, where }: Branch,
  byAddress: ReadonlyMap<Addr, Switch>,
  named: ReadonlyMap<string, Switch>,
): Pick<Switch, 'name'> & Partial<Switch> {
  if ('symbol' in of && of.addend === 0) return named.get(of.symbol) ?? { name: of.symbol };
  const key = 'address' in of ? byAddress.get(of.address) : undefined;
  if (key) return key;
  const place = 'address' in of ? hex(of.address) : `${of.symbol}+${of.addend}`;
  throw new Fault(
    'bad-sites-section',
    `the branch at ${hex(at)} tests a key at ${place}, which no record describes`,
    {
      at: where,
      hint:
        'define the key by DEFINE_STATIC_KEY_TRUE or DEFINE_STATIC_KEY_FALSE of static_key.h, ' +
        'not by hand, and not inside an array or a structure',
    },
  );
}

/** @throws Fault `bad-site` */
function siteOf(
  object: ElfObject,
  { at, to, kind, where }: Branch,
  key: Pick<Switch, 'name'> & Partial<Switch>,
): Site<BranchKind> {
  const bad = (what: string): Fault =>
    new Fault('bad-site', `the branch on ${key.name} at ${hex(at)} ${what}`, {
      at: where,
      hint: 'the file was changed after it was linked, or its table belongs to other code',
    });
  const bytes = object.at(at, TAKEN.length);
  const form = [TAKEN, PASSED].find(({ bytes: [opcode] }) => bytes?.[0] === opcode);
  if (!bytes || !form)
    throw bad(
      `begins with ${hex(bytes?.[0] ?? 0)}, neither ${opcodeOf(TAKEN)} nor ${opcodeOf(PASSED)}`,
    );
  // The jump's displacement is in both forms.
  const leads = destination(TAKEN, bytes, 0, at);
  if (leads !== to) throw bad(`leads to ${hex(leads)}, and its record says ${hex(to)}`);
  if (key.initial !== undefined && (form === TAKEN) !== (key.initial === (kind === 'if')))
    throw bad(
      `${form === TAKEN ? 'jumps' : 'does not jump'} although the key is ` +
        `${key.initial ? 'on' : 'off'} at first`,
    );
  return {
    section: sectionAt(object, at)?.index ?? 0,
    at,
    length: TAKEN.length,
    kind,
    condition: 0,
    flags: isInit(sectionAt(object, at)) ? SITE_INIT : 0,
    key: key.name,
    keySymbol: key.name,
  };
}

const opcodeOf = ({ bytes: [opcode = 0] }: { readonly bytes: Uint8Array }): string => hex(opcode);

const sectionAt = (object: ElfObject, at: Addr): Section | undefined =>
  object.sections.find((s) => s.address !== 0 && at >= s.address && at < s.address + s.size);

const isInit = (section: Section | undefined): boolean =>
  section?.name.startsWith('.init.') ?? false;

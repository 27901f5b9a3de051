// Object to the same object with a table of its sites: section, entries and relocations as the
// kernel's objtool writes them. A linked file gets the same table with the relocations resolved, in
// a section that no segment loads: its readers have the file, and a segment would need room in a
// header table that programs do not leave. Nothing is written where a site's key is unknown:
// objtool leaves half a table then.

import type { Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import * as N from '../elf/names.js';
import type { ElfObject, Section } from '../elf/object.js';
import { ElfEdit, type NewSection } from '../elf/write.js';
import { branchOpcodeBefore, DISPLACEMENT } from '../x86/forms.js';
import { decodeSites, findSites } from './find.js';
import { keyPlaces, lateKeys, type DeclaredKey } from './linked.js';
import {
  encodeSiteTable,
  ENTRY_SIZE,
  isSitesSection,
  RUNTIME_SITES_SECTION,
  SITES_SECTION,
} from './section.js';
import { KEY_PREFIX, TRAMPOLINE_PREFIX, type Site } from './site.js';
import { keySymbols, trampolineSymbols } from './symbols.js';

export interface AnnotateOptions {
  /**
   * As objtool's `--module`: a key that the object does not know is named by its trampoline, and
   * the kernel's loader finds it.
   */
  readonly module?: boolean;
  /** Write the table again where there is one. */
  readonly force?: boolean;
  /** Keys that a linked file tells of without symbols, which may be stripped. */
  readonly declared?: readonly DeclaredKey[];
}

export interface Annotated {
  /** `present`: the file has a table already and `force` was not given. */
  readonly outcome: 'written' | 'no-sites' | 'present';
  /** What the table lists; of one that was present, what can be read of it. */
  readonly sites: readonly Site[];
  /** Null where nothing changes. */
  readonly bytes: Uint8Array | null;
}

/** @throws Fault `no-key`, `bad-sites-section`, `bad-elf`, `out-of-reach`. */
export function annotate(object: ElfObject, options: AnnotateOptions = {}): Annotated {
  const present = object.sections.filter((s) => isSitesSection(s.name));
  for (const s of present)
    if (s.type !== N.SHT_PROGBITS)
      throw new Fault('bad-sites-section', `it is of type ${s.type}, not a table of bytes`, {
        at: SITES_SECTION,
      });
  const declared = options.declared ?? [];
  if (present.length > 0 && !options.force)
    return { outcome: 'present', sites: findSites(object, () => undefined, declared), bytes: null };
  const found = decodeSites(object, declared);
  // The kernel has no GOT: its loader would stop at a call through one.
  const sites = options.module ? found.filter((s) => !throughGot(object, s)) : found;
  if (sites.length === 0 && present.length === 0)
    return { outcome: 'no-sites', sites, bytes: null };
  const bytes =
    object.type === 'relocatable'
      ? relocatable(object, sites, present, options.module ?? false)
      : linked(object, sites, present, declared);
  return { outcome: 'written', sites, bytes };
}

/** Whether the displacement, the last four bytes, names a slot. */
function throughGot(object: ElfObject, site: Site): boolean {
  if (object.type !== 'relocatable') return false;
  const bytes = object.data(object.sections[site.section]!);
  return branchOpcodeBefore(bytes, site.at + site.length - DISPLACEMENT)?.indirect ?? false;
}

/** The table of one object, or of one section group of it. */
interface Part {
  readonly group: Section | null;
  readonly sites: Site[];
}

/**
 * Sites in a section group (a C++ inline function, which the linker may drop for another object's
 * copy) get a table of their own in that group: an entry that stayed would name a discarded
 * section, which linkers refuse.
 */
function partition(object: ElfObject, sites: readonly Site[]): Part[] {
  const groupOf = new Map<number, Section>();
  for (const group of object.sections) {
    if (group.type !== N.SHT_GROUP) continue;
    const members = object.data(group);
    const view = new DataView(members.buffer, members.byteOffset, members.length);
    for (let at = 4; at + 4 <= members.length; at += 4)
      groupOf.set(view.getUint32(at, true), group);
  }
  const parts = new Map<Section | null, Part>();
  for (const site of sites) {
    const group = groupOf.get(site.section) ?? null;
    let part = parts.get(group);
    if (!part) parts.set(group, (part = { group, sites: [] }));
    part.sites.push(site);
  }
  return [...parts.values()];
}

function relocatable(
  object: ElfObject,
  sites: readonly Site[],
  present: readonly Section[],
  module: boolean,
): Uint8Array {
  const symbols = object.symbols;
  if (!symbols) throw new Fault('bad-elf', 'the file has no symbol table');
  const unknown = module ? undefined : sites.find((s) => s.keySymbol.startsWith(TRAMPOLINE_PREFIX));
  if (unknown) {
    const at = `${object.sections[unknown.section]!.name}+0x${unknown.at.toString(16)}`;
    throw new Fault(
      'no-key',
      `the object calls ${unknown.keySymbol} and has no symbol ${KEY_PREFIX}${unknown.key}`,
      { at },
    );
  }
  const keys = keySymbols(symbols);
  for (const i of trampolineSymbols(symbols))
    if (symbols.bind(i) === N.STB_GLOBAL) keys.set(symbols.name(i), i);

  const edit = new ElfEdit(object);
  for (const site of sites) edit.sectionSymbol(site.section);
  const row = (view: DataView, i: number, offset: number, symbol: number, addend: number): void => {
    const at = i * N.RELA_SIZE;
    view.setBigUint64(at, BigInt(offset), true);
    view.setUint32(at + 8, N.R_X86_64_PC32, true);
    view.setUint32(at + 12, symbol, true);
    view.setBigInt64(at + 16, BigInt(addend), true);
  };
  const spare = [...present];
  const parts = partition(object, sites);
  for (const { group, sites } of parts) {
    const relocations = new Uint8Array(sites.length * 2 * N.RELA_SIZE);
    const view = new DataView(relocations.buffer);
    for (const [i, site] of sites.entries()) {
      row(view, i * 2, i * ENTRY_SIZE, edit.sectionSymbolIndex(site.section), site.at);
      row(
        view,
        i * 2 + 1,
        i * ENTRY_SIZE + 4,
        edit.symbolIndex(keys.get(site.keySymbol)!),
        site.flags,
      );
    }
    put(
      object,
      edit,
      group,
      new Uint8Array(sites.length * ENTRY_SIZE),
      relocations,
      take(object, spare, group),
    );
  }
  for (const section of spare) empty(object, edit, section);
  return edit.bytes();
}

/** The old table of a group, to be written over. */
function take(object: ElfObject, spare: Section[], group: Section | null): Section | undefined {
  const i = spare.findIndex((s) =>
    group === null ? (s.flags & N.SHF_GROUP) === 0 : groupHas(object, group, s),
  );
  return i < 0 ? undefined : spare.splice(i, 1)[0];
}

function groupHas(object: ElfObject, group: Section, member: Section): boolean {
  const members = object.data(group);
  const view = new DataView(members.buffer, members.byteOffset, members.length);
  for (let at = 4; at + 4 <= members.length; at += 4)
    if (view.getUint32(at, true) === member.index) return true;
  return false;
}

function put(
  object: ElfObject,
  edit: ElfEdit,
  group: Section | null,
  data: Uint8Array,
  relocations: Uint8Array,
  old: Section | undefined,
): void {
  const grouped = group ? N.SHF_GROUP : 0;
  const joined: number[] = [];
  const added = (section: NewSection): number => {
    const index = edit.addSection(section);
    joined.push(index);
    return index;
  };
  if (old) edit.replaceData(old, data);
  const name = tableName(object);
  // Nothing refers to the table but the linker's own symbols, which are no reason for lld to keep
  // it through --gc-sections.
  const retained = name === RUNTIME_SITES_SECTION ? N.SHF_GNU_RETAIN : 0;
  const target =
    old?.index ??
    added({
      name,
      type: N.SHT_PROGBITS,
      flags: N.SHF_WRITE | N.SHF_ALLOC | grouped | retained,
      align: 1,
      entrySize: ENTRY_SIZE,
      data,
    });
  const oldRelocations =
    old && object.sections.find((s) => s.type === N.SHT_RELA && s.info === old.index);
  if (oldRelocations) edit.replaceData(oldRelocations, relocations);
  else
    added({
      ...relaSection(object, target, relocations),
      flags: N.SHF_INFO_LINK | grouped,
    });
  if (group && joined.length > 0) edit.replaceData(group, withMembers(object.data(group), joined));
}

/** Sections that static_call.h makes only under STATIC_CALL_RUNTIME. */
const OF_RUNTIME: ReadonlySet<string> = new Set([
  '.discard.static_call_runtime',
  'static_call_keys',
  'static_call_targets',
]);

/** The program says in each of its objects whether it finds its table itself. */
function tableName(object: ElfObject): string {
  return object.sections.some((s) => OF_RUNTIME.has(s.name))
    ? RUNTIME_SITES_SECTION
    : SITES_SECTION;
}

function relaSection(object: ElfObject, target: number, data: Uint8Array): NewSection {
  const link = object.symbols!.section.index;
  return {
    name: `.rela${tableName(object)}`,
    type: N.SHT_RELA,
    flags: N.SHF_INFO_LINK,
    align: 8,
    entrySize: N.RELA_SIZE,
    link,
    info: target,
    data,
  };
}

function withMembers(group: Uint8Array, added: readonly number[]): Uint8Array {
  const data = new Uint8Array(group.length + added.length * 4);
  data.set(group);
  const view = new DataView(data.buffer);
  for (const [i, index] of added.entries()) view.setUint32(group.length + i * 4, index, true);
  return data;
}

/** A table whose sites are gone keeps its header, because sections are not renumbered. */
function empty(object: ElfObject, edit: ElfEdit, section: Section): void {
  edit.replaceData(section, new Uint8Array(0));
  for (const s of object.sections)
    if (s.type === N.SHT_RELA && s.info === section.index) edit.replaceData(s, new Uint8Array(0));
}

function linked(
  object: ElfObject,
  sites: readonly Site[],
  present: readonly Section[],
  declared: readonly DeclaredKey[],
): Uint8Array {
  const [found] = present;
  if (present.length > 1)
    throw new Fault(
      'bad-sites-section',
      `the file has ${present.length} tables of sites, and a linker makes one`,
      { at: SITES_SECTION },
    );
  // A loaded section cannot change its size, nor its rows where the dynamic linker fills in keys:
  // one that came through the linker and does not fit gives up its name.
  const loaded = found !== undefined && (found.flags & N.SHF_ALLOC) !== 0;
  const outgrown =
    loaded && (found.size !== sites.length * ENTRY_SIZE || lateKeys(object, found).size > 0);
  const old = outgrown ? undefined : found;
  const address = old?.address ?? 0;
  const places = placesByKey(object, declared);
  const table = {
    count: sites.length,
    sites: Float64Array.from(sites, (s) => s.at),
    keys: Float64Array.from(sites, (s) => places.get(s.keySymbol)!),
    flags: Uint8Array.from(sites, (s) => s.flags),
  };
  const data = encodeSiteTable(table, address);
  const edit = new ElfEdit(object);
  if (outgrown) edit.unname(found);
  if (old) edit.replaceData(old, data);
  else
    edit.addSection({
      name: SITES_SECTION,
      type: N.SHT_PROGBITS,
      flags: 0,
      align: 4,
      entrySize: ENTRY_SIZE,
      data,
    });
  return edit.bytes();
}

/**
 * The address that stands for a key: its own where it is defined here, else of what the file's
 * calls to it go through.
 */
function placesByKey(object: ElfObject, declared: readonly DeclaredKey[]): Map<string, Addr> {
  const places = new Map<string, Addr>();
  for (const [address, { keySymbol, isKey }] of keyPlaces(object, declared)) {
    const known = places.get(keySymbol);
    if (
      known === undefined ||
      isKey ||
      (keySymbol.startsWith(TRAMPOLINE_PREFIX) && address < known)
    )
      places.set(keySymbol, address);
  }
  return places;
}

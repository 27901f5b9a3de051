// Sites of a linked file without a table: every branch whose destination is a trampoline, by way of
// a PLT entry or GOT slot where the linker put one between. Bytes are searched first, because
// nearly none leads to the few addresses in question; what is found is then confirmed by decoding,
// so that bytes inside another instruction never count.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import * as N from '../elf/names.js';
import { signed64, type ElfObject, type Section, type SymbolTable } from '../elf/object.js';
import { branchOpcode, destination } from '../x86/forms.js';
import { branchAt, branchFrom, Code, siteOf } from './confirm.js';
import { isPlt, pltEntries, slotsOf } from './plt.js';
import { decodeSiteTable, ENTRY_SIZE, FLAG_BITS, SITES_SECTION } from './section.js';
import { bareName, KEY_PREFIX, TRAMPOLINE_PREFIX, type Site } from './site.js';
import {
  bestSymbols,
  checkUnique,
  functionStarts,
  isTemplate,
  keySymbols,
  namesFor,
  trampolineSymbols,
  type KeyNames,
} from './symbols.js';

const isCode = (section: Section): boolean =>
  (section.flags & N.SHF_EXECINSTR) !== 0 && section.type === N.SHT_PROGBITS;

/** Everything whose address a branch may name to reach a trampoline. */
export interface Destinations {
  /** Of trampolines and of PLT entries. */
  readonly direct: ReadonlyMap<Addr, KeyNames>;
  /** Of GOT slots. */
  readonly slots: ReadonlyMap<Addr, KeyNames>;
  /** Of the trampolines defined here: their own jumps are no sites. */
  readonly trampolines: ReadonlySet<Addr>;
}

/** A key that the file itself tells of in another way than by symbols, which may be stripped. */
export interface DeclaredKey {
  readonly name: string;
  readonly address: Addr;
  readonly trampoline: Addr;
}

export function destinations(
  object: ElfObject,
  declared: readonly DeclaredKey[] = [],
): Destinations {
  const direct = new Map<Addr, KeyNames>();
  const slots = new Map<Addr, KeyNames>();
  const symbols = bestSymbols(object);
  const keys = new Map<string, number>();
  for (const table of [object.dynamicSymbols, object.symbols])
    if (table) for (const [name, i] of keySymbols(table)) if (table.defined(i)) keys.set(name, i);
  if (symbols) {
    const defined = trampolineSymbols(symbols).filter((i) => symbols.defined(i));
    checkUnique(symbols, defined);
    for (const i of defined) direct.set(symbols.value(i), namesFor(symbols.name(i), keys));
  }
  for (const { name, trampoline } of declared)
    direct.set(trampoline, { key: name, keySymbol: KEY_PREFIX + name });
  const trampolines = new Set(direct.keys());
  const dynamic = object.dynamicSymbols;
  for (const slot of slotsOf(object)) {
    if (slot.symbol < 0) {
      const names = direct.get(slot.address);
      if (names) slots.set(slot.at, names);
    } else if (dynamic?.nameStartsWith(slot.symbol, TRAMPOLINE_PREFIX))
      slots.set(slot.at, namesFor(dynamic.name(slot.symbol), keys));
  }
  if (slots.size > 0) {
    for (const entry of pltEntries(object)) {
      const names = slots.get(entry.slot);
      if (names) direct.set(entry.at, names);
    }
  }
  return { direct, slots, trampolines };
}

/** In order of address. */
export function decodeLinked(
  object: ElfObject,
  known: Destinations = destinations(object),
): Site[] {
  const symbols = bestSymbols(object);
  // A GOT slot of a program that is not position-independent holds the address itself, without a
  // relocation.
  const filled = object.type === 'executable' && known.trampolines.size > 0;
  if (known.direct.size === 0 && known.slots.size === 0) return [];
  const range = span(known.direct.keys());
  const slotSpan = span(known.slots.keys());
  const throughSlot = (slot: Addr): KeyNames | undefined => {
    const names = slot >= slotSpan.low && slot <= slotSpan.high ? known.slots.get(slot) : undefined;
    if (names || !filled) return names;
    const bytes = object.at(slot, 8);
    return bytes
      ? known.direct.get(signed64(new DataView(bytes.buffer, bytes.byteOffset, 8), 0))
      : undefined;
  };
  const code = object.sections.filter((s) => isCode(s) && !isPlt(s) && !isTemplate(s));
  const found = code.map((section) =>
    search(object.data(section), section.address, range, known.direct, throughSlot),
  );
  const sections = new Set(code.filter((_, i) => found[i]!.length > 0).map((s) => s.index));
  // Without any symbols each section is decoded from its beginning.
  const starts = symbols ? functionStarts(symbols, sections) : new Map<number, Float64Array>();
  const sites: Site[] = [];
  for (const [i, section] of code.entries()) {
    if (found[i]!.length === 0) continue;
    using run = new Code(
      object.data(section),
      (starts.get(section.index) ?? new Float64Array(0)).map(
        (address) => address - section.address,
      ),
    );
    for (const { displacement, names, indirect } of found[i]!) {
      const branch = branchAt(run, displacement);
      if (!branch || branch.indirect !== indirect) continue;
      const at = section.address + branch.at;
      if (!known.trampolines.has(at))
        sites.push(siteOf(branch, { section: section.index, at }, names));
    }
  }
  return sites.sort((a, b) => a.at - b.at);
}

function span(addresses: Iterable<Addr>): { low: Addr; high: Addr } {
  let low = Infinity;
  let high = -Infinity;
  for (const a of addresses) {
    if (a < low) low = a;
    if (a > high) high = a;
  }
  return { low, high };
}

interface Found {
  readonly displacement: number;
  readonly names: KeyNames;
  readonly indirect: boolean;
}

/** Every place in a section whose bytes could be a branch to one of the destinations. */
function search(
  bytes: Uint8Array,
  base: Addr,
  range: { low: Addr; high: Addr },
  direct: Destinations['direct'],
  throughSlot: (slot: Addr) => KeyNames | undefined,
): Found[] {
  const found: Found[] = [];
  const reached = (to: Addr): KeyNames | undefined =>
    to >= range.low && to <= range.high ? direct.get(to) : undefined;
  for (let i = 0; i < bytes.length; i++) {
    const form = branchOpcode(bytes, i);
    if (form === null) continue;
    const to = destination(form, bytes, i, base + i);
    const { indirect } = form;
    const names = indirect ? throughSlot(to) : reached(to);
    if (names) found.push({ displacement: i + form.displacement, names, indirect });
  }
  return found;
}

/**
 * What the file's own `.static_call_sites` says, in the table's order. The names come from whatever
 * stands at the key's address: the key itself, or where the key belongs to another file, the
 * trampoline, PLT entry or GOT slot that the site uses.
 */
export function readLinked(
  object: ElfObject,
  section: Section,
  report: (fault: Fault) => void,
  declared: readonly DeclaredKey[] = [],
): Site[] {
  const table = decodeSiteTable(object.data(section), section.address);
  const names = keyPlaces(object, declared);
  const late = lateKeys(object, section);
  const code = object.sections.filter(isCode);
  const data = code.map((s) => object.data(s));
  const sites: Site[] = [];
  let home = 0;
  for (let i = 0; i < table.count; i++) {
    const at = table.sites[i]!;
    if (!holds(code[home], at)) home = code.findIndex((s) => holds(s, at));
    const offset = home < 0 ? -1 : at - code[home]!.address;
    const bytes = data[home];
    const branch = bytes ? branchFrom(bytes, offset) : null;
    const key = late.get(i) ?? names.get(table.keys[i]!);
    if (!branch)
      report(
        new Fault('bad-site', `entry ${i} names ${hex(at)}, where no call or jump is`, {
          at: SITES_SECTION,
        }),
      );
    else if (!key)
      report(
        new Fault(
          'bad-sites-section',
          `entry ${i} names a key at ${hex(table.keys[i]!)}, where no symbol ${KEY_PREFIX}* or ${TRAMPOLINE_PREFIX}* is`,
          { at: SITES_SECTION },
        ),
      );
    else
      sites.push(
        siteOf(
          branch,
          { section: code[home]!.index, at },
          key,
          late.get(i)?.flags ?? table.flags[i]!,
        ),
      );
    if (home < 0) home = 0;
  }
  return sites;
}

/**
 * Keys that only the dynamic linker fills in, by entry: linkers leave a relocation where an
 * exported key of a shared object may be preempted, and the field holds nothing until then.
 */
export function lateKeys(
  object: ElfObject,
  section: Section,
): ReadonlyMap<number, KeyNames & { readonly flags: number }> {
  const late = new Map<number, KeyNames & { readonly flags: number }>();
  const dynamic = object.dynamicSymbols;
  if (!dynamic || (section.flags & N.SHF_ALLOC) === 0) return late;
  for (const table of object.dynamicRelocations()) {
    for (let i = 0; i < table.count; i++) {
      const field = table.offset(i) - section.address;
      const symbol = table.symbol(i);
      if (
        table.type(i) !== N.R_X86_64_PC32 ||
        field % ENTRY_SIZE !== 4 ||
        field < 0 ||
        field >= section.size ||
        !isKeySymbol(dynamic, symbol)
      )
        continue;
      const keySymbol = dynamic.name(symbol);
      late.set((field - 4) / ENTRY_SIZE, {
        key: bareName(keySymbol),
        keySymbol,
        flags: table.addend(i) & FLAG_BITS,
      });
    }
  }
  return late;
}

const isKeySymbol = (symbols: SymbolTable, i: number): boolean =>
  symbols.nameStartsWith(i, KEY_PREFIX) || symbols.nameStartsWith(i, TRAMPOLINE_PREFIX);

const holds = (section: Section | undefined, at: Addr): boolean =>
  section !== undefined && at >= section.address && at < section.address + section.size;

/** Every address that an entry may give for a key; `isKey` where it is the key's own. */
export function keyPlaces(
  object: ElfObject,
  declared: readonly DeclaredKey[] = [],
): ReadonlyMap<Addr, KeyNames & { readonly isKey: boolean }> {
  const { direct, slots } = destinations(object, declared);
  const places = new Map<Addr, KeyNames & { readonly isKey: boolean }>();
  for (const [address, names] of [...slots, ...direct])
    places.set(address, { ...names, isKey: false });
  for (const symbols of [object.dynamicSymbols, object.symbols]) {
    if (!symbols) continue;
    for (const [name, i] of keySymbols(symbols))
      if (symbols.defined(i))
        places.set(symbols.value(i), { key: bareName(name), keySymbol: name, isKey: true });
  }
  for (const { name, address } of declared)
    places.set(address, { key: name, keySymbol: KEY_PREFIX + name, isKey: true });
  return places;
}

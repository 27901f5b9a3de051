// Sites of a linked file without a table: every branch whose destination is a trampoline, by way of
// a PLT entry or GOT slot where the linker put one between. Bytes are searched first, because
// nearly none leads to the few addresses in question; what is found is then confirmed by decoding,
// so that bytes inside another instruction never count.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { lastNotAbove } from '../base/search.js';
import * as N from '../elf/names.js';
import { signed64, type ElfObject, type Section, type SymbolTable } from '../elf/object.js';
import { branchOpcode, branchOpcodeBefore, destination, DISPLACEMENT } from '../x86/forms.js';
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

/** Where branches lead: which key's trampoline, PLT entry or GOT slot stands at an address. */
class Leads {
  readonly #object: ElfObject;
  readonly #known: Destinations;
  readonly #direct: Span;
  readonly #slots: Span;
  /**
   * A GOT slot of a program that is not position-independent holds the address itself, without a
   * relocation.
   */
  readonly #filled: boolean;
  #keys: ReadonlySet<string> | undefined;

  constructor(object: ElfObject, known: Destinations) {
    this.#object = object;
    this.#known = known;
    this.#direct = span(known.direct.keys());
    this.#slots = span(known.slots.keys());
    this.#filled = object.type === 'executable' && known.trampolines.size > 0;
  }

  /** Whether the file says where the key's trampoline is. */
  knows(key: string): boolean {
    this.#keys ??= new Set(
      [...this.#known.direct.values(), ...this.#known.slots.values()].map((names) => names.key),
    );
    return this.#keys.has(key);
  }

  directly(to: Addr): KeyNames | undefined {
    const { low, high } = this.#direct;
    return to >= low && to <= high ? this.#known.direct.get(to) : undefined;
  }

  /** The branch whose displacement is at an offset of `bytes`, and which ends at an address. */
  of(bytes: Uint8Array, displacement: number, end: Addr): KeyNames | undefined {
    const form = branchOpcodeBefore(bytes, displacement);
    if (!form) return undefined;
    const opcode = displacement - form.displacement;
    const to = destination(form, bytes, opcode, end - form.length);
    return form.indirect ? this.throughSlot(to) : this.directly(to);
  }

  throughSlot(slot: Addr): KeyNames | undefined {
    const { low, high } = this.#slots;
    const names = slot >= low && slot <= high ? this.#known.slots.get(slot) : undefined;
    if (names || !this.#filled) return names;
    const bytes = this.#object.at(slot, 8);
    if (!bytes) return undefined;
    return this.#known.direct.get(signed64(new DataView(bytes.buffer, bytes.byteOffset, 8), 0));
  }
}

interface Span {
  readonly low: Addr;
  readonly high: Addr;
}

function span(addresses: Iterable<Addr>): Span {
  let low = Infinity;
  let high = -Infinity;
  for (const a of addresses) {
    if (a < low) low = a;
    if (a > high) high = a;
  }
  return { low, high };
}

/** Addresses of displacements, to be asked for a million times, in ascending order mostly. */
class Displacements {
  readonly #sorted: Float64Array;
  #next = 0;

  constructor(sites: readonly Site[]) {
    this.#sorted = Float64Array.from(sites, (s) => s.at + s.length - DISPLACEMENT).sort();
  }
  has(address: Addr): boolean {
    if (this.#sorted[this.#next] !== address) this.#next = lastNotAbove(this.#sorted, address);
    return this.#sorted[this.#next++] === address;
  }
}

/**
 * In order of address.
 * @param listed sites that are known from the file's table: they are left out, unseen
 */
export function decodeLinked(
  object: ElfObject,
  known: Destinations = destinations(object),
  listed: readonly Site[] = [],
): Site[] {
  if (known.direct.size === 0 && known.slots.size === 0) return [];
  const leads = new Leads(object, known);
  const done = new Displacements(listed);
  const places = object.sections
    .filter((s) => isCode(s) && !isPlt(s) && !isTemplate(s))
    .map((section) => ({ section, found: search(object.data(section), section, leads, done) }))
    .filter(({ found }) => found.length > 0);
  const symbols = bestSymbols(object);
  // Without any symbols each section is decoded from its beginning.
  const starts = symbols
    ? functionStarts(symbols, new Set(places.map(({ section }) => section.index)))
    : new Map<number, Float64Array>();
  const sites: Site[] = [];
  for (const { section, found } of places) {
    using run = new Code(
      object.data(section),
      (starts.get(section.index) ?? new Float64Array(0)).map(
        (address) => address - section.address,
      ),
    );
    for (const { displacement, names, indirect } of found) {
      const branch = branchAt(run, displacement);
      if (!branch || branch.indirect !== indirect) continue;
      const at = section.address + branch.at;
      if (!known.trampolines.has(at))
        sites.push(siteOf(branch, { section: section.index, at }, names));
    }
  }
  return sites.sort((a, b) => a.at - b.at);
}

interface Found {
  readonly displacement: number;
  readonly names: KeyNames;
  readonly indirect: boolean;
}

/** Every place in a section whose bytes could be a branch to one of the destinations. */
function search(
  bytes: Uint8Array,
  { address: base }: Section,
  leads: Leads,
  done: Displacements,
): Found[] {
  const found: Found[] = [];
  for (let i = 0; i < bytes.length; i++) {
    const form = branchOpcode(bytes, i);
    if (form === null) continue;
    const to = destination(form, bytes, i, base + i);
    const { indirect } = form;
    const names = indirect ? leads.throughSlot(to) : leads.directly(to);
    const displacement = i + form.displacement;
    if (names && !done.has(base + displacement)) found.push({ displacement, names, indirect });
  }
  return found;
}

/**
 * What the file's own `.static_call_sites` says, in the table's order. The names come from whatever
 * stands at the key's address: the key itself, or where the key belongs to another file, the
 * trampoline, PLT entry or GOT slot that the site uses. A table that was left behind by a tool that
 * moved the code names instructions that do something else, so where each branch leads is compared.
 */
export function readLinked(
  object: ElfObject,
  section: Section,
  report: (fault: Fault) => void,
  declared: readonly DeclaredKey[] = [],
): Site[] {
  const table = decodeSiteTable(object.data(section), section.address);
  const known = destinations(object, declared);
  const leads = new Leads(object, known);
  const names = keyPlaces(object, declared, known);
  const late = lateKeys(object, section);
  const code = new CodeSections(object);
  const bad = (faultCode: 'bad-site' | 'bad-sites-section', what: string): void =>
    report(new Fault(faultCode, what, { at: SITES_SECTION }));
  const sites: Site[] = [];
  for (const [i, at] of table.sites.entries()) {
    const home = code.around(at);
    const offset = home ? at - home.section.address : -1;
    const branch = home ? branchFrom(home.bytes, offset) : null;
    const place = table.keys[i]!;
    const key = late.get(i) ?? names.get(place);
    if (!home || !branch) {
      bad('bad-site', `entry ${i} names ${hex(at)}, where no call or jump is`);
      continue;
    }
    if (!key) {
      bad(
        'bad-sites-section',
        `entry ${i} names a key at ${hex(place)}, where no symbol ${KEY_PREFIX}* or ` +
          `${TRAMPOLINE_PREFIX}* is`,
      );
      continue;
    }
    const led = leads.of(home.bytes, offset + branch.length - DISPLACEMENT, at + branch.length);
    if (led?.key !== key.key && leads.knows(key.key)) {
      bad(
        'bad-site',
        `entry ${i} names ${hex(at)}, a ${branch.kind} that does not lead to the ` +
          `trampoline of ${key.key}`,
      );
      continue;
    }
    const flags = late.get(i)?.flags ?? table.flags[i];
    sites.push(siteOf(branch, { section: home.section.index, at }, key, flags));
  }
  return sites;
}

/** The section around an address: nearly always the one around the address before it. */
class CodeSections {
  readonly #all: readonly { readonly section: Section; readonly bytes: Uint8Array }[];
  #last: { readonly section: Section; readonly bytes: Uint8Array } | undefined;

  constructor(object: ElfObject) {
    this.#all = object.sections
      .filter(isCode)
      .map((section) => ({ section, bytes: object.data(section) }));
  }
  around(at: Addr): { readonly section: Section; readonly bytes: Uint8Array } | undefined {
    if (!holds(this.#last?.section, at))
      this.#last = this.#all.find(({ section }) => holds(section, at));
    return this.#last;
  }
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
  { direct, slots }: Destinations = destinations(object, declared),
): ReadonlyMap<Addr, KeyNames & { readonly isKey: boolean }> {
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

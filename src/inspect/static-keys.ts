// Static keys as a file holds them: the kernel's `__jump_table` in an image or a module, and the
// sections of static_key.h. What differs is how an entry is found; what is said of it is the same.
//
// A kernel's entry is 16 bytes: two distances of 32 bits, to the instruction and to where it jumps,
// and one of 64 bits to the key, whose low bit says that it jumps while the key is off (struct
// jump_entry). Bit 1 is free in a file: objtool marks there what it made a nop of, and the kernel
// overwrites it when it boots.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import * as N from '../elf/names.js';
import type { ElfObject, Section } from '../elf/object.js';
import { BRANCHES_SECTION, mentionsSwitches, switchesOf } from '../keys/switches.js';
import type { BranchKind } from '../sites/site.js';
import type { KernelMemory } from './kernel-table.js';
import type { PlaceFacts } from './place.js';

export const JUMP_TABLE = '__jump_table';
const ENTRY = { code: 0, target: 4, key: 8, size: 16 } as const;
const FLAGS = 4;

/** How a branch is written. The kernel has five bytes and, where that is far enough, two. */
const FORMS = {
  jmp5: { bytes: [0xe9], length: 5, taken: true },
  jmp2: { bytes: [0xeb], length: 2, taken: true },
  nop5: { bytes: [0x0f, 0x1f, 0x44, 0x00, 0x00], length: 5, taken: false },
  nop2: { bytes: [0x66, 0x90], length: 2, taken: false },
  test5: { bytes: [0xa9], length: 5, taken: false },
} as const satisfies Record<string, { bytes: readonly number[]; length: number; taken: boolean }>;
export type BranchForm = keyof typeof FORMS;
export const BRANCH_FORMS = Object.keys(FORMS) as readonly BranchForm[];
const KERNEL_FORMS: readonly BranchForm[] = ['jmp5', 'jmp2', 'nop5', 'nop2'];
const OWN_FORMS: readonly BranchForm[] = ['jmp5', 'test5'];

export interface BranchFacts extends PlaceFacts {
  readonly key: string;
  /** Whether it jumps if the key is on, or unless it is. */
  readonly kind: BranchKind;
  readonly form: BranchForm;
  /** Whether it jumps as the file stands. */
  readonly taken: boolean;
  /** How far behind the instruction's beginning it jumps; null into another section. */
  readonly distance: number | null;
  readonly init: boolean;
}

/** A key that some branch of the file tests, or that the file defines. */
export interface SwitchFacts {
  readonly name: string;
  /** As linked; null in a relocatable file, and where another file defines it. */
  readonly address: Addr | null;
  /** Whether it is on as the file stands. */
  readonly initial: boolean;
  readonly branches: number;
}

export interface StaticKeyFacts {
  /** Where the table of branches begins; null in a relocatable file. */
  readonly table: Addr | null;
  readonly branches: readonly BranchFacts[];
  /** By name. */
  readonly keys: readonly SwitchFacts[];
}

/** Where an instruction is, as the file's kind tells it. */
export interface BranchPlace {
  readonly section: string | null;
  readonly offset: number;
  readonly address: Addr | null;
  readonly function: { readonly name: string; readonly offset: number } | null;
  readonly init: boolean;
}

interface Found {
  readonly place: BranchPlace;
  readonly key: string;
  readonly keyAddress: Addr | null;
  /** What the key's own bytes say; null where the file has none. */
  readonly on: boolean | null;
  readonly negated: boolean;
  readonly form: BranchForm;
  readonly distance: number | null;
}

/** The form whose first bytes stand at an offset. */
function formAt(bytes: Uint8Array, at: number, forms: readonly BranchForm[]): BranchForm | null {
  for (const name of forms) {
    const form = FORMS[name];
    if (at + form.length <= bytes.length && form.bytes.every((byte, i) => bytes[at + i] === byte))
      return name;
  }
  return null;
}

function factsOf(table: Addr | null, found: readonly Found[]): StaticKeyFacts {
  // Static variables of two files may have one name, so an address tells keys apart where there is
  // one.
  const keys = new Map<
    Addr | string,
    { name: string; address: Addr | null; initial: boolean; branches: number }
  >();
  const branches = found.map(({ place, key, keyAddress, on, negated, form, distance }) => {
    const { taken } = FORMS[form];
    const known = keys.get(keyAddress ?? key);
    const initial = on ?? taken !== negated;
    if (known) known.branches++;
    else keys.set(keyAddress ?? key, { name: key, address: keyAddress, initial, branches: 1 });
    return {
      section: place.section,
      offset: place.offset,
      address: place.address,
      function: place.function?.name ?? null,
      functionOffset: place.function?.offset ?? 0,
      key,
      kind: negated ? ('unless' as const) : ('if' as const),
      form,
      taken,
      distance,
      init: place.init,
    };
  });
  return {
    table,
    branches,
    keys: [...keys.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

// ---- A linked kernel ------------------------------------------------------------------------------

export interface KernelBranch {
  readonly at: Addr;
  readonly to: Addr;
  readonly key: Addr;
  readonly negated: boolean;
  readonly form: BranchForm;
}

/**
 * The table of an image, found by what it must be: the longest run of entries whose first word
 * leads to one of the four forms, whose second leads to text (for a jump, to where the jump leads),
 * and whose third leads to a place for a key. Null where there is none.
 */
export function findJumpTable(
  memory: KernelMemory,
): { readonly table: Addr; readonly branches: readonly KernelBranch[] } | null {
  let best: { table: Addr; branches: KernelBranch[] } | null = null;
  for (const { view, base } of memory.spans) {
    const end = view.byteLength - ENTRY.size;
    for (let at = 0; at <= end; at += 8) {
      if (!kernelEntryAt(memory, view, base, at)) continue;
      const branches: KernelBranch[] = [];
      const first = at;
      for (;;) {
        const entry = at <= end ? kernelEntryAt(memory, view, base, at) : null;
        if (!entry) break;
        branches.push(entry);
        at += ENTRY.size;
      }
      if (branches.length > (best?.branches.length ?? 0)) best = { table: base + first, branches };
      at -= 8;
    }
  }
  return best;
}

/** Bytes of an entry. */
export const BRANCH_ENTRY: number = ENTRY.size;

export interface BranchEntry {
  readonly code: Addr;
  readonly to: Addr;
  readonly key: Addr;
  readonly negated: boolean;
  /** The kernel's mark for code that is freed after boot; in a file objtool's for a nop. */
  readonly marked: boolean;
}

/** The entry at an offset of a table that lies at `base`. */
export function entryAt(view: DataView, at: number, base: Addr): BranchEntry {
  const low = base + at + ENTRY.key + Number(view.getBigInt64(at + ENTRY.key, true));
  // `%` keeps the sign of an address.
  const flags = ((low % FLAGS) + FLAGS) % FLAGS;
  return {
    code: base + at + view.getInt32(at, true),
    to: base + at + ENTRY.target + view.getInt32(at + ENTRY.target, true),
    key: low - flags,
    negated: (flags & 1) !== 0,
    marked: (flags & 2) !== 0,
  };
}

/** What stands at a branch of a kernel, and where it jumps; null for other bytes. */
export function branchAt(
  bytes: Uint8Array,
  at: Addr,
): { readonly taken: boolean; readonly to: Addr | null } | null {
  const form = formAt(bytes, 0, KERNEL_FORMS);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return form && { taken: FORMS[form].taken, to: jumpOf(form, view, 0, at) };
}

function kernelEntryAt(
  memory: KernelMemory,
  view: DataView,
  base: Addr,
  at: number,
): KernelBranch | null {
  const { code, to, key, negated } = entryAt(view, at, base);
  const text = memory.textAt(code);
  if (!text) return null;
  const form = formAt(text.bytes, code - text.base, KERNEL_FORMS);
  if (!form) return null;
  if (!memory.textAt(to)) return null;
  const leads = jumpOf(form, text.view, code - text.base, code);
  if (leads !== null && leads !== to) return null;
  // It begins with a counter and a pointer. Keys that are written at boot alone lie beside read-only
  // data, and those of code for the boot beside that, so any place of the image will do.
  if (key % 8 !== 0 || !memory.holds(key)) return null;
  return { at: code, to, key, negated, form };
}

/** Where a jump leads; null of a nop, which does not say. */
function jumpOf(form: BranchForm, view: DataView, offset: number, at: Addr): Addr | null {
  switch (form) {
    case 'jmp5':
      return at + 5 + view.getInt32(offset + 1, true);
    case 'jmp2':
      return at + 2 + view.getInt8(offset + 1);
    case 'nop5':
    case 'nop2':
    case 'test5':
      return null;
  }
}

export function kernelStaticKeys(
  memory: KernelMemory,
  names: {
    readonly placeOf: (at: Addr) => BranchPlace;
    readonly nameOf: (key: Addr) => string;
    readonly isOn: (key: Addr) => boolean | null;
  },
): StaticKeyFacts | null {
  const found = findJumpTable(memory);
  if (!found) return null;
  return factsOf(
    found.table,
    found.branches.map(({ at, to, key, negated, form }) => ({
      place: names.placeOf(at),
      key: names.nameOf(key),
      keyAddress: key,
      on: names.isOn(key),
      negated,
      form,
      distance: to - at,
    })),
  );
}

// ---- A linked program -----------------------------------------------------------------------------

type FunctionAround = (
  section: number,
  at: Addr,
) => { readonly name: string; readonly offset: number } | null;

/** @throws Fault `bad-keys-section`, `bad-sites-section`, `bad-site` */
function linkedStaticKeys(object: ElfObject, around: FunctionAround): StaticKeyFacts {
  const keys = switchesOf(object);
  const found = keys.flatMap(({ name, address, initial, sites }) =>
    sites.map(({ at, section, kind, flags }): Found => {
      const home = object.sections[section];
      const bytes = object.at(at, FORMS.jmp5.length) ?? new Uint8Array(0);
      return {
        place: {
          section: home?.name ?? null,
          offset: at - (home?.address ?? 0),
          address: at,
          function: around(section, at),
          init: flags !== 0,
        },
        key: name,
        keyAddress: address,
        on: initial && initial.kind === 'on',
        negated: kind === 'unless',
        form: formAt(bytes, 0, OWN_FORMS) ?? 'test5',
        distance:
          FORMS.jmp5.length +
          new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getInt32(1, true),
      };
    }),
  );
  const tested = factsOf(object.section(BRANCHES_SECTION)?.address ?? null, found);
  const names = new Set(tested.keys.map(({ name }) => name));
  const untested = keys
    .filter(({ name }) => !names.has(name))
    .map(({ name, address, initial }) => ({
      name,
      address,
      initial: initial?.kind === 'on',
      branches: 0,
    }));
  return {
    ...tested,
    keys: [...tested.keys, ...untested].sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

// ---- A relocatable file ---------------------------------------------------------------------------

interface Field {
  readonly type: number;
  readonly symbol: number;
  readonly addend: number;
}

/**
 * A module's table, or an object's: each field is a relocation.
 * @throws Fault `bad-sites-section`
 */
function relocatableStaticKeys(object: ElfObject, around: FunctionAround): StaticKeyFacts {
  const tables = object.sections.filter(
    ({ name, size, type }) =>
      (name === JUMP_TABLE || name === BRANCHES_SECTION) && size > 0 && type === N.SHT_PROGBITS,
  );
  const data = new Data(object);
  return factsOf(
    null,
    tables.flatMap((table) => entriesOf(object, table, data, around)),
  );
}

function entriesOf(object: ElfObject, table: Section, data: Data, around: FunctionAround): Found[] {
  const bad = (what: string): Fault => new Fault('bad-sites-section', what, { at: table.name });
  if (table.size % ENTRY.size !== 0)
    throw bad(`${table.size} bytes are no whole number of entries of ${ENTRY.size}`);
  const own = table.name === BRANCHES_SECTION;
  const keyType = own ? N.R_X86_64_64 : N.R_X86_64_PC64;
  const fields = new Map<number, Field>();
  for (const relocations of object.relocationsOf(table))
    for (let i = 0; i < relocations.count; i++)
      fields.set(relocations.offset(i), {
        type: relocations.type(i),
        symbol: relocations.symbol(i),
        addend: relocations.addend(i),
      });
  const field = (row: number, offset: number, type: number): Field => {
    const found = fields.get(row * ENTRY.size + offset);
    if (found?.type !== type)
      throw bad(`entry ${row} has no relocation at ${hex(row * ENTRY.size + offset)} that fits`);
    return found;
  };
  return Array.from({ length: table.size / ENTRY.size }, (_, row): Found => {
    const code = data.placeOf(field(row, ENTRY.code, N.R_X86_64_PC32));
    const to = data.placeOf(field(row, ENTRY.target, N.R_X86_64_PC32));
    const key = field(row, ENTRY.key, keyType);
    const section = object.sections[code.section];
    const form =
      section && formAt(object.data(section), code.offset, own ? OWN_FORMS : KERNEL_FORMS);
    if (!section || !form)
      throw bad(
        `entry ${row} names ${section?.name ?? '?'}+${hex(code.offset)}, where no branch is`,
      );
    const flags = ((key.addend % FLAGS) + FLAGS) % FLAGS;
    return {
      place: {
        section: section.name,
        offset: code.offset,
        address: null,
        function: around(code.section, code.offset),
        init: section.name.startsWith('.init'),
      },
      ...data.key({ ...key, addend: key.addend - flags }),
      negated: (flags & 1) !== 0,
      form,
      distance: to.section === code.section ? to.offset - code.offset : null,
    };
  });
}

/** What relocations of a table lead to. */
class Data {
  readonly #object: ElfObject;
  #objects: Map<number, { start: number; end: number; name: string }[]> | undefined;

  constructor(object: ElfObject) {
    this.#object = object;
  }

  placeOf({ symbol, addend }: Field): { readonly section: number; readonly offset: number } {
    const symbols = this.#object.symbols;
    return symbols
      ? { section: symbols.sectionIndex(symbol), offset: symbols.value(symbol) + addend }
      : { section: 0, offset: 0 };
  }

  key(field: Field): Pick<Found, 'key' | 'keyAddress' | 'on'> {
    const { section, offset } = this.placeOf(field);
    const symbols = this.#object.symbols;
    const named = symbols && symbols.type(field.symbol) !== N.STT_SECTION;
    const name = named
      ? withOffset(symbols.label(field.symbol), field.addend)
      : this.#nameAt(section, offset);
    return { key: name, keyAddress: null, on: this.#isOn(section, offset) };
  }

  #isOn(section: number, offset: number): boolean | null {
    const home = section === N.SHN_UNDEF ? undefined : this.#object.sections[section];
    if (!home) return null;
    if (home.type === N.SHT_NOBITS) return false;
    const bytes = this.#object.data(home).subarray(offset, offset + 4);
    return bytes.length === 4 && new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true) > 0;
  }

  #nameAt(section: number, offset: number): string {
    this.#objects ??= this.#dataSymbols();
    const found = this.#objects
      .get(section)
      ?.find(({ start, end }) => offset >= start && offset < end);
    return found
      ? withOffset(found.name, offset - found.start)
      : `${this.#object.sections[section]?.name ?? '?'}+${hex(offset)}`;
  }

  #dataSymbols(): Map<number, { start: number; end: number; name: string }[]> {
    const found = new Map<number, { start: number; end: number; name: string }[]>();
    const symbols = this.#object.symbols;
    for (let i = 1; symbols && i < symbols.count; i++) {
      if (symbols.type(i) !== N.STT_OBJECT) continue;
      const list = found.get(symbols.sectionIndex(i)) ?? [];
      found.set(symbols.sectionIndex(i), list);
      const start = symbols.value(i);
      list.push({ start, end: start + symbols.size(i), name: symbols.label(i) });
    }
    return found;
  }
}

/** A key may be part of something that has the name: a tracepoint's is its second field. */
export const withOffset = (name: string, offset: number): string =>
  offset === 0 ? name : `${name}+${hex(offset)}`;

/** Whether an object or program has static keys: a look at the names of its sections. */
export const hasStaticKeys = (object: ElfObject): boolean =>
  mentionsSwitches(object) || object.section(JUMP_TABLE) !== undefined;

/** @throws Fault `bad-keys-section`, `bad-sites-section`, `bad-site` */
export function staticKeysOf(object: ElfObject, around: FunctionAround): StaticKeyFacts {
  return object.type === 'relocatable'
    ? relocatableStaticKeys(object, around)
    : linkedStaticKeys(object, around);
}

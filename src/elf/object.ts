// What an ELF64 little-endian x86-64 file says of itself. Headers are decoded at once; symbols and
// relocations stay where they are in the file and are decoded entry by entry, for a kernel module
// has thousands and a pass over it asks for a few dozen.

import { addrFromBits, type Addr } from '../base/addr.js';
import { utf8 } from '../base/bytes.js';
import { Fault } from '../base/fault.js';
import * as N from './names.js';

export interface Section {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: Addr;
  /** In the file, bytes. A SHT_NOBITS section has an offset and a size but no bytes there. */
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly align: number;
  readonly entrySize: number;
}

export interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: Addr;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly align: number;
}

/**
 * Bytes of the longest name that is read. Names may overlap in their table, so without a bound a
 * file of a few megabytes could ask for strings of terabytes. A C++ name can be longer; it is shown
 * cut (`SymbolTable.label`).
 */
export const NAME_MAX = 4096;
/** Bytes of a name that is only shown. */
const LABEL_MAX = 1024;

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function characterAt(bytes: Uint8Array, at: number): { text: string; length: number } {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
    try {
      return { text: strict.decode(bytes.subarray(at, at + length)), length };
    } catch {
      // Not a whole character yet, or none at all.
    }
  }
  return { text: String.fromCharCode(0xdc00 + (bytes[at] ?? 0)), length: 1 };
}

/**
 * UTF-8, which compilers write for identifiers beyond ASCII. A byte that is no part of it becomes
 * an unpaired surrogate, as in Python (PEP 383): different bytes stay different names.
 */
export function decodeName(bytes: Uint8Array): string {
  const text = utf8(bytes);
  if (!text.includes('\ufffd')) return text;
  const parts: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const { text, length } = characterAt(bytes, at);
    parts.push(text);
    at += length;
  }
  return parts.join('');
}

/** The bytes of a string up to its NUL, `most` at most and one more where it is longer. */
function stringBytes(table: Uint8Array, offset: number, most: number): Uint8Array {
  const bytes = table.subarray(offset, offset + most + 1);
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/**
 * A NUL-terminated name out of a string table.
 * @throws Fault `bad-elf` where it is longer than NAME_MAX bytes
 */
export function stringAt(table: Uint8Array, offset: number): string {
  const bytes = stringBytes(table, offset, NAME_MAX);
  if (bytes.length > NAME_MAX)
    throw new Fault('bad-elf', `a name of more than ${NAME_MAX} bytes`, {
      at: `string table+0x${offset.toString(16)}`,
    });
  return decodeName(bytes);
}

/**
 * A signed 64-bit field as a number: exact within 53 bits, where every canonical address and every
 * size of a file lies.
 */
export function signed64(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

export class SymbolTable {
  readonly section: Section;
  readonly count: number;
  readonly #view: DataView;
  readonly #strings: Uint8Array;
  readonly #extended: DataView | null;

  constructor(
    section: Section,
    bytes: Uint8Array,
    strings: Uint8Array,
    extended: Uint8Array | null,
  ) {
    this.section = section;
    this.count = Math.floor(bytes.length / N.SYM_SIZE);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#strings = strings;
    this.#extended =
      extended && new DataView(extended.buffer, extended.byteOffset, extended.length);
  }

  #at(i: number): number {
    if (!(i >= 0 && i < this.count))
      throw new Fault('bad-elf', `symbol ${i} of a table of ${this.count}`, {
        at: this.section.name,
      });
    return i * N.SYM_SIZE;
  }
  /** @throws Fault `bad-elf` where it is longer than NAME_MAX bytes */
  name(i: number): string {
    return stringAt(this.#strings, this.#view.getUint32(this.#at(i), true));
  }
  /** The name for a reader: one that is very long is cut, and ends in an ellipsis. */
  label(i: number): string {
    const offset = this.#view.getUint32(this.#at(i), true);
    const bytes = stringBytes(this.#strings, offset, LABEL_MAX);
    if (bytes.length <= LABEL_MAX) return decodeName(bytes);
    let end = LABEL_MAX;
    while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
    return `${decodeName(bytes.subarray(0, end))}…`;
  }
  /**
   * Whether the name begins with these ASCII characters, without making a string of it: most
   * symbols are not of interest.
   */
  nameStartsWith(i: number, prefix: string): boolean {
    const from = this.#view.getUint32(this.#at(i), true);
    for (let k = 0; k < prefix.length; k++)
      if (this.#strings[from + k] !== prefix.charCodeAt(k)) return false;
    return true;
  }
  value(i: number): Addr {
    return signed64(this.#view, this.#at(i) + 8);
  }
  size(i: number): number {
    return signed64(this.#view, this.#at(i) + 16);
  }
  bind(i: number): number {
    return this.#view.getUint8(this.#at(i) + 4) >> 4;
  }
  type(i: number): number {
    return this.#view.getUint8(this.#at(i) + 4) & 15;
  }
  visibility(i: number): number {
    return this.#view.getUint8(this.#at(i) + 5) & 3;
  }
  /** Header index of the defining section; SHN_UNDEF, SHN_ABS and SHN_COMMON as they are. */
  sectionIndex(i: number): number {
    const index = this.#view.getUint16(this.#at(i) + 6, true);
    if (index !== N.SHN_XINDEX || !this.#extended || i * 4 + 4 > this.#extended.byteLength)
      return index;
    return this.#extended.getUint32(i * 4, true);
  }
  defined(i: number): boolean {
    return this.#view.getUint16(this.#at(i) + 6, true) !== N.SHN_UNDEF;
  }
  /** The first symbol of that name, or -1. Linear: build a map where many are asked for. */
  find(name: string): number {
    const ascii = /^[\0-\x7f]*/.exec(name)?.[0] ?? '';
    for (let i = 1; i < this.count; i++)
      if (this.nameStartsWith(i, ascii) && this.name(i) === name) return i;
    return -1;
  }
}

export class RelocationTable {
  readonly section: Section;
  readonly count: number;
  readonly #view: DataView;

  constructor(section: Section, bytes: Uint8Array) {
    this.section = section;
    this.count = Math.floor(bytes.length / N.RELA_SIZE);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  #at(i: number): number {
    if (!(i >= 0 && i < this.count))
      throw new Fault('bad-elf', `relocation ${i} of a table of ${this.count}`, {
        at: this.section.name,
      });
    return i * N.RELA_SIZE;
  }
  /** Relocatable: in the section it applies to. Linked: a virtual address. */
  offset(i: number): number {
    return signed64(this.#view, this.#at(i));
  }
  type(i: number): number {
    return this.#view.getUint32(this.#at(i) + 8, true);
  }
  symbol(i: number): number {
    return this.#view.getUint32(this.#at(i) + 12, true);
  }
  addend(i: number): number {
    return signed64(this.#view, this.#at(i) + 16);
  }
}

export const DECOMPRESS: string =
  'decompress it first: objcopy --decompress-debug-sections, or llvm-objcopy --decompress-sections';

/** Relocations in forms that are not read, by the type of their section. */
const UNREAD: Readonly<Record<number, string>> = {
  [N.SHT_REL]: 'SHT_REL, relocations without addends',
  [N.SHT_CREL]: 'SHT_CREL, compact relocations',
  [N.SHT_ANDROID_REL]: 'SHT_ANDROID_REL, packed relocations',
  [N.SHT_ANDROID_RELA]: 'SHT_ANDROID_RELA, packed relocations',
};

/** Of a section of relocations that cannot be left out. */
function unread({ name, type }: Section): Fault {
  return new Fault('bad-elf', `${UNREAD[type] ?? `type ${type}`}, are not read`, {
    at: name,
    hint: 'make the file without them: no -Wa,--crel, no --pack-dyn-relocs=android; relr is read',
  });
}

export class ElfObject {
  readonly bytes: Uint8Array;
  readonly type: 'relocatable' | 'executable' | 'shared';
  readonly entry: Addr;
  /** By header index; the null section is at 0. Empty where the file has no section headers. */
  readonly sections: readonly Section[];
  readonly segments: readonly Segment[];
  readonly #symbols = new Map<number, SymbolTable | null>();
  #relocating: ReadonlyMap<number, readonly Section[]> | undefined;

  constructor(parts: Pick<ElfObject, 'bytes' | 'type' | 'entry' | 'sections' | 'segments'>) {
    this.bytes = parts.bytes;
    this.type = parts.type;
    this.entry = parts.entry;
    this.sections = parts.sections;
    this.segments = parts.segments;
  }

  /**
   * A position-independent program has the type of a shared object; only its dynamic section tells.
   */
  get isProgram(): boolean {
    if (this.type !== 'shared') return this.type === 'executable';
    for (const segment of this.segments) {
      if (segment.type !== N.PT_DYNAMIC) continue;
      const bytes = this.bytes.subarray(segment.offset, segment.offset + segment.fileSize);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let at = 0; at + 16 <= bytes.length; at += 16) {
        if (
          signed64(view, at) === N.DT_FLAGS_1 &&
          (view.getUint32(at + 8, true) & N.DF_1_PIE) !== 0
        )
          return true;
      }
    }
    return false;
  }

  section(name: string): Section | undefined {
    return this.sections.find((s) => s.name === name);
  }
  /**
   * The section's bytes in the file; none for SHT_NOBITS.
   * @throws Fault `bad-elf` where they are compressed
   */
  data(section: Section): Uint8Array {
    if (section.type === N.SHT_NOBITS) return new Uint8Array(0);
    if ((section.flags & N.SHF_COMPRESSED) !== 0)
      throw new Fault('bad-elf', 'the section is compressed', {
        at: section.name,
        hint: DECOMPRESS,
      });
    return this.bytes.subarray(section.offset, section.offset + section.size);
  }
  /** `.symtab`, if the file was not stripped. */
  get symbols(): SymbolTable | null {
    return this.#symbolTable(N.SHT_SYMTAB);
  }
  /** `.dynsym`, what the dynamic linker sees. */
  get dynamicSymbols(): SymbolTable | null {
    return this.#symbolTable(N.SHT_DYNSYM);
  }
  #symbolTable(type: number): SymbolTable | null {
    const known = this.#symbols.get(type);
    if (known !== undefined) return known;
    const section = this.sections.find((s) => s.type === type);
    let table: SymbolTable | null = null;
    if (section) {
      const strings = this.sections[section.link];
      if (!strings || strings.type !== N.SHT_STRTAB)
        throw new Fault('bad-elf', `its string table is section ${section.link}, which is none`, {
          at: section.name,
        });
      const extended = this.sections.find(
        (s) => s.type === N.SHT_SYMTAB_SHNDX && s.link === section.index,
      );
      table = new SymbolTable(
        section,
        this.data(section),
        this.data(strings),
        extended ? this.data(extended) : null,
      );
    }
    this.#symbols.set(type, table);
    return table;
  }
  /**
   * The SHT_RELA sections that apply to a section (relocatable files: one or none).
   * @throws Fault `bad-elf` where relocations of another form apply to it
   */
  relocationsOf(section: Section): RelocationTable[] {
    return (this.#relocationSections().get(section.index) ?? []).map((s) => this.relocations(s));
  }
  /** By the section they apply to: with -ffunction-sections there are tens of thousands of each. */
  #relocationSections(): ReadonlyMap<number, readonly Section[]> {
    if (this.#relocating) return this.#relocating;
    const known = new Map<number, Section[]>();
    for (const s of this.sections) {
      if (s.type !== N.SHT_RELA && !(s.type in UNREAD)) continue;
      const list = known.get(s.info);
      if (list) list.push(s);
      else known.set(s.info, [s]);
    }
    return (this.#relocating = known);
  }
  relocations(section: Section): RelocationTable {
    if (section.type !== N.SHT_RELA) throw unread(section);
    return new RelocationTable(section, this.data(section));
  }
  /**
   * What the dynamic linker performs, SHT_RELR apart (`relrPlaces`).
   * @throws Fault `bad-elf` where the file has some in another form
   */
  dynamicRelocations(): RelocationTable[] {
    return this.sections
      .filter((s) => (s.flags & N.SHF_ALLOC) !== 0 && (s.type === N.SHT_RELA || s.type in UNREAD))
      .map((s) => this.relocations(s));
  }
  /**
   * The fields that SHT_RELR relocates: each holds its address as linked already. An even entry is
   * the address of one field; an odd one is a bitmap of the 63 that follow.
   */
  *relrPlaces(): Generator<Addr> {
    for (const section of this.sections) {
      if (section.type !== N.SHT_RELR && section.type !== N.SHT_ANDROID_RELR) continue;
      const bytes = this.data(section);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      let next = 0;
      for (let at = 0; at + 8 <= bytes.length; at += 8) {
        const entry = view.getBigUint64(at, true);
        if ((entry & 1n) === 0n) {
          yield addrFromBits(entry);
          next = addrFromBits(entry) + 8;
          continue;
        }
        for (let bit = 1; bit < 64; bit++)
          if (((entry >> BigInt(bit)) & 1n) !== 0n) yield next + 8 * (bit - 1);
        next += 8 * 63;
      }
    }
  }
  /** File offset of a linked address, or -1 where no segment has bytes for it. */
  fileOffset(address: Addr): number {
    for (const s of this.segments) {
      if (s.type === N.PT_LOAD && address >= s.address && address < s.address + s.fileSize)
        return s.offset + (address - s.address);
    }
    return -1;
  }
  /** `length` bytes at a linked address. */
  at(address: Addr, length: number): Uint8Array | null {
    const offset = this.fileOffset(address);
    return offset < 0 || offset + length > this.bytes.length
      ? null
      : this.bytes.subarray(offset, offset + length);
  }
}

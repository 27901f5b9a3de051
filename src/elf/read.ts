// Bytes to ElfObject. Everything that a later floor indexes by is checked here, so that a damaged
// file is refused by a Fault at the field that lies and never by an exception from the middle of a
// pass.

import { hex } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { foreignFormat, otherMachine } from './foreign.js';
import { isElf } from './magic.js';
import * as N from './names.js';
import { DECOMPRESS, ElfObject, signed64, stringAt, type Section, type Segment } from './object.js';

const TYPES: Readonly<Record<number, ElfObject['type']>> = {
  [N.ET_REL]: 'relocatable',
  [N.ET_EXEC]: 'executable',
  [N.ET_DYN]: 'shared',
};

/** The refusal of a file that is something else. */
export function notElf(bytes: Uint8Array, where: Where): Fault {
  const found = foreignFormat(bytes);
  return new Fault(
    'not-elf',
    found ? `the file is ${found.what}` : 'the file does not begin with the ELF magic bytes',
    { ...where, ...(found?.hint === undefined ? {} : { hint: found.hint }) },
  );
}

interface Where {
  readonly at?: string;
}

/** @throws Fault `not-elf`, `wrong-class`, `truncated-elf`, `bad-elf`. */
export function readElf(bytes: Uint8Array, path?: string): ElfObject {
  const where: Where = path === undefined ? {} : { at: path };
  if (!isElf(bytes)) throw notElf(bytes, where);
  if (bytes.length < N.EHDR_SIZE)
    throw new Fault('truncated-elf', `${bytes.length} bytes are too few for the ELF header`, where);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const other = otherMachine(view);
  if (other !== null) throw new Fault('wrong-class', `the file is a ${other}`, where);
  const number = view.getUint16(16, true);
  const type = TYPES[number];
  const core = number === N.ET_CORE ? ', a core dump,' : '';
  if (!type)
    throw new Fault(
      'bad-elf',
      `file type ${number}${core} is neither relocatable, executable nor shared`,
      where,
    );
  const sections = readSectionTable(view, where);
  const segments = readSegments(view, sections, where);
  return new ElfObject({ bytes, type, entry: signed64(view, 24), sections, segments });
}

interface TableHeader {
  readonly what: string;
  readonly at: number;
  readonly count: number;
  /** Of an entry, as the file says and as it must be. */
  readonly size: number;
  readonly wanted: number;
}

function checkTable(
  view: DataView,
  { what, at, count, size, wanted }: TableHeader,
  where: Where,
): void {
  if (size !== wanted)
    throw new Fault('bad-elf', `${what} entries of ${size} bytes, not ${wanted}`, where);
  if (at < N.EHDR_SIZE || at + count * wanted > view.byteLength)
    throw new Fault(
      'truncated-elf',
      `${count} ${what} entries at ${hex(at)} end beyond the file's ${view.byteLength} bytes`,
      where,
    );
}

/**
 * From 65,280 sections on the counts are in section 0: the number of sections in its size, the
 * index of the table of names in its link (gABI, "Extended Section Header").
 */
function readSectionTable(view: DataView, where: Where): Section[] {
  const at = signed64(view, 40);
  if (at === 0) return [];
  const header = {
    what: 'section header',
    at,
    count: 1,
    size: view.getUint16(58, true),
    wanted: N.SHDR_SIZE,
  };
  checkTable(view, header, where);
  const count = view.getUint16(60, true) || signed64(view, at + 32);
  checkTable(view, { ...header, count }, where);
  const index = view.getUint16(62, true);
  const names = index === N.SHN_XINDEX ? view.getUint32(at + 40, true) : index;
  return readSections(view, at, count, names, where);
}

function readSegments(view: DataView, sections: readonly Section[], where: Where): Segment[] {
  const table = signed64(view, 32);
  let count: number = view.getUint16(56, true);
  if (count === N.PN_XNUM) {
    const [first] = sections;
    if (!first)
      throw new Fault(
        'bad-elf',
        'the number of program headers is said to be in section 0, and there are no sections',
        where,
      );
    count = first.info;
  }
  if (count === 0) return [];
  const size = view.getUint16(54, true);
  checkTable(view, { what: 'program header', at: table, count, size, wanted: N.PHDR_SIZE }, where);
  return Array.from({ length: count }, (_, i) => {
    const at = table + i * N.PHDR_SIZE;
    const segment: Segment = {
      type: view.getUint32(at, true),
      flags: view.getUint32(at + 4, true),
      offset: signed64(view, at + 8),
      address: signed64(view, at + 16),
      fileSize: signed64(view, at + 32),
      memorySize: signed64(view, at + 40),
      align: signed64(view, at + 48),
    };
    if (segment.type === N.PT_LOAD && !inside(segment.offset, segment.fileSize, view.byteLength))
      throw new Fault(
        'truncated-elf',
        `segment ${i} (${hex(segment.offset)}, ${segment.fileSize} bytes) ends beyond ` +
          `the file's ${view.byteLength} bytes`,
        where,
      );
    return segment;
  });
}

function inside(offset: number, size: number, length: number): boolean {
  return offset >= 0 && size >= 0 && offset + size <= length;
}

/** Tables whose entries are indexed by number. */
const ENTRY_SIZES: Readonly<Record<number, number>> = {
  [N.SHT_SYMTAB]: N.SYM_SIZE,
  [N.SHT_DYNSYM]: N.SYM_SIZE,
  [N.SHT_RELA]: N.RELA_SIZE,
};

function readSections(
  view: DataView,
  at: number,
  count: number,
  names: number,
  where: Where,
): Section[] {
  const strings = namesTable(view, at, count, names, where);
  const sections: Section[] = [];
  for (let index = 0; index < count; index++) {
    const h = at + index * N.SHDR_SIZE;
    const s: Section = {
      index,
      name: stringAt(strings, view.getUint32(h, true)),
      type: view.getUint32(h + 4, true),
      flags: signed64(view, h + 8),
      address: signed64(view, h + 16),
      offset: signed64(view, h + 24),
      size: signed64(view, h + 32),
      link: view.getUint32(h + 40, true),
      info: view.getUint32(h + 44, true),
      align: signed64(view, h + 48),
      entrySize: signed64(view, h + 56),
    };
    sections.push(s);
    // Section 0 holds the extended counts in its size and link, which describe no bytes.
    if (index === 0 || s.type === N.SHT_NULL || s.type === N.SHT_NOBITS) continue;
    if (!inside(s.offset, s.size, view.byteLength)) {
      throw new Fault(
        'truncated-elf',
        `section ${index} (${hex(s.offset)}, ${s.size} bytes) ends beyond the file's ` +
          `${view.byteLength} bytes`,
        where,
      );
    }
    const entry = (s.flags & N.SHF_COMPRESSED) === 0 ? ENTRY_SIZES[s.type] : undefined;
    if (entry !== undefined && (s.entrySize !== entry || s.size % entry !== 0)) {
      throw new Fault(
        'bad-elf',
        `section ${index} is a table of ${s.size} bytes with entries of ${s.entrySize}, ` +
          `not ${entry}`,
        where,
      );
    }
  }
  return sections;
}

/**
 * The bytes of the section names; none where the file has no such table, and every name is then
 * empty.
 */
function namesTable(
  view: DataView,
  at: number,
  count: number,
  names: number,
  where: Where,
): Uint8Array {
  if (names === 0) return new Uint8Array(0);
  const h = at + names * N.SHDR_SIZE;
  if (names >= count || view.getUint32(h + 4, true) !== N.SHT_STRTAB)
    throw new Fault(
      'bad-elf',
      `the section names are in section ${names}, which is no string table`,
      where,
    );
  if ((view.getUint32(h + 8, true) & N.SHF_COMPRESSED) !== 0)
    throw new Fault('bad-elf', 'the section names are compressed', { ...where, hint: DECOMPRESS });
  const [offset, size] = [signed64(view, h + 24), signed64(view, h + 32)];
  if (!inside(offset, size, view.byteLength))
    throw new Fault(
      'truncated-elf',
      `the section names (${hex(offset)}, ${size} bytes) end beyond the file's ` +
        `${view.byteLength} bytes`,
      where,
    );
  return new Uint8Array(view.buffer, view.byteOffset + offset, size);
}

// Bytes to ElfObject. Everything that a later floor indexes by is checked here, so that a damaged
// file is refused by a Fault at the field that lies and never by an exception from the middle of a
// pass.

import { hex } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import * as N from './names.js';
import { ElfObject, signed64, stringAt, type Section, type Segment } from './object.js';

const TYPES: Readonly<Record<number, ElfObject['type']>> = {
  [N.ET_REL]: 'relocatable',
  [N.ET_EXEC]: 'executable',
  [N.ET_DYN]: 'shared',
};

/** Whether the bytes begin as an ELF file does. */
export function isElf(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 4 &&
    bytes[0] === 0x7f &&
    bytes[1] === 0x45 &&
    bytes[2] === 0x4c &&
    bytes[3] === 0x46
  );
}

/** @throws Fault `not-elf`, `wrong-class`, `truncated-elf`, `bad-elf`. */
export function readElf(bytes: Uint8Array, path?: string): ElfObject {
  const where = path === undefined ? {} : { at: path };
  if (!isElf(bytes))
    throw new Fault('not-elf', 'the file does not begin with the ELF magic bytes', where);
  if (bytes.length < N.EHDR_SIZE)
    throw new Fault('truncated-elf', `${bytes.length} bytes are too few for the ELF header`, where);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const machine = view.getUint16(18, true);
  if (bytes[4] !== 2 || bytes[5] !== 1 || machine !== N.EM_X86_64) {
    throw new Fault(
      'wrong-class',
      `class ${bytes[4]}, data encoding ${bytes[5]}, machine ${machine}; wanted 2, 1 and 62 (x86-64)`,
      where,
    );
  }
  const type = TYPES[view.getUint16(16, true)];
  if (!type)
    throw new Fault(
      'bad-elf',
      `file type ${view.getUint16(16, true)} is neither relocatable, executable nor shared`,
      where,
    );

  const sectionsAt = signed64(view, 40);
  const table = (what: string, at: number, count: number, size: number, wanted: number): void => {
    if (size !== wanted)
      throw new Fault('bad-elf', `${what} entries of ${size} bytes, not ${wanted}`, where);
    if (at < N.EHDR_SIZE || at + count * wanted > bytes.length)
      throw new Fault(
        'truncated-elf',
        `${count} ${what} entries at ${hex(at)} end beyond the file's ${bytes.length} bytes`,
        where,
      );
  };

  let sections: Section[] = [];
  if (sectionsAt !== 0) {
    table('section header', sectionsAt, 1, view.getUint16(58, true), N.SHDR_SIZE);
    // More than 65,279 sections: the counts move into section 0 (gABI, "Extended Section Header").
    const count = view.getUint16(60, true) || signed64(view, sectionsAt + 32);
    let names: number = view.getUint16(62, true);
    if (names === N.SHN_XINDEX) names = view.getUint32(sectionsAt + 40, true);
    table('section header', sectionsAt, count, N.SHDR_SIZE, N.SHDR_SIZE);
    sections = readSections(view, sectionsAt, count, names, where);
  }
  const segmentsAt = signed64(view, 32);
  const segmentCount = view.getUint16(56, true);
  const segments: Segment[] = [];
  if (segmentCount > 0) {
    table('program header', segmentsAt, segmentCount, view.getUint16(54, true), N.PHDR_SIZE);
    for (let i = 0; i < segmentCount; i++) {
      const at = segmentsAt + i * N.PHDR_SIZE;
      const s: Segment = {
        type: view.getUint32(at, true),
        flags: view.getUint32(at + 4, true),
        offset: signed64(view, at + 8),
        address: signed64(view, at + 16),
        fileSize: signed64(view, at + 32),
        memorySize: signed64(view, at + 40),
        align: signed64(view, at + 48),
      };
      if (s.type === N.PT_LOAD && !inside(s.offset, s.fileSize, bytes.length)) {
        throw new Fault(
          'truncated-elf',
          `segment ${i} (${hex(s.offset)}, ${s.fileSize} bytes) ends beyond the file's ${bytes.length} bytes`,
          where,
        );
      }
      segments.push(s);
    }
  }
  return new ElfObject({ bytes, type, entry: signed64(view, 24), sections, segments });
}

function inside(offset: number, size: number, length: number): boolean {
  return offset >= 0 && size >= 0 && offset + size <= length;
}

function readSections(
  view: DataView,
  at: number,
  count: number,
  names: number,
  where: { at?: string },
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
        `section ${index} (${hex(s.offset)}, ${s.size} bytes) ends beyond the file's ${view.byteLength} bytes`,
        where,
      );
    }
    const entry =
      s.type === N.SHT_SYMTAB || s.type === N.SHT_DYNSYM
        ? N.SYM_SIZE
        : s.type === N.SHT_RELA
          ? N.RELA_SIZE
          : 0;
    if (entry && (s.entrySize !== entry || s.size % entry !== 0)) {
      throw new Fault(
        'bad-elf',
        `section ${index} is a table of ${s.size} bytes with entries of ${s.entrySize}, not ${entry}`,
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
  where: { at?: string },
): Uint8Array {
  if (names === 0) return new Uint8Array(0);
  const h = at + names * N.SHDR_SIZE;
  if (names >= count || view.getUint32(h + 4, true) !== N.SHT_STRTAB)
    throw new Fault(
      'bad-elf',
      `the section names are in section ${names}, which is no string table`,
      where,
    );
  const [offset, size] = [signed64(view, h + 24), signed64(view, h + 32)];
  if (!inside(offset, size, view.byteLength))
    throw new Fault(
      'truncated-elf',
      `the section names (${hex(offset)}, ${size} bytes) end beyond the file's ${view.byteLength} bytes`,
      where,
    );
  return new Uint8Array(view.buffer, view.byteOffset + offset, size);
}

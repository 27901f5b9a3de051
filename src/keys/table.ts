// A section of records that a header wrote: rows of pointers, numbers and strings. In a linked file
// the pointers are relocations that the dynamic linker has yet to perform; each is read as what it
// will be. Nothing here is believed: a pointer that leads nowhere, a string without an end or a
// number out of its range is a Fault that names its record.

import { hex, type Addr } from '../base/addr.js';
import { Fault, type FaultCode } from '../base/fault.js';
import * as N from '../elf/names.js';
import { NAME_MAX, signed64, stringAt, type ElfObject, type Section } from '../elf/object.js';

/** An address that a field will hold, as far as the file knows it. */
export type Pointer =
  { readonly address: Addr } | { readonly symbol: string; readonly addend: number };

export class Table {
  readonly #object: ElfObject;
  readonly #section: Section;
  readonly #view: DataView;
  readonly #pointers: ReadonlyMap<Addr, Pointer>;
  readonly rows: number;
  readonly #size: number;
  readonly #code: FaultCode;

  constructor(
    object: ElfObject,
    section: Section,
    size: number,
    pointers: ReadonlyMap<Addr, Pointer>,
    code: FaultCode = 'bad-keys-section',
  ) {
    const bytes = object.data(section);
    if (bytes.length % size !== 0)
      throw new Fault(code, `${bytes.length} bytes are no whole number of records of ${size}`, {
        at: section.name,
      });
    this.#object = object;
    this.#section = section;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#pointers = pointers;
    this.#size = size;
    this.#code = code;
    this.rows = bytes.length / size;
  }

  where(row: number): string {
    return `${this.#section.name}+${hex(row * this.#size)}`;
  }
  fail(row: number, what: string): Fault {
    return new Fault(this.#code, what, { at: this.where(row) });
  }
  /** Address of a field in the loaded object. */
  slot(row: number, field: number): Addr {
    return this.#section.address + row * this.#size + field;
  }
  byte(row: number, field: number): number {
    return this.#view.getUint8(row * this.#size + field);
  }
  word(row: number, field: number): number {
    return this.#view.getUint32(row * this.#size + field, true);
  }
  /** Where a distance leads that counts from its own field. */
  distance(row: number, field: number): Addr {
    return this.slot(row, field) + this.#view.getInt32(row * this.#size + field, true);
  }
  /**
   * A field without a relocation holds its value: a program at a fixed address, or packed
   * relocations (RELR).
   */
  pointer(row: number, field: number): Pointer {
    return (
      this.#pointers.get(this.slot(row, field)) ?? {
        address: signed64(this.#view, row * this.#size + field),
      }
    );
  }
  /** A pointer into this object. */
  local(row: number, field: number, what: string): Addr {
    const pointer = this.pointer(row, field);
    if ('address' in pointer) return pointer.address;
    throw this.fail(row, `its ${what} is ${pointer.symbol}, which another object defines`);
  }
  one<T>(row: number, field: number, values: readonly T[], what: string): T {
    const value = this.byte(row, field);
    const known = values.at(value);
    if (known === undefined)
      throw this.fail(row, `its ${what} is ${value}; known are 0 to ${values.length - 1}`);
    return known;
  }
  /** A pointer to a name. */
  text(row: number, field: number, what: string): string {
    const address = this.local(row, field, what);
    const offset = this.#object.fileOffset(address);
    // No further than a name can be long: each of many records may lead into the same megabytes
    // without a NUL.
    const bytes =
      offset < 0 ? new Uint8Array(0) : this.#object.bytes.subarray(offset, offset + NAME_MAX + 1);
    const name = bytes.includes(0) ? stringAt(bytes, 0) : '';
    if (name === '' || NO_NAME.test(name))
      throw this.fail(row, `its ${what} at ${hex(address)} is no name`);
    return name;
  }
}

/**
 * Controls, and what is no UTF-8. A target's name is a C++ expression and may hold anything else.
 */
const NO_NAME = /[\p{Cc}\p{Cs}]/u;

/** What the dynamic linker will store in the fields of these sections. */
export function pointersIn(object: ElfObject, sections: readonly Section[]): Map<Addr, Pointer> {
  const found = new Map<Addr, Pointer>();
  const symbols = object.dynamicSymbols;
  for (const table of object.dynamicRelocations()) {
    for (let i = 0; i < table.count; i++) {
      const at = table.offset(i);
      if (!sections.some((s) => at >= s.address && at < s.address + s.size)) continue;
      const type = table.type(i);
      const symbol = table.symbol(i);
      if (type === N.R_X86_64_RELATIVE) found.set(at, { address: table.addend(i) });
      else if (type === N.R_X86_64_IRELATIVE) found.set(at, { symbol: 'an IFUNC', addend: 0 });
      else if ((type === N.R_X86_64_64 || type === N.R_X86_64_GLOB_DAT) && symbols) {
        const known = symbols.defined(symbol) && symbols.type(symbol) !== N.STT_GNU_IFUNC;
        found.set(
          at,
          known
            ? { address: symbols.value(symbol) + table.addend(i) }
            : { symbol: symbols.label(symbol), addend: table.addend(i) },
        );
      } else
        throw new Fault(
          'bad-keys-section',
          `relocation type ${type} at ${hex(at)} is none that a record needs`,
          { at: table.section.name },
        );
    }
  }
  return found;
}

export const isCode = (object: ElfObject, address: Addr): boolean =>
  object.segments.some(
    (s) =>
      s.type === N.PT_LOAD &&
      (s.flags & N.PF_X) !== 0 &&
      address >= s.address &&
      address < s.address + s.memorySize,
  );

export const isData = (object: ElfObject, address: Addr): boolean =>
  object.segments.some(
    (s) =>
      s.type === N.PT_LOAD &&
      (s.flags & N.PF_W) !== 0 &&
      address >= s.address &&
      address + 16 <= s.address + s.memorySize,
  );

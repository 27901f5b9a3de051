// An ElfObject and a list of wishes (new sections, new section symbols, new contents) to bytes. The
// layout is kept: nothing that is not replaced moves, and what must grow is written again behind
// the rest, where it replaces the old tables if those were last. With no wish the same bytes come
// back. It does not renumber sections and does not shrink a file.

import { Fault } from '../base/fault.js';
import { invariant } from '../base/invariant.js';
import { layOut } from './layout.js';
import * as N from './names.js';
import type { ElfObject, Section } from './object.js';

/** Offsets of the fields that change, in the file header, a section header and a symbol. */
const E_SHOFF = 40;
const E_SHSTRNDX = 62;
const SH = {
  name: 0,
  type: 4,
  flags: 8,
  address: 16,
  offset: 24,
  size: 32,
  link: 40,
  info: 44,
  align: 48,
  entrySize: 56,
} as const;
/** Lists symbols by index in ULEB128; clang writes it for lld's --icf=safe. */
const SHT_LLVM_ADDRSIG = 0x6fff4c03;

export interface NewSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly align: number;
  readonly entrySize: number;
  readonly link?: number;
  readonly info?: number;
  readonly data: Uint8Array;
}

export class ElfEdit {
  readonly #object: ElfObject;
  readonly #added: NewSection[] = [];
  /** New contents of old sections, by header index. */
  readonly #replaced = new Map<number, Uint8Array>();
  /**
   * Header indices of sections that lacked a section symbol, in the order asked for, with their
   * places in it.
   */
  readonly #symbolsFor = new Map<number, number>();
  readonly #unnamed = new Set<number>();
  #sectionSymbols: Map<number, number> | undefined;

  constructor(object: ElfObject) {
    this.#object = object;
  }

  /** The header index that the section will have. */
  addSection(section: NewSection): number {
    return this.#object.sections.length + this.#added.push(section) - 1;
  }

  replaceData(section: Section, data: Uint8Array): void {
    invariant(section.type !== N.SHT_NOBITS, 'a section without bytes is not replaced');
    this.#replaced.set(section.index, data);
  }

  /**
   * Its header and bytes stay where they are, because a loaded section cannot go; no reader finds it by
   * name.
   */
  unname(section: Section): void {
    this.#unnamed.add(section.index);
  }

  /**
   * How far the symbols that `symbolIndex` maps have moved is known only when all section symbols
   * were asked for.
   */
  sectionSymbol(index: number): void {
    if (!this.#knownSectionSymbols().has(index) && !this.#symbolsFor.has(index))
      this.#symbolsFor.set(index, this.#symbolsFor.size);
  }

  #knownSectionSymbols(): Map<number, number> {
    if (this.#sectionSymbols) return this.#sectionSymbols;
    const known = new Map<number, number>();
    const symbols = this.#symbols();
    // They are local; the section header's `info` says where the globals begin.
    for (let i = Math.min(symbols.section.info, symbols.count) - 1; i >= 1; i--)
      if (symbols.type(i) === N.STT_SECTION) known.set(symbols.sectionIndex(i), i);
    return (this.#sectionSymbols = known);
  }

  #symbols(): NonNullable<ElfObject['symbols']> {
    const symbols = this.#object.symbols;
    if (!symbols)
      throw new Fault('bad-elf', 'the file has no symbol table that relocations could name');
    return symbols;
  }

  /**
   * Where a symbol will be. New locals take the places of the first globals, and those go to the
   * end: every other symbol keeps its number, so of a module's thousands of relocations a handful
   * changes.
   */
  symbolIndex(old: number): number {
    const added = this.#symbolsFor.size;
    if (added === 0) return old;
    const { firstGlobal, count } = this.#shape();
    if (old < firstGlobal) return old;
    return old < firstGlobal + added
      ? Math.max(count, firstGlobal + added) + (old - firstGlobal)
      : old;
  }

  /** After every `sectionSymbol` was asked for. */
  sectionSymbolIndex(index: number): number {
    const known = this.#knownSectionSymbols().get(index);
    if (known !== undefined) return known;
    const place = this.#symbolsFor.get(index);
    invariant(place !== undefined, `no section symbol was asked for section ${index}`);
    return this.#shape().firstGlobal + place;
  }

  #shape(): { firstGlobal: number; count: number } {
    const symbols = this.#symbols();
    const firstGlobal = symbols.section.info;
    if (firstGlobal < 1 || firstGlobal > symbols.count)
      throw new Fault(
        'bad-elf',
        `its first global symbol is said to be ${firstGlobal} of ${symbols.count}`,
        { at: symbols.section.name },
      );
    return { firstGlobal, count: symbols.count };
  }

  /** @throws Fault `bad-elf` where a table that must be written again cannot be understood. */
  bytes(): Uint8Array {
    const object = this.#object;
    if (
      this.#added.length === 0 &&
      this.#replaced.size === 0 &&
      this.#symbolsFor.size === 0 &&
      this.#unnamed.size === 0
    )
      return Uint8Array.from(object.bytes);
    if (object.sections.length === 0)
      throw new Fault('bad-elf', 'the file has no section headers to add to');
    const replaced = new Map(this.#replaced);
    const added = [...this.#added];
    const headers = this.#headers(replaced, added);
    const count = object.sections.length;
    return layOut(
      object,
      headers,
      replaced,
      added.map(({ data, align }, i) => ({ index: count + i, data, align })),
    );
  }

  /**
   * The section header table as it will be, except for offsets; tables that grow are put among the
   * replaced.
   */
  #headers(replaced: Map<number, Uint8Array>, added: NewSection[]): DataView {
    const { bytes, sections } = this.#object;
    if (this.#symbolsFor.size > 0) this.#growSymbols(replaced, added);
    const names = this.#growNames(replaced, added);
    const total = sections.length + added.length;
    const headers = new Uint8Array(total * N.SHDR_SIZE);
    const view = new DataView(headers.buffer);
    const file = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const tableAt = Number(file.getBigUint64(E_SHOFF, true));
    headers.set(bytes.subarray(tableAt, tableAt + sections.length * N.SHDR_SIZE));
    if (this.#symbolsFor.size > 0) this.#renumberHeaders(view);
    // The first byte of every string table is NUL.
    for (const index of this.#unnamed) view.setUint32(index * N.SHDR_SIZE + SH.name, 0, true);
    for (const [i, section] of added.entries()) {
      const h = (sections.length + i) * N.SHDR_SIZE;
      view.setUint32(h + SH.name, names[i]!, true);
      view.setUint32(h + SH.type, section.type, true);
      view.setBigUint64(h + SH.flags, BigInt(section.flags), true);
      view.setUint32(h + SH.link, section.link ?? 0, true);
      view.setUint32(h + SH.info, section.info ?? 0, true);
      view.setBigUint64(h + SH.align, BigInt(section.align), true);
      view.setBigUint64(h + SH.entrySize, BigInt(section.entrySize), true);
    }
    return view;
  }

  /**
   * The string table of the section names with the new ones at its end; returns where each begins.
   */
  #growNames(replaced: Map<number, Uint8Array>, added: readonly NewSection[]): number[] {
    if (added.length === 0) return [];
    const { bytes, sections } = this.#object;
    const file = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let index: number = file.getUint16(E_SHSTRNDX, true);
    if (index === N.SHN_XINDEX) index = sections[0]!.link;
    const section = sections[index];
    if (index === 0 || !section || section.type !== N.SHT_STRTAB)
      throw new Fault('bad-elf', 'the file has no table of section names');
    // clang shares it with the symbols' names: appending leaves both as they were, if they end
    // before it.
    let table = Buffer.from(replaced.get(index) ?? this.#object.data(section));
    const tableAt = Number(file.getBigUint64(E_SHOFF, true));
    const beyond = sections.findIndex(
      (_, i) => file.getUint32(tableAt + i * N.SHDR_SIZE + SH.name, true) >= table.length,
    );
    if (beyond >= 0 || table.at(-1) !== 0)
      throw new Fault(
        'bad-elf',
        beyond >= 0
          ? `the name of section ${beyond} lies beyond their table`
          : 'the table of section names does not end with a NUL',
      );
    // The longest first: another may be its tail, as `.static_call_sites` is of its relocations'
    // name.
    const places = new Map<string, number>();
    for (const name of [...new Set(added.map((s) => s.name))].sort((a, b) => b.length - a.length)) {
      let at = table.indexOf(`${name}\0`, 0, 'latin1');
      if (at < 0) {
        at = table.length;
        table = Buffer.concat([table, Buffer.from(`${name}\0`, 'latin1')]);
      }
      places.set(name, at);
    }
    replaced.set(index, table);
    return added.map(({ name }) => places.get(name)!);
  }

  /**
   * Symbol table, its table of section numbers beyond 16 bits, and everything that names a symbol
   * by its number.
   */
  #growSymbols(replaced: Map<number, Uint8Array>, added: NewSection[]): void {
    const object = this.#object;
    const symbols = this.#symbols();
    const { firstGlobal, count } = this.#shape();
    const old = object.data(symbols.section);
    const table = new Uint8Array((count + this.#symbolsFor.size) * N.SYM_SIZE);
    for (let i = 0; i < count; i++)
      table.set(
        old.subarray(i * N.SYM_SIZE, (i + 1) * N.SYM_SIZE),
        this.symbolIndex(i) * N.SYM_SIZE,
      );
    const view = new DataView(table.buffer);

    const wide = object.sections.find(
      (s) => s.type === N.SHT_SYMTAB_SHNDX && s.link === symbols.section.index,
    );
    const needsWide =
      wide !== undefined || [...this.#symbolsFor.keys()].some((index) => index >= N.SHN_LORESERVE);
    const wideTable = new Uint8Array(needsWide ? (table.length / N.SYM_SIZE) * 4 : 0);
    const wideView = new DataView(wideTable.buffer);
    if (wide) {
      const oldWide = object.data(wide);
      for (let i = 0; i < count && i * 4 + 4 <= oldWide.length; i++)
        wideTable.set(oldWide.subarray(i * 4, i * 4 + 4), this.symbolIndex(i) * 4);
    }
    for (const [section, i] of this.#symbolsFor) {
      const at = (firstGlobal + i) * N.SYM_SIZE;
      table.fill(0, at, at + N.SYM_SIZE);
      if (needsWide) wideView.setUint32((firstGlobal + i) * 4, 0, true);
      view.setUint8(at + 4, (N.STB_LOCAL << 4) | N.STT_SECTION);
      if (section >= N.SHN_LORESERVE) {
        view.setUint16(at + 6, N.SHN_XINDEX, true);
        wideView.setUint32((firstGlobal + i) * 4, section, true);
      } else view.setUint16(at + 6, section, true);
    }
    replaced.set(symbols.section.index, table);
    if (wide) replaced.set(wide.index, wideTable);
    else if (needsWide)
      added.push({
        name: '.symtab_shndx',
        type: N.SHT_SYMTAB_SHNDX,
        flags: 0,
        align: 4,
        entrySize: 4,
        link: symbols.section.index,
        data: wideTable,
      });

    for (const section of object.sections) {
      if (section.link !== symbols.section.index || replaced.has(section.index)) continue;
      if (section.type === N.SHT_RELA) this.#renumberRelocations(section, replaced);
      else if (section.type === SHT_LLVM_ADDRSIG)
        replaced.set(section.index, this.#renumberList(section, count));
    }
  }

  #renumberRelocations(section: Section, replaced: Map<number, Uint8Array>): void {
    const old = this.#object.data(section);
    let table: Uint8Array | undefined;
    const view = new DataView(old.buffer, old.byteOffset, old.length);
    for (let at = 12; at < old.length; at += N.RELA_SIZE) {
      const symbol = view.getUint32(at, true);
      const moved = this.symbolIndex(symbol);
      if (moved === symbol) continue;
      table ??= Uint8Array.from(old);
      new DataView(table.buffer).setUint32(at, moved, true);
    }
    if (table) replaced.set(section.index, table);
  }

  #renumberList(section: Section, count: number): Uint8Array {
    const old = this.#object.data(section);
    const list: number[] = [];
    for (let at = 0; at < old.length;) {
      let symbol = 0;
      let byte: number;
      let shift = 0;
      do {
        byte = old[at++] ?? 0;
        symbol += (byte & 0x7f) * 2 ** shift;
        shift += 7;
      } while (byte & 0x80);
      // Also a number that grew beyond all numbers, which would be written without an end.
      if (!(symbol < count))
        throw new Fault('bad-elf', `a list of symbols names number ${symbol} of ${count}`, {
          at: section.name,
        });
      let left = this.symbolIndex(symbol);
      for (; left >= 0x80; left = Math.floor(left / 0x80)) list.push((left % 0x80) | 0x80);
      list.push(left);
    }
    return Uint8Array.from(list);
  }

  /** The symbol table's count of locals, and the signature symbols of section groups. */
  #renumberHeaders(view: DataView): void {
    const symbols = this.#symbols().section;
    view.setUint32(
      symbols.index * N.SHDR_SIZE + SH.info,
      symbols.info + this.#symbolsFor.size,
      true,
    );
    for (const s of this.#object.sections) {
      if (s.type === N.SHT_GROUP && s.link === symbols.index)
        view.setUint32(s.index * N.SHDR_SIZE + SH.info, this.symbolIndex(s.info), true);
    }
  }
}

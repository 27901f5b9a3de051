// Sites of a relocatable object, the way the kernel's objtool defines them: an instruction whose
// relocation leads to a *global* symbol named `__SCT__*`. Calls always count. A jump counts when it
// leaves its function: to another object's trampoline only from inside a function symbol, to one of
// this object's only at its first instruction. Data, address-taking and calls through a pointer do
// not count; they go on through the trampoline. Calls and jumps through the GOT (`-fno-plt`) count
// too: objtool knows none, for the kernel has no GOT, and the linker turns most of them into direct
// ones of the same length.

import { hex } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { lastNotAbove } from '../base/search.js';
import * as N from '../elf/names.js';
import type { ElfObject, RelocationTable, Section, SymbolTable } from '../elf/object.js';
import { destination, DISPLACEMENT, SITE_FORMS } from '../x86/forms.js';
import { branchAt, branchFrom, Code, siteOf } from './confirm.js';
import { ENTRY_SIZE, FLAG_BITS, SITES_SECTION } from './section.js';
import { bareName, KEY_PREFIX, TRAMPOLINE_PREFIX, type Site } from './site.js';
import {
  functionStarts,
  isTemplate,
  keySymbols,
  namesFor,
  trampolineSymbols,
  type KeyNames,
} from './symbols.js';

const GOT_RELOCATIONS: ReadonlySet<number> = new Set([N.R_X86_64_GOTPCREL, N.R_X86_64_GOTPCRELX]);
const DIRECT_RELOCATIONS: ReadonlySet<number> = new Set([N.R_X86_64_PC32, N.R_X86_64_PLT32]);

/** The global trampolines of one object, by symbol index and, where defined here, by place. */
class Trampolines {
  /** One byte a symbol: most relocations are asked about and nearly none is of interest. */
  readonly #isOne: Uint8Array;
  readonly #names = new Map<number, KeyNames>();
  readonly #byPlace = new Map<number, Map<number, number>>();
  readonly sections: ReadonlySet<number>;
  readonly count: number;

  constructor(symbols: SymbolTable) {
    this.#isOne = new Uint8Array(symbols.count);
    const all = trampolineSymbols(symbols).filter((i) => symbols.bind(i) === N.STB_GLOBAL);
    this.count = all.length;
    if (all.length > 0) {
      const keys = keySymbols(symbols);
      for (const i of all) {
        this.#isOne[i] = 1;
        this.#names.set(i, namesFor(symbols.name(i), keys));
        const section = symbols.sectionIndex(i);
        if (section === N.SHN_UNDEF) continue;
        let places = this.#byPlace.get(section);
        if (!places) this.#byPlace.set(section, (places = new Map()));
        places.set(symbols.value(i), i);
      }
    }
    this.sections = new Set(this.#byPlace.keys());
  }
  has(symbol: number): boolean {
    return this.#isOne[symbol] === 1;
  }
  at(section: number, offset: number): number {
    return this.#byPlace.get(section)?.get(offset) ?? 0;
  }
  names(symbol: number): KeyNames {
    return this.#names.get(symbol)!;
  }
}

/** Ranges of function symbols of one section, merged: whether an instruction is inside any. */
class Functions {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  constructor(ranges: readonly Range[]) {
    for (const { start, end } of ranges.toSorted((a, b) => a.start - b.start)) {
      const last = this.#ends.at(-1) ?? -Infinity;
      if (start <= last) this.#ends[this.#ends.length - 1] = Math.max(last, end);
      else {
        this.#starts.push(start);
        this.#ends.push(end);
      }
    }
  }
  contains(offset: number): boolean {
    const end = this.#ends[lastNotAbove(this.#starts, offset)];
    return end !== undefined && offset < end;
  }
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** One pass over the symbols for all sections. */
function functionRanges(symbols: SymbolTable): Map<number, Range[]> {
  const ranges = new Map<number, Range[]>();
  for (let i = 1; i < symbols.count; i++) {
    if (symbols.type(i) !== N.STT_FUNC || symbols.size(i) <= 0) continue;
    const section = symbols.sectionIndex(i);
    let list = ranges.get(section);
    if (!list) ranges.set(section, (list = []));
    list.push({ start: symbols.value(i), end: symbols.value(i) + symbols.size(i) });
  }
  return ranges;
}

interface Candidate {
  readonly displacement: number;
  readonly trampoline: number;
  /** The relocation names the trampoline itself and not the section that holds it. */
  readonly bySymbol: boolean;
  readonly indirect: boolean;
}

/** Every relocation of a section that may belong to a branch to a trampoline, ascending. */
function candidatesOf(
  object: ElfObject,
  section: Section,
  symbols: SymbolTable,
  trampolines: Trampolines,
): Candidate[] {
  const found: Candidate[] = [];
  const relocated = new Set<number>();
  for (const table of object.relocationsOf(section)) {
    for (let i = 0; i < table.count; i++) {
      const symbol = table.symbol(i);
      const named = trampolines.has(symbol);
      if (!named && !trampolines.sections.size) continue;
      const type = table.type(i);
      if (named && type > N.R_X86_64_LAST_KNOWN)
        throw new Fault('bad-elf', `relocation type ${type} of a trampoline is not known`, {
          at: `${section.name}+${hex(table.offset(i))}`,
        });
      const direct = DIRECT_RELOCATIONS.has(type);
      const displacement = table.offset(i);
      if (trampolines.sections.has(section.index)) relocated.add(displacement);
      if (named) {
        if (direct || GOT_RELOCATIONS.has(type))
          found.push({ displacement, trampoline: symbol, bySymbol: true, indirect: !direct });
      } else if (direct && symbol < symbols.count && symbols.type(symbol) === N.STT_SECTION) {
        // The addend counts from the displacement; a branch counts from its end, four bytes on.
        const trampoline = trampolines.at(symbols.sectionIndex(symbol), table.addend(i) + 4);
        if (trampoline) found.push({ displacement, trampoline, bySymbol: false, indirect: false });
      }
    }
  }
  const resolved = trampolines.sections.has(section.index)
    ? resolvedCandidates(object.data(section), section.index, relocated, trampolines)
    : [];
  return [...found, ...resolved].sort((a, b) => a.displacement - b.displacement);
}

/**
 * Branches inside the trampolines' own section, which the assembler may have resolved without
 * leaving a relocation.
 */
function resolvedCandidates(
  bytes: Uint8Array,
  section: number,
  relocated: ReadonlySet<number>,
  trampolines: Trampolines,
): Candidate[] {
  const found: Candidate[] = [];
  for (let displacement = 1; displacement + 4 <= bytes.length; displacement++) {
    if (relocated.has(displacement)) continue;
    const to = destination(SITE_FORMS.call, bytes, displacement - 1, displacement - 1);
    const trampoline = trampolines.at(section, to);
    if (trampoline) found.push({ displacement, trampoline, bySymbol: false, indirect: false });
  }
  return found;
}

/**
 * By relocation and decoding, in objtool's order: jumps of the whole file first, then calls, each
 * by section and offset. Its first pass settles where jumps lead and its second where calls do.
 * @param listed sites that are known from the file's table: they are left out, unseen
 */
export function decodeRelocatable(object: ElfObject, listed: readonly Site[] = []): Site[] {
  const symbols = object.symbols;
  if (!symbols) return [];
  const trampolines = new Trampolines(symbols);
  if (trampolines.count === 0) return [];
  const done = displacementsOf(listed);
  const places = object.sections
    .filter((s) => (s.flags & N.SHF_EXECINSTR) !== 0 && s.type !== N.SHT_NOBITS && !isTemplate(s))
    .map((section) => ({
      section,
      candidates: candidatesOf(object, section, symbols, trampolines).filter(
        ({ displacement }) => !done.get(section.index)?.has(displacement),
      ),
    }))
    .filter(({ candidates }) => candidates.length > 0);
  const starts = functionStarts(symbols, new Set(places.map(({ section }) => section.index)));
  const jumps: Site[] = [];
  const calls: Site[] = [];
  let ranges: ReadonlyMap<number, readonly Range[]> | undefined;
  for (const { section, candidates } of places) {
    using run = new Code(object.data(section), starts.get(section.index) ?? new Float64Array(0));
    let functions: Functions | undefined;
    for (const candidate of candidates) {
      if (candidate.displacement < 0 || candidate.displacement + 4 > run.bytes.length) continue;
      const branch = branchAt(run, candidate.displacement);
      if (!branch || branch.indirect !== candidate.indirect) continue;
      const site = siteOf(
        branch,
        { section: section.index, at: branch.at },
        trampolines.names(candidate.trampoline),
      );
      if (branch.kind === 'call') calls.push(site);
      else {
        ranges ??= functionRanges(symbols);
        functions ??= new Functions(ranges.get(section.index) ?? []);
        if (
          functions.contains(branch.at) &&
          (candidate.bySymbol || leaves(symbols, candidate.trampoline, site))
        )
          jumps.push(site);
      }
    }
  }
  return [...jumps, ...calls];
}

function displacementsOf(sites: readonly Site[]): Map<number, Set<number>> {
  const bySection = new Map<number, Set<number>>();
  for (const { section, at, length } of sites) {
    const known = bySection.get(section) ?? new Set();
    bySection.set(section, known.add(at + length - DISPLACEMENT));
  }
  return bySection;
}

/**
 * A jump that names a place and not a symbol is a tail call only if a function begins there, and
 * another than its own.
 */
function leaves(symbols: SymbolTable, trampoline: number, site: Site): boolean {
  const into = site.at - symbols.value(trampoline);
  const inside =
    site.section === symbols.sectionIndex(trampoline) &&
    into >= 0 &&
    into < symbols.size(trampoline);
  return symbols.type(trampoline) === N.STT_FUNC && !inside;
}

/** What the object's own `.static_call_sites` and its relocations say, in the table's order. */
export function readRelocatable(
  object: ElfObject,
  section: Section,
  report: (fault: Fault) => void,
): Site[] {
  const symbols = object.symbols;
  const bad = (message: string): Fault =>
    new Fault('bad-sites-section', message, { at: SITES_SECTION });
  if (!symbols) throw bad('the file has a table of sites but no symbols');
  const size = object.data(section).length;
  if (size % ENTRY_SIZE !== 0)
    throw bad(`${size} bytes are no whole number of entries of ${ENTRY_SIZE}`);
  const count = size / ENTRY_SIZE;
  const tables = object.relocationsOf(section);
  const fields = relocationByField(tables, count, bad);
  const data = new Map<number, Uint8Array>();
  const codeOf = (index: number): Uint8Array | null => {
    let bytes = data.get(index);
    const home = object.sections[index];
    if (!bytes && home && (home.flags & N.SHF_EXECINSTR) !== 0)
      data.set(index, (bytes = object.data(home)));
    return bytes ?? null;
  };
  const keys = new Map<number, KeyNames | null>();
  const sites: Site[] = [];
  for (let i = 0; i < count; i++) {
    const site = fields[i * 2];
    const key = fields[i * 2 + 1];
    if (!site || !key) {
      report(bad(`entry ${i} lacks a relocation`));
      continue;
    }
    const at = symbols.value(site.table.symbol(site.row)) + site.table.addend(site.row);
    const home = symbols.sectionIndex(site.table.symbol(site.row));
    const bytes = codeOf(home);
    const branch = bytes && at >= 0 && at < bytes.length ? branchFrom(bytes, at) : null;
    if (!branch) {
      const section = object.sections[home]?.name ?? `section ${home}`;
      report(
        new Fault(
          'bad-site',
          `entry ${i} names ${section}+0x${at.toString(16)}, where no call or jump is`,
          { at: SITES_SECTION },
        ),
      );
      continue;
    }
    const symbol = key.table.symbol(key.row);
    let names = keys.get(symbol);
    if (names === undefined) keys.set(symbol, (names = keyNames(symbols, symbol)));
    if (!names) {
      const called = symbols.label(symbol) || `symbol ${symbol}`;
      report(
        bad(
          `entry ${i} names the key ${called}, which is neither ${KEY_PREFIX}* nor ` +
            `${TRAMPOLINE_PREFIX}*`,
        ),
      );
      continue;
    }
    sites.push(siteOf(branch, { section: home, at }, names, key.table.addend(key.row) & FLAG_BITS));
  }
  return sites;
}

function keyNames(symbols: SymbolTable, index: number): KeyNames | null {
  if (
    !symbols.nameStartsWith(index, KEY_PREFIX) &&
    !symbols.nameStartsWith(index, TRAMPOLINE_PREFIX)
  )
    return null;
  const keySymbol = symbols.name(index);
  return { key: bareName(keySymbol), keySymbol };
}

interface Row {
  readonly table: RelocationTable;
  readonly row: number;
}

function relocationByField(
  tables: readonly RelocationTable[],
  count: number,
  bad: (message: string) => Fault,
): (Row | undefined)[] {
  const fields = new Array<Row | undefined>(count * 2).fill(undefined);
  for (const table of tables) {
    for (let row = 0; row < table.count; row++) {
      const offset = table.offset(row);
      if (
        offset % 4 !== 0 ||
        offset < 0 ||
        offset >= count * ENTRY_SIZE ||
        table.type(row) !== N.R_X86_64_PC32
      ) {
        throw bad(
          `relocation ${row} of type ${table.type(row)} at 0x${offset.toString(16)} is ` +
            'none that such a table has',
        );
      }
      fields[offset / 4] = { table, row };
    }
  }
  return fields;
}

// The trampolines that a file defines: where, in which form, and where they lead as the file
// stands.

import type { Addr } from '../base/addr.js';
import * as N from '../elf/names.js';
import type { ElfObject, SymbolTable } from '../elf/object.js';
import {
  recogniseTrampoline,
  SITE_FORMS,
  TRAMPOLINE_LENGTH,
  type TrampolineFormName,
} from '../x86/forms.js';
import { pltEntries, slotsOf } from './plt.js';
import { bareName } from './site.js';
import { bestSymbols, checkUnique, trampolineSymbols } from './symbols.js';

export interface Trampoline {
  /** The key's bare name. */
  readonly key: string;
  readonly section: number;
  /** Relocatable file: offset in that section. Linked file: virtual address. */
  readonly at: Addr;
  /** Null where the bytes are those of no trampoline that the kernel or static_call.h makes. */
  readonly form: TrampolineFormName | null;
  /** Linked file: the address it jumps to; null for one that returns. */
  readonly target: Addr | null;
  /** The name of what it jumps to, where a symbol or relocation gives one. */
  readonly targetSymbol: string | null;
}

/**
 * Every `__SCT__*` that is defined in the file, in the order of its symbol table.
 * @throws Fault `bad-trampoline` where a linked file has two of one name
 */
export function findTrampolines(object: ElfObject): Trampoline[] {
  const symbols = bestSymbols(object);
  if (!symbols) return [];
  const defined = trampolineSymbols(symbols).filter((i) => {
    const section = symbols.sectionIndex(i);
    return section !== N.SHN_UNDEF && section !== N.SHN_ABS && section !== N.SHN_COMMON;
  });
  if (defined.length === 0) return [];
  return object.type === 'relocatable'
    ? relocatable(object, symbols, defined)
    : linked(object, symbols, defined);
}

function relocatable(
  object: ElfObject,
  symbols: SymbolTable,
  defined: readonly number[],
): Trampoline[] {
  const targets = new Map<string, string>();
  const nameOf = namer(symbols);
  for (const index of new Set(defined.map((i) => symbols.sectionIndex(i)))) {
    const section = object.sections[index];
    for (const table of section ? object.relocationsOf(section) : []) {
      for (let i = 0; i < table.count; i++)
        targets.set(`${index}:${table.offset(i)}`, nameOf(table.symbol(i), table.addend(i) + 4));
    }
  }
  return defined.map((i) => {
    const index = symbols.sectionIndex(i);
    const section = object.sections[index];
    const at = symbols.value(i);
    const bytes = section
      ? object.data(section).subarray(at, at + TRAMPOLINE_LENGTH)
      : new Uint8Array(0);
    const found = recogniseTrampoline(bytes, at);
    const jumps = found?.form.effect === 'jmp';
    return {
      key: bareName(symbols.name(i)),
      section: index,
      at,
      form: found?.form.name ?? null,
      target: null,
      targetSymbol: jumps
        ? (targets.get(`${index}:${at + SITE_FORMS.jmp.displacement}`) ?? null)
        : null,
    };
  });
}

/**
 * A symbol's name; for a section symbol, of the first function that begins at that offset: one pass
 * for all, for there may be as many keys as functions.
 */
function namer(symbols: SymbolTable): (index: number, offset: number) => string {
  let functions: Map<string, number> | undefined;
  return (index, offset) => {
    if (symbols.type(index) !== N.STT_SECTION) return symbols.label(index);
    if (!functions) {
      functions = new Map();
      for (let i = symbols.count - 1; i >= 1; i--)
        if (symbols.type(i) === N.STT_FUNC)
          functions.set(`${symbols.sectionIndex(i)}:${symbols.value(i)}`, i);
    }
    const found = functions.get(`${symbols.sectionIndex(index)}:${offset}`);
    return found === undefined ? '' : symbols.label(found);
  };
}

function linked(object: ElfObject, symbols: SymbolTable, defined: readonly number[]): Trampoline[] {
  checkUnique(symbols, defined);
  const found = defined.map((i) => {
    const at = symbols.value(i);
    const bytes = object.at(at, TRAMPOLINE_LENGTH);
    return { symbol: i, at, is: bytes && recogniseTrampoline(bytes, at) };
  });
  const wanted = new Set(found.flatMap((t) => t.is?.target ?? []));
  const names = namesAt(symbols, wanted);
  if (names.size < wanted.size) nameThroughPlt(object, wanted, names);
  return found.map(({ symbol, at, is }) => ({
    key: bareName(symbols.name(symbol)),
    section: symbols.sectionIndex(symbol),
    at,
    form: is?.form.name ?? null,
    target: is?.target ?? null,
    targetSymbol: is?.target == null ? null : (names.get(is.target) ?? null),
  }));
}

/** Names of the functions that begin at some addresses; a global name before a local one. */
function namesAt(symbols: SymbolTable, wanted: ReadonlySet<Addr>): Map<Addr, string> {
  const names = new Map<Addr, string>();
  if (wanted.size === 0) return names;
  for (let i = 1; i < symbols.count; i++) {
    const value = symbols.value(i);
    if (!wanted.has(value) || symbols.type(i) === N.STT_SECTION || !symbols.defined(i)) continue;
    if (!names.has(value) || symbols.bind(i) !== N.STB_LOCAL) names.set(value, symbols.label(i));
  }
  return names;
}

/** A target of another file, or one that may be preempted, is reached through the PLT. */
function nameThroughPlt(
  object: ElfObject,
  wanted: ReadonlySet<Addr>,
  names: Map<Addr, string>,
): void {
  const dynamic = object.dynamicSymbols;
  if (!dynamic) return;
  const slots = new Map<Addr, number>();
  for (const slot of slotsOf(object)) if (slot.symbol > 0) slots.set(slot.at, slot.symbol);
  for (const entry of pltEntries(object)) {
    const symbol = wanted.has(entry.at) ? slots.get(entry.slot) : undefined;
    if (symbol !== undefined) names.set(entry.at, dynamic.label(symbol));
  }
}

// What a pass over a symbol table yields for finding sites: the trampolines, the keys, and where
// functions begin. One pass each, and names are made into strings only for the few that matter.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import * as N from '../elf/names.js';
import type { ElfObject, Section, SymbolTable } from '../elf/object.js';
import { bareName, KEY_PREFIX, TRAMPOLINE_PREFIX } from './site.js';

/**
 * How a site's key is written into a table: by the key's symbol where there is one, else by the
 * trampoline's.
 */
export interface KeyNames {
  readonly key: string;
  readonly keySymbol: string;
}

/** Every symbol named `__SCK__*`, by name. The last one wins, as in objtool's table of names. */
export function keySymbols(symbols: SymbolTable): Map<string, number> {
  const found = new Map<string, number>();
  for (let i = 1; i < symbols.count; i++)
    if (symbols.nameStartsWith(i, KEY_PREFIX)) found.set(symbols.name(i), i);
  return found;
}

/** Every symbol named `__SCT__*`, defined here or not. */
export function trampolineSymbols(symbols: SymbolTable): number[] {
  const found: number[] = [];
  for (let i = 1; i < symbols.count; i++)
    if (symbols.nameStartsWith(i, TRAMPOLINE_PREFIX)) found.push(i);
  return found;
}

/**
 * Of a linked file, whose keys are told apart by name. Two objects of the link may each have had a
 * local trampoline of one name; to patch the sites of both to one target would be wrong.
 * @throws Fault `bad-trampoline`
 */
export function checkUnique(symbols: SymbolTable, trampolines: readonly number[]): void {
  const places = new Map<string, Addr>();
  for (const i of trampolines) {
    const name = symbols.name(i);
    const at = symbols.value(i);
    const known = places.get(name);
    if (known !== undefined && known !== at)
      throw new Fault(
        'bad-trampoline',
        `two trampolines are called ${name}, one at ${hex(known)}`,
        {
          at: hex(at),
          hint: 'two objects of the link define a key of that name each; rename one of them',
        },
      );
    places.set(name, at);
  }
}

export function namesFor(trampoline: string, keys: ReadonlyMap<string, unknown>): KeyNames {
  const key = bareName(trampoline);
  const symbol = KEY_PREFIX + key;
  return { key, keySymbol: keys.has(symbol) ? symbol : trampoline };
}

const isFunction = (type: number): boolean => type === N.STT_FUNC || type === N.STT_GNU_IFUNC;

/**
 * Where decoding may begin, ascending, per section index: offsets (relocatable) or addresses
 * (linked). A function that begins inside an earlier one is left out: decoding from the outer one
 * comes past it, unless it begins where no instruction does.
 */
export function functionStarts(
  symbols: SymbolTable,
  wanted: ReadonlySet<number>,
): Map<number, Float64Array> {
  const ranges = new Map<number, { start: number; end: number }[]>();
  for (const index of wanted) ranges.set(index, []);
  for (let i = 1; i < symbols.count; i++) {
    if (!isFunction(symbols.type(i))) continue;
    const start = symbols.value(i);
    ranges.get(symbols.sectionIndex(i))?.push({ start, end: start + symbols.size(i) });
  }
  return new Map([...ranges].map(([index, list]) => [index, outermost(list)]));
}

function outermost(ranges: { start: number; end: number }[]): Float64Array {
  ranges.sort((a, b) => a.start - b.start);
  const starts: number[] = [];
  let end = -Infinity;
  for (const range of ranges) {
    if (range.start >= end) starts.push(range.start);
    end = Math.max(end, range.end);
  }
  return Float64Array.from(starts);
}

/**
 * Templates that the kernel copies over other code: objtool leaves them alone, and no CPU runs them
 * where they are.
 */
export const isTemplate = (section: Section): boolean => section.name === '.altinstr_replacement';

/** `.symtab`, or what the dynamic linker sees where the file is stripped. */
export function bestSymbols(object: ElfObject): SymbolTable | null {
  return object.symbols ?? object.dynamicSymbols;
}

// What an inspection asks of a symbol table, whichever it is: kallsyms out of a stripped image, or
// .symtab of a vmlinux. Symbols are in ascending order of their unsigned address; names are made
// one by one, because a kernel has hundreds of thousands and a listing prints a few.

import type { Addr } from '../base/addr.js';

export interface Symbols {
  readonly count: number;
  address(i: number): Addr;
  name(i: number): string;
  /** Whether it names code, so that it can be the function around a site. */
  code(i: number): boolean;
}

/** Kernel text and data are linked into the last two gigabytes: gcc's code model asks for it. */
export function isKernelAddress(address: Addr): boolean {
  return address < 0 && address >= -0x8000_0000;
}

/** Unsigned order of signed addresses: 0, 1, ... then -2^63, ... -1. */
export function above(a: Addr, b: Addr): boolean {
  return a < 0 === b < 0 ? a > b : a < 0;
}

/** Index of the last symbol at or below an address, or -1. */
export function lastAt(symbols: Symbols, address: Addr): number {
  let low = 0;
  let high = symbols.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (above(symbols.address(middle), address)) high = middle;
    else low = middle + 1;
  }
  return low - 1;
}

// Of several names of one place the one with the fewest underscores in front, then the first: so
// scripts/kallsyms sorts them (and the kernel prints the first), which keeps `_sinittext` from
// standing for the function there.
const underscores = (name: string): number => name.length - name.replace(/^_+/, '').length;

/**
 * The best name of exactly this address among those that pass, or null. `last` is the index of one
 * symbol there.
 */
function bestAt(
  symbols: Symbols,
  last: number,
  passes: (i: number, name: string) => boolean,
): string | null {
  const address = symbols.address(last);
  let best: string | null = null;
  for (let i = last; i >= 0 && symbols.address(i) === address; i--) {
    const name = symbols.name(i);
    if (passes(i, name) && (best === null || underscores(name) <= underscores(best))) best = name;
  }
  return best;
}

/** The function around an address and where that begins. */
export function functionAt(
  symbols: Symbols,
  address: Addr,
): { readonly name: string; readonly start: Addr } | null {
  let i = lastAt(symbols, address);
  while (i >= 0 && !symbols.code(i)) i--;
  const name = i < 0 ? null : bestAt(symbols, i, (k) => symbols.code(k));
  return name === null ? null : { name, start: symbols.address(i) };
}

/** The name of exactly this address, of those that begin with `prefix`. */
export function nameAt(symbols: Symbols, address: Addr, prefix: string = ''): string | null {
  const i = lastAt(symbols, address);
  return i < 0 || symbols.address(i) !== address
    ? null
    : bestAt(symbols, i, (_, name) => name.startsWith(prefix));
}

/**
 * Addresses of the wanted names, looked for from the last symbol on: those of the linker script's
 * end are what is asked for.
 */
export function addressesOf(symbols: Symbols, wanted: readonly string[]): Map<string, Addr> {
  const names = new Set(wanted);
  const found = new Map<string, Addr>();
  for (let i = symbols.count - 1; i >= 0 && found.size < names.size; i--) {
    const name = symbols.name(i);
    if (names.has(name) && !found.has(name)) found.set(name, symbols.address(i));
  }
  return found;
}

// What an inspection asks of a symbol table, whichever it is: kallsyms out of a stripped image, or
// .symtab of a vmlinux. Symbols are in ascending order of their unsigned address; names are made one by one,
// for a kernel has hundred thousands and a listing prints a few.

import type { Addr } from '../base/addr.js';

export interface Symbols {
  readonly count: number;
  address(i: number): Addr;
  name(i: number): string;
  /** Whether it names code, so that it can be the function around a site. */
  code(i: number): boolean;
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

/** The function around an address and where that begins. Of several names of one place the first, as the kernel prints it. */
export function functionAt(symbols: Symbols, address: Addr): { readonly name: string; readonly start: Addr } | null {
  let i = lastAt(symbols, address);
  while (i >= 0 && !symbols.code(i)) i--;
  if (i < 0) return null;
  const start = symbols.address(i);
  for (let k = i - 1; k >= 0 && symbols.address(k) === start; k--) if (symbols.code(k)) i = k;
  return { name: symbols.name(i), start };
}

/** The name of exactly this address, one that begins with `prefix` if there is any. */
export function nameAt(symbols: Symbols, address: Addr, prefix: string = ''): string | null {
  let found: string | null = null;
  for (let i = lastAt(symbols, address); i >= 0 && symbols.address(i) === address; i--) {
    const name = symbols.name(i);
    if (prefix === '' || name.startsWith(prefix)) found = name;
  }
  return found;
}

/** Addresses of the wanted names, by one pass over all symbols. */
export function addressesOf(symbols: Symbols, wanted: readonly string[]): Map<string, Addr> {
  const names = new Set(wanted);
  const found = new Map<string, Addr>();
  for (let i = 0; i < symbols.count && found.size < names.size; i++) {
    const name = symbols.name(i);
    if (names.has(name)) found.set(name, symbols.address(i));
  }
  return found;
}

// The codec of `.static_call_sites`, as the kernel lays it out: eight bytes an entry, two signed
// 32-bit distances, each counted from its own field: to the site's instruction, and to the key,
// whose two low address bits carry flags. In a relocatable file the distances are still
// relocations; here they are numbers. A section that belongs to no segment has address 0, and the
// distances then count from there.

import type { Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';

export const SITES_SECTION = '.static_call_sites';
/**
 * What the table is called in a program that links a runtime of its own (static_call.h under
 * STATIC_CALL_RUNTIME). Every linker defines the ends of a section whose name is a word of C, and
 * by these the program finds its table in its own memory.
 */
export const RUNTIME_SITES_SECTION = 'static_call_sites';
export const isSitesSection = (name: string): boolean =>
  name === SITES_SECTION || name === RUNTIME_SITES_SECTION;
export const ENTRY_SIZE = 8;
export const FLAG_BITS = 3;

/** Columns, not objects: a table may have a million rows, and most readers want one of them. */
export interface SiteTable {
  readonly count: number;
  readonly sites: Float64Array;
  /** Without the flag bits. */
  readonly keys: Float64Array;
  readonly flags: Uint8Array;
}

/** @throws Fault `bad-sites-section` where the size is no multiple of an entry. */
export function decodeSiteTable(bytes: Uint8Array, address: Addr): SiteTable {
  if (bytes.length % ENTRY_SIZE !== 0) {
    throw new Fault(
      'bad-sites-section',
      `${bytes.length} bytes are no whole number of entries of ${ENTRY_SIZE}`,
      { at: SITES_SECTION },
    );
  }
  const count = bytes.length / ENTRY_SIZE;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sites = new Float64Array(count);
  const keys = new Float64Array(count);
  const flags = new Uint8Array(count);
  for (let i = 0, field = 0; i < count; i++, field += ENTRY_SIZE) {
    sites[i] = address + field + view.getInt32(field, true);
    const low = address + field + 4 + view.getInt32(field + 4, true);
    // Modulo, not `&`: an address has more than 32 bits and may be negative.
    const flag = ((low % 4) + 4) % 4;
    flags[i] = flag;
    keys[i] = low - flag;
  }
  return { count, sites, keys, flags };
}

/**
 * @throws Fault `out-of-reach`, `bad-sites-section` (a key whose address leaves no room for flags).
 */
export function encodeSiteTable(table: SiteTable, address: Addr): Uint8Array {
  const bytes = new Uint8Array(table.count * ENTRY_SIZE);
  const view = new DataView(bytes.buffer);
  const put = (field: number, to: Addr): void => {
    const distance = to - (address + field);
    if (distance !== (distance | 0))
      throw new Fault(
        'out-of-reach',
        `an entry's distance of ${distance} bytes does not fit 32 bits`,
        { at: SITES_SECTION },
      );
    view.setInt32(field, distance, true);
  };
  for (const [i, key] of table.keys.entries()) {
    if (key % 4 !== 0)
      throw new Fault(
        'bad-sites-section',
        'a key is not aligned to four bytes, whose low bits hold flags',
        { at: SITES_SECTION },
      );
    put(i * ENTRY_SIZE, table.sites[i]!);
    put(i * ENTRY_SIZE + 4, key + table.flags[i]!);
  }
  return bytes;
}

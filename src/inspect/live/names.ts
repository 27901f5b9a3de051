// The symbols of a kernel that has run: its kallsyms arrays, at the addresses that VMCOREINFO gives
// (since 6.0), so nothing is searched as it is in an image (../kallsyms.ts has the encoding); and the
// symbols of its modules, which are ELF symbols in their own memory.

import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { signed64 } from '../../elf/object.js';
import { ascending, Kallsyms } from '../kallsyms.js';
import { above, type Symbols } from '../symbols.js';
import { viewOf } from './bytes.js';
import type { Memory } from './memory.js';
import type { VmcoreInfo } from './vmcoreinfo.js';

/** A kernel has 200,000; seqs, three bytes for an index, allows no more. */
const MOST_SYMBOLS = 1 << 24;
const MOST_NAMES = 1 << 26;
const TOKENS = 256;

const damaged = (what: string): Fault =>
  new Fault('bad-kernel', `the kernel's symbol table is damaged: ${what}`, { at: 'kallsyms' });

/** @throws Fault `bad-kernel`, `page-missing`. */
export function kallsymsOf(memory: Memory, info: VmcoreInfo): Kallsyms {
  const place = (name: string): Addr => {
    const at = info.symbol(`kallsyms_${name}`);
    if (at !== null) return at;
    throw new Fault('bad-kernel', `VMCOREINFO does not say where kallsyms_${name} is`, {
      at: 'VMCOREINFO',
    });
  };
  const count = memory.u32(place('num_syms'), 'kallsyms_num_syms');
  const from = place('names');
  // In every order that there has been, the tokens follow the names.
  const length = place('token_table') - from;
  if (count === 0 || count > MOST_SYMBOLS || length < 2 * count || length > MOST_NAMES)
    throw damaged(`${count} symbols in ${length} bytes`);
  const bytes = memory.read(from, length, 'kallsyms_names');
  const addresses = addressesOf(memory, info, count);
  const tokens = tokensOf(memory, place('token_table'), place('token_index'));
  return new Kallsyms(null, addresses, bytes, namesIn(bytes, count), tokens);
}

function namesIn(bytes: Uint8Array, count: number): Uint32Array {
  const names = new Uint32Array(count);
  let at = 0;
  for (let i = 0; i < count; i++) {
    names[i] = at;
    let length = bytes[at++] ?? 0;
    if (length >= 0x80) length = (length & 0x7f) | ((bytes[at++] ?? 0) << 7);
    at += length;
    if (length === 0 || at > bytes.length) throw damaged(`name ${i} does not end`);
  }
  return names;
}

function tokensOf(memory: Memory, table: Addr, index: Addr): string[] {
  const places = memory.view(index, 2 * TOKENS, 'kallsyms_token_index');
  return Array.from({ length: TOKENS }, (_, i) => {
    const token = memory.text(table + places.getUint16(2 * i, true), TOKENS);
    if (token === null) throw damaged(`token ${i} is not in the dump`);
    return token;
  });
}

/** Whichever of the ways in which addresses have been stored gives ascending ones. */
function addressesOf(memory: Memory, info: VmcoreInfo, count: number): Float64Array {
  const offsets = info.symbol('kallsyms_offsets');
  const base = info.symbol('kallsyms_relative_base');
  const absolute = info.symbol('kallsyms_addresses');
  if (offsets === null) {
    const view = absolute && memory.view(absolute, 8 * count, 'kallsyms_addresses');
    const found = view && ascending(count, (i) => signed64(view, 8 * i));
    if (found) return found;
    throw damaged('its addresses do not ascend');
  }
  const view = memory.view(offsets, 4 * count, 'kallsyms_offsets');
  const offset = (i: number): number => view.getInt32(4 * i, true);
  if (base === null) {
    const found = ascending(count, (i) => offsets + 4 * i + offset(i));
    if (found) return found;
    throw damaged('its addresses do not ascend');
  }
  const anchor = memory.word(base, 'kallsyms_relative_base');
  const found =
    ascending(count, (i) => anchor + (offset(i) >>> 0)) ??
    ascending(count, (i) => (offset(i) >= 0 ? offset(i) : anchor - 1 - offset(i)));
  if (found) return found;
  throw damaged(`its addresses do not ascend from ${hex(anchor)}`);
}

const SYMBOL = 24;
const STT_FUNC = 2;
const NAME_MAX = 512;
/** The largest module of a distribution has 13,000. */
export const MOST_MODULE_SYMBOLS: number = 1 << 18;

/** A module's symbols, by its `kallsyms`; those without an address are left out. */
export class ModuleSymbols implements Symbols {
  readonly count: number;
  readonly #addresses: Float64Array;
  readonly #names: Float64Array;
  readonly #code: Uint8Array;
  readonly #memory: Memory;

  constructor(memory: Memory, symtab: Addr, count: number, strtab: Addr) {
    const view = viewOf(memory.read(symtab, count * SYMBOL, "a module's symbols"));
    const address = (i: number): Addr => signed64(view, i * SYMBOL + 8);
    const order = Array.from({ length: count }, (_, i) => i).filter((i) => address(i) < 0);
    order.sort((a, b) => compare(address(a), address(b)));
    this.count = order.length;
    this.#memory = memory;
    this.#addresses = Float64Array.from(order, address);
    this.#names = Float64Array.from(order, (i) => strtab + view.getUint32(i * SYMBOL, true));
    this.#code = Uint8Array.from(order, (i) =>
      (view.getUint8(i * SYMBOL + 4) & 15) === STT_FUNC ? 1 : 0,
    );
  }
  address(i: number): Addr {
    return this.#addresses[i] ?? 0;
  }
  name(i: number): string {
    return this.#memory.text(this.#names[i] ?? 0, NAME_MAX) ?? '';
  }
  code(i: number): boolean {
    return this.#code[i] === 1;
  }
}

function compare(a: Addr, b: Addr): number {
  if (a === b) return 0;
  return above(a, b) ? 1 : -1;
}

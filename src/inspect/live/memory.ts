// A kernel's memory by virtual address: through its own page tables, which are read from the dump.
// Every level of a table is one read, so a table that leads back to itself ends all the same.

import { hex, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { signed64 } from '../../elf/object.js';
import { viewOf } from './bytes.js';
import { PHYSICAL_MAX, type Physical } from './source.js';
import type { VmcoreInfo } from './vmcoreinfo.js';

/** Null where nothing is mapped, or the dump lacks the page. */
export type PageReader = (page: Addr) => Uint8Array | null;

/** 64 MB of pages; then all of them are forgotten. */
const MOST_PAGES = 16_384;

export class Memory {
  readonly #page: PageReader;
  readonly #pages = new Map<Addr, Uint8Array | null>();

  constructor(page: PageReader) {
    this.#page = page;
  }
  /** Forgets what was read. */
  refresh(): void {
    this.#pages.clear();
  }

  find(at: Addr, length: number): Uint8Array | null {
    const from = ((at % PAGE) + PAGE) % PAGE;
    if (from + length <= PAGE) return this.#at(at - from)?.subarray(from, from + length) ?? null;
    const whole = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const start = done === 0 ? from : 0;
      const size = Math.min(PAGE - start, length - done);
      const page = this.#at(at - from + Math.floor((from + done) / PAGE) * PAGE);
      if (page === null) return null;
      whole.set(page.subarray(start, start + size), done);
      done += size;
    }
    return whole;
  }
  /** @throws Fault `page-missing`. */
  read(at: Addr, length: number, what: string): Uint8Array {
    const bytes = this.find(at, length);
    if (bytes) return bytes;
    throw new Fault('page-missing', `the memory of ${what} is not in the dump`, { at: hex(at) });
  }
  view(at: Addr, length: number, what: string): DataView {
    return viewOf(this.read(at, length, what));
  }
  /** A pointer, or another 64-bit number. */
  word(at: Addr, what: string): Addr {
    return signed64(this.view(at, 8, what), 0);
  }
  u32(at: Addr, what: string): number {
    return this.view(at, 4, what).getUint32(0, true);
  }
  /** Up to a NUL, and at most so many bytes; null where nothing is mapped. */
  text(at: Addr, most: number): string | null {
    const parts: Uint8Array[] = [];
    for (let done = 0; done < most;) {
      const from = (((at + done) % PAGE) + PAGE) % PAGE;
      const page = this.#at(at + done - from);
      if (page === null) return null;
      const piece = page.subarray(from, Math.min(PAGE, from + most - done));
      const end = piece.indexOf(0);
      parts.push(end < 0 ? piece : piece.subarray(0, end));
      if (end >= 0) break;
      done += piece.length;
    }
    return Buffer.concat(parts).toString('latin1');
  }

  #at(page: Addr): Uint8Array | null {
    const known = this.#pages.get(page);
    if (known !== undefined) return known;
    const bytes = this.#page(page);
    if (this.#pages.size >= MOST_PAGES) this.#pages.clear();
    this.#pages.set(page, bytes);
    return bytes;
  }
}

/** Where the kernel's image is mapped without randomisation (`__START_KERNEL_map`). */
const START_KERNEL_MAP = -0x8000_0000;
const PRESENT = 1;
const HUGE = 0x80;

/** Pages by the kernel's own tables. @throws Fault `no-vmcoreinfo`. */
export function paged(physical: Physical, info: VmcoreInfo): PageReader {
  const tables = info.symbol('swapper_pg_dir');
  const base = info.number('phys_base');
  if (tables === null || base === null)
    throw new Fault('no-vmcoreinfo', 'VMCOREINFO does not say where the page tables are', {
      hint: 'kernels before 6.0 and of other machines are not read',
    });
  const root = tables - START_KERNEL_MAP + base;
  const levels = info.number('pgtable_l5_enabled') === 1 ? 5 : 4;
  // Memory encryption of AMD marks an entry with a bit of its address.
  const encrypted = info.number('sme_mask') ?? 0;
  return (page) => {
    const at = translate(physical, root, levels, encrypted, page);
    return at === null ? null : physical.page(at);
  };
}

/** Intel SDM volume 3, 4.5: nine bits of the address for each level, from the top. */
function translate(
  physical: Physical,
  root: number,
  levels: 4 | 5,
  encrypted: number,
  page: Addr,
): number | null {
  const number = Math.floor(page / PAGE);
  let table = root;
  for (let level = levels - 1; level >= 0; level--) {
    const span = 512 ** level;
    const index = ((Math.floor(number / span) % 512) + 512) % 512;
    const entries = table >= 0 && table < PHYSICAL_MAX ? physical.page(table) : null;
    if (entries === null) return null;
    const view = viewOf(entries);
    const low = view.getUint32(index * 8, true);
    const high = view.getUint32(index * 8 + 4, true) & 0xf_ffff;
    if ((low & PRESENT) === 0) return null;
    const address = withoutMask(high * 0x1_0000_0000 + (low - (low % PAGE)), encrypted);
    if (level === 0) return address;
    if ((low & HUGE) !== 0 && level < 3) {
      const size = span * PAGE;
      return address - (address % size) + (((page % size) + size) % size);
    }
    table = address;
  }
  return null;
}

/** The mask has one bit: above 2^32, where JavaScript's own operators end. */
const withoutMask = (address: number, mask: number): number =>
  mask > 0 && Math.floor(address / mask) % 2 === 1 ? address - mask : address;

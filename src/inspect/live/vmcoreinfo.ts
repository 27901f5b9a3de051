// VMCOREINFO: what a kernel says of itself for readers of its dumps, as lines of text
// (Documentation/admin-guide/kdump/vmcoreinfo.rst). A dump has it as a note. Where there is none, the
// page that holds the text is found in the memory: it begins with `OSRELEASE=`.

import { PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import type { Physical } from './source.js';

export class VmcoreInfo {
  readonly #values = new Map<string, string>();

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const equals = line.indexOf('=');
      if (equals > 0) this.#values.set(line.slice(0, equals), line.slice(equals + 1));
    }
  }
  get release(): string {
    return this.#values.get('OSRELEASE') ?? '';
  }
  get buildId(): string | null {
    return this.#values.get('BUILD-ID') ?? null;
  }
  /** By how much the kernel was moved when it booted; 0 without address randomisation. */
  get slide(): number {
    return Number.parseInt(this.#values.get('KERNELOFFSET') ?? '0', 16) || 0;
  }
  number(name: string): number | null {
    const value = Number(this.#values.get(`NUMBER(${name})`) ?? Number.NaN);
    return Number.isSafeInteger(value) ? value : null;
  }
  symbol(name: string): Addr | null {
    const digits = this.#values.get(`SYMBOL(${name})`);
    if (digits === undefined || !/^[0-9a-f]{1,16}$/.test(digits)) return null;
    return Number(BigInt.asIntN(64, BigInt(`0x${digits}`)));
  }
  /** Whether page tables can be found by it. */
  get whole(): boolean {
    return this.release !== '' && this.symbol('swapper_pg_dir') !== null;
  }
}

const BEGIN = Buffer.from('OSRELEASE=');

/** @throws Fault `no-vmcoreinfo`. */
export function findVmcoreInfo(physical: Physical): VmcoreInfo {
  // A note is older than the memory if a second kernel has booted since: it counts if it is whole.
  const noted = physical.note === null ? null : new VmcoreInfo(physical.note);
  if (noted?.whole) return noted;
  for (const { start, end } of physical.ranges) {
    for (let at = Math.ceil(start / PAGE) * PAGE; at + PAGE <= end; at += PAGE) {
      const page = physical.page(at);
      if (page === null || !Buffer.from(page.buffer, page.byteOffset, BEGIN.length).equals(BEGIN))
        continue;
      const found = new VmcoreInfo(textOf(page));
      if (found.whole) return found;
    }
  }
  throw new Fault('no-vmcoreinfo', 'no VMCOREINFO is in it, neither as a note nor in the memory');
}

function textOf(page: Uint8Array): string {
  const end = page.indexOf(0);
  return Buffer.from(end < 0 ? page : page.subarray(0, end)).toString('latin1');
}

// An ELF core of a kernel: /proc/kcore, /proc/vmcore, `makedumpfile -E`, and dump-guest-memory of
// QEMU. Segments are read by their physical addresses alone. Their virtual ones differ by maker
// (QEMU writes 0 without paging, and cuts vmalloc into thousands with it), while the page tables in
// the memory say the same everywhere. Segments may overlap: a vmcore has the kernel's text once as
// text and once within the direct map, so a page is found by containment.

import { hex, PAGE } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { PT_LOAD } from '../../elf/names.js';
import { unsigned64, viewOf, type Bytes } from './bytes.js';
import { PHYSICAL_MAX, type Physical, type Range } from './source.js';

const HEADER = 64;
const ENTRY = 56;
const ET_CORE = 4;
const EM_X86_64 = 62;
const PT_NOTE = 4;
/** e_phnum where there are more: then section 0 says how many (gABI). */
const PN_XNUM = 0xffff;
const MOST_SEGMENTS = 1 << 20;
const MOST_NOTE = 1 << 24;

/** By the first 64 bytes of a file. */
export function isElfCore(head: Uint8Array): boolean {
  return (
    head.length >= HEADER &&
    viewOf(head).getUint32(0) === 0x7f454c46 &&
    viewOf(head).getUint16(16, head[5] !== 2) === ET_CORE
  );
}

interface Segment extends Range {
  readonly offset: number;
}

/** @throws Fault `not-a-core`, `bad-core`. */
export function readElfCore(bytes: Bytes): Physical {
  const head = bytes.read(0, HEADER);
  const view = head && viewOf(head);
  if (!view || head[4] !== 2 || head[5] !== 1 || view.getUint16(18, true) !== EM_X86_64)
    throw new Fault('not-a-core', 'it is an ELF core of another machine than x86-64', {
      hint: 'only memory of x86-64 kernels is read',
    });
  const table = tableOf(bytes, view);
  const loads: Segment[] = [];
  let note: string | null = null;
  for (let at = 0; at < table.byteLength; at += ENTRY) {
    const type = table.getUint32(at, true);
    const offset = unsigned64(table, at + 8);
    const physical = unsigned64(table, at + 24);
    const size = unsigned64(table, at + 32);
    if (type === PT_NOTE) note ??= vmcoreinfoIn(bytes, offset, size);
    // Vmalloc has no physical address: /proc/kcore writes -1.
    if (type === PT_LOAD && size > 0 && physical + size <= PHYSICAL_MAX)
      loads.push({ start: physical, end: physical + size, offset });
  }
  const segments = disjoint(loads);
  if (segments.length === 0)
    throw new Fault('not-a-core', 'no segment of it says which physical memory it is', {
      hint: 'a core of a process has none; give a dump of a kernel',
    });
  return {
    format: 'an ELF core',
    note,
    ranges: segments,
    page: (at) => pageOf(bytes, segments, at),
  };
}

function tableOf(bytes: Bytes, view: DataView): DataView {
  let count = view.getUint16(56, true);
  if (count === PN_XNUM) {
    const section = bytes.read(unsigned64(view, 40), HEADER);
    count = section ? viewOf(section).getUint32(44, true) : 0;
  }
  const at = unsigned64(view, 32);
  if (view.getUint16(54, true) !== ENTRY || count === 0 || count > MOST_SEGMENTS)
    throw new Fault('bad-core', `it states ${count} segments`, { at: 'ELF header' });
  const table = bytes.read(at, count * ENTRY);
  if (table) return viewOf(table);
  throw new Fault('bad-core', `the file ends before its ${count} segments are described`, {
    at: 'ELF header',
  });
}

/** Every note is a length of its name, a length of its text, a type, and both padded to four bytes. */
function vmcoreinfoIn(bytes: Bytes, offset: number, size: number): string | null {
  const notes = bytes.read(offset, Math.min(size, MOST_NOTE));
  if (notes === null) return null;
  const view = viewOf(notes);
  for (let at = 0; at + 12 <= notes.length;) {
    const name = at + 12;
    const text = name + Math.ceil(view.getUint32(at, true) / 4) * 4;
    const length = view.getUint32(at + 4, true);
    const end = text + Math.ceil(length / 4) * 4;
    if (text + length > notes.length) return null;
    if (Buffer.from(notes.subarray(name, name + 11)).equals(Buffer.from('VMCOREINFO\0')))
      return Buffer.from(notes.subarray(text, text + length)).toString('latin1');
    at = end;
  }
  return null;
}

/** Ascending and without overlap; of two that cover one page the earlier counts. */
function disjoint(loads: readonly Segment[]): Segment[] {
  const found: Segment[] = [];
  let covered = 0;
  for (const { start, end, offset } of [...loads].sort((a, b) => a.start - b.start)) {
    const from = Math.max(start, covered);
    if (from >= end) continue;
    found.push({ start: from, end, offset: offset + (from - start) });
    covered = end;
  }
  return found;
}

/** Index of the last that begins at or below, or -1. */
export function lastStarting(ranges: readonly Range[], at: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle]?.start ?? 0) > at) high = middle;
    else low = middle + 1;
  }
  return low - 1;
}

function pageOf(bytes: Bytes, segments: readonly Segment[], at: number): Uint8Array | null {
  const segment = segments[lastStarting(segments, at)];
  if (!segment || at + PAGE > segment.end) return null;
  const offset = segment.offset + (at - segment.start);
  if (offset + PAGE > bytes.size)
    throw new Fault('bad-core', `the file ends before the page of ${hex(at)}`, {
      at: `byte ${bytes.size}`,
    });
  return bytes.read(offset, PAGE);
}

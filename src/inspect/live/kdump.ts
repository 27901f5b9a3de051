// makedumpfile's own format, which QEMU writes too: a header, a bitmap of the pages that are kept,
// a descriptor for each of those, and the pages, packed one by one (makedumpfile's
// IMPLEMENTATION and diskdump_mod.h). Through a pipe it is written "flattened": blocks with the
// offset at which each belongs, because a pipe cannot seek.

import { inflateSync } from 'node:zlib';
import { PAGE } from '../../base/addr.js';
import { Fault, isFault } from '../../base/fault.js';
import { unpackLzo } from '../unpack/lzo.js';
import { unpackSnappy } from '../unpack/snappy.js';
import { unpackZstd } from '../unpack/zstd.js';
import { said, unsigned64, viewOf, type Bytes } from './bytes.js';
import { lastStarting } from './elf-core.js';
import type { Physical, Range } from './source.js';

const KDUMP = 'KDUMP   ';
const FLATTENED = 'makedumpfile\0\0\0\0';
const FLAT_HEADER = 4096;
const FLAT_END = -1;
const MOST_BLOCKS = 1 << 22;
const DESCRIPTOR = 24;
const MOST_BITMAP = 1 << 28;
const MOST_VMCOREINFO = 1 << 20;

const begins = (head: Uint8Array, magic: string): boolean =>
  Buffer.from(head.subarray(0, magic.length)).toString('latin1') === magic;
export const isKdump = (head: Uint8Array): boolean => begins(head, KDUMP);
export const isFlattened = (head: Uint8Array): boolean => begins(head, FLATTENED);

const cut = (what: string): Fault =>
  new Fault('bad-core', `the file ends before ${what}`, {
    hint: 'copy the dump again; a dump that was interrupted cannot be read',
  });

/** How a page is packed, by the flag in its descriptor. */
const PACKED: ReadonlyMap<number, (bytes: Uint8Array) => Uint8Array> = new Map([
  [0, (bytes: Uint8Array) => bytes],
  [1, (bytes: Uint8Array) => inflateSync(bytes, { maxOutputLength: PAGE })],
  [2, (bytes: Uint8Array) => unpackLzo(bytes, PAGE)],
  [4, (bytes: Uint8Array) => unpackSnappy(bytes, PAGE)],
  [0x20, (bytes: Uint8Array) => unpackZstd(bytes, PAGE, PAGE)],
]);

/** @throws Fault `bad-core`, `unknown-packing`; its pages throw these too. */
export function readKdump(bytes: Bytes): Physical {
  const header = bytes.read(0, 464);
  if (header === null) throw cut('its header does');
  const view = viewOf(header);
  const block = view.getInt32(428, true);
  if (block !== PAGE)
    throw new Fault('bad-core', `its pages have ${block} bytes, not the ${PAGE} of x86-64`, {
      at: 'kdump header',
    });
  const subBlocks = view.getInt32(432, true);
  const bitmapBlocks = view.getUint32(436, true);
  const sub = bytes.read(block, 104);
  const bitmapSize = bitmapBlocks * block;
  if (sub === null || subBlocks < 1 || bitmapSize > MOST_BITMAP) throw cut('its bitmaps do');
  if (viewOf(sub).getInt32(12, true) !== 0)
    throw new Fault('bad-core', 'it is one part of a dump that was split', {
      at: 'kdump header',
      hint: 'put the parts together: makedumpfile --reassemble',
    });
  // The first bitmap says which pages exist, the second which are in the dump.
  const half = bitmapSize / 2;
  const bitmap = bytes.read((1 + subBlocks) * block + half, half);
  if (bitmap === null) throw cut('its bitmaps do');
  const descriptors = (1 + subBlocks + bitmapBlocks) * block;
  const kept = new Kept(bitmap);
  return {
    format: 'a kdump',
    note: noteOf(bytes, viewOf(sub)),
    ranges: [{ start: 0, end: bitmap.length * 8 * PAGE }],
    page(at) {
      const index = kept.rank(at / PAGE);
      return index === null ? null : pageAt(bytes, descriptors + index * DESCRIPTOR, at);
    },
  };
}

function noteOf(bytes: Bytes, sub: DataView): string | null {
  const size = unsigned64(sub, 40);
  const note = size > 0 && size <= MOST_VMCOREINFO ? bytes.read(unsigned64(sub, 32), size) : null;
  return note && Buffer.from(note).toString('latin1');
}

function pageAt(bytes: Bytes, descriptor: number, at: number): Uint8Array {
  const entry = bytes.read(descriptor, DESCRIPTOR);
  if (entry === null) throw cut('its table of pages does');
  const view = viewOf(entry);
  const size = view.getUint32(8, true);
  const flags = view.getUint32(12, true);
  const unpack = PACKED.get(flags);
  if (!unpack)
    throw new Fault(
      'unknown-packing',
      `its pages are packed in a way that is not known: flags ${flags}`,
      {
        hint: 'pack it anew: makedumpfile -c (zlib), or makedumpfile -E for an ELF core',
      },
    );
  const packed = size <= 2 * PAGE ? bytes.read(unsigned64(view, 0), size) : null;
  if (packed === null) throw cut(`the page of 0x${at.toString(16)} does`);
  const page = unpacked(unpack, packed, at);
  if (page.length === PAGE) return page;
  throw new Fault('bad-core', `a page unpacks to ${page.length} bytes`, {
    at: `physical 0x${at.toString(16)}`,
  });
}

function unpacked(
  unpack: (bytes: Uint8Array) => Uint8Array,
  packed: Uint8Array,
  at: number,
): Uint8Array {
  try {
    return unpack(packed);
  } catch (error) {
    if (isFault(error) && error.code === 'no-unpacker') throw error;
    throw new Fault('bad-core', `a page does not unpack: ${said(error)}`, {
      at: `physical 0x${at.toString(16)}`,
      cause: error,
    });
  }
}

const bitsIn = Uint8Array.from(
  { length: 256 },
  (_, byte) => byte.toString(2).replaceAll('0', '').length,
);
/** Bytes of the bitmap for which one sum is kept. */
const STRIDE = 512;

/** The number of kept pages before each, which is the number of its descriptor. */
class Kept {
  readonly #bitmap: Uint8Array;
  readonly #sums: Float64Array;

  constructor(bitmap: Uint8Array) {
    this.#bitmap = bitmap;
    this.#sums = new Float64Array(Math.ceil(bitmap.length / STRIDE) + 1);
    let sum = 0;
    for (const [at, byte] of bitmap.entries()) {
      if (at % STRIDE === 0) this.#sums[at / STRIDE] = sum;
      sum += bitsIn[byte] ?? 0;
    }
  }
  /** Null for a page that is not in the dump. */
  rank(pfn: number): number | null {
    const byte = Math.floor(pfn / 8);
    const bits = this.#bitmap[byte];
    if (bits === undefined || (bits & (1 << (pfn % 8))) === 0) return null;
    const from = Math.floor(byte / STRIDE);
    let rank = (this.#sums[from] ?? 0) + (bitsIn[bits & ((1 << (pfn % 8)) - 1)] ?? 0);
    for (let at = from * STRIDE; at < byte; at++) rank += bitsIn[this.#bitmap[at] ?? 0] ?? 0;
    return rank;
  }
}

interface Block extends Range {
  /** Of the content in the flattened file. */
  readonly at: number;
}

/** The dump that a flattened one stands for. @throws Fault `bad-core`. */
export function rearranged(bytes: Bytes): Bytes {
  const blocks = ordered(blocksOf(bytes));
  const part = (offset: number, length: number): Uint8Array | null => {
    const block = blocks[lastStarting(blocks, offset)];
    return block && offset + length <= block.end
      ? bytes.read(block.at + (offset - block.start), length)
      : null;
  };
  return {
    size: blocks.at(-1)?.end ?? 0,
    refresh: () => bytes.refresh(),
    read(offset, length) {
      const whole = part(offset, length);
      if (whole !== null || length > MOST_BITMAP) return whole;
      // Over a seam between blocks, or a hole: makedumpfile does not write the ends of its bitmaps,
      // and a file that it seeks in has zeros there.
      const joined = new Uint8Array(length);
      for (let done = 0; done < length;) {
        const at = offset + done;
        const index = lastStarting(blocks, at);
        const end = blocks[index]?.end ?? 0;
        const next = at < end ? end : blocks[index + 1]?.start;
        if (next === undefined) return null;
        const size = Math.min(length - done, next - at);
        const piece = at < end ? part(at, size) : new Uint8Array(size);
        if (piece === null) return null;
        joined.set(piece, done);
        done += size;
      }
      return joined;
    },
  };
}

/** In the order in which they were written. */
function blocksOf(bytes: Bytes): Block[] {
  const blocks: Block[] = [];
  for (let at = FLAT_HEADER; blocks.length <= MOST_BLOCKS;) {
    const head = bytes.read(at, 16);
    if (head === null) throw cut('the mark of its end');
    const view = viewOf(head);
    if (view.getInt32(0) === FLAT_END) return blocks;
    const start = unsigned64(view, 0, false);
    const size = unsigned64(view, 8, false);
    if (size === 0 || at + 16 + size > bytes.size || start + size > Number.MAX_SAFE_INTEGER)
      throw new Fault('bad-core', `a block of ${size} bytes for offset ${start}`, {
        at: `byte ${at} of the flattened dump`,
      });
    blocks.push({ start, end: start + size, at: at + 16 });
    at += 16 + size;
  }
  throw new Fault('bad-core', `it is flattened into more than ${MOST_BLOCKS} blocks`);
}

/** Ascending and without overlap: what was written later replaces what was there. */
function ordered(written: readonly Block[]): Block[] {
  const found: Block[] = [];
  const waiting = [...written].sort((a, b) => b.start - a.start || b.at - a.at);
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const last = found.at(-1);
    if (!last || last.end <= next.start) {
      found.push(next);
    } else if (next.at > last.at) {
      found[found.length - 1] = { ...last, end: next.start };
      if (last.end > next.end)
        insert(waiting, { start: next.end, end: last.end, at: last.at + (next.end - last.start) });
      found.push(next);
    } else if (next.end > last.end) {
      insert(waiting, { start: last.end, end: next.end, at: next.at + (last.end - next.start) });
    }
  }
  return found;
}

/** Into a list whose last element has the lowest start. */
function insert(waiting: Block[], block: Block): void {
  let at = waiting.length;
  while (at > 0 && (waiting[at - 1]?.start ?? Infinity) < block.start) at--;
  waiting.splice(at, 0, block);
}

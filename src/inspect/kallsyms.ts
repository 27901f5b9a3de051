// A kernel's own symbol table out of its image: the arrays that scripts/kallsyms.c emits side by
// side into .rodata, without a symbol or a header that says where. Each array is found by what it
// must be next to its neighbours, never by a version number; a guess is taken only where every
// entry of it holds. Symbols of modules are not in an image and not found here.
//
// How it is encoded. All symbols are sorted by address and numbered. Their names stand one behind
// the other in `names`, each as a length and that many bytes, and each byte is the number of a
// *token*: a string that occurs often in names, such as `_lock` or `Tsys_`. `token_table` holds the
// 256 tokens as strings that end with a NUL, and `token_index` says for each where it begins. A
// token of one letter spells itself, so its number is that letter's code. Decoded, a name has one
// letter more in front, which is its type as nm prints it (T and t are code). Names have different
// lengths, so `markers` says for every 256th where it begins; in between one counts. `seqs` is the
// order of the names by alphabet, for lookups by name, and is only stepped over here. Addresses are
// 64-bit numbers, or 32-bit offsets, from `relative_base` or from their own place.
//
// The orders there have been (every array begins at a multiple of 8, later of 4 is accepted too):
//
//   addresses first   addresses | offsets, relative_base; num_syms; names; markers; [seqs];
//     token_table; token_index
//   names first       num_syms; names; markers; token_table; token_index; addresses | offsets,
//     [relative_base]; [seqs]
//
// What changed since 5.10, when markers and num_syms already were 32 bits wide (80ffbaa5b1bd
// ("kallsyms: reduce size a little on 64-bit"), in v4.20):
//   73bbb94466fd ("kallsyms: support "big" kernel symbols"), in v6.1: lengths of names are ULEB128;
//   60443c88f3a8 ("kallsyms: Improve the performance of kallsyms_lookup_name()"), in v6.2: seqs, 4
//     bytes each;
//   19bd8981dc2e ("kallsyms: Reduce the memory occupied by kallsyms_seqs_of_names[]"), in v6.2: 3
//     bytes each;
//   404bad70fcf7 ("scripts/kallsyms: change the output order"), in v6.4: names first, seqs last;
//   64e166099b69 ("kallsyms: get rid of code for absolute kallsyms"), in v6.11: no more addresses,
//     only offsets;
//   01157ddc58dc ("kallsyms: Remove KALLSYMS_ABSOLUTE_PERCPU"), in v6.15: no more negative offsets;
//   a081b5789255 ("kallsyms: Get rid of kallsyms relative base"), of January 2026: offsets from
//     their own place.

import type { Addr } from '../base/addr.js';
import { bytesOf, find, latin1 } from '../base/bytes.js';
import { PT_LOAD } from '../elf/names.js';
import { signed64, type ElfObject } from '../elf/object.js';
import { isKernelAddress, type Symbols } from './symbols.js';

export interface KallsymsLayout {
  readonly order: 'addresses first' | 'names first';
  /** Per-CPU symbols are `absolute` where the offsets' sign tells them apart. */
  readonly addresses:
    'absolute' | 'base-relative' | 'base-relative, absolute per-CPU' | 'place-relative';
  /** Bytes of an entry of seqs where that lies between markers and tokens, else 0. */
  readonly seqs: 0 | 3 | 4;
  readonly align: 4 | 8;
}

export class Kallsyms implements Symbols {
  readonly count: number;
  /** Null where the kernel itself said where its arrays are. */
  readonly layout: KallsymsLayout | null;
  readonly #addresses: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #names: Uint32Array;
  readonly #tokens: readonly string[];

  constructor(
    layout: KallsymsLayout | null,
    addresses: Float64Array,
    bytes: Uint8Array,
    names: Uint32Array,
    tokens: readonly string[],
  ) {
    this.count = addresses.length;
    this.layout = layout;
    this.#addresses = addresses;
    this.#bytes = bytes;
    this.#names = names;
    this.#tokens = tokens;
  }
  address(i: number): Addr {
    return this.#addresses[i]!;
  }
  name(i: number): string {
    return this.#entry(i).slice(1);
  }
  /** The letter that nm prints. */
  type(i: number): string {
    const at = this.#names[i]!;
    return this.#tokens[this.#bytes[this.#bytes[at]! < 0x80 ? at + 1 : at + 2]!]!.slice(0, 1);
  }
  code(i: number): boolean {
    return 'tTwW'.includes(this.type(i));
  }
  #entry(i: number): string {
    let at = this.#names[i]!;
    let length = this.#bytes[at++]!;
    if (length >= 0x80) length = (length & 0x7f) | (this.#bytes[at++]! << 7);
    let entry = '';
    for (const end = at + length; at < end; at++) entry += this.#tokens[this.#bytes[at]!]!;
    return entry;
  }
}

/** Null where the image has none, or has them in an order that is not described here. */
export function findKallsyms(elf: ElfObject): Kallsyms | null {
  for (const segment of elf.segments) {
    if (segment.type !== PT_LOAD) continue;
    const found = searchSpan(
      elf.bytes.subarray(segment.offset, segment.offset + segment.fileSize),
      segment.address,
    );
    if (found) return found;
  }
  return null;
}

// Every digit occurs in some name, so its own code stands for itself: ten one-letter tokens in a
// row.
const DIGITS = bytesOf('0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00');
const TOKENS = 256;
/** More than KSYM_NAME_LEN (512 since 6.1) and its length need. */
const LONGEST = 600;
/**
 * Real kernels have one such row of digits, or two, and one table; a file made to be slow has no
 * end of them.
 */
const MOST_HITS = 64;
const MOST_TABLES = 4;
/** seqs has three bytes for an index, so no kernel has more symbols. */
const MOST = 1 << 24;

interface Tokens {
  readonly start: number;
  readonly index: number;
  readonly align: 4 | 8;
  readonly strings: readonly string[];
}
interface NameTable {
  readonly numSyms: number;
  readonly names: Uint32Array;
  readonly seqs: 0 | 3 | 4;
}

function searchSpan(bytes: Uint8Array, base: Addr): Kallsyms | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let hits = 0;
  let tables = 0;
  for (
    let hit = find(bytes, DIGITS);
    hit >= 0 && hits < MOST_HITS && tables < MOST_TABLES;
    hit = find(bytes, DIGITS, hit + 1), hits++
  ) {
    for (const align of [8, 4] as const) {
      const tokens = tokensAround(bytes, view, hit, align);
      if (tokens) tables++;
      const table = tokens && namesBefore(bytes, view, tokens);
      const found = table && addressesNear(view, base, tokens, table);
      if (found)
        return new Kallsyms(found.layout, found.addresses, bytes, table.names, tokens.strings);
    }
  }
  return null;
}

const up = (at: number, align: number): number => Math.ceil(at / align) * align;

/**
 * From the token of `0`, 48 tokens back lies the beginning; the index behind the table confirms all
 * 256.
 */
function tokensAround(
  bytes: Uint8Array,
  view: DataView,
  zero: number,
  align: 4 | 8,
): Tokens | null {
  let first = zero - 1; // ends up at the end of token 0
  for (let ends = 1; ends < 48 && first >= 0; ends++) first = bytes.lastIndexOf(0, first - 1);
  if (first < 0) return null;
  const before = Math.max(first === 0 ? -1 : bytes.lastIndexOf(0, first - 1), first - LONGEST);
  for (let start = first - (first % align); start > before && start >= 0; start -= align) {
    const strings: string[] = [];
    const starts: number[] = [];
    let at = start;
    while (strings.length < TOKENS && at < bytes.length && at - start < 0x10000) {
      const end = bytes.indexOf(0, at);
      if (end < 0 || end - at > LONGEST) break;
      starts.push(at - start);
      strings.push(latin1(bytes.subarray(at, end)));
      at = end + 1;
    }
    const index = up(at, align);
    if (
      strings.length === TOKENS &&
      index + 2 * TOKENS <= bytes.length &&
      starts.every((s, i) => view.getUint16(index + 2 * i, true) === s)
    ) {
      return { start, index, align, strings };
    }
  }
  return null;
}

/** Markers end where the tokens begin, or where seqs begins that ends there. */
function namesBefore(
  bytes: Uint8Array,
  view: DataView,
  { start, align }: Tokens,
): NameTable | null {
  for (let end = start; end > start - align && end >= 4; end -= 4) {
    const markers = markersEndingAt(view, end);
    const count = (end - markers) / 4;
    const found =
      markers >= 0
        ? namesEndingAt(
            bytes,
            view,
            markers,
            count,
            (n) => n > (count - 1) * 256 && n <= count * 256,
            align,
          )
        : null;
    if (found) return { ...found, seqs: 0 };
  }
  for (const width of [3, 4] as const) {
    for (let n = 1; n < MOST && n * width < start; n++) {
      const count = Math.ceil(n / 256);
      const seqs = start - up(n * width, align);
      const markers = seqs - up(count * 4, align);
      if (markers < 0) break;
      // Two reads refuse nearly every n before anything longer is looked at.
      if (view.getUint32(markers, true) !== 0) continue;
      if (
        count > 1 &&
        !(
          view.getUint32(markers + 4, true) >= 512 &&
          view.getUint32(markers + 4, true) <= 256 * LONGEST
        )
      )
        continue;
      const found = namesEndingAt(bytes, view, markers, count, (k) => k === n, align);
      if (found) return { ...found, seqs: width };
    }
  }
  return null;
}

/** Where the ascending offsets that end here begin with their 0, or -1. */
function markersEndingAt(view: DataView, end: number): number {
  let at = end - 4;
  for (let above = Infinity; at >= 0; at -= 4) {
    const value = view.getUint32(at, true);
    if (value >= above) return -1;
    if (value === 0) return at;
    above = value;
  }
  return -1;
}

/**
 * The names that end before their markers and agree with each of them; num_syms stands in front.
 */
function namesEndingAt(
  bytes: Uint8Array,
  view: DataView,
  markers: number,
  count: number,
  possible: (n: number) => boolean,
  align: 4 | 8,
): Omit<NameTable, 'seqs'> | null {
  const last = view.getUint32(markers + 4 * (count - 1), true);
  const lowest = Math.max(align, markers - last - 256 * LONGEST);
  for (let at = markers - last - (last === 0 ? align : 0); at >= lowest; at--) {
    if (at % align !== 0) continue;
    const n = view.getUint32(at - align, true);
    if (!possible(n)) continue;
    const names = walkNames(bytes, view, at, n, markers, align);
    if (names) return { numSyms: at - align, names };
  }
  return null;
}

function walkNames(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  n: number,
  markers: number,
  align: number,
): Uint32Array | null {
  if (n > markers - start) return null; // a name takes two bytes at least
  const names = new Uint32Array(n);
  let at = start;
  for (let i = 0; i < n; i++) {
    if ((i & 255) === 0 && view.getUint32(markers + (i >> 6), true) !== at - start) return null;
    names[i] = at;
    let length = bytes[at++]!;
    if (length >= 0x80) length = (length & 0x7f) | (bytes[at++]! << 7);
    at += length;
    if (length === 0 || at > markers) return null;
  }
  return up(at, align) === markers ? names : null;
}

/**
 * Every way that addresses have been stored, at both places; the one under which they ascend is it.
 */
function addressesNear(
  view: DataView,
  base: Addr,
  tokens: Tokens,
  table: NameTable,
): { layout: KallsymsLayout; addresses: Float64Array } | null {
  const { align } = tokens;
  const n = table.names.length;
  const behind = up(tokens.index + 2 * TOKENS, align);
  const widths = { offsets: up(4 * n, align), addresses: 8 * n };
  const places = [
    {
      order: 'addresses first',
      offsets: table.numSyms - 8 - widths.offsets,
      relativeBase: table.numSyms - 8,
      addresses: table.numSyms - widths.addresses,
    },
    {
      order: 'names first',
      offsets: behind,
      relativeBase: behind + widths.offsets,
      addresses: behind,
    },
  ] as const;
  const inside = (at: number, size: number): boolean => at >= 0 && at + size <= view.byteLength;
  for (const place of places) {
    const take = (
      addresses: KallsymsLayout['addresses'],
      at: number,
      size: number,
      address: (i: number) => Addr,
    ): { layout: KallsymsLayout; addresses: Float64Array } | null => {
      const column = inside(at, size) ? ascending(n, address) : null;
      return (
        column && {
          layout: { order: place.order, addresses, seqs: table.seqs, align },
          addresses: column,
        }
      );
    };
    const anchor = inside(place.relativeBase, 8) ? signed64(view, place.relativeBase) : 0;
    const offset = (i: number): number => view.getInt32(place.offsets + 4 * i, true);
    const found =
      (isKernelAddress(anchor) &&
        (take('base-relative', place.offsets, 4 * n, (i) => anchor + (offset(i) >>> 0)) ??
          take('base-relative, absolute per-CPU', place.offsets, 4 * n, (i) =>
            offset(i) >= 0 ? offset(i) : anchor - 1 - offset(i),
          ))) ||
      take('absolute', place.addresses, widths.addresses, (i) =>
        signed64(view, place.addresses + 8 * i),
      ) ||
      (place.order === 'names first' &&
        take(
          'place-relative',
          place.offsets,
          4 * n,
          (i) => base + place.offsets + 4 * i + offset(i),
        ));
    if (found) return found;
  }
  return null;
}

/**
 * All of them in unsigned order, some in the kernel's half, those below it small (per-CPU offsets);
 * else null.
 */
export function ascending(n: number, address: (i: number) => Addr): Float64Array | null {
  const column = new Float64Array(n);
  let previous = -1;
  for (let i = 0; i < n; i++) {
    const a = address(i);
    const fits =
      a < 0
        ? isKernelAddress(a) && (previous >= -1 || a >= previous)
        : previous >= -1 && a >= previous && a < 0x8000_0000;
    if (!fits) return null;
    column[i] = a;
    // -1 stands for "nothing yet"; no symbol is at the topmost kernel byte.
    previous = a;
  }
  return n > 0 && previous < -1 ? column : null;
}

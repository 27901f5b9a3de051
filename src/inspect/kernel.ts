// The static calls of a linked kernel, out of nothing but its loaded bytes: no section header, relocation
// or symbol is asked. The table is found by what it must be: pairs of place-relative words of which the
// first leads to a branch, the second to a key, and the branch to a trampoline. A single pair could be a
// coincidence, so the longest run of them counts, and in it a trampoline must always go with the same key.
// Instructions are not decoded: an entry of the table says where one begins, and its first bytes say which.
//
// What a trampoline looks like: a jump, or a return that is padded, five bytes; then the signature, three
// bytes: none in 5.10, "SCT" from then on, `ud1 %esp,%ecx` today. Which it is, the table's own branches say.

import type { Addr } from '../base/addr.js';
import { PF_X, PT_LOAD } from '../elf/names.js';
import { signed64, type ElfObject, type Segment } from '../elf/object.js';
import { SITE_TAIL, type SiteKind } from '../sites/site.js';

export interface KernelSite {
  readonly at: Addr;
  readonly kind: SiteKind;
  readonly length: number;
  readonly condition: number;
  /** SITE_TAIL and SITE_INIT as the table holds them; the kernel adds the second when it boots. */
  readonly flags: number;
  readonly key: Addr;
  /** Null where the site holds no branch, as in the image of a kernel that has run. */
  readonly trampoline: Addr | null;
}

export interface KernelTrampoline {
  readonly at: Addr;
  /** Where its jump leads; null for a key that is empty. */
  readonly target: Addr | null;
}

export interface KernelCalls {
  /** In the table's order; `table` is where it begins, null where the image has none. */
  readonly table: Addr | null;
  readonly sites: readonly KernelSite[];
  /** Ascending; those that no site uses are among them. */
  readonly trampolines: readonly KernelTrampoline[];
}

export function findKernelCalls(elf: ElfObject): KernelCalls {
  const memory = new Memory(elf);
  const { table, sites } = findTable(memory);
  return { table, sites, trampolines: findTrampolines(memory, sites) };
}

/**
 * Addresses of all branches in the text that lead to one of the trampolines, ascending: the same sites,
 * found without the table. Every byte is tried as the first of an instruction, so bytes that only look like a
 * branch may be among them; it is a cross-check and no way to find sites.
 */
export function branchesTo(elf: ElfObject, trampolines: readonly KernelTrampoline[]): Addr[] {
  const wanted = new Set(trampolines.map((t) => t.at));
  const low = trampolines[0]?.at ?? 0;
  const high = trampolines.at(-1)?.at ?? 0;
  const found: Addr[] = [];
  for (const { bytes, view, base } of new Memory(elf).text) {
    for (let i = 0; i + 5 <= bytes.length; i++) {
      const byte = bytes[i]!;
      const length = byte === 0xe8 || byte === 0xe9 ? 5 : byte === 0x0f && (bytes[i + 1]! & 0xf0) === 0x80 && i + 6 <= bytes.length ? 6 : 0;
      if (length === 0) continue;
      const to = base + i + length + view.getInt32(i + length - 4, true);
      if (to >= low && to <= high && wanted.has(to)) found.push(base + i);
    }
  }
  return found.sort((a, b) => a - b);
}

interface Span {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly base: Addr;
  readonly end: Addr;
}

/** The image as it lies in memory. Only the kernel's half: per-CPU data is linked at 0 and holds no code and no key. */
class Memory {
  readonly spans: readonly Span[];
  readonly text: readonly Span[];
  readonly #segments: readonly Segment[];

  constructor(elf: ElfObject) {
    this.#segments = elf.segments.filter((s) => s.type === PT_LOAD && s.address < 0);
    const span = (s: Segment): Span => {
      const bytes = elf.bytes.subarray(s.offset, s.offset + s.fileSize);
      return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), base: s.address, end: s.address + bytes.length };
    };
    this.spans = this.#segments.map(span);
    this.text = this.#segments.filter((s) => s.flags & PF_X).map(span);
  }
  textAt(address: Addr): Span | null {
    for (const span of this.text) if (address >= span.base && address < span.end) return span;
    return null;
  }
  /** Also where no byte of the file is: a key may lie in memory that begins as zero. */
  holds(address: Addr): boolean {
    return this.#segments.some((s) => address >= s.address && address < s.address + s.memorySize);
  }
}

// What a site can hold that is no branch, once a kernel has run: nothing to call, return 0, and the two
// of the newest kernels (a trapping warning, an unlock). Each is one instruction of five bytes.
const WRITTEN: readonly (readonly number[])[] = [
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x2e, 0x2e, 0x2e, 0x31, 0xc0],
  [0x67, 0x48, 0x0f, 0xb9, 0x3a],
  [0x3e, 0x3e, 0xc6, 0x07, 0x00],
];
const FIRST = new Uint8Array(256);
for (const byte of [0xe8, 0xe9, 0x0f, 0x2e, 0x67, 0x3e]) FIRST[byte] = 1;

const PAIR = 8;

function findTable(memory: Memory): { table: Addr | null; sites: KernelSite[] } {
  let best: { span: Span; at: number; count: number } | null = null;
  for (const span of memory.spans) {
    const { view, base } = span;
    for (let at = 0; at + PAIR <= view.byteLength; at += 4) {
      // Nearly every pair is refused by these two lines; the rest is asked of what is left.
      const to = base + at + view.getInt32(at, true);
      const text = memory.textAt(to);
      if (!text || FIRST[text.bytes[to - text.base]!] === 0 || !readPair(memory, span, at)) continue;
      let count = 1;
      while (readPair(memory, span, at + count * PAIR)) count++;
      if (count > (best?.count ?? 0) && consistent(memory, span, at, count)) best = { span, at, count };
      at += count * PAIR - 4;
    }
  }
  if (!best) return { table: null, sites: [] };
  const { span, at, count } = best;
  return { table: span.base + at, sites: Array.from({ length: count }, (_, i) => readPair(memory, span, at + i * PAIR)!) };
}

/** One key, one trampoline: what a run of coincidences would not keep to. */
function consistent(memory: Memory, span: Span, at: number, count: number): boolean {
  const keys = new Map<Addr, Addr>();
  for (let i = 0; i < count; i++) {
    const { key, trampoline } = readPair(memory, span, at + i * PAIR)!;
    if (trampoline === null) continue;
    if ((keys.get(trampoline) ?? key) !== key) return false;
    keys.set(trampoline, key);
  }
  return keys.size > 0;
}

function readPair(memory: Memory, { view, base }: Span, i: number): KernelSite | null {
  if (i + PAIR > view.byteLength) return null;
  const at = base + i + view.getInt32(i, true);
  const word = base + i + 4 + view.getInt32(i + 4, true);
  // A key is aligned as the pointer that it begins with; three low bits are free, two are in use.
  const flags = ((word % 8) + 8) % 8;
  const key = word - flags;
  if (flags > 3 || !memory.holds(key)) return null;
  const text = memory.textAt(at);
  if (!text) return null;
  const { bytes } = text;
  const o = at - text.base;
  const first = bytes[o]!;
  const second = bytes[o + 1] ?? 0;
  const jcc = first === 0x0f && (second & 0xf0) === 0x80;
  const kind: SiteKind = first === 0xe9 ? 'jmp' : jcc ? 'jcc' : 'call';
  const length = jcc ? 6 : 5;
  if (o + length > bytes.length || (kind === 'call') !== ((flags & SITE_TAIL) === 0)) return null;
  const site = { at, kind, length, condition: jcc ? second & 15 : 0, flags, key };
  if (kind === 'call' && first !== 0xe8) return WRITTEN.some((form) => form.every((b, k) => bytes[o + k] === b)) ? { ...site, trampoline: null } : null;
  const trampoline = at + length + text.view.getInt32(o + length - 4, true);
  return trampolineAt(memory, trampoline) ? { ...site, trampoline } : null;
}

const SIGNATURES: readonly (readonly number[])[] = [
  [0x0f, 0xb9, 0xcc],
  [0x53, 0x43, 0x54],
];

/** The five bytes that a trampoline begins with: a jump into the text, or a return that is padded. */
function trampolineAt(memory: Memory, address: Addr): KernelTrampoline | null {
  const text = address % 4 === 0 ? memory.textAt(address) : null;
  if (!text || address + 5 > text.end) return null;
  const o = address - text.base;
  const { bytes, view } = text;
  if (bytes[o] === 0xe9) {
    const target = address + 5 + view.getInt32(o + 1, true);
    return memory.textAt(target) ? { at: address, target } : null;
  }
  const padding = bytes[o + 4]!;
  return bytes[o] === 0xc3 && (padding === 0xcc || padding === 0x90) ? { at: address, target: null } : null;
}

/** Trampolines are one run of the text; two of them lie further apart than this nowhere. */
const GAP = 64;

function findTrampolines(memory: Memory, sites: readonly KernelSite[]): KernelTrampoline[] {
  const used = [...new Set(sites.flatMap((s) => (s.trampoline === null ? [] : [s.trampoline])))].sort((a, b) => a - b);
  const signed = (address: Addr, signature: readonly number[]): boolean => {
    const text = memory.textAt(address);
    return text !== null && signature.every((byte, i) => text.bytes[address - text.base + 5 + i] === byte);
  };
  const candidates: Addr[] = [];
  const signature = SIGNATURES.find((s) => (used.length > 0 ? used.every((at) => signed(at, s)) : true));
  if (signature) {
    for (const { bytes, base } of memory.text) {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let hit = buffer.indexOf(Uint8Array.from(signature)); hit >= 0; hit = buffer.indexOf(Uint8Array.from(signature), hit + 1)) candidates.push(base + hit - 5);
    }
  } else if (used.length > 0) {
    // Without a signature only what lies among the used ones is told from any other jump.
    for (let at = used[0]!; at <= used.at(-1)!; at += 4) candidates.push(at);
  }
  const found: KernelTrampoline[] = [];
  for (const at of candidates) {
    if (found.length > 0 && at < found.at(-1)!.at + PAIR) continue;
    const trampoline = trampolineAt(memory, at);
    if (trampoline) found.push(trampoline);
  }
  return runAround(found, used);
}

/** Bytes like a signature occur elsewhere too; what belongs together lies side by side. */
function runAround(found: readonly KernelTrampoline[], used: readonly Addr[]): KernelTrampoline[] {
  const runs: KernelTrampoline[][] = [];
  for (const trampoline of found) {
    const run = runs.at(-1);
    if (run && trampoline.at - run.at(-1)!.at <= GAP) run.push(trampoline);
    else runs.push([trampoline]);
  }
  if (used.length === 0) return runs.reduce<KernelTrampoline[]>((a, b) => (b.length > a.length ? b : a), []);
  const wanted = new Set(used);
  return runs.filter((run) => run.some((t) => wanted.has(t.at))).flat();
}

/** The pointer that a key begins with: its target as linked, or null where that is 0 or not in the file. */
export function keyTarget(elf: ElfObject, key: Addr): Addr | null {
  const bytes = elf.at(key, 8);
  const target = bytes ? signed64(new DataView(bytes.buffer, bytes.byteOffset, 8), 0) : 0;
  return target === 0 ? null : target;
}

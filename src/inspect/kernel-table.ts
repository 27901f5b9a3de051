// The static calls of a linked kernel, out of nothing but its loaded bytes: no section header,
// relocation or symbol is asked. The table is found by what it must be: pairs of place-relative
// words of which the first leads to a branch, the second to a key, and the branch to a trampoline.
// A single pair could be a coincidence, so the longest run of them counts, and in it a trampoline
// must always go with the same key. Instructions are not decoded: an entry of the table says where
// one begins, and its first bytes say which.
//
// Trampolines end with a signature, "SCT" or today `ud1 %esp,%ecx`; those of 5.10 had none. Which
// it is, the trampolines that the table's branches lead to say.

import { INT3 } from '../asm/table.js';
import type { Addr } from '../base/addr.js';
import { find } from '../base/bytes.js';
import { Fault } from '../base/fault.js';
import { PF_X, PT_LOAD } from '../elf/names.js';
import { signed64, type ElfObject, type Segment } from '../elf/object.js';
import { SITE_TAIL, type CallKind } from '../sites/site.js';
import {
  branchOpcode,
  destination,
  recognise,
  recogniseTrampoline,
  SITE_FORMS,
  TRAMPOLINE_FORMS,
  TRAMPOLINE_LENGTH,
  type Effect,
} from '../x86/forms.js';
import { isKernelAddress } from './symbols.js';

export interface KernelSite {
  readonly at: Addr;
  readonly kind: CallKind;
  readonly length: number;
  readonly condition: number;
  /** SITE_TAIL and SITE_INIT as the table holds them; the kernel adds the second when it boots. */
  readonly flags: number;
  readonly key: Addr;
  /** Null where the site holds no branch: built as a nop. */
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

/** The kernel's own script makes four or five segments; thousands would be searched one by one. */
const MOST_SEGMENTS = 16;

/** @throws Fault `bad-image`. */
export function findKernelCalls(elf: ElfObject): KernelCalls {
  const { length } = elf.segments;
  if (length > MOST_SEGMENTS)
    throw new Fault(
      'bad-image',
      `it has ${length} segments, and no kernel has more than ${MOST_SEGMENTS}`,
    );
  const memory = new KernelMemory(elf);
  const { table, sites } = findTable(memory);
  return { table, sites, trampolines: findTrampolines(memory, sites) };
}

/**
 * Addresses of all branches in the text that lead to one of the trampolines, ascending: the same
 * sites, found without the table. Every byte is tried as the first of an instruction, so bytes that
 * only look like a branch may be among them; it is a cross-check and no way to find sites.
 */
export function branchesTo(elf: ElfObject, trampolines: readonly KernelTrampoline[]): Addr[] {
  const wanted = new Set(trampolines.map((t) => t.at));
  const low = trampolines[0]?.at ?? 0;
  const high = trampolines.at(-1)?.at ?? 0;
  const found: Addr[] = [];
  for (const { bytes, base } of new KernelMemory(elf).text) {
    for (let i = 0; i < bytes.length; i++) {
      const form = branchOpcode(bytes, i);
      if (form === null || form.indirect) continue;
      const to = destination(form, bytes, i, base + i);
      if (to >= low && to <= high && wanted.has(to)) found.push(base + i);
    }
  }
  return found.sort((a, b) => a - b);
}

/**
 * Where the kernel lies; per-CPU data, linked at 0 until 6.15, holds no code and no key and is left
 * out.
 */
export function kernelSegments(elf: ElfObject): Segment[] {
  return elf.segments.filter((s) => s.type === PT_LOAD && isKernelAddress(s.address));
}

interface Span {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly base: Addr;
  readonly end: Addr;
}

/** The image as it lies in memory. */
export class KernelMemory {
  readonly spans: readonly Span[];
  readonly text: readonly Span[];
  readonly #segments: readonly Segment[];
  readonly #low: Addr;
  readonly #high: Addr;

  constructor(elf: ElfObject) {
    this.#segments = kernelSegments(elf);
    const span = (s: Segment): Span => {
      const bytes = elf.bytes.subarray(s.offset, s.offset + s.fileSize);
      return {
        bytes,
        view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
        base: s.address,
        end: s.address + bytes.length,
      };
    };
    this.spans = this.#segments.map(span);
    this.text = this.#segments.filter((s) => s.flags & PF_X).map(span);
    this.#low = Math.min(...this.text.map((s) => s.base));
    this.#high = Math.max(...this.text.map((s) => s.end));
  }
  textAt(address: Addr): Span | null {
    if (address < this.#low || address >= this.#high) return null;
    for (const span of this.text) if (address >= span.base && address < span.end) return span;
    return null;
  }
  has(address: Addr, wanted: Uint8Array): boolean {
    const text = this.textAt(address);
    return text !== null && wanted.every((byte, i) => text.bytes[address - text.base + i] === byte);
  }
  /** Also where no byte of the file is: a key may lie in memory that begins as zero. */
  holds(address: Addr): boolean {
    return this.#segments.some((s) => address >= s.address && address < s.address + s.memorySize);
  }
}

// First bytes of everything that a site of a kernel may hold. Six-byte forms other than jcc are
// made by linkers of programs alone, and no kernel writes a form that keeps bytes.
const SITE = Object.values(SITE_FORMS).filter(
  (f) => (f.length === SITE_FORMS.call.length || f.effect === 'jcc') && !f.keeps,
);
const FIRST = new Uint8Array(256);
for (const { bytes } of SITE) FIRST.fill(1, bytes[0], (bytes[0] ?? 0) + 1);

const PAIR = 8;

function findTable(memory: KernelMemory): { table: Addr | null; sites: KernelSite[] } {
  let best: { span: Span; at: number; count: number } | null = null;
  for (const span of memory.spans) {
    const { bytes, view, base } = span;
    const own = memory.text.some((s) => s.base === base) ? bytes.length : 0;
    const end = bytes.length - PAIR;
    // The linker script begins the table at a multiple of eight, and segments begin at pages.
    for (let at = 0; at <= end; at += PAIR) {
      // Millions of words of an image end here, nearly all of them at the first byte; the rest is
      // asked of what is left.
      const to = at + view.getInt32(at, true);
      if (to >= 0 && to < own) {
        if (FIRST[bytes[to]!] === 0) continue;
      } else {
        const text = memory.textAt(base + to);
        if (!text || FIRST[text.bytes[base + to - text.base]!] === 0) continue;
      }
      if (!readPair(memory, span, at)) continue;
      let count = 1;
      while (readPair(memory, span, at + count * PAIR)) count++;
      if (count > (best?.count ?? 0) && consistent(memory, span, at, count))
        best = { span, at, count };
      at += (count - 1) * PAIR;
    }
  }
  if (!best) return { table: null, sites: [] };
  const { span, at, count } = best;
  return { table: span.base + at, sites: [...pairsOf(memory, span, at, count)] };
}

/** A run of pairs that were read before. */
function* pairsOf(
  memory: KernelMemory,
  span: Span,
  at: number,
  count: number,
): Generator<KernelSite> {
  for (let i = 0; i < count; i++) {
    const pair = readPair(memory, span, at + i * PAIR);
    if (pair) yield pair;
  }
}

/** One key, one trampoline: what a run of coincidences would not keep to. */
function consistent(memory: KernelMemory, span: Span, at: number, count: number): boolean {
  const keys = new Map<Addr, Addr>();
  for (const { key, trampoline } of pairsOf(memory, span, at, count)) {
    if (trampoline === null) continue;
    if ((keys.get(trampoline) ?? key) !== key) return false;
    keys.set(trampoline, key);
  }
  return keys.size > 0;
}

function readPair(memory: KernelMemory, { view, base }: Span, i: number): KernelSite | null {
  if (i + PAIR > view.byteLength) return null;
  const at = base + i + view.getInt32(i, true);
  const word = base + i + 4 + view.getInt32(i + 4, true);
  // A key is aligned as the pointer that it begins with; three low bits are free, two are in use.
  const flags = ((word % 8) + 8) % 8;
  const key = word - flags;
  if (flags > 3 || !memory.holds(key)) return null;
  const text = memory.textAt(at);
  if (!text) return null;
  const o = at - text.base;
  // What was patched in already is as long as the call or jump that it replaced.
  const length = branchOpcode(text.bytes, o)?.length ?? SITE_FORMS.call.length;
  const found = recognise(text.bytes.subarray(o, o + length), at);
  if (!found || found.form.keeps) return null;
  const kind = KIND[found.form.effect];
  if ((kind === 'call') !== ((flags & SITE_TAIL) === 0)) return null;
  // As linked, every branch leads to a trampoline, and that tells a table from chance. Memory of a
  // kernel that has run, where sites call their targets, is for that reason not taken for an image.
  if (found.target !== null && !trampolineAt(memory, found.target)) return null;
  return { at, kind, length, condition: found.condition, flags, key, trampoline: found.target };
}

const KIND: Readonly<Record<Effect, CallKind>> = {
  call: 'call',
  nop: 'call',
  ret0: 'call',
  jmp: 'jmp',
  ret: 'jmp',
  jcc: 'jcc',
};

function trampolineAt(memory: KernelMemory, address: Addr): KernelTrampoline | null {
  const text = address % 4 === 0 ? memory.textAt(address) : null;
  if (!text || address + TRAMPOLINE_LENGTH > text.end) return null;
  const o = address - text.base;
  const bytes = text.bytes.subarray(o, o + TRAMPOLINE_LENGTH);
  const target = recogniseTrampoline(bytes, address)?.target ?? unsigned(bytes, address);
  return target === undefined || (target !== null && !memory.textAt(target))
    ? null
    : { at: address, target };
}

/**
 * As 5.10 built them: a jump or a padded return and nothing to know them by. Undefined for anything
 * else.
 */
function unsigned(bytes: Uint8Array, at: Addr): Addr | null | undefined {
  if (bytes[0] === SITE_FORMS.jmp.bytes[0]) return destination(SITE_FORMS.jmp, bytes, 0, at);
  return bytes[0] === SITE_FORMS.ret5.bytes[0] && (bytes[4] === INT3 || bytes[4] === 0x90)
    ? null
    : undefined;
}

const SIGNED = SITE_FORMS.jmp.length;
const SIGNATURES = [TRAMPOLINE_FORMS.jmp, TRAMPOLINE_FORMS['jmp-sct']].map((form) =>
  form.bytes.subarray(SIGNED),
);

/** Trampolines are one run of the text; two of them lie further apart than this nowhere. */
const GAP = 64;
/**
 * How many bytes of trampolines that no site uses may lie between two that are: a few hundred
 * tracepoints.
 */
const UNSIGNED_GAP = 4096;

function findTrampolines(memory: KernelMemory, sites: readonly KernelSite[]): KernelTrampoline[] {
  const used = [
    ...new Set(sites.flatMap((s) => (s.trampoline === null ? [] : [s.trampoline]))),
  ].sort((a, b) => a - b);
  // Where no site says which signature it is, whichever is there: no kernel has both.
  const signatures = SIGNATURES.filter((s) => used.every((at) => memory.has(at + SIGNED, s)));
  const candidates: Addr[] = [];
  for (const signature of signatures) {
    for (const { bytes, base } of memory.text) {
      const wanted = Uint8Array.from(signature);
      for (let hit = find(bytes, wanted); hit >= 0; hit = find(bytes, wanted, hit + 1))
        candidates.push(base + hit - SIGNED);
    }
  }
  // Without a signature only what lies among the used ones is told from any other jump.
  if (signatures.length === 0) {
    used.forEach((from, i) => {
      const next = used[i + 1] ?? from + 4;
      for (let at = from; at < (next - from <= UNSIGNED_GAP ? next : from + 4); at += 4)
        candidates.push(at);
    });
  }
  candidates.sort((a, b) => a - b);
  const found: KernelTrampoline[] = [];
  let free = -Infinity;
  for (const at of candidates) {
    const trampoline = at < free ? null : trampolineAt(memory, at);
    if (!trampoline) continue;
    found.push(trampoline);
    free = at + TRAMPOLINE_LENGTH;
  }
  return runAround(found, used);
}

/** Bytes like a signature occur elsewhere too; what belongs together lies side by side. */
function runAround(found: readonly KernelTrampoline[], used: readonly Addr[]): KernelTrampoline[] {
  const runs: KernelTrampoline[][] = [];
  for (const trampoline of found) {
    const run = runs.at(-1);
    const last = run?.at(-1)?.at ?? -Infinity;
    if (run && trampoline.at - last <= GAP) run.push(trampoline);
    else runs.push([trampoline]);
  }
  if (used.length === 0)
    return runs.reduce<KernelTrampoline[]>((a, b) => (b.length > a.length ? b : a), []);
  const wanted = new Set(used);
  return runs.filter((run) => run.some((t) => wanted.has(t.at))).flat();
}

/**
 * The pointer that a key begins with: its target as linked, null where it has none; undefined where
 * the file has no bytes there.
 */
export function keyTarget(elf: ElfObject, key: Addr): Addr | null | undefined {
  const bytes = elf.at(key, 8);
  if (!bytes) return undefined;
  const target = signed64(new DataView(bytes.buffer, bytes.byteOffset, 8), 0);
  return target === 0 ? null : target;
}

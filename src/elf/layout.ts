// Where the parts of an edited file go. What keeps its size is written over; what grows is written
// again behind the rest, and takes the place of the old tables where those were last. The headers
// of the file are not believed: a section that claims the place of something else is refused,
// because writing it would destroy that, and bytes that no header describes (a signature, an
// appended archive) are kept.

import { hex } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import * as N from './names.js';
import { signed64, type ElfObject, type Section, type Segment } from './object.js';

/** Offsets of the fields that change, in the file header. */
const E_PHOFF = 32;
const E_SHOFF = 40;
const E_SHNUM = 60;
/** And in a section header. */
const SH_OFFSET = 24;
const SH_SIZE = 32;
/** Of a table; a larger one is damage, and would make a file of that size. */
const ALIGN_MAX = 4096;

export interface Placed {
  /** Header index. */
  readonly index: number;
  readonly data: Uint8Array;
  readonly align: number;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

const overlaps = (a: Range, b: Range): boolean =>
  a.from < b.to && b.from < a.to && a.from < a.to && b.from < b.to;

const rangeOf = (s: Section): Range => ({ from: s.offset, to: s.offset + s.size });
const hasBytes = (s: Section): boolean =>
  s.index !== 0 && s.type !== N.SHT_NULL && s.type !== N.SHT_NOBITS;

function tablesOf({ bytes, sections, segments }: ElfObject): {
  readonly programHeaders: Range;
  readonly sectionHeaders: Range;
} {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [segmentsAt, sectionsAt] = [signed64(view, E_PHOFF), signed64(view, E_SHOFF)];
  return {
    programHeaders: { from: segmentsAt, to: segmentsAt + segments.length * N.PHDR_SIZE },
    sectionHeaders: { from: sectionsAt, to: sectionsAt + sections.length * N.SHDR_SIZE },
  };
}

/**
 * `headers` is the section header table as it will be, except for the offsets and sizes of what
 * moves; `replaced` has the new contents of old sections, by header index.
 * @throws Fault `bad-elf` where writing a section would destroy something else
 */
export function layOut(
  object: ElfObject,
  headers: DataView,
  replaced: ReadonlyMap<number, Uint8Array>,
  added: readonly Placed[],
): Uint8Array {
  const { bytes, sections } = object;
  const inPlace: [Section, Uint8Array][] = [];
  const moved: Placed[] = [];
  for (const [index, data] of replaced) {
    const section = sections[index]!;
    // Refuses a compressed one: its header would go on saying so of bytes that are not.
    object.data(section);
    if (data.length === section.size) inPlace.push([section, data]);
    else moved.push({ index, data, align: section.align });
  }
  const shared = inPlace.length > 0 ? sharedPlaces(object.sections) : null;
  for (const [section] of inPlace) requireOwnPlace(object, section, shared?.get(section));

  const start = kept(object, new Set(moved.map(({ index }) => index)));
  let end = start;
  const place = (length: number, align: number): number => {
    if (align > ALIGN_MAX) throw new Fault('bad-elf', `an alignment of ${align} for a table`);
    const at = Math.ceil(end / align) * align;
    end = at + length;
    return at;
  };
  const placed = [...added, ...moved].map((p) => ({
    ...p,
    at: place(p.data.length, Math.max(1, p.align)),
  }));
  const headersAt = place(headers.byteLength, 8);

  const out = new Uint8Array(end);
  out.set(bytes.subarray(0, start));
  for (const [section, data] of inPlace) out.set(data, section.offset);
  for (const { index, data, at } of placed) {
    out.set(data, at);
    headers.setBigUint64(index * N.SHDR_SIZE + SH_OFFSET, BigInt(at), true);
    headers.setBigUint64(index * N.SHDR_SIZE + SH_SIZE, BigInt(data.length), true);
  }
  const count = headers.byteLength / N.SHDR_SIZE;
  const file = new DataView(out.buffer);
  file.setBigUint64(E_SHOFF, BigInt(headersAt), true);
  // From 65,280 sections on the count lives in section 0 (gABI, "Extended Section Header").
  file.setUint16(E_SHNUM, count >= N.SHN_LORESERVE ? 0 : count, true);
  if (count >= N.SHN_LORESERVE) headers.setBigUint64(SH_SIZE, BigInt(count), true);
  out.set(new Uint8Array(headers.buffer), headersAt);
  return out;
}

/**
 * For each section whose bytes are another's too, one such other. By one pass in the order of the
 * file: an object may have a hundred thousand sections, of which as many are written.
 */
function sharedPlaces(sections: readonly Section[]): ReadonlyMap<Section, Section> {
  const shared = new Map<Section, Section>();
  let farthest: Section | undefined;
  const inOrder = sections.filter((s) => hasBytes(s) && s.size > 0);
  for (const section of inOrder.sort((a, b) => a.offset - b.offset)) {
    // Where the one that reaches farthest ends before this one, all that begin before it do.
    if (farthest !== undefined && overlaps(rangeOf(farthest), rangeOf(section))) {
      shared.set(section, farthest);
      if (!shared.has(farthest)) shared.set(farthest, section);
    }
    if (farthest === undefined || rangeOf(section).to > rangeOf(farthest).to) farthest = section;
  }
  return shared;
}

/**
 * Refuses a section that is written over where its header puts it on something else. A section that
 * is loaded lies in its segment, at its address, and in no other; one that is not loaded lies in
 * none.
 */
function requireOwnPlace(object: ElfObject, section: Section, other: Section | undefined): void {
  const own = rangeOf(section);
  const refuse = (what: string): never => {
    throw new Fault('bad-elf', `its bytes at ${hex(own.from)} would be written over ${what}`, {
      at: section.name === '' ? `section ${section.index}` : section.name,
      hint: 'the section headers of the file are damaged; build it again',
    });
  };
  const { programHeaders, sectionHeaders } = tablesOf(object);
  if (overlaps(own, { from: 0, to: N.EHDR_SIZE })) refuse('the file header');
  if (overlaps(own, programHeaders)) refuse('the program headers');
  if (overlaps(own, sectionHeaders)) refuse('the section headers');
  if (other !== undefined) refuse(`section ${other.name === '' ? other.index : other.name}`);
  for (const [i, segment] of object.segments.entries())
    if (overlaps(own, inFile(segment)) && !belongs(section, segment))
      refuse(`segment ${i}, which it is no part of`);
}

const inFile = ({ offset, fileSize }: Segment): Range => ({ from: offset, to: offset + fileSize });

function belongs(section: Section, segment: Segment): boolean {
  if ((section.flags & N.SHF_ALLOC) === 0) return false;
  // GNU_RELRO says of the beginning of a loaded segment that it becomes read-only, by pages.
  if (segment.type === N.PT_GNU_RELRO) return true;
  const { from, to } = inFile(segment);
  return (
    segment.type === N.PT_LOAD &&
    section.offset >= from &&
    section.offset + section.size <= to &&
    section.address - segment.address === section.offset - segment.offset
  );
}

/**
 * How much of the file's beginning stays. From the end of the file backwards the old section
 * headers and the tables that move are given up, with the padding between them, until something
 * comes that stays: a section, a segment, or bytes that no header describes.
 */
function kept(object: ElfObject, moved: ReadonlySet<number>): number {
  const { bytes, sections, segments } = object;
  const { programHeaders, sectionHeaders } = tablesOf(object);
  let floor = Math.max(N.EHDR_SIZE, programHeaders.to);
  for (const segment of segments) floor = Math.max(floor, inFile(segment).to);
  const free: Range[] = [sectionHeaders];
  for (const section of sections) {
    if (!hasBytes(section)) continue;
    if (moved.has(section.index)) free.push(rangeOf(section));
    else floor = Math.max(floor, rangeOf(section).to);
  }
  let start = bytes.length;
  for (const { from, to } of free.sort((a, b) => b.to - a.to)) {
    if (
      start <= floor ||
      !isPadding(bytes.subarray(Math.max(to, floor), start), start, bytes.length)
    )
      break;
    start = Math.min(start, Math.max(from, floor));
  }
  return Math.max(start, Math.min(floor, bytes.length));
}

/** Zeros before an aligned table. At the end of the file nothing is aligned. */
const isPadding = (gap: Uint8Array, at: number, end: number): boolean =>
  gap.length === 0 || (at < end && gap.length < ALIGN_MAX && gap.every((byte) => byte === 0));

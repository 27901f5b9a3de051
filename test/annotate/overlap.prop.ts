// The headers of a file may lie about where its sections are. Whatever they say, annotate refuses
// the file, or changes no byte but its own tables, the fields about sections in the file header,
// and the section headers.

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { isFault } from '#base/fault';
import { readElf } from '#elf/read';
import type { ElfObject, Section } from '#elf/object';
import { annotate } from '#sites/annotate';
import { findSites } from '#sites/find';
import { Folder, must } from '../build.js';
import { LONG } from '../more.js';

/** What annotate writes again or adds to; everything else is somebody's. */
const TABLES =
  /^(\.rela)?\.static_call_sites$|^\.(symtab|strtab|shstrtab|symtab_shndx|group|llvm_addrsig)$/;
const SOURCE = `#include <static_call.h>
int one(int a);
int one(int a) { return a; }
DEFINE_STATIC_CALL(work, one);
int use(int a);
int use(int a) { return static_call(work)(a) + 1; }
int tail(int a);
int tail(int a) { return static_call(work)(a); }
`;

const files = new Map<string, Uint8Array>();
beforeAll(() => {
  using folder = new Folder();
  const path = folder.write('f.c', SOURCE);
  const gcc = (...words: string[]): string =>
    must('gcc', ['-O2', '-fPIC', `-I${process.cwd()}/include`, ...words]);
  gcc('-c', path, '-o', folder.file('f.o'));
  const object = annotate(readElf(folder.read('f.o'))).bytes!;
  gcc('-shared', path, '-o', folder.file('plain.so'));
  gcc('-shared', folder.write('g.o', object), '-o', folder.file('loaded.so'));
  files.set('object', object);
  files.set('shared, its table not loaded', annotate(readElf(folder.read('plain.so'))).bytes!);
  files.set('shared, its table loaded', folder.read('loaded.so'));
});

const view = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** The first byte that annotate changed and that is not its own, told from the old headers. */
function strange(before: Uint8Array, after: Uint8Array): string | null {
  const old = readElf(before);
  const mine = new Uint8Array(before.length);
  const headers = Number(view(before).getBigUint64(40, true));
  const bytes = (s: Section): [number, number] =>
    s.index === 0 || s.type === 0 || s.type === 8 ? [0, 0] : [s.offset, s.offset + s.size];
  mine.fill(1, headers, headers + old.sections.length * 64);
  // The tables of names and symbols are known by their place in the headers, whatever their names.
  const shstrndx = view(before).getUint16(62, true);
  const symtab = old.sections.find((s) => s.type === 2);
  const isTable = (s: Section): boolean =>
    TABLES.test(s.name) || s === symtab || s.index === shstrndx || s.index === symtab?.link;
  for (const s of old.sections) if (isTable(s)) mine.fill(1, ...bytes(s));
  // What renumbered symbols are named by.
  for (const s of old.sections)
    if (s.type === 4 && old.type === 'relocatable') mine.fill(1, ...bytes(s));
  // Padding, whose place what follows may take.
  for (let i = before.length - 1; i >= 64 && (mine[i] || before[i] === 0); i--) mine[i] = 1;
  for (const s of old.sections)
    if (!isTable(s) && !(s.type === 4 && old.type === 'relocatable')) mine.fill(0, ...bytes(s));
  for (const s of old.segments) mine.fill(0, s.offset, s.offset + s.fileSize);
  for (const s of old.sections) if (isLoadedTable(old, s)) mine.fill(1, ...bytes(s));
  mine.fill(0, 0, 64);
  const segmentsAt = Number(view(before).getBigUint64(32, true));
  mine.fill(0, segmentsAt, segmentsAt + old.segments.length * 56);
  mine.fill(1, 40, 48).fill(1, 60, 62);
  const at = before.findIndex((byte, i) => !mine[i] && byte !== after[i]);
  return at < 0 ? null : `byte ${at} was ${before[at]} and is ${after[at]}`;
}

const isLoadedTable = (old: ElfObject, s: Section): boolean =>
  s.name === '.static_call_sites' &&
  (s.flags & 2) !== 0 &&
  old.segments.some(
    (g) => g.type === 1 && s.address - g.address === s.offset - g.offset && s.offset >= g.offset,
  );

function outcome(bytes: Uint8Array): 'refused' | 'written' | string {
  let object: ElfObject;
  let written: ReturnType<typeof annotate>;
  try {
    object = readElf(bytes);
    written = annotate(object, { force: true });
  } catch (error) {
    if (isFault(error)) return 'refused';
    throw error;
  }
  if (!written.bytes) return 'written';
  const wrong = strange(bytes, written.bytes);
  if (wrong) return wrong;
  const again = findSites(readElf(written.bytes));
  const shown = (sites: readonly { at: number; keySymbol: string }[]): string =>
    sites.map((s) => `${s.at} ${s.keySymbol}`).join();
  return shown(again) === shown(written.sites) ? 'written' : 'reads back otherwise';
}

const withTable = (bytes: Uint8Array) => {
  const object = readElf(bytes);
  return { segments: object.segments, section: object.section('.static_call_sites')! };
};

const sectionField = (
  bytes: Uint8Array,
  name: string,
  field: number,
  value: number,
): Uint8Array => {
  const copy = Uint8Array.from(bytes);
  const object = readElf(copy);
  const section = object.section(name)!;
  const headers = Number(view(copy).getBigUint64(40, true));
  view(copy).setBigUint64(headers + section.index * 64 + field, BigInt(value), true);
  return copy;
};

describe('annotate --force refuses a file whose table claims the place of', () => {
  it.each([
    ['the file header', () => 0, 'the file header'],
    ['the program headers', () => 0x40, 'the program headers'],
    ['the text', (o: ElfObject) => o.section('.text')!.offset, 'section .text'],
    [
      'the section headers',
      (o: ElfObject) => Number(view(o.bytes).getBigUint64(40, true)),
      'the section headers',
    ],
    [
      'the end of a segment, behind its sections',
      (o: ElfObject) => {
        const load = o.segments.find((s) => s.type === 1)!;
        return load.offset + load.fileSize - 8;
      },
      /section|segment/,
    ],
  ])('%s', (_, at, told) => {
    const bytes = files.get('shared, its table not loaded')!;
    const lying = sectionField(bytes, '.static_call_sites', 24, at(readElf(bytes)));
    let message = 'nothing thrown';
    try {
      annotate(readElf(lying), { force: true });
    } catch (error) {
      if (!isFault(error)) throw error;
      message = `${error.code}: ${error.message}`;
    }
    expect(message).toMatch(/^bad-elf: .*would be written over/);
    expect(message).toMatch(told);
  });

  it('the end of the part that becomes read-only, which is loaded as the table is not', () => {
    const bytes = Uint8Array.from(files.get('shared, its table not loaded')!);
    const { segments, section } = withTable(bytes);
    const relro = segments.findIndex((s) => s.type === 0x6474e552);
    const reaching = section.offset + 1 - segments[relro]!.offset;
    view(bytes).setBigUint64(64 + relro * 56 + 32, BigInt(reaching), true);
    expect(outcome(bytes)).toBe('refused');
  });

  it('another section of an object', () => {
    const bytes = files.get('object')!;
    const text = readElf(bytes).section('.text')!.offset;
    expect(outcome(sectionField(bytes, '.static_call_sites', 24, text))).toBe('refused');
    expect(outcome(sectionField(bytes, '.rela.static_call_sites', 24, text))).toBe('refused');
  });

  it('a loaded table whose address is not where its bytes are', () => {
    const bytes = files.get('shared, its table loaded')!;
    const { address } = readElf(bytes).section('.static_call_sites')!;
    expect(outcome(bytes)).toBe('written');
    expect(outcome(sectionField(bytes, '.static_call_sites', 16, address + 0x1000))).toBe(
      'refused',
    );
  });

  it('and would be noticed if it did not', () => {
    const bytes = Uint8Array.from(files.get('shared, its table not loaded')!);
    for (const at of [0, 0x40, readElf(bytes).section('.text')!.offset]) {
      const harmed = Uint8Array.from(bytes);
      harmed[at]! ^= 1;
      expect(strange(bytes, harmed)).toMatch(`byte ${at} `);
    }
  });
});

it('a table whose size is a lie is refused where it reaches into another, and else is written anew', () => {
  const bytes = files.get('object')!;
  const { size } = readElf(bytes).section('.static_call_sites')!;
  expect(outcome(sectionField(bytes, '.static_call_sites', 32, size * 8))).toBe('refused');
  expect(outcome(sectionField(bytes, '.static_call_sites', 32, 0))).toBe('written');
});

it('bytes that no header describes stay, also between the tables', () => {
  const bytes = Uint8Array.from(files.get('object')!);
  const object = readElf(bytes);
  const headers = Number(view(bytes).getBigUint64(40, true));
  const hidden = Buffer.concat([
    bytes.subarray(0, headers),
    Buffer.from('not described by any header.....'),
    bytes.subarray(headers),
  ]);
  hidden.writeBigUInt64LE(BigInt(headers + 32), 40);
  expect(object.sections.length).toBeGreaterThan(0);
  const out = annotate(readElf(hidden), { force: true }).bytes!;
  expect(Buffer.from(out).includes('not described by any header')).toBe(true);
});

it('whatever the headers claim, a file is refused or only its own tables change', () => {
  const names = [...files.keys()];
  const wild = fc.oneof(
    fc.constantFrom(0, 1, 8, 0x40, 0x78, 0x1000, 2 ** 31, 2 ** 40),
    fc.nat(0x5000),
  );
  const counts = new Map<string, number>();
  fc.assert(
    fc.property(
      fc.constantFrom(...names),
      fc.array(
        fc.tuple(fc.nat(), fc.constantFrom(0, 4, 8, 16, 24, 24, 24, 32, 32, 40, 44, 56), wild),
        {
          minLength: 1,
          maxLength: 3,
        },
      ),
      fc.option(fc.tuple(fc.nat(), fc.constantFrom(0, 8, 16, 32), wild), { freq: 4 }),
      fc.boolean(),
      (name, sections, segment, own) => {
        const bytes = Uint8Array.from(files.get(name)!);
        const object = readElf(bytes);
        const at = Number(view(bytes).getBigUint64(40, true));
        const tables = object.sections.filter((s) => TABLES.test(s.name));
        for (const [which, field, value] of sections) {
          const { index } = own
            ? tables[which % tables.length]!
            : object.sections[which % object.sections.length]!;
          const wide = ![0, 4, 40, 44].includes(field);
          if (wide) view(bytes).setBigUint64(at + index * 64 + field, BigInt(value), true);
          else view(bytes).setUint32(at + index * 64 + field, value >>> 0, true);
        }
        if (segment && object.segments.length > 0) {
          const [which, field, value] = segment;
          const header = 64 + (which % object.segments.length) * 56;
          view(bytes).setBigUint64(header + field, BigInt(value), true);
        }
        const said = outcome(bytes);
        counts.set(said, (counts.get(said) ?? 0) + 1);
        expect(['refused', 'written']).toContain(said);
      },
    ),
    { numRuns: LONG ? 5_000 : 300, seed: 20261126 },
  );
  // Both happen often, or nothing was tried.
  expect(counts.get('refused')).toBeGreaterThan(20);
  expect(counts.get('written')).toBeGreaterThan(20);
});

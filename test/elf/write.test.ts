import { describe, expect, test } from 'vitest';
import { more } from '../more.js';
import { isFault } from '#base/fault';
import { readElf } from '#elf/read';
import { ElfEdit } from '#elf/write';
import { annotate } from '#sites/annotate';
import { findSites } from '#sites/find';
import { unchanged } from '../annotate/layout.js';
import { elf, FLAGS, smallLinked, smallObject, TYPES } from './builder.mjs';

const note = {
  name: '.note',
  type: TYPES.progbits,
  flags: 0,
  align: 4,
  entrySize: 0,
  data: Uint8Array.of(1, 2, 3),
};
const code = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (isFault(error)) return error.code;
    throw error;
  }
  return 'nothing thrown';
};

describe('writing an object', () => {
  test.each([
    ['relocatable', smallObject()],
    ['linked', smallLinked()],
  ])('without a wish gives the same bytes back: %s', (_, bytes) => {
    const copy = new ElfEdit(readElf(bytes)).bytes();
    expect(Buffer.compare(copy, bytes)).toBe(0);
    expect(copy.buffer).not.toBe(bytes.buffer);
  });

  test.each([
    ['relocatable', smallObject()],
    ['linked', smallLinked()],
  ])('adds a section and moves nothing: %s', (_, bytes) => {
    const edit = new ElfEdit(readElf(bytes));
    const index = edit.addSection(note);
    const out = edit.bytes();
    const object = readElf(out);
    expect(object.sections[index]).toMatchObject({ name: '.note', size: 3, align: 4 });
    expect([...object.data(object.sections[index]!)]).toEqual([1, 2, 3]);
    expect(unchanged(bytes, out)).toEqual([]);
  });

  test('keeps bytes that no header describes, such as an appended signature', () => {
    const bytes = Buffer.concat([smallObject(), Buffer.from('~appended~')]);
    const edit = new ElfEdit(readElf(bytes));
    edit.addSection(note);
    expect(
      Buffer.from(edit.bytes())
        .subarray(bytes.length - 10, bytes.length)
        .toString(),
    ).toBe('~appended~');
  });

  test('a section symbol that is missing becomes the last local one; the global in its place goes to the end', () => {
    const bytes = smallObject({ sectionSymbols: false });
    const edit = new ElfEdit(readElf(bytes));
    edit.sectionSymbol(2);
    edit.sectionSymbol(1);
    edit.sectionSymbol(2);
    const symbols = readElf(edit.bytes()).symbols!;
    const names = Array.from({ length: symbols.count }, (_, i) =>
      symbols.type(i) === 3 ? `section ${symbols.sectionIndex(i)}` : symbols.name(i),
    );
    expect(names).toEqual([
      '',
      'local.c',
      'section 2',
      'section 1',
      '__SCT__b',
      '__SCK__a',
      '__SCK__b',
      'f',
      '__SCT__a',
    ]);
    expect(symbols.section.info).toBe(4);
    expect([edit.sectionSymbolIndex(2), edit.sectionSymbolIndex(1)]).toEqual([2, 3]);
    expect(unchanged(bytes, edit.bytes())).toEqual([]);
  });

  test('more new locals than there are globals', () => {
    const bytes = elf({
      sections: Array.from({ length: 5 }, (_, i) => ({
        name: `.text.${i}`,
        flags: FLAGS.alloc | FLAGS.exec,
        data: new Uint8Array(4),
        relocations: [{ at: 0, type: 2, symbol: 1 }],
      })),
      symbols: [{ name: 'g', bind: 1 }],
    });
    const edit = new ElfEdit(readElf(bytes));
    for (let i = 1; i <= 5; i++) edit.sectionSymbol(i);
    const object = readElf(edit.bytes());
    expect(object.symbols!.count).toBe(7);
    expect(object.symbols!.name(6)).toBe('g');
    expect(object.relocationsOf(object.sections[3]!)[0]!.symbol(0)).toBe(6);
  });

  test('section groups and lists of symbols follow a symbol that moved', () => {
    const bytes = elf({
      sections: [
        { name: '.text', flags: FLAGS.alloc | FLAGS.exec, data: new Uint8Array(4) },
        {
          name: '.group',
          type: TYPES.group,
          align: 4,
          entrySize: 4,
          link: 4,
          info: 1,
          data: Uint8Array.of(1, 0, 0, 0, 1, 0, 0, 0),
        },
        { name: '.llvm_addrsig', type: 0x6fff4c03, link: 4, data: Uint8Array.of(1, 130, 1) },
      ],
      symbols: Array.from({ length: 130 }, (_, i) => ({ name: `g${i}`, bind: 1 })),
    });
    const edit = new ElfEdit(readElf(bytes));
    edit.sectionSymbol(1);
    const object = readElf(edit.bytes());
    expect(object.symbols!.name(object.sections[2]!.info)).toBe('g0');
    expect([...object.data(object.sections[3]!)]).toEqual([131, 1, 130, 1]);
  });

  test.each([
    ['a symbol that there is not', [200, 1]],
    ['a number that never ends', new Array<number>(400).fill(0xff)],
    ['a number of nothing but room', [...new Array<number>(400).fill(0x80), 1]],
  ])('a list of symbols that names %s is refused', (_, list) => {
    const edit = new ElfEdit(
      readElf(
        elf({
          sections: [
            { name: '.text', flags: FLAGS.alloc | FLAGS.exec, data: new Uint8Array(4) },
            { name: '.llvm_addrsig', type: 0x6fff4c03, link: 3, data: Uint8Array.from(list) },
          ],
          symbols: [{ name: 'g', bind: 1 }],
        }),
      ),
    );
    edit.sectionSymbol(1);
    expect(code(() => edit.bytes())).toBe('bad-elf');
  });

  test('what cannot be understood is refused', () => {
    const shared = Buffer.from(smallObject());
    shared.writeUInt16LE(0, 62);
    const nameless = new ElfEdit(readElf(shared));
    nameless.addSection(note);
    expect(code(() => nameless.bytes())).toBe('bad-elf');
    const huge = new ElfEdit(readElf(smallObject()));
    huge.addSection({ ...note, align: 2 ** 40 });
    expect(code(() => huge.bytes())).toBe('bad-elf');
    const bare = new ElfEdit(readElf(elf({ type: 'shared', sections: [] }).fill(0, 40, 48)));
    bare.addSection(note);
    expect(code(() => bare.bytes())).toBe('bad-elf');
  });
});

describe('more than 65,279 sections', () => {
  test.each([
    ['just below the limit, which the table crosses', 0xff00 - 11, true],
    ...more(
      ['above it, with a section symbol for the code', 0xff10, true],
      ['above it, without one', 0xff10, false],
    ),
  ] as const)('%s', (_, extraSections, sectionSymbols) => {
    const bytes = smallObject({ extraSections, sectionSymbols });
    const object = readElf(annotate(readElf(bytes)).bytes!);
    expect(object.sections.length).toBeGreaterThanOrEqual(0xff00);
    const sites = findSites(object);
    expect(sites.map((s) => `${object.sections[s.section]!.name}+${s.at} ${s.key}`)).toEqual([
      '.text+2 a',
      '.text+13 a',
      '.text+8 b',
    ]);
    expect(sites[0]!.section).toBe(extraSections + 1);
    expect(unchanged(bytes, object.bytes)).toEqual([]);
  });
});

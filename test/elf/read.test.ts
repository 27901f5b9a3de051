import { describe, expect, test } from 'vitest';
import { isFault } from '#base/fault';
import { isElf } from '#elf/magic';
import { readElf } from '#elf/read';
import { elf, FLAGS, smallLinked, smallObject } from './builder.mjs';

const refusal = (bytes: Uint8Array): string => {
  try {
    readElf(bytes, 'x.o');
  } catch (error) {
    if (isFault(error)) return `${error.code} at ${error.at}: ${error.message}`;
    throw error;
  }
  return 'accepted';
};
const damaged = (base: Buffer, at: number, bytes: number, value: number): Buffer => {
  const copy = Buffer.from(base);
  if (bytes === 8) copy.writeBigInt64LE(BigInt(value), at);
  else copy.writeUIntLE(value, at, bytes);
  return copy;
};

describe('reading', () => {
  test('what the builder described', () => {
    const object = readElf(smallObject());
    expect(object.type).toBe('relocatable');
    expect(object.sections.map((s) => s.name)).toEqual([
      '',
      '.text',
      '.static_call.text',
      '.data',
      '.rela.text',
      '.rela.static_call.text',
      '.rela.data',
      '.symtab',
      '.strtab',
      '.shstrtab',
    ]);
    const symbols = object.symbols!;
    const f = symbols.find('f');
    expect([
      symbols.bind(f),
      symbols.type(f),
      symbols.sectionIndex(f),
      symbols.value(f),
      symbols.size(f),
    ]).toEqual([1, 2, 1, 0, 18]);
    expect(symbols.find('__SCK__')).toBe(-1);
    expect(symbols.nameStartsWith(f, 'f')).toBe(true);
    expect(symbols.nameStartsWith(f, 'ff')).toBe(false);
    const [relocations] = object.relocationsOf(object.section('.text')!);
    expect([
      relocations!.count,
      relocations!.offset(0),
      relocations!.type(0),
      relocations!.addend(0),
    ]).toEqual([3, 4, 4, -4]);
    expect(object.dynamicSymbols).toBeNull();
  });

  test('addresses of both halves, and the bytes that stand there', () => {
    for (const base of [0x1000, -0x7f00_0000]) {
      const object = readElf(smallLinked(base));
      expect(object.section('.text')!.address).toBe(base);
      expect([...object.at(base + 2, 2)!]).toEqual([0x0f, 0x84]);
      expect(object.at(base - 1, 1)).toBeNull();
      expect(object.at(base + 0x3f, 2)).not.toBeNull();
    }
  });

  test('a file cut anywhere is read or refused, never more', () => {
    const whole = smallObject();
    for (let length = 0; length < whole.length; length += 7)
      expect(refusal(whole.subarray(0, length))).toMatch(/^(not-elf|truncated-elf) at x\.o/);
  });
});

describe('refusing', () => {
  const base = smallObject();
  const headers = Number(base.readBigUInt64LE(40));
  test.each([
    [
      'another class',
      damaged(base, 4, 1, 1),
      'wrong-class at x.o: the file is a 32-bit little-endian ELF for machine 62 (x86-64)',
    ],
    [
      'another order of bytes',
      damaged(base, 5, 1, 2),
      'wrong-class at x.o: the file is a 64-bit big-endian ELF',
    ],
    [
      'another machine',
      damaged(base, 18, 2, 183),
      'wrong-class at x.o: the file is a 64-bit little-endian ELF for machine 183 (AArch64)',
    ],
    ['a core dump', damaged(base, 16, 2, 4), 'bad-elf at x.o: file type 4, a core dump,'],
    [
      'section headers of another size',
      damaged(base, 58, 2, 40),
      'bad-elf at x.o: section header entries of 40 bytes, not 64',
    ],
    ['section headers beyond the end', damaged(base, 40, 8, base.length), 'truncated-elf'],
    ['section headers before the start', damaged(base, 40, 8, -64), 'truncated-elf'],
    [
      'more sections than there are',
      damaged(base, 60, 2, 60_000),
      'truncated-elf at x.o: 60000 section header entries',
    ],
    [
      'names in a section that holds none',
      damaged(base, 62, 2, 1),
      'bad-elf at x.o: the section names are in section 1, which is no string table',
    ],
    [
      'names in a section that does not exist',
      damaged(base, 62, 2, 99),
      'bad-elf at x.o: the section names are in section 99',
    ],
    [
      'a section beyond the end',
      damaged(base, headers + 64 + 32, 8, base.length + 1),
      'truncated-elf at x.o: section 1',
    ],
    [
      'a section of negative size',
      damaged(base, headers + 64 + 32, 8, -1),
      'truncated-elf at x.o: section 1',
    ],
    [
      'symbols of another size',
      damaged(base, headers + 7 * 64 + 56, 8, 16),
      'bad-elf at x.o: section 7 is a table',
    ],
    ['program headers beyond the end', damaged(smallLinked(), 32, 8, 1 << 30), 'truncated-elf'],
  ])('%s', (_, bytes, message) => {
    expect(refusal(bytes)).toContain(message);
  });

  test('symbols whose names are nowhere, when they are asked for', () => {
    const bytes = damaged(base, headers + 7 * 64 + 40, 4, 1);
    expect(() => readElf(bytes).symbols).toThrow('its string table is section 1, which is none');
  });

  test('an index beyond a table', () => {
    const symbols = readElf(base).symbols!;
    expect(() => symbols.name(symbols.count)).toThrow(
      `symbol ${symbols.count} of a table of ${symbols.count}`,
    );
  });
});

test('the magic bytes decide what is ELF', () => {
  expect(isElf(smallObject())).toBe(true);
  expect(isElf(Uint8Array.of(0x7f, 0x45, 0x4c))).toBe(false);
  expect(
    readElf(elf({ sections: [{ name: '.bss', type: 8, flags: FLAGS.alloc, size: 2 ** 40 }] }))
      .sections[1],
  ).toMatchObject({ name: '.bss', size: 2 ** 40 });
});

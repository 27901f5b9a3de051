// The check of layouts sees what it is for.

import { expect, test } from 'vitest';
import { readElf } from '#elf/read';
import { annotate } from '#sites/annotate';
import { smallObject } from '../elf/builder.mjs';
import { unchanged } from './layout.js';

const before = smallObject({ sectionSymbols: false });
const after = Buffer.from(annotate(readElf(before)).bytes!);
const changed = (at: number, value: number): string[] => {
  const bytes = Buffer.from(after);
  bytes[at]! ^= value;
  return unchanged(before, bytes);
};

test('an annotated object passes', () => {
  expect(unchanged(before, after)).toEqual([]);
});

test('a byte of code, a field of a header, or a relocation that names another symbol does not', () => {
  const object = readElf(after);
  const text = object.section('.text')!;
  expect(changed(text.offset + 3, 1)).toEqual([`byte ${text.offset + 3} was 132 and is 133`]);
  expect(changed(20, 1)).toEqual(['byte 20 was 1 and is 0']);
  const headers = Number(after.readBigUInt64LE(40));
  expect(changed(headers + text.index * 64 + 48, 48)).toEqual(['.text: align was 16 and is 32']);
  const rela = object.section('.rela.text')!;
  expect(changed(rela.offset + 12, 1)).toEqual([
    expect.stringMatching(/^\.rela\.text\+0: named __SCT__a and names /),
  ]);
});

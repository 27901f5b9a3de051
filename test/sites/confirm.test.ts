// Bytes that look like a branch to a trampoline, and branches that do not look like one.

import { expect, test } from 'vitest';
import { readElf } from '#elf/read';
import { annotate } from '#sites/annotate';
import { decodeSites, findSites } from '#sites/find';
import { elf, FLAGS } from '../elf/builder.mjs';

const BASE = 0x1000;
/** A linked file of one function at BASE, and the trampoline of key `a` somewhere behind it. */
const linked = (code: readonly number[], trampoline: number): Buffer => {
  const text = Buffer.alloc(trampoline + 8 - BASE, 0x90);
  text.set(code);
  text.set([0xe9, 0, 0, 0, 0, 0x0f, 0xb9, 0xcc], trampoline - BASE);
  return elf({
    type: 'shared',
    sections: [
      { name: '.text', flags: FLAGS.alloc | FLAGS.exec, address: BASE, data: text },
      { name: '.data', flags: FLAGS.alloc | FLAGS.write, address: 0x4000, data: Buffer.alloc(16) },
    ],
    symbols: [
      { name: 'f', bind: 1, type: 2, section: 1, value: BASE, size: code.length },
      { name: '__SCT__a', bind: 1, type: 2, section: 1, value: trampoline, size: 8 },
      { name: '__SCK__a', bind: 1, type: 1, section: 2, value: 0x4000, size: 16 },
    ],
  });
};

test('the last byte of one instruction and the first four of the next are no call', () => {
  // add $-24,%eax; jmp .+5: the bytes e8 e9 00 00 00 would be a call of what is 0xe9 further on.
  const code = [0x83, 0xc0, 0xe8, 0xe9, 0, 0, 0, 0, 0xc3];
  const end = BASE + 3 + 4;
  expect(decodeSites(readElf(linked(code, end + 0xe9)))).toEqual([]);
  // Where a call begins, the same bytes are one.
  const call = [0x83, 0xc0, 0x90, 0xe8, 0xe9, 0, 0, 0, 0xc3];
  expect(decodeSites(readElf(linked(call, end + 1 + 0xe9)))).toMatchObject([
    { at: BASE + 3, kind: 'call', length: 5 },
  ]);
});

test.each(Array.from({ length: 16 }, (_, condition) => condition))(
  'a conditional jump with a prefix keeps its condition: %i',
  (condition) => {
    // "Branch taken", as -mbranch-hint writes it.
    const trampoline = BASE + 0x40;
    const code = [0x3e, 0x0f, 0x80 | condition, trampoline - (BASE + 7), 0, 0, 0, 0xc3];
    const bytes = linked(code, trampoline);
    const site = { at: BASE, kind: 'jcc', length: 7, condition };
    expect(decodeSites(readElf(bytes))).toMatchObject([site]);
    // The same where a table says that it begins there.
    const annotated = annotate(readElf(bytes)).bytes;
    expect(findSites(readElf(annotated ?? bytes))).toMatchObject([site]);
  },
);

// What -ffunction-sections makes of a very large program: more sections than 16 bits count, as gas
// writes them.

import { spawnSync } from 'node:child_process';
import { beforeEach, expect, test } from 'vitest';
import { readElf } from '#elf/read';
import { annotate } from '#sites/annotate';
import { findSites } from '#sites/find';
import { assemble, Folder, gcc, must } from '../build.js';
import { unchanged } from './layout.js';

beforeEach(({ skip }) => skip(!gcc, 'gcc is missing'));

test('66,000 functions in sections of their own, with section symbols and without', () => {
  const count = 66_000;
  const functions = Array.from(
    { length: count },
    (_, i) =>
      ` .section .text.f${i},"ax",@progbits\n .globl f${i}; .type f${i},@function\nf${i}: call __SCT__a\n jmp __SCT__a\n .size f${i},.-f${i}\n`,
  );
  const full = assemble(`${functions.join('')} .data\n .quad __SCK__a\n`);
  using folder = new Folder();
  for (const bytes of [full, withoutSectionSymbols(full)]) {
    const out = annotate(readElf(bytes)).bytes!;
    expect(unchanged(bytes, out)).toEqual([]);
    const path = folder.write('out.o', out);
    must('ld', ['-r', '-o', folder.file('again.o'), path]);
    const again = readElf(folder.read('again.o'));
    expect(findSites(again)).toHaveLength(2 * count);
    const names = new Set(findSites(again).map((s) => again.sections[s.section]!.name));
    expect(names.size).toBe(count);
    const read = spawnSync('readelf', ['-hSW', path], { encoding: 'utf8', maxBuffer: 1 << 28 });
    expect([read.status, read.stderr]).toEqual([0, '']);
    expect(read.stdout).toMatch(/Number of section headers: +0 \(\d{6}\)/);
  }
});

/**
 * What clang writes and gas does not: each section symbol becomes a nameless local of no type, so
 * that numbers stay.
 */
function withoutSectionSymbols(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const table = readElf(copy).symbols!;
  for (let i = 1; i < table.count; i++)
    if (table.type(i) === 3) copy[table.section.offset + i * 24 + 4] = 0;
  return copy;
}

// Tables as tools other than ours may leave them: in any order, with an entry twice, with two entries that cannot both be.

import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { readElf } from '#elf/read';
import { decodeSiteTable, encodeSiteTable, SITES_SECTION, type SiteTable } from '#sites/section';
import { Folder, gcc, must } from '../build.js';
import { INCLUDE } from './programs.js';
import { expectRight, soak } from './soaked.js';
import { WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const [COUNT, EXPORTED] = [11, ['work', 'hook', 'filter'].map((key) => `-DSTATIC_CALL_EXPORTED_${key}=1`)];

/** The soaked program with its table changed. */
function withTable(name: string, flags: readonly string[], change: (table: SiteTable, byteAt: (at: number) => number) => void): string {
  const object = folder.file(`${name}.o`);
  must('gcc', ['-O2', '-c', '-fPIC', '-pthread', ...flags, `-I${INCLUDE}`, fileURLToPath(new URL('./programs/soak.c', import.meta.url)), '-o', object]);
  must(process.execPath, ['bin/static-call', 'annotate', object]);
  const path = folder.file(`${name}.so`);
  must('gcc', ['-shared', '-pthread', object, '-o', path]);
  const bytes = folder.read(`${name}.so`);
  const elf = readElf(bytes, path);
  const section = elf.section(SITES_SECTION)!;
  const table = decodeSiteTable(elf.data(section), section.address);
  expect(table.count).toBe(COUNT);
  change(table, (at) => elf.at(at, 1)![0]!);
  bytes.set(encodeSiteTable(table, section.address), section.offset);
  return folder.write(`${name}.so`, bytes);
}
const copy = (table: SiteTable, from: number, to: number): void => {
  for (const column of [table.sites, table.keys, table.flags]) column[to] = column[from]!;
};

describe.skipIf(!gcc)('a table of sites', () => {
  it.each([WAYS[0], WAYS[2]])('that lists sites twice patches them once: $protocol, $writer', (way) => {
    // Every second entry stands for its neighbour too, which is left on its trampoline.
    const library = withTable(`twice-${way.protocol}`, [], (table) => {
      for (let i = 0; i + 1 < COUNT; i += 2) copy(table, i, i + 1);
    });
    const got = soak(library, way, 0.4);
    expectRight(got);
    expect(Object.values(got.sites).reduce((a, b) => a + b)).toBe(6 + 3);
  });

  it('in any order is the same table', () => {
    const library = withTable('backwards', [], (table) => {
      for (const column of [table.sites, table.keys, table.flags]) column.reverse();
    });
    const got = soak(library, WAYS[0], 0.4);
    expectRight(got);
    expect(Object.values(got.sites).reduce((a, b) => a + b)).toBe(COUNT + 3);
  });

  it('with two sites that overlap is refused', () => {
    const library = withTable('overlapping', ['-fno-plt', ...EXPORTED], (table, byteAt) => {
      // Behind the prefix of a six-byte call another call seems to begin.
      const six = [...table.sites].findIndex((at) => byteAt(at) === 0x67);
      copy(table, six, six === 0 ? 1 : 0);
      table.sites[six === 0 ? 1 : 0]!++;
    });
    expect(() => soak(library, WAYS[0], 0.4)).toThrow(/two sites overlap[^]*bad-site/);
  });
});

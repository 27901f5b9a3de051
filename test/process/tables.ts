// The soaked program with a table of sites that somebody changed.

import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { readElf } from '#elf/read';
import { decodeSiteTable, encodeSiteTable, SITES_SECTION, type SiteTable } from '#sites/section';
import { must, type Folder } from '../build.js';
import { INCLUDE } from './programs.js';

/** Sites of the soaked program, as gcc -O2 makes it. */
export const COUNT = 11;

/** The soaked program with its table changed. */
export function withTable(
  folder: Folder,
  name: string,
  flags: readonly string[],
  change: (table: SiteTable, byteAt: (at: number) => number) => void,
): string {
  const object = folder.file(`${name}.o`);
  must('gcc', [
    '-O2',
    '-c',
    '-fPIC',
    '-pthread',
    ...flags,
    `-I${INCLUDE}`,
    fileURLToPath(new URL('./programs/soak.c', import.meta.url)),
    '-o',
    object,
  ]);
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

/** Every second entry stands for its neighbour too, which the table then does not list. */
export function everySecondTwice(table: SiteTable): void {
  for (const column of [table.sites, table.keys, table.flags])
    for (let i = 0; i + 1 < COUNT; i += 2) column[i + 1] = column[i]!;
}
export function backwards(table: SiteTable): void {
  for (const column of [table.sites, table.keys, table.flags]) column.reverse();
}

// The kernel's objtool beside our annotate: the same object to both, and their tables in one form
// to compare.

import { spawnSync } from 'node:child_process';
import { readElf } from '#elf/read';
import { SITES_SECTION } from '#sites/section';
import { Folder } from '../build.js';

/** Everything that a loader or linker sees of a file's tables. Null where there is none. */
export interface Table {
  readonly section: { type: number; flags: number; align: number; entrySize: number };
  readonly relocations: { flags: number; align: number; entrySize: number };
  /** Whether the entries' own bytes are zero: their values are in the relocations. */
  readonly zero: boolean;
  /** `offset type symbol+addend`. */
  readonly rows: readonly string[];
}

export function tablesOf(bytes: Uint8Array): Table[] {
  const object = readElf(bytes);
  const symbols = object.symbols;
  return object.sections
    .filter((s) => s.name === SITES_SECTION)
    .map((s) => {
      const [table] = object.relocationsOf(s);
      const rows: string[] = [];
      for (let i = 0; i < (table?.count ?? 0); i++) {
        const symbol = table!.symbol(i);
        const name =
          symbols!.type(symbol) === 3
            ? `section ${object.sections[symbols!.sectionIndex(symbol)]!.name}`
            : symbols!.name(symbol);
        rows.push(`${table!.offset(i)} ${table!.type(i)} ${name}+${table!.addend(i)}`);
      }
      return {
        section: { type: s.type, flags: s.flags, align: s.align, entrySize: s.entrySize },
        relocations: {
          flags: table?.section.flags ?? 0,
          align: table?.section.align ?? 0,
          entrySize: table?.section.entrySize ?? 0,
        },
        zero: object.data(s).every((b) => b === 0),
        rows,
      };
    });
}

/** The rows as `section+offset key tail`, however many tables they come from. */
export function sitesOf(tables: readonly Table[]): string[] {
  return tables.flatMap(({ rows }) => {
    const sites: string[] = [];
    for (let i = 0; i < rows.length; i += 2) {
      const [, , ...site] = rows[i]!.split(' ');
      const [, key, tail] = /^\S+ \S+ (.*)\+(\d+)$/.exec(rows[i + 1]!)!;
      sites.push(`${site.join(' ').replace(/^section /, '')} ${key}${tail === '1' ? ' tail' : ''}`);
    }
    return sites;
  });
}

/** What objtool makes of an object, or what it complained of. */
export function objtool(
  program: string,
  bytes: Uint8Array,
  flags: readonly string[],
): { bytes: Buffer; complaint: string } {
  using folder = new Folder();
  const path = folder.write('in.o', bytes);
  const done = spawnSync(program, ['--static-call', ...flags, path], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return {
    bytes: folder.read('in.o'),
    complaint: done.status !== 0 ? `status ${done.status}: ${done.stderr}` : done.stderr,
  };
}

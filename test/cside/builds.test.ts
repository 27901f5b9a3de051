// The builds of docs/adopting.md that do not run `static-call cc`: each as the page has it, in a
// folder of its own, with `static-call` on the path. Where a tool is missing its build is skipped.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { findSites } from '#sites/find';
import { readElf } from '#elf/read';
import { SITES_SECTION } from '#sites/section';
import { crossesLine } from '#base/addr';
import { Folder, tool } from '../build.js';
import { LONG } from '../more.js';
import { blocks } from '../readme.js';

const PAGE = blocks(readFileSync('docs/adopting.md', 'utf8'));
const named = (name: string): string => {
  const block = PAGE.find((each) => each.name === name);
  if (!block) throw new Error(`docs/adopting.md has no block ${name}`);
  return block.body;
};

/** Twenty calls, of which one at least would lie over the end of a line. */
const SOURCE = `#include <static_call.h>
int one(int a);
int one(int a) { return a; }
DEFINE_STATIC_CALL(work, one);
${Array.from({ length: 20 }, (_, i) => `int use${i}(int a);\nint use${i}(int a) { return static_call(work)(a) + ${i}; }`).join('\n')}
`;

/**
 * Runs what stands in a block of the page, and reads what it made. Answers whether that has a
 * table.
 */
function built(block: string, made: string, files: Readonly<Record<string, string>> = {}): boolean {
  using folder = new Folder();
  mkdirSync(folder.file('bin'));
  symlinkSync(join(process.cwd(), 'bin/static-call'), folder.file('bin/static-call'));
  folder.write('filters.c', SOURCE);
  for (const [name, text] of Object.entries(files)) folder.write(name, text);
  const done = spawnSync('sh', ['-ec', named(block)], {
    cwd: folder.path,
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${folder.file('bin')}:${process.env['PATH']}`,
      CCACHE_DIR: folder.file('ccache'),
      HOME: folder.path,
    },
  });
  expect(done.status, `${done.stdout}\n${done.stderr}`).toBe(0);
  expect(existsSync(folder.file(made)), made).toBe(true);
  const elf = readElf(new Uint8Array(folder.read(made)), made);
  const sites = findSites(elf);
  expect(sites).toHaveLength(20);
  expect(sites.filter(({ at, length }) => crossesLine(at, length))).toEqual([]);
  return elf.section(SITES_SECTION) !== undefined;
}

const without = (...tools: string[]): string[] =>
  [...new Set(['gcc', ...tools])].filter((name) => tool(name) === null);
const recipe = (title: string, needs: readonly string[], run: () => unknown): void => {
  const missing = without(...needs);
  it.skipIf(missing.length > 0)(`${title} (skipped without ${needs.join(', ')})`, run);
};

recipe('pkg-config', ['pkg-config'], () => built('pkg-config', 'libfilters.so'));

if (LONG) {
  recipe('CMake by find_package', ['cmake', 'make'], () =>
    built('cmake', 'build/libfilters.so', { 'CMakeLists.txt': named('CMakeLists.txt') }),
  );
  recipe('Meson', ['meson', 'ninja', 'pkg-config'], () =>
    built('meson', 'build/libfilters.so', { 'meson.build': named('meson.build') }),
  );
  recipe('the link alone', ['gcc'], () => expect(built('link-only', 'libfilters.so')).toBe(true));
  recipe('ccache', ['ccache'], () => built('ccache', 'libfilters.so'));
}

// Which assembler a compiler has, by the name of its program where that says it: `gcc --version`
// costs a process for every file of a build.

import { closeSync, openSync, readSync, realpathSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { isElf } from '../elf/magic.js';

export type Family = 'gcc' | 'clang';

const NAMES: readonly (readonly [RegExp, Family])[] = [
  [/^([\w.]+-)*(gcc|g\+\+)(-[\d.]+)?$/, 'gcc'],
  [/^clang(\+\+)?(-[\d.]+)?$/, 'clang'],
];

/**
 * The family of a compiler that is found as the shell finds it, or null where only the compiler
 * knows: a script may run anything under any name, and so may the link of a compiler cache.
 */
export function familyOf(program: string, path: string): Family | null {
  const places = program.includes('/')
    ? [program]
    : path.split(delimiter).map((folder) => join(folder, program));
  for (const place of places) {
    const file = programAt(place);
    if (file === null) continue;
    return NAMES.find(([name]) => name.test(basename(file)))?.[1] ?? null;
  }
  return null;
}

/** The file that a path leads to, or null where it is no program of the machine. */
function programAt(place: string): string | null {
  try {
    const file = realpathSync(place);
    const head = Buffer.alloc(4);
    const descriptor = openSync(file, 'r');
    try {
      readSync(descriptor, head, 0, head.length, 0);
    } finally {
      closeSync(descriptor);
    }
    return isElf(head) ? file : '';
  } catch {
    return null;
  }
}

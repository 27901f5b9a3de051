// The C programs of the process tests, compiled with what ships: `include/static_call.h`.

import { fileURLToPath } from 'node:url';
import { must, type Folder } from '../build.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
export const INCLUDE: string = here('../../include');

/**
 * A shared object from `programs/NAME`, as a user would build it; `flags` go behind the usual ones,
 * archives behind the source.
 */
export function compileProgram(
  folder: Folder,
  name: string,
  flags: readonly string[] = [],
  compiler?: string,
): string {
  const plusplus = name.endsWith('.cpp');
  const output = folder.file(`${name.replace(/\.[a-z]+$/, '')}-${sequence++}.so`);
  must(compiler ?? (plusplus ? 'g++' : 'gcc'), [
    '-O2',
    '-g',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-shared',
    '-fPIC',
    '-pthread',
    ...(plusplus ? ['-std=c++17'] : []),
    `-I${INCLUDE}`,
    ...flags.filter((f) => !f.endsWith('.a')),
    here(`./programs/${name}`),
    ...flags.filter((f) => f.endsWith('.a')),
    '-o',
    output,
  ]);
  return output;
}
let sequence = 0;

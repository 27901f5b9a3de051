// The words that a build gives to the compiler where `static-call cc` does not run it. share/ has
// the same for pkg-config and CMake.

import { fileURLToPath } from 'node:url';
import { EXIT, Fault } from '../../base/fault.js';
import { alignment, readCompilation } from '../../host/compilation.js';
import type { Context } from '../context.js';
import { includeDir } from './include.js';

export interface Flags {
  readonly cflags: boolean;
  readonly align: boolean;
  readonly libs: boolean;
  readonly clang: boolean;
  readonly pkgConfig: boolean;
  readonly cmake: boolean;
  readonly json: boolean;
}

const shareDir = (path: string): string =>
  fileURLToPath(new URL(`../../../share/${path}`, import.meta.url));

/** What one compilation is given. */
const COMPILATION = readCompilation(['-c', 'x.c']);

export function run(context: Context, flags: Flags): number {
  const words = {
    cflags: [`-I${includeDir()}`],
    align: alignment(flags.clang ? 'llvm' : 'gas', COMPILATION, 'line'),
    // A site is a call, a key a variable of the program: there is nothing to link.
    libs: [],
  };
  const directories = { pkgConfig: shareDir('pkgconfig'), cmake: shareDir('cmake/static-call') };
  if (flags.json) {
    context.json('static-call/flags@1', { ...words, ...directories });
    return EXIT.good;
  }
  const asked = (['cflags', 'align', 'libs'] as const).filter((name) => flags[name]);
  const [directory, other] = (['pkgConfig', 'cmake'] as const).filter((name) => flags[name]);
  if (other !== undefined || (directory !== undefined && asked.length > 0))
    throw new Fault('bad-usage', 'a directory is asked for, and something else', {
      hint: 'ask for one of --pkg-config and --cmake alone',
    });
  if (directory !== undefined) context.print(directories[directory]);
  else {
    const names = asked.length > 0 ? asked : (['cflags', 'align', 'libs'] as const);
    context.print(names.flatMap((name) => words[name]).join(' '));
  }
  return EXIT.good;
}

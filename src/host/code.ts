// What a compiler has made, as far as its first bytes and one name tell: most files of a build end
// here, and what reads sites need not be loaded.

import { statSync } from 'node:fs';
import { readOriginal, type Original } from '../base/file.js';
import { isElf, isRelocatable } from '../elf/magic.js';
import { TRAMPOLINE_PREFIX } from '../sites/site.js';

/** The file where it may have sites, and else why it has none. */
export function codeOf(path: string): Original | 'no-code' | 'no-sites' {
  // `-o /dev/null` makes nothing.
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return 'no-code';
  const original = readOriginal(path);
  // Intermediate code gets its table when something is linked from it.
  if (!isElf(original.bytes)) return 'no-code';
  // Until it is linked, a site is a relocation against a trampoline's name.
  const named = original.bytes.includes(TRAMPOLINE_PREFIX);
  return isRelocatable(original.bytes) && !named ? 'no-sites' : original;
}

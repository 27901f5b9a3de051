// What bin/beside.cjs runs beside a compiler. scripts/beside.mjs bundles this file and what it
// needs to one CommonJS file, because to load the modules one by one takes longer than all else.
// What goes wrong here is thrown; main.ts then does the same with the modules, and tells what went
// wrong.

import { codeOf } from '../host/code.js';
import { prepare, tabulate } from '../host/tabulate.js';

export { prepare };

/** Writes the table of an object that a compiler has just made. */
export function tabulateObject(path: string): void {
  const code = codeOf(path);
  if (typeof code !== 'string') tabulate(code, path, true);
}

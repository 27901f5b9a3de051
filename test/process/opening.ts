// Opening and closing with every effect refused in turn, in a child.

import { copyFileSync } from 'node:fs';
import type { Folder } from '../build.js';
import type { Mistake } from '../mistake/mistake.js';
import { child, type Ended } from './child.js';
import { compileProgram } from './programs.js';

export interface Opening {
  opened: number;
  closed: number;
  codes: { open: Record<string, number>; close: Record<string, number> };
  problems: { k: number; what: string }[];
}

/**
 * No mistake: memory of the runtime is mapped anew for each who asks, so that each can be refused.
 */
export const NO_CHUNKS: Mistake = {
  file: 'machine/process/runtime.js',
  edits: [["if (at !== 0 && at + size <= Number(this.word('freeEnd')))", 'if (false)']],
};

export function opening(folder: Folder, writer: string, mistake?: Mistake): Ended {
  const library = compileProgram(folder, 'grid.c', ['-DEACH=2']);
  // A refusal is tried on a program that is not in the process yet.
  const libraries = Array.from({ length: 150 }, (_, i) => folder.file(`copy-${i}.so`));
  for (const copy of libraries) copyFileSync(library, copy);
  return child('opening.mjs', [JSON.stringify({ libraries, options: { writer } })], {
    timeoutMs: 120_000,
    ...(mistake && { mistake }),
  });
}

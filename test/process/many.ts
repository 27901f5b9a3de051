// Very many sites in one key, in a child.

import { expect } from 'vitest';
import type { Folder } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

export interface Many {
  sites: number;
  reported: number;
  openMs: number;
  peakMB: number;
  best: number;
  median: number;
  right: boolean;
  passes: number;
  wrong: number;
  traps: number;
  drift: number;
  closed: boolean;
}

export function many(
  folder: Folder,
  sites: number,
  options: { readonly protocol: string; readonly writer: string },
): Many {
  const library = compileProgram(folder, 'many.c', [`-DSITES=${sites}`]);
  // One system call for each site: a million of them take seconds, on a busy machine many.
  const updates = options.protocol === 'store' && options.writer === 'procmem' ? 4 : 12;
  return answer<Many>(
    child('many.mjs', [JSON.stringify({ library, updates, options })], { timeoutMs: 300_000 }),
  );
}

export function expectMany(got: Many, sites: number): void {
  expect(got).toMatchObject({
    sites,
    reported: sites,
    right: true,
    wrong: 0,
    drift: 0,
    closed: true,
  });
  expect(got.passes).toBeGreaterThan(0);
}

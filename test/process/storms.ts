// The soak through storms as a test: short in `npm test`, five minutes in the long run.

import { copyFileSync } from 'node:fs';
import { expect } from 'vitest';
import { judgeSoak } from '../../scripts/judge-soak.mjs';
import { Folder } from '../build.js';
import { EXPORTED } from './builds.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

interface Footprint {
  heapMB: number;
  residentMB: number;
  mappings: number;
  ours: number;
}
export interface Storms {
  seconds: number;
  calls: number;
  updates: number;
  inline: number;
  trampoline: number;
  turns: number;
  failed: number;
  drift: number;
  sites: Record<string, number>;
  traps: Record<string, number>;
  stale: number;
  foreign: number;
  gusts: Record<string, number>;
  wrong: number;
  lost: number;
  differs: number;
  outcomes: Record<string, number>;
  settled: Footprint;
  last: Footprint;
}

export function storms(seconds: number): Storms {
  using folder = new Folder();
  const [five, six, guest] = [
    compileProgram(folder, 'soak.c'),
    compileProgram(folder, 'soak.c', [...EXPORTED, '-fno-plt']),
    compileProgram(folder, 'far.c'),
  ];
  // Each protocol has a program with calls of five bytes and one with calls of six.
  const libraries = [five, six, six, five, six, five].map((program, i) => {
    copyFileSync(program, folder.file(`way-${i}.so`));
    return folder.file(`way-${i}.so`);
  });
  return answer<Storms>(
    child(
      'storms.mjs',
      [JSON.stringify({ libraries, guest, seconds, threads: 4, seed: 20261123, quiet: true })],
      { timeoutMs: 120_000 + 4000 * seconds },
    ),
  );
}

export function expectWeathered(got: Storms): void {
  expect(judgeSoak(got)).toEqual([]);
}

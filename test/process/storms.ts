// The soak through storms as a test: short in `npm test`, five minutes in the long run.

import { copyFileSync } from 'node:fs';
import { expect } from 'vitest';
import { Folder } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

interface Footprint { heapMB: number; residentMB: number; mappings: number; ours: number }
interface Storms {
  seconds: number; calls: number; updates: number; inline: number; trampoline: number; turns: number; failed: number; drift: number;
  traps: Record<string, number>; orphans: number; foreign: number; gusts: Record<string, number>;
  wrong: number; lost: number; differs: number; outcomes: Record<string, number>; settled: Footprint; last: Footprint;
}

export function storms(seconds: number): Storms {
  using folder = new Folder();
  const [program, guest] = [compileProgram(folder, 'soak.c'), compileProgram(folder, 'far.c')];
  const libraries = [0, 1, 2, 3].map((i) => folder.file(`way-${i}.so`));
  for (const copy of libraries) copyFileSync(program, copy);
  return answer<Storms>(child('storms.mjs', [JSON.stringify({ libraries, guest, seconds, threads: 4, seed: 20261123, quiet: true })], { timeoutMs: 120_000 + 4000 * seconds }));
}

/** What holds after any such run. */
export function expectWeathered(got: Storms): void {
  expect({ wrong: got.wrong, lost: got.lost, failed: got.failed, drift: got.drift, differs: got.differs, foreign: got.foreign }).toEqual({ wrong: 0, lost: 0, failed: 0, drift: 0, differs: 0, foreign: 0 });
  for (const [way, traps] of Object.entries(got.traps)) expect(traps > 0, way).toBe(way.startsWith('int3'));
  for (const [storm, gusts] of Object.entries(got.gusts)) if (storm !== 'calm') expect(gusts, storm).toBeGreaterThan(0);
  for (const [outcome, calls] of Object.entries(got.outcomes)) if (outcome !== 'wrong') expect(calls, outcome).toBeGreaterThan(0);
  expect(got.last.ours).toBe(got.settled.ours);
}

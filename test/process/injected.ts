// A batch with each of its effects refused, or with each of its sites changed by somebody, in a
// child.

import { expect } from 'vitest';
import type { Folder } from '../build.js';
import type { Mistake } from '../mistake/mistake.js';
import { answer, child, type Ended } from './child.js';
import { compileProgram } from './programs.js';
import type { AUTO, WAYS } from './ways.js';

export interface Injected {
  effects: number;
  tried: number;
  absent: number;
  ends: Record<string, number>;
  steps: number[];
  problems: unknown[];
  passes: number;
  lost: number;
  back: number;
}

export const inject = (
  library: string,
  options: object,
  how: string,
  mutant?: string,
  mistake?: Mistake,
): Injected =>
  answer<Injected>(
    child('injected.mjs', [JSON.stringify({ library, options, how, mutant })], {
      timeoutMs: 300_000,
      ...(mistake && { mistake }),
    }),
  );

export function expectInjected(
  got: Injected,
  way: Omit<(typeof WAYS | typeof AUTO)[number], 'assume'>,
  how: string,
): void {
  expect(got.problems).toEqual([]);
  expect(got.tried + got.absent).toBe(got.effects);
  if (way.protocol === 'auto') expect(got.tried).toBeGreaterThan(got.effects / 2);
  else expect(got.absent).toBe(0);
  expect(Object.values(got.ends).reduce((a, b) => a + b)).toBe(got.tried);
  expect(got.passes).toBeGreaterThan(0);
  expect([got.lost, got.back]).toEqual([0, 0]);
  // Every effect was told with the step it belongs to; nothing stays behind a single refusal.
  expect(Math.min(...got.steps)).toBeGreaterThan(1);
  if (!how.endsWith('good')) expect(got.ends).toEqual({ 'update-failed': got.tried });
  else if (way.writer === 'procmem')
    expect(got.ends[way.protocol === 'int3' ? 'update-parked' : 'update-mixed']).toBeGreaterThan(0);
}

export interface Drifting {
  sites: number;
  noticed: number;
  written: number;
  left: number;
  problems: unknown[];
  failed: number;
}

export function driftingChild(
  folder: Folder,
  protocol: string,
  sync: number,
  each?: number,
  mistake?: Mistake,
): Ended {
  const library = compileProgram(folder, 'grid.c', each === undefined ? [] : [`-DEACH=${each}`]);
  return child('drifting.mjs', [JSON.stringify({ library, protocol, sync })], {
    timeoutMs: 120_000,
    ...(mistake && { mistake }),
  });
}
export const drifting = (folder: Folder, protocol: string, sync: number): Drifting =>
  answer<Drifting>(driftingChild(folder, protocol, sync));

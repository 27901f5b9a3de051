// One soak in a child, and what must hold after it.

import { expect } from 'vitest';
import type { Mistake } from '../mistake/mistake.js';
import { answer, child } from './child.js';

export interface Soaked {
  updates: number;
  inline: number;
  trampoline: number;
  seconds: number;
  passes: number;
  outcomes: Record<string, number>;
  traps: number;
  stale: number;
  foreign: number;
  drift: number;
  differs: number;
  guests: { timer: number; pool: number; workers: number[] };
  /** By kind and length: `call 5`. */
  sites: Record<string, number>;
}

export function soak(
  library: string,
  options: object,
  seconds: number,
  more: object = {},
  mistake?: Mistake,
): Soaked {
  const request = { library, threads: 2, seconds, seed: 20261123, options, guests: false, ...more };
  return answer<Soaked>(
    child('soak.mjs', [JSON.stringify(request)], {
      timeoutMs: 60_000 + 4000 * seconds,
      ...(mistake && { mistake }),
    }),
  );
}

/** However short it was: no wrong result, none lost, nothing off its key, every byte put back. */
export function expectRight(got: Soaked): void {
  const { timer, pool, workers } = got.guests;
  expect(got.outcomes['wrong']).toBe(0);
  expect(Object.values(got.outcomes).reduce((a, b) => a + b)).toBe(
    10 * got.passes + timer + pool + workers.reduce((a, b) => a + b, 0),
  );
  expect(got.passes).toBeGreaterThan(0);
  expect(got.updates).toBeGreaterThan(0);
  expect([got.foreign, got.drift, got.differs]).toEqual([0, 0, 0]);
}

/**
 * Of a soak of seconds: every target was reached as well, and traps were met where there are any.
 */
export function expectSound(got: Soaked, protocol: string): void {
  expectRight(got);
  for (const [target, calls] of Object.entries(got.outcomes))
    if (target !== 'wrong' && (target !== 'gate_on' || protocol !== 'store'))
      expect(calls, target).toBeGreaterThan(0);
  if (protocol === 'auto') expect(got.trampoline).toBe(0);
  else if (protocol === 'int3') {
    expect(got.traps).toBeGreaterThan(0);
    expect(got.trampoline).toBe(0);
  } else {
    expect(got.traps).toBe(0);
    // One site crosses a cache line on purpose.
    expect(got.trampoline).toBeGreaterThan(0);
  }
}

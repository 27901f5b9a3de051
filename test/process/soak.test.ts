import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';
import { WAYS } from './ways.js';

export interface Soaked {
  updates: number;
  inline: number;
  trampoline: number;
  seconds: number;
  passes: number;
  outcomes: Record<string, number>;
  traps: number;
  orphans: number;
  foreign: number;
  drift: number;
  differs: number;
  guests: { timer: number; pool: number; workers: number[] };
}

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

export function soak(options: object, seconds: number, more: object = {}): Soaked {
  const library = compileProgram(folder, 'soak.c');
  return answer<Soaked>(child('soak.mjs', [JSON.stringify({ library, threads: 2, seconds, seed: 20261123, options, guests: false, ...more })], { timeoutMs: 60_000 + 4000 * seconds }));
}

/** What holds after any soak, however long and on whatever machine. */
export function expectSound(got: Soaked, protocol: string): void {
  const { wrong, ...reached } = got.outcomes;
  const { timer, pool, workers } = got.guests;
  expect(wrong).toBe(0);
  for (const [target, calls] of Object.entries(reached)) expect(calls, target).toBeGreaterThan(0);
  expect(Object.values(got.outcomes).reduce((a, b) => a + b)).toBe(8 * got.passes + timer + pool + workers.reduce((a, b) => a + b, 0));
  expect(got.updates).toBeGreaterThan(0);
  if (protocol === 'int3') {
    expect(got.traps).toBeGreaterThan(0);
    expect(got.trampoline).toBe(0);
  } else expect(got.traps).toBe(0);
  expect(got.foreign).toBe(0);
  expect(got.drift).toBe(0);
  expect(got.differs).toBe(0);
}

describe.skipIf(!gcc)('two threads pass call, tail, conditional and cold sites while three keys are retargeted', () => {
  it.each(WAYS)('$protocol, $writer: no wrong result, every target reached, every byte put back', (way) => {
    expectSound(soak(way, 5), way.protocol);
  });

  it('a timer of JavaScript, workers and the pool of libuv pass them too', () => {
    const got = soak(WAYS[0], 3, { guests: true });
    expectSound(got, 'int3');
    expect(got.guests.timer).toBeGreaterThan(0);
    expect(got.guests.pool).toBeGreaterThan(0);
    for (const passed of got.guests.workers) expect(passed).toBeGreaterThan(0);
    expect(got.guests.workers).toHaveLength(2);
  });

  it('a child that crashes fails with what it said', () => {
    expect(() => soak(WAYS[0], 0.1, { crash: true })).toThrow('the child ended with status null, signal SIGSEGV');
  });
});

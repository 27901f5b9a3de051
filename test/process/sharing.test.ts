import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { LONG } from '../more.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

interface Shared {
  results: [string, number, number, number, number][];
  inline: number;
  drift: [number, number];
  refused: string;
  keys: Record<string, number>;
}

const folder = new Folder();
let provider = '';
let consumer = '';
beforeAll(() => {
  if (!gcc) return;
  provider = compileProgram(folder, 'provider.c');
  consumer = compileProgram(folder, 'consumer.c', ['-Wl,--no-as-needed', provider]);
});
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)('a key that several objects call', () => {
  it('is one key for all of them, whoever updates it', () => {
    const said = answer<Shared>(child('sharing.mjs', [provider, consumer]));
    expect(said.results.map(([, ...values]) => values)).toEqual([
      [2, 2, 1, 1],
      [2, 2, 1, 1],
      [101, 101, -1, -1],
      [101, 101, -1, -1],
      [2, 2, -1, -1],
      [1001, 1001, -1, -1],
      [1001, 1001, -1, -1],
      [2, 2, 1, 1],
    ]);
    expect(said.inline).toBeGreaterThanOrEqual(2);
    expect(said.drift).toEqual([0, 0]);
    expect(said.refused).toBe('unknown-target');
  });

  if (LONG)
    it('also where it is called before it is defined: the pointer that C queries follows too', () => {
      const said = answer<{ results: number[][]; drift: number[] }>(
        child('late.mjs', [provider, consumer]),
      );
      expect(said.results).toEqual([
        [2, 2, 1, 1, 1],
        [2, 2, 1, 1, 1],
        [101, 101, -1, -1, -1],
        [2, 2, 1, 1, 1],
      ]);
      expect(said.drift).toEqual([0, 0]);
    });

  it('and any copy of the return-0 function means "return 0"', () => {
    const said = answer<Record<string, unknown>>(child('copies.mjs', [provider, consumer]));
    expect(said).toMatchObject({ asked: 0, level: 'ret0', called: [0, 0], after: [101, 101] });
    // One instruction at a call, not a call of the copy.
    expect(new Set(said['bytes'] as string[])).toEqual(new Set(['2e2e2e31c0']));
  });
});

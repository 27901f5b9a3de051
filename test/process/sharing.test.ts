import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
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
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)('a key that several objects call', () => {
  it('is one key for all of them, whoever updates it, opened in any order', () => {
    const provider = compileProgram(folder, 'provider.c');
    const consumer = compileProgram(folder, 'consumer.c', ['-Wl,--no-as-needed', provider]);
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
});

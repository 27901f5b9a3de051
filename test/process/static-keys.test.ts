import { realpathSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';
import { AUTO, WAYS } from './ways.js';

/** `store` may refuse a branch that crosses a quadword. */
const BRANCHING = [...WAYS.filter(({ protocol }) => protocol !== 'store'), ...AUTO];

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)('static keys of a process', () => {
  let got: Record<string, any>;
  beforeAll(() => {
    const owner = compileProgram(folder, 'static-keys-module.c', ['-DOWNER']);
    const module = compileProgram(folder, 'static-keys-module.c', [`-Wl,--no-as-needed,${owner}`]);
    const library = compileProgram(folder, 'static-keys.c');
    const paths = [library, owner, module].map((path) => realpathSync(path));
    got = answer(child('static-keys.mjs', [...paths, JSON.stringify(BRANCHING)]));
  });

  it('run unchanged, and are not switched, until a runtime opens them', () => {
    expect(got['unopened']).toEqual([12, -38, 0]);
  });

  it('are switched in one batch with calls, by every writer', () => {
    expect(got['ways']).toHaveLength(BRANCHING.length);
    for (const way of got['ways'] as Record<string, unknown>[]) {
      expect(way).toEqual({
        opened: [false, true, 12, 0],
        update: [
          4,
          0,
          [
            { key: 'tracing', from: false, to: true },
            { key: 'work', from: 'one', to: 'two' },
          ],
        ],
        on: [true, true, 15, 0, 5, 1, 1],
        fast: [1, true, false, 3, 0, -3],
        same: 0,
        kinds: expect.arrayContaining([
          ['if', true, 'e9'],
          ['unless', true, 'a9'],
        ]),
        undone: [false, false, 0, 0, -3],
        closed: [12, 0, 4],
      });
    }
  });

  it('take true and false, and calls take neither', () => {
    expect(got['wrong']).toEqual(['unknown-target', 'unknown-target', 'unknown-target']);
  });

  it('are enabled, disabled and counted by C as in the kernel', () => {
    expect(got['c']).toEqual([
      [0, 0, 1, 15, true],
      [0, 0, 0, 12, false],
      [0, 0, 2, 15, -16],
      [0, 1, 15],
      [0, 0, 12, -22],
    ]);
    expect(got['byC']).toEqual([
      ['c', 'tracing', false, true],
      ['c', 'tracing', true, false],
      ['c', 'tracing', false, true],
      ['c', 'tracing', true, false],
    ]);
  });

  it('are decided over by update, whatever C counted', () => {
    expect(got['mixed']).toEqual([0, 2, 1, 0, -22]);
  });

  it('are one key across objects, whichever is opened first', () => {
    expect(got['modules']).toEqual([
      [1, 0, 1],
      [true, 1, 1],
      [2, false, 0, 0],
    ]);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)(
  'a key with a name that JavaScript has for its own, or that is not ASCII',
  () => {
    const NAMES = ['__proto__', 'constructor', 'größe', 'hasOwnProperty', 'toString'];
    let got: Record<string, unknown>;
    beforeAll(() => {
      got = answer(child('names.mjs', [compileProgram(folder, 'names.c')]));
    });

    it('is a key like any other', () => {
      expect(got['keys']).toEqual(NAMES);
      expect(got['inherited']).toBe('object');
      expect(got['calls']).toEqual(NAMES.map((name, i) => [i, i + 100, 'neu', name]));
    });
    it('is not silently left alone where { __proto__: … } sets a prototype', () =>
      expect(got['literal']).toBe('unknown-key'));
    it('what is no object of targets is a refusal', () =>
      expect(got['wrong']).toEqual(['bad-option', 'bad-option', 'bad-option', 'bad-option']));
    it('a symbol that holds a NUL is not the one before it', () =>
      expect(got['nul']).toBe('unknown-target'));
  },
);

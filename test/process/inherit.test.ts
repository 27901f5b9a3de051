import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';
import { LONG } from '../more.js';

interface Attacked {
  tried: number;
  written: number;
  copies: number;
  veneer: boolean;
  after: { passed: number; intact: number; drift: number; second: number; last: number };
}

const folder = new Folder();
let library = '';
beforeAll(() => {
  if (gcc) library = compileProgram(folder, 'inherit.c');
});
afterAll(() => folder[Symbol.dispose]());

const attacked = (writer: string, how: string): Attacked =>
  answer(child('inherit.mjs', [JSON.stringify({ library, options: { writer }, how })]));
const UNHARMED = { passed: 12, intact: 1, drift: 0, second: 13, last: 12 };

describe.skipIf(!gcc)('a child that gave up its credentials and did not exec', () => {
  it.each(['procmem', 'alias'])(
    'cannot change its parent by any descriptor or mapping that it inherits, sites and veneers included (%s)',
    (writer) => {
      const got = attacked(writer, 'fork');
      expect(got).toMatchObject({ written: 0, veneer: true, after: UNHARMED });
      expect(got.tried).toBeGreaterThan(0);
    },
  );
  it('leaves no copy of the text behind in its parent', () => {
    expect(attacked('alias', 'fork').copies).toBe(0);
  });
  if (LONG)
    it('made by a raw clone(), for which no handler runs, cannot either, with writer alias', () => {
      expect(attacked('alias', 'clone')).toMatchObject({
        written: 0,
        veneer: true,
        after: UNHARMED,
      });
    });
});

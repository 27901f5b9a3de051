import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answer, child } from './child.js';
import { Folder, gcc } from '../build.js';
import { LONG } from '../more.js';
import { compileProgram } from './programs.js';

interface Answer {
  unserved: number;
  joined: number;
  afterJoin: [string, string | null];
  ret0: [number, string, number];
  two: [number, string, number];
  told: unknown;
  undone: unknown;
  nothing: [number, string | null, number];
  badForks: number;
  updates: number;
  verify: number;
  closed: [number, number];
}
const ENOSYS = -38;

const folder = new Folder();
let program: string;
beforeAll(() => {
  if (gcc) program = compileProgram(folder, 'updates.c');
});
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc).each(['procmem', 'alias'])(
  'updates from C and forks, writer %s',
  (writer) => {
    let said: Answer;
    beforeAll(() => {
      said = answer<Answer>(child('updates.mjs', [program, writer]));
    });

    it('static_call_update is refused with ENOSYS while nobody has the object open', () => {
      expect(said.unserved).toBe(ENOSYS);
      expect(said.closed).toEqual([ENOSYS, 6]);
    });
    it('is done when it returns, while JavaScript sits in a native call that joins the updating thread', () => {
      expect(said.joined).toBe(0);
      expect(said.afterJoin).toEqual(['step_one', 'tell_once']);
    });
    it('takes the return-0 function and NULL for what they mean', () => {
      expect(said.ret0).toEqual([0, 'ret0', 0]);
      expect(said.two).toEqual([0, 'step_two', 7]);
      expect(said.nothing).toEqual([0, null, 0]);
    });
    it("is told in the journal as C's, and taken back from there", () => {
      expect(said.told).toEqual([{ key: 'step', from: 'ret0', to: 'step_two' }]);
      expect(said.undone).toEqual(['ret0', 0, 'js']);
    });
    it("a forked child stays on the fork's target while its parent goes on updating", () => {
      expect(said.updates).toBeGreaterThan(100);
      expect(said.badForks).toBe(0);
      expect(said.verify).toBe(0);
    });
  },
);

if (LONG)
  it.skipIf(!gcc)('without the handlers around fork a child follows its parent', () => {
    expect(
      answer<Answer>(child('updates.mjs', [program, 'alias', 'no-fork-handlers'])).badForks,
    ).toBeGreaterThan(0);
  });

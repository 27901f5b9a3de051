import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keysSource } from '#bench/programs';
import { Folder, gcc, must } from '../build.js';
import { answer, child } from './child.js';
import { INCLUDE } from './programs.js';

/** How often one update went to native code, by what it did there. */
type Calls = Readonly<Record<string, number>>;
interface Answer {
  one: Calls;
  eight: Calls;
  nine: Calls;
  all: Calls;
  targets: string[];
  inline: number;
  drift: number;
  listed: unknown[];
  journal: { updates: number; changes: number; last: number };
}

const KEYS = 500;
const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc).each(['alias', 'procmem'])('many keys in one update, %s', (writer) => {
  let got: Answer;
  beforeAll(() => {
    const runs = Array.from({ length: KEYS }, (_, i) => [`key${i}`, 1] as const);
    const source = folder.write(`keys-${writer}.c`, keysSource(runs, 32));
    const library = folder.file(`keys-${writer}.so`);
    must('gcc', ['-O0', '-shared', '-fPIC', `-I${INCLUDE}`, source, '-o', library]);
    got = answer<Answer>(child('keys.mjs', [library, writer]));
  });

  it('cost no more calls of native code, and no more addresses, than nine keys', () => {
    expect(got.nine['machine code']).toBe(2);
    expect(got.all).toEqual(got.nine);
  });

  it('cost two calls of machine code, and up to eight, which are kept, cost one', () => {
    expect(got.one).toEqual({ 'machine code': 1 });
    expect(got.eight).toEqual({ 'machine code': 1 });
  });

  it('all go where they are sent', () => {
    const { targets, inline, drift } = got;
    expect({ targets, inline, drift }).toEqual({ targets: ['many_b'], inline: KEYS, drift: 0 });
  });

  it('make the list of their changes when it is asked for, and once', () => {
    expect(got.listed).toEqual(['function', KEYS, true]);
  });

  it('fill the journal by their number, and the last update is always in it', () => {
    expect(got.journal.last).toBe(KEYS);
    expect(got.journal.updates).toBeGreaterThan(1);
    expect(got.journal.changes).toBeLessThanOrEqual(100_000);
  });
});

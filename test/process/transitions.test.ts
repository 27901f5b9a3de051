import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

interface Seen {
  wrong: string[];
  pairs: number;
  inline: number[];
  drift: number;
  forms: Record<string, string[]>;
  kinds: Record<string, string[]>;
}

const folder = new Folder();
let program: string;
beforeAll(() => {
  // The linker would turn calls through the GOT into direct ones, which other tests have.
  if (gcc) program = compileProgram(folder, 'transitions.c', ['-Wa,-mrelax-relocations=no']);
});
afterAll(() => folder[Symbol.dispose]());
const seen = (protocol: string, writer: string): Seen =>
  answer<Seen>(child('transitions.mjs', [program, protocol, writer]));

describe.skipIf(!gcc)('every form of site goes from every target to every other', () => {
  it('under int3, in place', () => {
    const said = seen('int3', 'procmem');
    expect(said.wrong).toEqual([]);
    expect([said.pairs, said.drift]).toEqual([18, 0]);
    expect(said.inline).toEqual([8]);
    expect(said.kinds).toEqual({
      value: ['call', 'call', 'call', 'call', 'call', 'jcc', 'jmp', 'jmp'],
      event: ['call', 'call', 'call', 'call', 'call', 'jcc', 'jmp', 'jmp'],
    });
    // The kernel's table with the forms that keep their rest, and its six-byte neighbours.
    expect(said.forms).toMatchObject({
      'call5 function': ['call'],
      'call5 ret0': ['ret0-5'],
      'call5 null': ['test5'],
      'jmp5 function': ['jmp'],
      'jmp5 ret0': ['jmp'],
      'jmp5 null': ['ret5-kept'],
      'jcc6 function': ['jcc'],
      'jcc6 ret0': ['jcc'],
      'jcc6 null': ['jcc'],
      'call6 ret0': ['ret0-6'],
      'call6 null': ['test6'],
      'jmp6 ret0': ['cs-jmp'],
      'jmp6 null': ['ret6-kept'],
    });
  });
  it('by one store each, where a site that leaves its quadword calls its trampoline', () => {
    const said = seen('store', 'alias');
    expect(said.wrong).toEqual([]);
    expect([said.pairs, said.drift]).toEqual([18, 0]);
  });
});

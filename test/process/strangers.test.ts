import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc, must } from '../build.js';
import { answer, child } from './child.js';

const folder = new Folder();
const library = folder.file('libfilters.so');
beforeAll(() => {
  if (gcc)
    must('gcc', ['-O2', '-shared', '-fPIC', '-Iinclude', 'test/types/filters.c', '-o', library]);
});
afterAll(() => folder[Symbol.dispose]());
const told = (what: string): unknown => answer(child('strangers.mjs', [what, library]));

describe.skipIf(!gcc)('a process that holds', () => {
  it('the data of another version of the handler is refused', () => {
    expect(told('a runtime of another version')).toMatchObject({
      code: 'other-runtime',
      message: expect.stringContaining('version 99'),
      exit: 4,
    });
  });

  it('a thread with a shadow stack is refused under int3, and served by store', () => {
    expect(told('a thread with a shadow stack')).toMatchObject({
      code: 'shadow-stack',
      exit: 4,
      stored: 'blend_avx2',
      drift: 0,
    });
  });
});

// Ten seconds are waited for the thread that serves updates from C, so this is no part of the short
// tests.

import { expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

it.skipIf(!gcc)('a program whose C code updates is not opened where nobody can serve it', () => {
  using folder = new Folder();
  const library = compileProgram(folder, 'updates.c');
  expect(answer(child('strangers.mjs', ['a thread that never starts', library]))).toMatchObject({
    code: 'no-server',
    exit: 4,
  });
});

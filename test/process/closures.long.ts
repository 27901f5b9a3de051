// JavaScript functions as targets, as a user of Node tries them.

import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)('a JavaScript function as a target (skipped without gcc)', () => {
  const performed = (part: string): unknown => {
    const library = compileProgram(folder, 'closures.c');
    return answer(child('closures.mjs', [library, part]));
  };

  it('is called in the place of C, has its name, throws to its caller, and is undone', () => {
    expect(performed('own')).toEqual({
      now: [200, 'JavaScript: spy', 0],
      thrown: 'RangeError: too large',
      seen: [2, 10],
      names: ['é'],
      after: [4, 'twice'],
    });
  });

  it('gives its code back when it is undone, so that ten thousand of them are no problem', () => {
    expect(performed('again')).toEqual([1, 2, true]);
  });

  it('stays while the undo of a later update may bring it back', () => {
    expect(performed('replaced')).toEqual([2, 2, 1, 1, 1]);
  });

  it('is refused with nothing changed where its type is not understood, or another key is wrong', () => {
    expect(performed('refused')).toEqual([
      'bad-option',
      'unknown-target',
      'unknown-key',
      'unknown-target',
      2,
    ]);
  });

  it('answers another thread when the event loop comes by; what it throws there is uncaught', () => {
    expect(performed('other')).toEqual([1005, 'seven', 10]);
  });

  it('is refused in a worker thread, which may end at any moment', () => {
    expect(performed('worker')).toBe('not-supported');
  });

  it('keeps no process from ending while a thread calls it', () => {
    for (let i = 0; i < 5; i++) expect(performed('exit')).toBe('left');
  });

  it('is told by its name in the journal, and stands where a later update is refused', () => {
    expect(performed('unchecked')).toEqual(['unknown-target', 4, 'JavaScript: (nameless)']);
  });
});

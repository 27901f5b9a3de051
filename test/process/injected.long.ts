import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import type { Mistake } from '../mistake/mistake.js';
import { drifting, expectInjected, inject } from './injected.js';
import { compileProgram } from './programs.js';
import { AUTO, WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)('more ways in which an effect fails', () => {
  // A write that stops half-way inside a single store does not happen: it lies on one page.
  it.each(['short', 'short, then good', 'short by one', 'one byte'])(
    'a write that is %s',
    (how) => {
      expectInjected(inject(compileProgram(folder, 'grid.c'), WAYS[0], how), WAYS[0], how);
    },
  );
  // What is written down at a time is 16,384 edits as it ships, and more sites than that are not
  // failed one by one.
  const pieces: Mistake = {
    file: 'machine/process/process.js',
    edits: [['const EDITS_AT_ONCE = 16_384;', 'const EDITS_AT_ONCE = 16;']],
  };
  it.each([...WAYS, ...AUTO].flatMap((way) => ['once', 'good'].map((how) => ({ ...way, how }))))(
    '$protocol, $writer, performed in pieces of sixteen edits, refused $how',
    ({ how, ...options }) => {
      expectInjected(
        inject(compileProgram(folder, 'grid.c'), options, how, undefined, pieces),
        options,
        how,
      );
    },
  );
  it('int3, a byte of a site changed before its rest is stored: it is written over', () => {
    const got = drifting(folder, 'int3', 0);
    expect(got.problems).toEqual([]);
    expect(got.written).toBe(got.sites);
  });
  it.each([
    ['store', 1],
    ['int3', 1],
    ['int3', 2],
  ])('%s, a byte of a written site changed before synchronisation %i', (protocol, sync) => {
    const got = drifting(folder, protocol, sync);
    expect(got.problems).toEqual([]);
    expect(got.left).toBe(got.sites);
  });
});

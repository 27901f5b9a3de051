import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { answer, child } from './child.js';
import { NO_CHUNKS, opening, type Opening } from './opening.js';
import { compileProgram } from './programs.js';
import { WAYS } from './ways.js';

interface Injected { effects: number; tried: number; ends: Record<string, number>; steps: number[]; problems: unknown[]; passes: number; lost: number; back: number }

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const inject = (library: string, options: object, how: string, mutant?: string): Injected => answer<Injected>(child('injected.mjs', [JSON.stringify({ library, options, how, mutant })], { timeoutMs: 300_000 }));

describe.skipIf(!gcc)('every effect of a batch of 204 sites refused in turn, with two threads passing them', () => {
  const library = gcc ? compileProgram(folder, 'grid.c') : '';
  // A write that stops half-way inside a single store does not happen: it lies on one page.
  const rows = WAYS.flatMap((way) => (way.protocol === 'int3' && way.writer === 'procmem' ? ['once', 'good', 'short'] : ['once', 'good']).map((how) => ({ ...way, how })));

  it.each(rows)('$protocol, $writer, refused $how: sites, keys and tables agree, threads are right, the next update mends', ({ how, ...options }) => {
    const got = inject(library, options, how);
    expect(got.problems).toEqual([]);
    expect(got.tried).toBe(got.effects);
    expect(Object.values(got.ends).reduce((a, b) => a + b)).toBe(got.tried);
    expect(got.passes).toBeGreaterThan(0);
    expect([got.lost, got.back]).toEqual([0, 0]);
    // Every effect was told with the step it belongs to; nothing stays behind a single refusal.
    expect(Math.min(...got.steps)).toBeGreaterThan(1);
    if (how !== 'good') expect(got.ends).toEqual({ 'update-failed': got.tried });
    else if (options.writer === 'procmem') expect(got.ends[options.protocol === 'int3' ? 'update-parked' : 'update-mixed']).toBeGreaterThan(0);
  });

  it('a runtime that forgets its parked sites is noticed', () => {
    expect(inject(library, WAYS[0], 'good', 'forgets-parked').problems).not.toEqual([]);
  });
});

describe.skipIf(!gcc)('every effect of opening and of closing refused in turn', () => {
  it.each([
    { writer: 'procmem', memory: 'as it is' },
    { writer: 'procmem', memory: 'mapped anew for each allocation' },
    { writer: 'alias', memory: 'mapped anew for each allocation' },
  ])('$writer, memory $memory: nothing is changed, no file is left open, and it can be opened or closed again', ({ writer, memory }) => {
    const got = answer<Opening>(opening(folder, writer, memory === 'as it is' ? undefined : NO_CHUNKS));
    expect(got.problems).toEqual([]);
    expect(Object.keys(got.codes.open).sort()).toEqual(['no-membarrier', 'no-memory', 'not-loaded', 'not-supported', 'update-failed', ...(writer === 'procmem' ? ['no-text-write'] : [])].sort());
    expect(Object.keys(got.codes.close)).toEqual(['update-failed']);
    expect(got.closed).toBeGreaterThan(0);
    // Ground, key records, columns of both keys, table: where each allocation maps, each was refused.
    if (memory !== 'as it is') expect(got.codes.open['no-memory']).toBeGreaterThan(20);
  });
});

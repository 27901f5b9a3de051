// Programs as compilers and linkers make them: the soaked one in many builds.

import { expect } from 'vitest';
import { clang, gcc, tool, type Folder } from '../build.js';
import { compileProgram } from './programs.js';
import { expectRight, soak } from './soaked.js';
import { WAYS } from './ways.js';

/**
 * Keys that other objects may use: default visibility, so the calls go where the dynamic linker
 * says.
 */
export const EXPORTED = ['work', 'hook', 'filter'].map((key) => `-DSTATIC_CALL_EXPORTED_${key}=1`);

export interface Build {
  name: string;
  compiler: string | null;
  flags: readonly string[];
  has?: Readonly<Record<string, number>>;
}
/** That of `npm test`. */
export const BUILDS: readonly Build[] = [
  {
    name: 'gcc, exported keys, -fno-plt: six-byte sites',
    compiler: gcc,
    flags: [...EXPORTED, '-fno-plt'],
    has: { 'call 6': 4 },
  },
];
/** The others, for the long run. */
export const MORE_BUILDS: readonly Build[] = [
  { name: 'clang -O2', compiler: clang, flags: [] },
  ...['-O0', '-O1', '-O3'].map((level) => ({
    name: `clang ${level}`,
    compiler: clang,
    flags: [level],
  })),
  { name: 'gcc -O0', compiler: gcc, flags: ['-O0'], has: { 'call 5': 10 } },
  { name: 'gcc -O1', compiler: gcc, flags: ['-O1'] },
  ...['gold', 'lld', 'mold'].map((linker) => ({
    name: `gcc and ${linker}`,
    compiler: tool(linker === 'mold' ? linker : `ld.${linker}`) && gcc,
    flags: [`-fuse-ld=${linker}`],
  })),
  { name: 'gcc -flto', compiler: gcc, flags: ['-flto'] },
  {
    name: 'gcc, exported keys, bound at once, with landing pads',
    compiler: gcc,
    flags: [...EXPORTED, '-Wl,-z,now', '-fcf-protection=full'],
  },
  {
    name: 'gcc, exported keys, -fno-plt -Bsymbolic: relaxed by the linker',
    compiler: gcc,
    flags: [...EXPORTED, '-fno-plt', '-Wl,-Bsymbolic'],
    has: { 'call 6': 4 },
  },
  { name: 'gcc -Os', compiler: gcc, flags: ['-Os'] },
  { name: 'gcc, stripped', compiler: gcc, flags: ['-s'] },
  {
    name: 'gcc -O3 -ffunction-sections, sections collected',
    compiler: gcc,
    flags: ['-O3', '-ffunction-sections', '-Wl,--gc-sections'],
  },
  { name: 'gcc -fcf-protection=full', compiler: gcc, flags: ['-fcf-protection=full'] },
  {
    name: 'gcc, sites kept inside cache lines',
    compiler: gcc,
    flags: ['-Wa,-malign-branch-boundary=64', '-Wa,-malign-branch=call+jmp'],
  },
  { name: 'gcc, exported keys, through the PLT', compiler: gcc, flags: EXPORTED },
  { name: 'gcc -mcmodel=medium', compiler: gcc, flags: ['-mcmodel=medium'] },
  {
    name: 'clang -flto',
    compiler: clang && tool('ld.lld') && clang,
    flags: ['-flto', '-fuse-ld=lld'],
  },
  { name: 'clang -fcf-protection=full', compiler: clang, flags: ['-fcf-protection=full'] },
  {
    name: 'clang -Os, exported keys, -fno-plt',
    compiler: clang,
    flags: [...EXPORTED, '-Os', '-fno-plt'],
  },
];

export function expectBuilt(
  folder: Folder,
  { compiler, flags, has = {} }: Build,
  seconds: number,
): void {
  const got = soak(compileProgram(folder, 'soak.c', flags, compiler!), WAYS[0], seconds);
  expectRight(got);
  expect(got.trampoline).toBe(0);
  expect(got.sites['jcc 6']).toBe(1);
  expect(got.sites).toMatchObject(has);
  // A branch that jumps while its static key is on, and one that jumps while it is off.
  for (const branch of ['if 5', 'unless 5']) expect(got.sites[branch], branch).toBeGreaterThan(0);
  // Every call site of the source: it has eleven, some of them inlined twice; and three
  // trampolines.
  expect(Object.values(got.sites).reduce((a, b) => a + b)).toBeGreaterThanOrEqual(11 + 3);
}

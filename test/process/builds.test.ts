import { execFileSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clang, Folder, gcc, tool } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

interface Said {
  first: number;
  linked: number[];
  updated: number[];
  sites: [number, number];
  drift: number;
  ifunc: [number, number, string];
  elsewhere: [number, string];
  closed: number[];
}

const lld = clang && tool('ld.lld');
const gold = tool('ld.gold');
const BUILDS: Readonly<Record<string, readonly [compiler: string | null, ...flags: string[]]>> = {
  'gcc -O0': [gcc, '-O0'],
  'gcc -Os': [gcc, '-Os'],
  'gcc -flto': [gcc, '-flto'],
  'gcc -fno-plt': [gcc, '-fno-plt'],
  'gcc -fcf-protection, sections collected, hidden by default': [gcc, '-fcf-protection', '-ffunction-sections', '-Wl,--gc-sections', '-fvisibility=hidden'],
  'gcc with gold': [gold && gcc, '-fuse-ld=gold'],
  'g++': [gcc && tool('g++'), '-xc++', '-std=c++17', '-fno-exceptions'],
  'clang': [clang],
  'clang++ with lld': [lld && tool('clang++'), '-xc++', '-std=c++17', '-fuse-ld=lld'],
  // Link-time optimisation of LLVM 14 crashes on any IFUNC.
  'clang -flto': [lld && clang, '-flto', '-fuse-ld=lld', '-DNO_IFUNC'],
};
const names = Object.keys(BUILDS).filter((name) => BUILDS[name]![0]);
/** Calls go through a register: no site, but the trampoline is the site of all of them. */
const LARGE = 'gcc -mcmodel=large';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const said = new Map<string, Said>();

describe.skipIf(!gcc)('what is built with', () => {
  beforeAll(() => {
    const paths = names.map((name) => {
      const [compiler, ...flags] = BUILDS[name]!;
      return compileProgram(folder, 'builds.c', flags, compiler!);
    });
    const stripped = folder.file('stripped.so');
    copyFileSync(paths[0]!, stripped);
    execFileSync('strip', [stripped]);
    const large = compileProgram(folder, 'builds.c', ['-mcmodel=large'], 'gcc');
    const answers = answer<Said[]>(child('builds.mjs', [...paths, stripped, large]));
    [...names, 'strip', LARGE].forEach((name, i) => said.set(name, answers[i]!));
  });

  it.each([...names, 'strip'])('%s is retargeted in place', (name) => {
    expect(said.get(name)).toEqual({
      first: 41,
      linked: [2000, 2],
      updated: [3031, 3],
      sites: [expect.any(Number), 0],
      drift: 0,
      ifunc: [8001, 8, 'picked'],
      elsewhere: [0x70, 'toascii'],
      closed: [2001, 2],
    });
    expect(said.get(name)!.sites[0]).toBeGreaterThanOrEqual(4);
  });
  it(`${LARGE} has no sites, and is retargeted by its trampolines`, () => {
    expect(said.get(LARGE)).toMatchObject({ linked: [2000, 2], updated: [3031, 3], sites: [0, 0], ifunc: [8001, 8, 'picked'], closed: [2001, 2] });
  });
});

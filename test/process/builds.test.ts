import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { clang, Folder, gcc, must, tool } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';
import { expectRight, soak } from './soaked.js';
import { WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

/** Keys that other objects may use: default visibility, so the calls go where the dynamic linker says. */
const EXPORTED = ['work', 'hook', 'filter'].map((key) => `-DSTATIC_CALL_EXPORTED_${key}=1`);

interface Build { name: string; compiler: string | null; flags: readonly string[]; has?: Readonly<Record<string, number>> }
const BUILDS: readonly Build[] = [
  { name: 'gcc -O0', compiler: gcc, flags: ['-O0'], has: { 'call 5': 10 } },
  { name: 'gcc -Os', compiler: gcc, flags: ['-Os'] },
  { name: 'gcc -O3 -ffunction-sections, sections collected', compiler: gcc, flags: ['-O3', '-ffunction-sections', '-Wl,--gc-sections'] },
  { name: 'gcc -flto', compiler: gcc, flags: ['-flto'] },
  { name: 'gcc -fcf-protection=full', compiler: gcc, flags: ['-fcf-protection=full'] },
  { name: 'gcc, sites kept inside cache lines', compiler: gcc, flags: ['-Wa,-malign-branch-boundary=64', '-Wa,-malign-branch=call+jmp'] },
  { name: 'gcc, stripped', compiler: gcc, flags: ['-s'] },
  { name: 'gcc, exported keys, through the PLT', compiler: gcc, flags: EXPORTED },
  { name: 'gcc, exported keys, bound at once, with landing pads', compiler: gcc, flags: [...EXPORTED, '-Wl,-z,now', '-fcf-protection=full'] },
  { name: 'gcc, exported keys, -fno-plt: six-byte sites', compiler: gcc, flags: [...EXPORTED, '-fno-plt'], has: { 'call 6': 4 } },
  { name: 'gcc, exported keys, -fno-plt -Bsymbolic: relaxed by the linker', compiler: gcc, flags: [...EXPORTED, '-fno-plt', '-Wl,-Bsymbolic'], has: { 'call 6': 4 } },
  { name: 'clang -O2', compiler: clang, flags: [] },
  { name: 'clang -Os, exported keys, -fno-plt', compiler: clang, flags: [...EXPORTED, '-Os', '-fno-plt'] },
];

describe('programs as compilers and linkers make them, retargeted while they run', () => {
  it.for(BUILDS)('$name', ({ name, compiler, flags, has = {} }, { skip }) => {
    if (!compiler) skip(`without ${name.split(' ')[0]}`);
    const got = soak(compileProgram(folder, 'soak.c', flags, compiler!), WAYS[0], 0.3);
    expectRight(got);
    expect(got.trampoline).toBe(0);
    expect(got.sites['jcc 6']).toBe(1);
    expect(got.sites).toMatchObject(has);
    // Every form is there, and every call site of the source: it has eleven, some of them inlined twice.
    expect(Object.values(got.sites).reduce((a, b) => a + b)).toBeGreaterThanOrEqual(11 + 3);
  });

  it.skipIf(!gcc)('six-byte sites are retargeted by single stores too', () => {
    const got = soak(compileProgram(folder, 'soak.c', [...EXPORTED, '-fno-plt']), WAYS[2], 0.3);
    expectRight(got);
    expect(got.inline).toBeGreaterThan(0);
  });
});

const languages = <T>(library: string, what: string, options: object = {}): T => answer<T>(child('languages.mjs', [JSON.stringify({ library, what, options })]));
interface Cxx { updates: number; traps: number; passes: number; thrown: number; wrong: number; early: number; drift: number; sites: number }

describe.skipIf(!gcc)('C++', () => {
  it.for(['g++', 'clang++'])('%s: inline functions, templates and constructors have sites; exceptions pass them while they are patched', (compiler, { skip }) => {
    if (!tool(compiler)) skip(`without ${compiler}`);
    const got = languages<Cxx>(compileProgram(folder, 'cxx.cpp', [], compiler), 'cxx');
    // The constructor ran before anybody opened the object: through the trampoline.
    expect(got).toMatchObject({ wrong: 0, drift: 0, early: 101 });
    expect(got.sites).toBeGreaterThanOrEqual(5);
    expect(got.thrown).toBeGreaterThan(0);
    expect(got.passes).toBeGreaterThan(0);
    expect(got.traps).toBeGreaterThan(0);
  });
});

const rustc = tool('rustc');
describe.skipIf(!gcc || !rustc)('Rust', () => {
  it('a static library holds a target, and a site that is found and retargeted', () => {
    const archive = folder.file('librust.a');
    must(rustc!, ['-O', '-C', 'panic=abort', fileURLToPath(new URL('./programs/rust.rs', import.meta.url)), '-o', archive]);
    const got = languages(compileProgram(folder, 'rust.c', [archive]), 'rust');
    expect(got).toEqual({ sites: 2, inline: 2, before: [106, 1006], after: [114, 1014], drift: 0, closed: [106, 1006] });
  });
});

describe.skipIf(!gcc)('odd targets and odd places', () => {
  it('an IFUNC and a function of another object are targets by name', () => {
    expect(languages(compileProgram(folder, 'odd.c'), 'targets')).toEqual({ before: [6, 5], after: [7, 5, 'chosen', 'abs', 0], closed: [6, 5] });
  });

  it('an empty site leaves the red zone of its function alone, through the trap as well; a call there would not', () => {
    const got = languages<{ called: number; during: { kept: number; traps: number }; empty: number }>(compileProgram(folder, 'odd.c'), 'redzone');
    expect(got).toEqual({ called: 7, during: { kept: 8, traps: 1 }, empty: 8 });
  });
});

import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { clang, Folder, gcc, must, tool } from '../build.js';
import { LONG, more } from '../more.js';
import { BUILDS, EXPORTED, expectBuilt } from './builds.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';
import { expectRight, soak } from './soaked.js';
import { WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe('programs as compilers and linkers make them, retargeted while they run', () => {
  it.for(BUILDS)('$name', (build, { skip }) => {
    if (!build.compiler) skip(`without ${build.name.split(' ')[0]}`);
    expectBuilt(folder, build, 0.2);
  });

  if (LONG)
    it.for([
      ['gcc', gcc],
      ['clang', clang],
    ] as const)(
      '%s -mcmodel=large: calls go through a register, stay on their trampolines and follow them',
      ([name, compiler], { skip }) => {
        if (!compiler) skip(`without ${name}`);
        const got = soak(
          compileProgram(folder, 'soak.c', ['-mcmodel=large'], compiler),
          WAYS[0],
          0.3,
        );
        expectRight(got);
        // Branches of static keys are as near as ever.
        expect(got.sites).toEqual({ 'trampoline 5': 3, 'jcc 6': 1, 'if 5': 1, 'unless 5': 1 });
      },
    );

  if (LONG)
    it.skipIf(!clang)(
      'a conditional tail call that clang makes goes where it is sent, and only where its condition holds',
      ({ skip }) => {
        const got = languages<{ kinds: string[] }>(
          compileProgram(folder, 'jcc.c', ['-Os'], clang!),
          'jcc',
        );
        if (!got.kinds.includes('jcc')) skip('this clang makes none');
        expect(got).toEqual({
          kinds: ['jcc'],
          before: [-4, 105],
          after: [-3, 105],
          zero: [0, 105],
          drift: 0,
          closed: [-4, 105],
        });
      },
    );

  if (LONG)
    it.skipIf(!gcc)('six-byte sites are retargeted by single stores too', () => {
      const got = soak(compileProgram(folder, 'soak.c', [...EXPORTED, '-fno-plt']), WAYS[2], 0.3);
      expectRight(got);
      expect(got.inline).toBeGreaterThan(0);
    });
});

const languages = <T>(library: string, what: string, options: object = {}): T =>
  answer<T>(child('languages.mjs', [JSON.stringify({ library, what, options })]));
interface Cxx {
  updates: number;
  traps: number;
  passes: number;
  thrown: number;
  wrong: number;
  early: number;
  drift: number;
  sites: number;
}

if (LONG)
  describe.skipIf(!gcc)('C++', () => {
    it.for(['g++', 'clang++'])(
      '%s: inline functions, templates and constructors have sites; exceptions pass them while they are patched',
      (compiler, { skip }) => {
        if (!tool(compiler)) skip(`without ${compiler}`);
        const got = languages<Cxx>(compileProgram(folder, 'cxx.cpp', [], compiler), 'cxx', {
          protocol: 'int3',
        });
        // The constructor ran before anybody opened the object: through the trampoline.
        expect(got).toMatchObject({ wrong: 0, drift: 0, early: 101 });
        expect(got.sites).toBeGreaterThanOrEqual(5);
        expect(got.thrown).toBeGreaterThan(0);
        expect(got.passes).toBeGreaterThan(0);
        expect(got.traps).toBeGreaterThan(0);
      },
    );
  });

const rustc = tool('rustc');
describe.skipIf(!gcc || !rustc)('Rust', () => {
  it('a static library holds a target, and a site that is found and retargeted', () => {
    const archive = folder.file('librust.a');
    must(rustc!, [
      '-O',
      '-C',
      'panic=abort',
      fileURLToPath(new URL('./programs/rust.rs', import.meta.url)),
      '-o',
      archive,
    ]);
    const got = languages(compileProgram(folder, 'rust.c', [archive]), 'rust');
    expect(got).toEqual({
      sites: 2,
      inline: 2,
      before: [106, 1006],
      after: [114, 1014],
      drift: 0,
      closed: [106, 1006],
    });
  });
});

if (LONG)
  describe.skipIf(!gcc)('odd targets and odd places', () => {
    it('an IFUNC and a function of another object are targets by name', () => {
      expect(languages(compileProgram(folder, 'odd.c'), 'targets')).toEqual({
        before: [6, 5],
        after: [7, 5, 'chosen', 'abs', 0],
        closed: [6, 5],
      });
    });

    it('an empty site leaves the red zone of its function alone, through the trap as well; a call there would not', () => {
      const got = languages<{
        called: number;
        during: { kept: number; traps: number };
        empty: number;
      }>(compileProgram(folder, 'odd.c'), 'redzone');
      expect(got).toEqual({ called: 7, during: { kept: 8, traps: 1 }, empty: 8 });
    });
  });

describe.skipIf(!gcc)('symbols that a version script hides, or has twice', () => {
  it.each([['as linked', []], ...more(['stripped', ['-s']] as const)] as const)(
    '%s: keys and declared targets are found by what the program recorded, others by their version',
    (name, strip) => {
      const script = folder.write(
        'versions.map',
        'V1 { global: chosen; provider_*; __SCK__level; __SCT__level; local: *; };\nV2 { global: chosen; } V1;\n',
      );
      const provider = compileProgram(folder, 'versions.c', [
        `-Wl,--version-script=${script}`,
        ...strip,
      ]);
      const consumer = compileProgram(folder, 'versions.c', [
        '-DCONSUMER',
        '-Wl,--no-as-needed',
        provider,
        ...strip,
      ]);
      const got = answer<Record<string, unknown>>(child('versions.mjs', [provider, consumer]));
      expect(got).toMatchObject({
        targets: [
          ['chosen_old', 'level_low', 'secret', 'withdrawn'],
          ['inner_one', 'inner_two'],
          ['chosen'],
        ],
        before: [1, 1],
        hidden: [2, 2, 'secret'],
        withdrawn: [3, 3, 'withdrawn'],
        byItsOwnName: [10, 10, 'chosen_old'],
        newest: [20, 20, name === 'stripped' ? expect.stringMatching(/^0x/) : 'chosen_new'],
        // What the dynamic linker bound for who asked for the old one.
        bound: [10, 10, 'chosen'],
        old: [10, 10, 'chosen_old'],
        byVersion: [20, 20, name === 'stripped' ? expect.stringMatching(/^0x/) : 'chosen_new'],
        nobody: 'unknown-target',
        inner: 2,
        drift: [0, 0],
        after: [1, 1, 1],
      });
    },
  );
});

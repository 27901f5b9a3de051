// The public surface, held still by the compiler: test/types/surface.ts and test/types/check.ts
// compile as they stand, and every line in them that must not compile is an error that it expects.
// test/types/promises.ts does the same for the names of the promises that the simulator judges by.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { build, Folder, gcc } from './build.js';
import { line } from './cli/line.js';
import { LONG, more } from './more.js';

const tsc = (folder: string): string =>
  spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', folder], {
    encoding: 'utf8',
  }).stdout;
const surface = readFileSync('test/types/surface.ts', 'utf8');
const checker = readFileSync('test/types/check.ts', 'utf8');
const promises = readFileSync('test/types/promises.ts', 'utf8');
const keys = readFileSync('test/types/filters.keys.ts', 'utf8');

/** A project that has the package and the types of Node. */
function consumer(): Folder {
  const folder = new Folder();
  mkdirSync(folder.file('node_modules/@types'), { recursive: true });
  for (const [from, to] of [
    ['', 'static-call'],
    ['/node_modules/@types/node', '@types/node'],
  ])
    symlinkSync(`${process.cwd()}${from}`, folder.file(`node_modules/${to}`));
  folder.write('package.json', '{ "type": "module" }');
  return folder;
}

describe('the types of the surface', () => {
  it('accept what is right and refuse what is wrong', () => {
    expect(surface.match(/@ts-expect-error/g)!.length).toBeGreaterThan(15);
    expect(checker.match(/@ts-expect-error/g)!.length).toBeGreaterThan(5);
    expect(promises.match(/@ts-expect-error/g)!.length).toBeGreaterThan(5);
    expect(tsc('test/types')).toBe('');
  });

  it.each([
    ['node16', 'node16', ''],
    ...more(['nodenext', 'nodenext', 'node'] as const, ['esnext', 'bundler', ''] as const),
  ])(
    'compile by --module %s --moduleResolution %s for who has the types "%s"',
    (module, resolution, types) => {
      using folder = consumer();
      // No library beyond that of the target, and the declarations are looked into.
      folder.write(
        'user.ts',
        "import { open } from 'static-call';\nimport { check } from 'static-call/check';\nconst app = open('x.so');\n{ using update = app.update({ a: 'b' }); void update; }\nvoid check;\n",
      );
      const done = spawnSync(
        process.execPath,
        [
          `${process.cwd()}/node_modules/typescript/bin/tsc`,
          '--noEmit',
          '--strict',
          '--target',
          'es2022',
          '--module',
          module,
          '--moduleResolution',
          resolution,
          '--types',
          types,
          'user.ts',
        ],
        { cwd: folder.path, encoding: 'utf8' },
      );
      expect(done.stdout).toBe('');
    },
  );

  it('need no newer TypeScript than 5.4: the declarations that a user reads name no generic array', () => {
    const seen = new Set<string>();
    const newer = (text: string): string[] =>
      text.match(/\b(?:(?:Big)?(?:Uint|Int|Float)\d+(?:Clamped)?Array|DataView)</g) ?? [];
    const queue = ['dist/index.d.ts', 'dist/check/index.d.ts'];
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      if (seen.has(path)) continue;
      seen.add(path);
      const text = readFileSync(path, 'utf8');
      expect(newer(text), path).toEqual([]);
      for (const [, to] of text.matchAll(/(?:from|import\()\s*'(\.[^']+)\.js'/g))
        queue.push(join(dirname(path), `${to}.d.ts`));
    }
    expect(seen.size).toBeGreaterThan(20);
    expect(newer('export declare const words: BigUint64Array<ArrayBuffer>;')).toHaveLength(1);
  });

  if (LONG)
    it('would be seen to change', () => {
      using folder = consumer();
      folder.write(
        'tsconfig.json',
        readFileSync('test/types/tsconfig.json', 'utf8')
          .replace(/"\.\.\/\.\.(?=["/])/g, `"${process.cwd()}`)
          .replace(/"rootDir": "[^"]*"/, '"rootDir": "/"'),
      );
      // A key that becomes empty, a target that goes, and a type that is not what is said.
      folder.write('surface.ts', `${surface}\nsame<typeof app.path, number>();\n`);
      folder.write('check.ts', checker.replace("{ fetch: 'F9' }", "{ fetch: 'F4' }"));
      folder.write(
        'filters.keys.ts',
        keys.replace(`'blend_avx2' | 'blend_scalar'`, `'blend_scalar' | null`),
      );
      const told = tsc(folder.path);
      const last = surface.split('\n').length + 1;
      expect(told).toMatch(/check\.ts\(\d+,1\): error TS2578: Unused/);
      expect(told).toMatch(
        /surface\.ts\(\d+,1\): error TS2578: Unused '@ts-expect-error' directive/,
      );
      expect(told).toMatch(/TS2322: Type '"blend_avx2"' is not assignable/);
      expect(told).toMatch(new RegExp(`surface\\.ts\\(${last},1\\): error TS2554`));
    });

  it('are fed with what static-call types writes', async ({ skip }) => {
    skip(!gcc, 'gcc is not installed');
    using folder = new Folder();
    const library = folder.write(
      'libfilters.so',
      build('gcc', '.c', readFileSync('test/types/filters.c', 'utf8'), [
        '-O2',
        '-shared',
        '-fPIC',
        '-Iinclude',
      ]),
    );
    expect((await line(['types', library, '-o', folder.file('filters.keys.ts')])).status).toBe(0);
    expect(folder.read('filters.keys.ts').toString()).toBe(keys);
  });
});

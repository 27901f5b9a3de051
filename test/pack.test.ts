// What a user installs: the packed file, put elsewhere, imported, required and run.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc, must, owner, packInto, type Packed } from './build.js';

const folder = new Folder();
const installed = folder.file('app/node_modules/static-call');
let packed: Packed;

/**
 * From npm's cache, which the installation of this checkout has filled; where it was emptied, by
 * hand.
 */
function install(file: string): void {
  const done = spawnSync(
    'npm',
    ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', file],
    { cwd: folder.file('app'), encoding: 'utf8' },
  );
  if (done.status === 0) return;
  mkdirSync(installed, { recursive: true });
  must('tar', ['-xzf', file, '-C', installed, '--strip-components=1']);
  for (const name of readdirSync('node_modules').filter((entry) => !entry.startsWith('.')))
    symlinkSync(join(process.cwd(), 'node_modules', name), folder.file(`app/node_modules/${name}`));
  mkdirSync(folder.file('app/node_modules/.bin'), { recursive: true });
  symlinkSync('../static-call/bin/static-call', folder.file('app/node_modules/.bin/static-call'));
}

beforeAll(() => {
  mkdirSync(folder.file('app'));
  folder.write('app/package.json', '{ "name": "app", "private": true }');
  packed = packInto(folder);
  install(folder.file(packed.filename));
});
afterAll(() => folder[Symbol.dispose]());

/** Runs a program in the user's folder; it ends by calling `tell` with what it has found. */
function program(text: string, type: 'module' | 'commonjs'): unknown {
  const tell = 'const tell = (value) => process.stdout.write(JSON.stringify(value));';
  return JSON.parse(
    must(process.execPath, [`--input-type=${type}`, '-e', `${tell}\n${text}`], folder.file('app')),
  );
}
// The native libraries and CommonJS modules of the process, its open handles, its handled signals.
const LOADED = `
  const { createRequire, Module } = process.getBuiltinModule('node:module');
  const state = () => ({
    objects: process.report.getReport().sharedObjects,
    modules: Object.keys(Module._cache).map((path) => path.replace(/.*node_modules\\//, '')),
    handles: process.getActiveResourcesInfo(),
    signals: process.eventNames(),
    variables: Object.keys(process.env),
  });`;

describe('the packed file', () => {
  it('holds what is used and nothing else', () => {
    const paths = packed.files.map(({ path }) => path);
    // What no source is made into alone: the playground, what runs beside a compiler, the decoder,
    // and the checker's search (engine/).
    const MADE = [
      'dist/view.html',
      'dist/cli/beside.cjs',
      'dist/x86/decoder.wasm',
      'dist/x86/decoder.LICENSE.txt',
      ...['engine', 'engine-shared'].map((name) => `dist/check/search/${name}.wasm`),
    ];
    for (const path of [
      'bin/static-call',
      'bin/launch.sh',
      'bin/beside.cjs',
      'include/static_call.h',
      'include/static_key.h',
      'dist/index.js',
      'dist/index.d.ts',
      ...MADE,
      'examples/checksum/checksum.c',
      'bench/driver.c',
      'LICENSE',
      'CONTRIBUTING.md',
      'docs/adopting.md',
      'docs/faults.md',
    ])
      expect(paths).toContain(path);
    expect(
      paths.filter(
        (path) =>
          !/^(bench|dist|docs|examples|include|schemas|share)\/|^(bin\/(static-call|launch\.sh|beside\.cjs)|scripts\/setup\.mjs|package\.json|[A-Z]+(\.md)?)$/.test(
            path,
          ),
      ),
    ).toEqual([]);
    expect(
      paths.filter(
        (path) =>
          path.startsWith('dist/') &&
          !MADE.includes(path) &&
          !existsSync(path.replace(/^dist/, 'src').replace(/\.(js|js\.map|d\.ts)$/, '.ts')),
      ),
    ).toEqual([]);
    expect(packed.files.find(({ path }) => path === 'bin/static-call')!.mode & 0o111).toBe(0o111);
  });

  it('has maps that carry their sources', () => {
    const maps = packed.files.map(({ path }) => path).filter((path) => path.endsWith('.js.map'));
    expect(maps.length).toBeGreaterThan(30);
    for (const path of maps) {
      const map = JSON.parse(readFileSync(join(installed, path), 'utf8')) as {
        sources: string[];
        sourcesContent?: (string | null)[];
      };
      expect(map.sourcesContent?.filter((text) => typeof text === 'string').length, path).toBe(
        map.sources.length,
      );
    }
  });

  it('has behind each export a module and its types, and shows nothing else', () => {
    const { exports, main, types, typesVersions } = JSON.parse(
      readFileSync(join(installed, 'package.json'), 'utf8'),
    ) as {
      exports: Record<string, string | Record<string, string>>;
      main: string;
      types: string;
      typesVersions: { '*': { check: string[] } };
    };
    expect(Object.keys(exports)).toEqual(['.', './check', './package.json']);
    // What resolves by no `exports`, as --moduleResolution node10 does, finds the same files.
    expect([main, types, typesVersions['*'].check]).toEqual([
      (exports['.'] as Record<string, string>)['default'],
      (exports['.'] as Record<string, string>)['types'],
      [(exports['./check'] as Record<string, string>)['types']],
    ]);
    const targets = Object.values(exports).flatMap((entry) =>
      typeof entry === 'string' ? [entry] : Object.values(entry),
    );
    expect(
      targets.filter(
        (path) => !statSync(join(installed, path), { throwIfNoEntry: false })?.isFile(),
      ),
    ).toEqual([]);
    expect(
      program(
        `try { await import('static-call/dist/elf/read.js') } catch (error) { tell(error.code) }`,
        'module',
      ),
    ).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });
});

describe('a Node that cannot require an ES module', () => {
  it('is not asked for by package.json, and refused by the setup', () => {
    const { engines } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      engines: { node: string };
    };
    expect(engines.node).toBe('^20.20.0 || >=22.12.0');
    const as = (version: string): { status: number | null; stderr: string } =>
      spawnSync(
        process.execPath,
        [
          '--import',
          `data:text/javascript,Object.defineProperty(process,'versions',{value:{node:'${version}'}})`,
          join(installed, 'scripts/setup.mjs'),
        ],
        { encoding: 'utf8' },
      );
    for (const version of ['20.19.5', '21.7.3', '22.11.0'])
      expect(as(version)).toMatchObject({
        status: 4,
        stderr: `static-call needs Node 20.20, or 22.12 or newer; this is ${version}.\n`,
      });
    for (const version of ['20.20.2', '22.12.0', '24.0.0']) expect(as(version).status).toBe(0);
  });
});

describe('the installed package', () => {
  const surface = [...readFileSync('src/index.ts', 'utf8').matchAll(/^export \{(.*)\} from/gm)]
    .flatMap((match) =>
      match[1]!
        .split(',')
        .map((name) => name.trim())
        .filter((name) => !name.startsWith('type ')),
    )
    .sort();

  it('is imported', () => {
    expect(surface).toContain('open');
    expect(program(`tell(Object.keys(await import('static-call')).sort())`, 'module')).toEqual(
      surface,
    );
  });

  it('is required', () => {
    expect(
      program(
        `tell(Object.keys(require('static-call')).filter((key) => key !== '__esModule').sort())`,
        'commonjs',
      ),
    ).toEqual(surface);
  });

  it('gives the checker by itself', () => {
    expect(program(`tell(typeof (await import('static-call/check')).check)`, 'module')).toBe(
      'function',
    );
  });

  it.each(['static-call', 'static-call/check'])(
    'loads and touches nothing when %s is imported',
    (name) => {
      const told = program(
        `${LOADED} const before = state(); await import('${name}'); await new Promise((done) => setTimeout(done, 10)); tell({ before, after: state() });`,
        'module',
      ) as { before: unknown; after: unknown };
      expect(told.after).toEqual(told.before);
    },
  );

  it('would be seen to load its dependencies', () => {
    const told = program(
      `${LOADED} const before = state(); const require = createRequire(process.cwd() + '/x.js'); require('koffi'); require('@stricli/core'); tell({ before, after: state() });`,
      'module',
    ) as Record<'before' | 'after', Record<'objects' | 'modules', string[]>>;
    expect(told.after.objects.length).toBeGreaterThan(told.before.objects.length);
    expect(
      told.after.modules.filter((path) => /^(koffi|@stricli)\//.test(path)).length,
    ).toBeGreaterThan(1);
  });

  it('refuses with its own error and says what to do', () => {
    expect(
      program(
        `import { open, isFault } from 'static-call'; try { open('./gone.so') } catch (error) { tell([isFault(error), error.code, error.hint]) }`,
        'module',
      ),
    ).toEqual([true, 'no-such-file', 'check the path']);
  });

  it('runs its command', () => {
    const bin = folder.file('app/node_modules/.bin/static-call');
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(must(bin, ['--version'])).toBe(`${version}\n`);
    const include = must(bin, ['include']).trim();
    expect(readFileSync(join(include, 'static_call.h'), 'utf8')).toBe(
      readFileSync('include/static_call.h', 'utf8'),
    );
    expect(spawnSync(bin, ['annotate', 'gone.o'], { encoding: 'utf8' }).status).toBe(3);
  });

  it.skipIf(!gcc)('compiles for a user who may write nothing of it, by the bundle alone', () => {
    using made = new Folder();
    made.write(
      'one.c',
      `#include <static_call.h>
int one(int a) { return a; }
DEFINE_STATIC_CALL(work, one);
int run(int a) { return static_call(work)(a); }
`,
    );
    const bin = folder.file('app/node_modules/.bin/static-call');
    const modules = join(installed, 'dist/cli/main.js');
    chmodSync(folder.path, 0o755);
    const other = owner(made, bin);
    renameSync(modules, `${modules}.away`);
    try {
      const words = ['cc', '--', 'gcc', '-O2', '-c', 'one.c', '-o', 'one.o'];
      const done = spawnSync(bin, words, { cwd: made.path, encoding: 'utf8', ...other });
      expect(done).toMatchObject({ status: 0, stdout: '', stderr: '' });
      expect(made.read('one.o').includes('.static_call_sites')).toBe(true);
    } finally {
      renameSync(`${modules}.away`, modules);
    }
  });
});

// The recipes of docs/adopting.md for build systems, languages and tools: each as the page has it,
// in a folder of its own with `filters.c` of the README and `static-call` on the path; then what
// came of it is retargeted. Where a tool is missing its recipe is skipped.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { Folder, tool } from '../build.js';
import { blocks, readme } from '../readme.js';

const PAGE = blocks(readFileSync('docs/adopting.md', 'utf8'));
const named = (name: string, page = PAGE): string => {
  const block = page.find((each) => each.name === name);
  if (!block) throw new Error(`there is no block ${name}`);
  return block.body;
};
const FILTERS = named('filters.c', blocks(readme()));
const INDEX = pathToFileURL('dist/index.js').href;

/** The README's program, with the library where the build put it. */
const main = (library: string): string => `
import { createRequire } from 'node:module';
const { open } = await import('${INDEX}');
const koffi = createRequire('${process.cwd()}/')('koffi');
const pixel = koffi.load('${library}').func('int pixel(int, int)');
const app = open('${library}');
const seen = [pixel(10, 30)];
const { inline, trampoline } = app.update({ blend: 'blend_max' });
seen.push(pixel(10, 30), inline + trampoline);
console.log(JSON.stringify(seen));
process.exit(0);
`;

interface Recipe {
  readonly needs: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
  /** Where the library is, in the folder. */
  readonly made?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether the page's lines run the program themselves. */
  readonly runs?: true;
  /** Lines before those of the page. */
  readonly first?: string;
  /** What comes of (10, 30) before and after, where it is not the README's. */
  readonly seen?: readonly number[];
  readonly unless?: string | null;
}

/** npm brings its own, which is not on the path. */
const NODE_GYP = join(
  dirname(process.execPath),
  '../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js',
);
const HEADERS = join(dirname(process.execPath), '..');
const noGyp = (): string | null => {
  if (!existsSync(NODE_GYP)) return 'npm has no node-gyp here';
  return existsSync(join(HEADERS, 'include/node/node_api.h')) &&
    existsSync(join(HEADERS, 'include/node/common.gypi'))
    ? null
    : "node's headers are not installed";
};

const ADDON = `#include <node_api.h>
NAPI_MODULE_INIT() { (void)env; return exports; }
`;
const [BEFORE, AFTER] = [20, 30];

const RECIPES: Readonly<Record<string, Recipe>> = {
  lto: { needs: ['gcc'] },
  autotools: {
    needs: ['gcc', 'make', 'autoreconf', 'libtoolize', 'automake'],
    files: { 'configure.ac': named('configure.ac'), 'Makefile.am': named('Makefile.am') },
    made: '.libs/libfilters.so',
  },
  'node-gyp': {
    needs: ['gcc', 'make', 'python3'],
    files: { 'binding.gyp': named('binding.gyp'), 'addon.c': ADDON },
    made: 'build/Release/filters.node',
    env: { npm_config_nodedir: HEADERS },
    unless: noGyp(),
  },
  modules: { needs: ['g++'], files: { 'filters.cppm': named('filters.cppm') } },
  rust: {
    needs: ['gcc', 'rustc'],
    files: {
      'filters.rs': named('filters.rs'),
      'hook.c': FILTERS.replace(/int blend_max\(.*\n/, 'int blend_max(int a, int b);\n'),
    },
  },
  sanitizers: { needs: ['gcc'], runs: true },
  valgrind: {
    needs: ['gcc', 'valgrind'],
    runs: true,
    first: 'static-call cc -- gcc -O2 -shared -fPIC filters.c -o libfilters.so',
  },
  preload: {
    needs: ['gcc'],
    files: { 'other.c': 'int blend_max(int a, int b) { return 1000 + a + b; }\n' },
    runs: true,
    first: 'static-call cc -- gcc -O2 -shared -fPIC filters.c -o libfilters.so',
    seen: [BEFORE, 1040],
  },
};

it.for(Object.entries(RECIPES))(
  'docs/adopting.md, %s: builds a library whose hook is retargeted',
  ([name, recipe], { skip }) => {
    const { needs, files = {}, made = 'libfilters.so', env = {}, first = '' } = recipe;
    const missing = needs.filter((each) => tool(each) === null);
    skip(missing.length > 0, `without ${missing.join(', ')}`);
    skip(typeof recipe.unless === 'string', recipe.unless ?? '');
    using folder = new Folder();
    mkdirSync(folder.file('bin'));
    symlinkSync(join(process.cwd(), 'bin/static-call'), folder.file('bin/static-call'));
    chmodSync(
      folder.write('bin/node-gyp', `#!/bin/sh\nexec '${process.execPath}' '${NODE_GYP}' "$@"\n`),
      0o755,
    );
    folder.write('filters.c', FILTERS);
    folder.write('main.mjs', main(folder.file(made)));
    for (const [file, text] of Object.entries(files)) folder.write(file, text);
    const lines = [first, named(name), recipe.runs ? '' : 'node main.mjs'].join('\n');
    const done = spawnSync('sh', ['-ec', lines], {
      cwd: folder.path,
      encoding: 'utf8',
      timeout: 240_000,
      env: {
        ...process.env,
        ...env,
        PATH: `${folder.file('bin')}:${dirname(process.execPath)}:${process.env['PATH']}`,
      },
    });
    expect(done.status, `${done.stdout}\n${done.stderr}`).toBe(0);
    const [before, after, sites] = JSON.parse(
      done.stdout.trim().split('\n').at(-1) ?? '',
    ) as number[];
    expect([before, after]).toEqual(recipe.seen ?? [BEFORE, AFTER]);
    expect(sites).toBeGreaterThan(0);
  },
);

// Every command and snippet of the README and of docs/ runs in some test. Which one is data here,
// and a block that no test runs is refused. What belongs to no other test is run by this one: the
// commands of pages about the checker, in the order of their page, from an empty folder, by a user
// who owns nothing.

import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Folder, gcc } from './build.js';
import { blocks, type Block } from './readme.js';

/** By page; a page of several tests tells by the names of its blocks. */
const RUN_BY: Readonly<Record<string, string | Readonly<Record<string, string>>>> = {
  'README.md': 'test/docs.test.ts',
  'docs/adopting.md': {
    'pointers.c': 'test/pages.long.ts',
    'recipes.c': 'test/process/recipes.test.ts',
    'recipes.mjs': 'test/process/recipes.test.ts',
    'spies.ts': 'test/process/spies.long.ts',
    ...Object.fromEntries(
      ['link-only', 'pkg-config', 'CMakeLists.txt', 'cmake', 'meson.build', 'meson', 'ccache'].map(
        (name) => [name, 'test/cside/builds.test.ts'],
      ),
    ),
    ...Object.fromEntries(
      (
        'lto configure.ac Makefile.am autotools binding.gyp node-gyp filters.cppm modules ' +
        'filters.rs rust sanitizers valgrind preload'
      )
        .split(' ')
        .map((name) => [name, 'test/cside/recipes.long.ts']),
    ),
  },
  'docs/api.md': 'test/api.long.ts',
  'docs/argument.md': 'test/check/argument.test.ts',
  'docs/attach.md': { 'attach.ts': 'test/pages.long.ts', trace: 'test/remote/trace.long.ts' },
  'docs/cmake.md': 'test/package.long.ts',
  'docs/counterexamples.md': 'test/check/verdicts.long.ts',
  'docs/fetch32.md': 'test/process/litmus.long.ts',
  'docs/performance.md': 'test/bench/performance.test.ts',
  'docs/proof.md': {
    any: 'test/pages.long.ts',
    certificate: 'test/pages.long.ts',
    promela: 'test/pages.long.ts',
    hosts: 'test/cli/queue.long.ts',
  },
  'docs/protocols.md': 'test/pages.long.ts',
  'docs/runtime.md': 'test/runtime/docs.test.ts',
  'docs/silicon.md': 'test/process/litmus.long.ts',
  'docs/zoo.md': 'test/check/zoo.long.ts',
};

const PAGES = ['README.md', ...readdirSync('docs').map((name) => `docs/${name}`)].filter((path) =>
  path.endsWith('.md'),
);
const blocksOf = (path: string): Block[] => blocks(readFileSync(path, 'utf8'));

/** The test that runs a block, if one does. */
function runnerOf(page: string, { name }: Pick<Block, 'name'>): string | undefined {
  const by = RUN_BY[page];
  return typeof by === 'string' ? by : by?.[name];
}

describe('each block', () => {
  it('of each page is run by a test that is there', () => {
    const without = PAGES.flatMap((page) =>
      blocksOf(page)
        .filter((block) => !existsSync(runnerOf(page, block) ?? ''))
        .map(({ lang, name, body }) => `${page}: ${lang} ${name} ${body.split('\n', 1)[0]}`),
    );
    expect(without).toEqual([]);
    expect(runnerOf('docs/adopting.md', { name: 'no such block' })).toBeUndefined();
  });
  it('that has a test has a place in a page', () => {
    for (const [page, by] of Object.entries(RUN_BY)) {
      const names = new Set(blocksOf(page).map(({ name }) => name));
      expect(names.size, page).toBeGreaterThan(0);
      if (typeof by !== 'string')
        expect(Object.keys(by).filter((name) => !names.has(name))).toEqual([]);
    }
  });
});

/** A user who owns nothing, where this one is root and that one may read the checkout. */
const NOBODY = 65_534;
const alone = { uid: NOBODY, gid: NOBODY };
const isOther =
  process.getuid?.() === 0 && spawnSync('test', ['-r', 'bin/launch.sh'], alone).status === 0;

function emptyFolder(): Folder {
  const folder = new Folder();
  for (const name of ['examples', 'scripts'])
    symlinkSync(join(process.cwd(), name), folder.file(name));
  if (isOther) chownSync(folder.path, NOBODY, NOBODY);
  return folder;
}

/** 0 and 1 are answers. */
function answer(folder: Folder, command: string, answers: readonly number[]): void {
  const done = spawnSync('sh', ['-ec', command], {
    cwd: folder.path,
    encoding: 'utf8',
    timeout: 600_000,
    env: {
      HOME: folder.path,
      PATH: [join(process.cwd(), 'bin'), join(process.execPath, '..'), process.env['PATH']].join(
        delimiter,
      ),
    },
    ...(isOther ? alone : {}),
  });
  expect(answers, `${command}: ${done.stderr}`).toContain(done.status);
  expect(done.stderr).not.toMatch(/error\[/);
}

const lines = (page: string, ...names: string[]): string[] =>
  blocksOf(page)
    .filter(({ lang, name }) => lang === 'sh' && (names.length === 0 || names.includes(name)))
    .flatMap(({ body }) => body.replaceAll('\\\n', '').trimEnd().split('\n'));

describe('the commands', () => {
  it('of docs/protocols.md answer, the protocol that it shows first too', () => {
    using folder = emptyFolder();
    const [own] = blocksOf('docs/protocols.md').filter(({ lang }) => lang === 'js');
    folder.write('my-protocol.mjs', own?.body ?? '');
    const all = lines('docs/protocols.md');
    expect(all.length).toBeGreaterThan(15);
    for (const command of all) answer(folder, command, [0, 1]);
  });

  it('of docs/proof.md prove, and write a certificate that is verified', () => {
    using folder = emptyFolder();
    for (const command of lines('docs/proof.md', 'any', 'certificate')) {
      // A minute, of which test/check/verdicts.long.ts has the like.
      const [all, bounded] = ['--targets A,B,C,null,ret0', '--states-max 1000'];
      answer(folder, command.replace(all, `${all} ${bounded}`), command.includes(all) ? [1] : [0]);
    }
  });

  it('of docs/proof.md make a model that SPIN agrees with', ({ skip }) => {
    skip(!gcc || spawnSync('spin', ['-V']).status !== 0, 'gcc or spin is not installed');
    using folder = emptyFolder();
    for (const command of lines('docs/proof.md', 'promela')) answer(folder, command, [0]);
  });
});

describe('the blocks', () => {
  it('of docs/adopting.md about typedefs of pointers compile', ({ skip }) => {
    skip(!gcc, 'gcc is not installed');
    using folder = emptyFolder();
    const [pointers] = blocksOf('docs/adopting.md').filter(({ name }) => name === 'pointers.c');
    folder.write('pointers.c', `#include <static_call.h>\n${pointers?.body}`);
    answer(
      folder,
      'gcc -Wall -Wextra -I"$(static-call include)" -shared -fPIC pointers.c -o lib.so',
      [0],
    );
    answer(folder, 'static-call types lib.so | grep -q "readonly log: null"', [0]);
  });

  it('of docs/attach.md compile', () => {
    using folder = emptyFolder();
    const [shown] = blocksOf('docs/attach.md').filter(({ name }) => name === 'attach.ts');
    const keys = "{ readonly route: 'route_fast' | 'route'; readonly trace: 'ring' | null }";
    folder.write('attach.ts', `${shown?.body}type Server = ${keys};\n`);
    folder.write('package.json', '{ "type": "module" }');
    mkdirSync(folder.file('node_modules'));
    symlinkSync(process.cwd(), folder.file('node_modules/static-call'));
    const tsc = join(process.cwd(), 'node_modules/typescript/bin/tsc');
    const how =
      '--strict --noEmit --module nodenext --target es2022 --lib es2022,esnext.disposable';
    answer(folder, `'${process.execPath}' '${tsc}' attach.ts ${how} --types ''`, [0]);
  });
});

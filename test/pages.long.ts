// Every page whose commands a reader can type, followed from an empty folder, in the order of the
// page and without root (reader.ts). pages.ts says which test runs the other blocks.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gcc } from './build.js';
import { needs } from './pages.js';
import { blocks, readme, rowsUnder, type Block } from './readme.js';
import { alike, Reader, type Manner, type Told } from './reader.js';

const pageOf = (name: string): string => readFileSync(`docs/${name}`, 'utf8');

/** What is not run is what `NEEDS` names. */
const leave: NonNullable<Manner['leave']> = (_, command) => needs(command);

/** The answers by block. */
function follow(reader: Reader, page: string, manner: Manner = {}): ReadonlyMap<string, Told[]> {
  const by = new Map<string, Told[]>();
  for (const told of reader.follow(page, { leave, ...manner }))
    by.set(told.block, [...(by.get(told.block) ?? []), told]);
  return by;
}

/** A reader who has the folders of a checkout at hand. */
function inCheckout(): Reader {
  const reader = new Reader();
  reader.checkout('examples', 'scripts', 'docs');
  return reader;
}
const VERDICTS = [0, 1];

describe('a reader who asks the checker', () => {
  it('is answered by every command of docs/protocols.md, also about the protocol that it shows', () => {
    using reader = inCheckout();
    const page = pageOf('protocols.md').replace('```js\nexport', '```js my-protocol.mjs\nexport');
    // The protocol stands below the command that reads it, because the page explains it first.
    const [own] = blocks(page).filter(({ name }) => name === 'my-protocol.mjs');
    reader.write('my-protocol.mjs', own?.body ?? '');
    const told = reader.follow(page, { answers: VERDICTS });
    expect(told.length).toBeGreaterThan(15);
    for (const { stdout } of told) expect(stdout).toMatch(/^ +all [\d,]+ states, /m);
  });

  it('sees what docs/argument.md shows, to the step', () => {
    using reader = new Reader();
    const page = pageOf('argument.md');
    const shown = blocks(page).filter(({ lang }) => lang === 'text');
    const told = reader.follow(page, { answers: VERDICTS });
    expect(told.length).toBe(shown.length);
    for (const [i, { command, stdout }] of told.entries()) {
      const [said = '', ...picture] = shown[i]!.body.split('\n\n');
      for (const line of said.replaceAll('\n  ', ' ').split('\n')) {
        const [verdict = '', names = ''] = line.split(': ');
        for (const name of names.split(', '))
          expect(stdout, command).toMatch(new RegExp(`^ +${name} +${verdict}`, 'im'));
      }
      if (picture.length > 0) expect(stdout, command).toContain(picture.join('\n\n').trimEnd());
    }
  });

  it('finds what the README says was found', () => {
    using reader = new Reader();
    const rows = rowsUnder(readme(), '| finding | command | answer |');
    const commands = rows.map(([, command]) => command).join('\n');
    const told = reader.follow(`\`\`\`sh\n${commands}\n\`\`\`\n`, { answers: VERDICTS });
    for (const [i, [, , answer]] of rows.entries()) {
      const { status, stdout } = told[i]!;
      expect(status).toBe(answer === 'proved' ? 0 : 1);
      const [property, verdict] = answer === 'proved' ? ['torn', 'proved'] : [answer, 'FAILS'];
      expect(stdout).toMatch(new RegExp(`^ +${property} +${verdict}`, 'm'));
    }
  });

  it('proves, verifies a certificate, and has SPIN confirm, by docs/proof.md', ({ skip }) => {
    skip(!gcc, 'gcc is not installed');
    using reader = inCheckout();
    const spin = reader.has('spin');
    const [all, bounded] = ['--targets A,B,C,null,ret0', '--states-max 1000'];
    const told = follow(reader, pageOf('proof.md'), {
      leave: ({ name }, command) => needs(command) ?? (name === 'promela' && !spin ? 'spin' : null),
      // A minute, of which test/check/verdicts.long.ts has the like.
      instead: (command) => command.replace(all, `${all} ${bounded}`),
      answers: VERDICTS,
    });
    expect(told.get('any')?.map(({ status }) => status)).toEqual([0, 0, 1]);
    expect(told.get('certificate')?.map(({ status }) => status)).toEqual([0, 0]);
    skip(!spin, 'spin is not installed');
    expect(told.get('promela')?.at(-1)?.stdout).toMatch(/errors: 0/);
  });
});

it('a reader of docs/fetch32.md and docs/silicon.md is told of their own CPU', () => {
  using reader = inCheckout();
  const short = (command: string): string =>
    command.replace(/--(wait|seconds-max) \d+/g, '') + ' --wait 0.01 --seconds-max 0.01';
  for (const name of ['fetch32.md', 'silicon.md'])
    reader.follow(pageOf(name), {
      instead: (command) => short(command).replace(/(>.*?)( --.*)/, '$2 $1'),
      answers: VERDICTS,
    });
  const record = JSON.parse(readFileSync(reader.file('family-model.json'), 'utf8')) as object;
  expect(record).toHaveProperty('schema');
});

describe.skipIf(!gcc)('a reader who compiles', () => {
  it('has a program with a runtime of its own, by docs/runtime.md', () => {
    using reader = new Reader();
    const page = pageOf('runtime.md');
    const told = reader.follow(page);
    expect(page).toContain('prints `2 0 3`');
    const said = told.map(({ stdout }) => stdout).filter((text) => text !== '');
    expect(said).toEqual(['2 0 3\n', 'server.o: 3 sites, 1 tail\n', '2 0 3\n']);
  });

  it('retargets, counts and stops another process, by docs/attach.md', ({ skip }) => {
    using reader = new Reader();
    reader.modules('typescript', '@types/node');
    const scope = reader.run('cat /proc/sys/kernel/yama/ptrace_scope').stdout;
    skip(/[23]/.test(scope), 'Yama lets no user attach here');
    const told = reader.follow(pageOf('attach.md'), { leave });
    const shown = told.filter((each) => each.shown !== null);
    expect(shown.map(({ block }) => block)).toEqual(['set', 'trace', 'stop']);
    for (const { stdout, shown: expected } of shown) expect(alike(stdout)).toBe(alike(expected!));
  });
});

/** npm brings its own, which is not on the path. */
const NODE_GYP = join(
  dirname(process.execPath),
  '../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js',
);
const HEADERS = join(dirname(process.execPath), '..');
const hasHeaders = ['include/node/node_api.h', 'include/node/common.gypi'].every((name) =>
  existsSync(join(HEADERS, name)),
);

interface Recipe {
  readonly tools?: readonly string[];
  /** Where the library is, in the folder; null: the page runs the program itself. */
  readonly made?: string | null;
  readonly seen?: string;
}
const RECIPES: Readonly<Record<string, Recipe>> = {
  'link-only': {},
  'pkg-config': { tools: ['pkg-config'] },
  cmake: { tools: ['cmake', 'make'], made: './build/libfilters.so' },
  meson: { tools: ['meson', 'ninja', 'pkg-config'], made: './build/libfilters.so' },
  ccache: { tools: ['ccache'] },
  lto: {},
  autotools: {
    tools: ['make', 'autoreconf', 'libtoolize', 'automake'],
    made: './.libs/libfilters.so',
  },
  'node-gyp': { tools: ['make', 'python3', 'node-gyp'], made: './build/Release/filters.node' },
  modules: { tools: ['g++'] },
  rust: { tools: ['rustc'] },
  sanitizers: { made: null },
  valgrind: { tools: ['valgrind'], made: null },
  preload: { made: null, seen: '20 1040' },
};

describe.skipIf(!gcc)('a reader who adopts it, by docs/adopting.md', () => {
  const reader = new Reader();
  afterAll(() => reader[Symbol.dispose]());
  let told: ReadonlyMap<string, Told[]> = new Map();
  const lacks = ({ name }: Pick<Block, 'name'>): string | null =>
    RECIPES[name]?.tools?.find((each) => !reader.has(each)) ?? null;

  beforeAll(() => {
    reader.modules('koffi', 'typescript');
    if (existsSync(NODE_GYP) && hasHeaders)
      reader.command('node-gyp', `exec '${process.execPath}' '${NODE_GYP}' "$@"`);
    const filters = blocks(readme()).find(({ name }) => name === 'filters.c');
    reader.write('filters.c', filters?.body ?? '');
    reader.write('package.json', '{ "type": "module" }');
    const runs = Object.entries(RECIPES).flatMap(([name, { made = './libfilters.so' }]) =>
      made === null ? [] : [[name, `node main.mjs ${made}`] as const],
    );
    told = follow(reader, pageOf('adopting.md'), {
      leave: (block) => lacks(block),
      after: Object.fromEntries(runs),
      env: { npm_config_nodedir: HEADERS },
    });
  });

  it.for(Object.entries(RECIPES))(
    '%s: what is built is retargeted',
    ([name, { seen = '20 30' }], { skip }) => {
      const missing = lacks({ name });
      skip(missing !== null, `${missing} is not installed`);
      const [before, after, sites] = told
        .get(name)!
        .at(-1)!
        .stdout.trimEnd()
        .split(/[ \n]/)
        .slice(-3);
      expect(`${before} ${after}`).toBe(seen);
      expect(Number(sites)).toBeGreaterThan(0);
    },
  );

  it('has a recipe here for every block of commands', () => {
    const commands = blocks(pageOf('adopting.md')).filter(({ lang }) => lang === 'sh');
    expect(commands.map(({ name }) => name)).toEqual(Object.keys(RECIPES));
  });

  it('typedefs of pointers compile', () => {
    const lines =
      '{ echo "#include <static_call.h>"; cat pointers.c; } > typedefs.c\n' +
      'gcc -Wall -Wextra -I"$(static-call include)" -shared -fPIC typedefs.c -o typedefs.so\n' +
      'static-call types typedefs.so | grep "readonly log: null"';
    const { status, stderr } = reader.run(lines);
    expect([status, stderr]).toEqual([0, '']);
  });
});

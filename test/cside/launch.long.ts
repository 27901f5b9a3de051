// `static-call cc` as the shell runs it: bin/launch.sh answers for the commands that it
// understands, and hands the others to node as they are. Its compilers are programs that write down
// their words, under the names by which compilers are known, and its node is one that does so too.

import fc from 'fast-check';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readElf } from '#elf/read';
import { SITES_SECTION } from '#sites/section';
import { Folder, gcc, must } from '../build.js';
import { line } from '../cli/line.js';
import { has } from './compile.js';

const RECORDER = `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int count, char **words) {
  FILE *log = fopen(getenv("LOG"), "a");
  const char *out = NULL, *slash = strrchr(words[0], '/');
  fprintf(log, "%s\\n", slash ? slash + 1 : words[0]);
  for (int i = 1; i < count; i++) {
    if (strcmp(words[i - 1], "-o") == 0) out = words[i];
    fprintf(log, "%s\\n", words[i]);
  }
  fprintf(log, "====\\n");
  FILE *made = out ? fopen(out, "w") : NULL;
  if (made) fprintf(made, "nothing\\n");
  return atoi(getenv("STATUS"));
}
`;
const COMPILERS = ['gcc', 'g++', 'x86_64-linux-gnu-gcc-12', 'clang', 'clang++-14'];

const folder = new Folder();
const bin = folder.file('bin');
/** Read where the launcher and node would look: the recorders first, then the machine's tools. */
const PATH = `${bin}${delimiter}${process.env['PATH'] ?? ''}`;
const LOG = folder.file('log');

beforeAll(() => {
  if (!gcc) return;
  mkdirSync(bin);
  folder.write('recorder.c', RECORDER);
  must(gcc, ['-O1', 'recorder.c', '-o', 'recorder'], folder.path);
  for (const name of [...COMPILERS, 'ccache', 'node', 'cc1plus'])
    copyFileSync(folder.file('recorder'), join(bin, name));
  symlinkSync('gcc', join(bin, 'cc'));
  symlinkSync('ccache', join(bin, 'g++-9'));
  folder.write('bin/gcc-9', '#!/bin/sh\nexit 0\n');
  chmodSync(join(bin, 'gcc-9'), 0o755);
  for (const name of ['a.c', 'b.cpp', 'c.S', 'a b.c']) folder.write(name, 'int x;\n');
  folder.write('words', '-c a.c -o a.o\n');
});
afterAll(() => folder[Symbol.dispose]());

function launched(
  words: readonly string[],
  env: Record<string, string> = {},
): SpawnSyncReturns<string> {
  return spawnSync(join(process.cwd(), 'bin/static-call'), words, {
    cwd: folder.path,
    encoding: 'utf8',
    env: { PATH, LOG, STATUS: '0', ...env },
  });
}

/** What was run, the program first: at least one program is. */
function ran(): string[][] {
  const commands = folder.read('log').toString().split('====\n').slice(0, -1);
  rmSync(LOG);
  return commands.map((command) => command.split('\n').slice(0, -1));
}

/** Whether the launcher answered itself; then as node would have, and else word for word to node. */
async function compare(compiler: string, words: readonly string[]): Promise<boolean> {
  const argv = ['cc', '--', compiler, ...words];
  const { status } = launched(argv);
  const commands = ran();
  const [[program, ...passed] = []] = commands;
  if (program === 'node') {
    expect(commands).toHaveLength(1);
    expect(passed.slice(1)).toEqual(argv);
    return false;
  }
  const here = process.cwd();
  try {
    process.chdir(folder.path);
    const said = await line(argv, { PATH, LOG, STATUS: '0' });
    expect({ status, commands }).toEqual({ status: said.status, commands: ran() });
  } finally {
    process.chdir(here);
  }
  return true;
}

const PLAIN: readonly (readonly [string, string])[] = [
  ['gcc', '-c a.c -o a.o'],
  ['cc', '-O2 -g -Wall -Wno-unused -std=c11 -fPIC -march=x86-64-v3 -o a.o -c a.c'],
  ['g++', '-I include -Ione -D N=1 -DM -U X -isystem /x -MD -MF a.d -MT a.o -c b.cpp -o b.o'],
  ['x86_64-linux-gnu-gcc-12', '-c c.S -o c.o -pipe -pthread -w'],
  ['clang', '-c a.c -o a.o -include pre.h -MMD -MP -MQ x -iquote . -idirafter y'],
  ['clang++-14', '-c b.cpp -o sub.o'],
  ['./bin/gcc', '-c a.c -o a.o'],
  // A folder of this name.
  ['gcc', '-c a.c -o a.o -iquote -fno-plt'],
];
const OTHERWISE: readonly (readonly [string, string])[] = [
  ['gcc', 'a.c -o a'],
  ['gcc', '-c a.c'],
  ['gcc', '-c a.c -oa.o'],
  ['gcc', '-c a.c b.cpp'],
  ['gcc', '-c a.c -o a.o -o b.o'],
  ['gcc', '-c a.c -o'],
  ['gcc', '@words'],
  ['gcc', '-c a.c -o a.o @words'],
  ['gcc', '-c a.o -o b.o'],
  ['gcc', '-x c -c a.c -o a.o'],
  ['gcc', '-flto -c a.c -o a.o'],
  ['gcc', '-fno-plt -c a.c -o a.o'],
  ['gcc', '-S -c a.c -o a.s'],
  ['gcc', '-E -c a.c -o a.i'],
  ['gcc', '-fsyntax-only -c a.c -o a.o'],
  ['gcc', '-Wl,-r -c a.c -o a.o'],
  ['gcc', '-Xassembler x -c a.c -o a.o'],
  ['gcc', '-c a.c -o a.o -###'],
  ['clang', '-fno-integrated-as -c a.c -o a.o'],
  ['clang', '-mllvm x -c a.c -o a.o'],
  ['clang', '-gcc-toolchain x -c a.c -o a.o'],
  ['gcc', '- -c -o a.o'],
  // The name does not say what these are.
  ['gcc-9', '-c a.c -o a.o'],
  ['g++-9', '-c b.cpp -o b.o'],
  ['ccache', 'gcc -c a.c -o a.o'],
  ['cc1plus', '-c a.c -o a.o'],
  ['./gone/gcc', '-c a.c -o a.o'],
];

describe.skipIf(!gcc)('static-call cc, from the shell', () => {
  it.each(PLAIN)('runs as cc itself would, without node: %s %s', async (compiler, words) => {
    expect(await compare(compiler, words.split(' '))).toBe(true);
  });
  it.each(OTHERWISE)('leaves to node, word for word: %s %s', async (compiler, words) => {
    expect(await compare(compiler, words.split(' '))).toBe(false);
  });

  it('does one or the other for any words', async () => {
    const vocabulary = [
      ...new Set([...PLAIN, ...OTHERWISE].flatMap(([, text]) => text.split(' '))),
    ];
    const words = fc.array(fc.constantFrom(...vocabulary, 'a b.c', '', '*', '$x', 'x\ty'), {
      maxLength: 6,
    });
    const around = fc.constantFrom([], ['-c', 'a.c', '-o', 'a.o'], ['-c', '-o', 'a.o']);
    let plain = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...COMPILERS),
        around,
        words,
        async (compiler, some, more) => {
          if (await compare(compiler, [...some, ...more])) plain++;
        },
      ),
      { numRuns: 300 },
    );
    expect(plain).toBeGreaterThan(0);
  });

  it('passes the status of the compiler on, and writes to what it was given', () => {
    const { status, stdout, stderr } = launched(['cc', '--', 'gcc', '-c', 'a.c', '-o', 'a.o'], {
      STATUS: '3',
    });
    expect([status, stdout, stderr]).toEqual([3, '', '']);
    expect(ran()).toHaveLength(1);
  });

  it('leaves every other command to node', () => {
    for (const words of [
      [],
      ['doctor'],
      ['cc'],
      ['cc', '--'],
      ['cc', '--', 'gcc'],
      ['cc', 'gcc'],
    ]) {
      launched(words);
      expect(ran().map((command) => command.slice(2))).toEqual([words]);
    }
  });
});

const CALLS = `#include <static_call.h>
int one(int a);
int one(int a) { return a; }
DEFINE_STATIC_CALL(work, one);
int run(int a);
int run(int a) { return static_call(work)(a); }
`;
const ELSEWHERE = `#include <static_call.h>
int one(int a);
DECLARE_STATIC_CALL(work, one);
int run(int a);
int run(int a) { return static_call(work)(a); }
`;

describe.skipIf(!gcc).each(['gcc', ...(has('clang') ? ['clang'] : [])])('with %s', (compiler) => {
  /** The machine's own programs; the node that runs this, under the name that is looked for. */
  function real(
    words: readonly string[],
    node: string | null = null,
    env: Record<string, string> = {},
  ): SpawnSyncReturns<string> {
    mkdirSync(folder.file('real'), { recursive: true });
    rmSync(folder.file('real/node'), { force: true });
    if (node === null) symlinkSync(process.execPath, folder.file('real/node'));
    else {
      folder.write('real/node', node);
      chmodSync(folder.file('real/node'), 0o755);
    }
    return spawnSync(join(process.cwd(), 'bin/static-call'), ['cc', '--', compiler, ...words], {
      cwd: folder.path,
      encoding: 'utf8',
      env: {
        ...process.env,
        ...env,
        PATH: `${folder.file('real')}${delimiter}${process.env['PATH']}`,
      },
    });
  }
  const table = (name: string): number =>
    readElf(new Uint8Array(folder.read(name)), name).section(SITES_SECTION)?.size ?? 0;
  const QUIET = { status: 0, stdout: '', stderr: '' };

  it('a file with calls gets its table, by its own words and by a header', () => {
    folder.write('calls.c', CALLS);
    folder.write('calls.h', CALLS);
    folder.write('unseen.c', '#include "calls.h"\n');
    for (const name of ['calls', 'unseen']) {
      expect(real(['-O2', '-c', `${name}.c`, '-o', `${name}.o`])).toMatchObject(QUIET);
      expect(table(`${name}.o`)).toBe(8);
    }
  });

  it.each([
    ['as it is', CALLS, []],
    ['with position-independent code and all that a debugger reads', CALLS, ['-fPIC', '-g3']],
    ['with a section for each function', CALLS, ['-ffunction-sections']],
    ['whose key belongs to another object', ELSEWHERE, []],
  ])('both ways write the same: a file %s', (_, source, options) => {
    folder.write('both.c', source);
    const words = ['-O2', ...options, '-c', 'both.c', '-o'];
    expect(real([...words, 'shell.o'])).toMatchObject(QUIET);
    const { status } = spawnSync(
      process.execPath,
      [join(process.cwd(), 'bin/static-call'), 'cc', '--', compiler, ...words, 'node.o'],
      { cwd: folder.path },
    );
    expect(status).toBe(0);
    expect(folder.read('shell.o').equals(folder.read('node.o'))).toBe(true);
  });

  it('node reads no certificates, which it does not need', () => {
    folder.write('calls.c', CALLS);
    mkdirSync(folder.file('real'), { recursive: true });
    const words = ['-c', 'calls.c', '-o', 'calls.o'];
    const { stdout } = real(words, '#!/bin/sh\necho "certificates: $NODE_EXTRA_CA_CERTS"\n', {
      NODE_EXTRA_CA_CERTS: 'some.pem',
    });
    expect(stdout).toBe('certificates: \n');
  });

  it('a file without calls does not start node', () => {
    folder.write('none.c', 'int none(void);\nint none(void) { return 1; }\n');
    expect(real(['-O2', '-c', 'none.c', '-o', 'none.o'], '#!/bin/sh\nexit 99\n')).toMatchObject(
      QUIET,
    );
    expect(table('none.o')).toBe(0);
  });

  it('a file that does not compile gets no table, and the status is the compiler’s', () => {
    folder.write('calls.c', `${CALLS}#error as it should\n`);
    const { status, stderr } = real(['-O2', '-c', 'calls.c', '-o', 'failed.o']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/as it should/);
    expect(existsSync(folder.file('failed.o'))).toBe(false);
  });
});

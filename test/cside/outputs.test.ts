// `static-call cc` knows what its compiler makes, however the command says it, and touches nothing
// else. Every row is run with a real compiler beside a stale a.out and a stale f.o, both with sites
// and without a table, so that a wrong guess would find something to rewrite.

import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readElf } from '#elf/read';
import { expandResponses, splitWords } from '#host/response';
import { SITES_SECTION } from '#sites/section';
import { Folder, must } from '../build.js';
import { LONG } from '../more.js';
import { has } from './compile.js';

const BIN = join(process.cwd(), 'bin', 'static-call');
const INCLUDE = join(process.cwd(), 'include');
const SOURCE = `#include <static_call.h>
int one(int a);
int one(int a) { return a; }
DEFINE_STATIC_CALL(work, one);
int main(void) { return static_call(work)(0); }
`;

interface Said {
  readonly status: number | null;
  readonly stderr: string;
}

function cc(words: readonly string[], cwd: string, input = ''): Promise<Said> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [BIN, 'cc', ...words], { cwd });
    let stderr = '';
    child.stderr.on('data', (text: Buffer) => void (stderr += text.toString()));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('close', (status) => resolve({ status, stderr }));
  });
}

const hasTable = (path: string): boolean =>
  readElf(readFileSync(path)).section(SITES_SECTION) !== undefined;
const stateOf = (path: string): string => {
  const { ino, size, mtimeMs, mode } = statSync(path);
  return [ino, size, mtimeMs, mode, readFileSync(path).toString('base64')].join(':');
};

let stale: Folder;
beforeAll(() => {
  stale = new Folder();
  stale.write('f.c', SOURCE);
  must('gcc', ['-O2', `-I${INCLUDE}`, '-c', 'f.c', '-o', 'f.o'], stale.path);
  must('gcc', ['-O2', `-I${INCLUDE}`, 'f.c', '-o', 'a.out'], stale.path);
  return () => stale[Symbol.dispose]();
});

/** A directory with the source under several names, and what an earlier build left. */
function room(folder: Folder, name: string): string {
  const path = folder.file(name);
  mkdirSync(path);
  for (const source of ['f.c', 'g.c', 'f.weird', 'plain'])
    writeFileSync(join(path, source), SOURCE);
  for (const old of ['f.o', 'a.out']) copyFileSync(stale.file(old), join(path, old));
  return path;
}

type Row = readonly [what: string, words: string, output: string, files?: Record<string, string>];
const ROWS: readonly Row[] = [
  ['-o', '-O2 -c f.c -o out.o', 'out.o'],
  ['no name at all', '-O2 -c g.c', 'g.o'],
  ['no name, with f.o there from before', '-O2 -c f.c', 'f.o'],
  ['a response file', '@r.rsp', 'viarsp.o', { 'r.rsp': '-O2 -c f.c -o viarsp.o' }],
  [
    'a response file that names another, with quotes and backslashes',
    '-O2 @r.rsp',
    'my "out" put.o',
    { 'r.rsp': '-c\n@n.rsp\n', 'n.rsp': '\'f.c\' -o "my \\"out\\" "put\\.o' },
  ],
  ['--output=FILE', '-O2 -c f.c --output=out.o', 'out.o'],
  ['--output FILE', '-O2 -c f.c --output out.o', 'out.o'],
  ['-Wl,-o,FILE', '-O2 f.c -Wl,-o,prog', 'prog'],
  ['-Wl,-o,FILE and -o', '-O2 f.c -Wl,-o,prog -o other', 'prog'],
  ['-Xlinker -o -Xlinker FILE', '-O2 f.c -Xlinker -o -Xlinker prog', 'prog'],
  ['standard input', '-O2 -x c -c -', '-.o'],
  ['standard input and -o', '-O2 -x c -c - -o out.o', 'out.o'],
  ['--compile', '-O2 --compile g.c', 'g.o'],
  ['an odd suffix with -x', '-O2 -x c -c f.weird', 'f.o'],
  ['no suffix with --language', '-O2 --language=c -c plain', 'plain.o'],
];

describe.each(['gcc', ...(LONG && has('clang') ? ['clang'] : [])])(
  'what %s makes gets its table when it is named by',
  (compiler) => {
    it.concurrent.each(ROWS.filter((_, row) => LONG || row % 5 === 0))(
      '%s: %s',
      async (_what, words, output, files = {}) => {
        using folder = new Folder();
        const cwd = room(folder, 'room');
        for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
        const others = ['f.o', 'a.out'].filter((name) => name !== output);
        const before = others.map((name) => stateOf(join(cwd, name)));
        expect(await cc(['--', compiler, ...words.split(' ')], cwd, SOURCE)).toEqual({
          status: 0,
          stderr: '',
        });
        expect(hasTable(join(cwd, output))).toBe(true);
        expect(others.map((name) => stateOf(join(cwd, name)))).toEqual(before);
      },
    );
  },
);

describe('static-call cc', () => {
  it.concurrent(
    'says so where it cannot know what was made, and rewrites no stale file',
    async () => {
      using folder = new Folder();
      const cwd = room(folder, 'room');
      const before = stateOf(join(cwd, 'a.out'));
      // A compiler of the user's own, which makes what no word says.
      writeFileSync(join(cwd, 'mycc'), '#!/bin/sh\nexec gcc -O2 "$1" "$2" -o chosen\n', {
        mode: 0o755,
      });
      const said = await cc(['--', './mycc', 'f.c', `-I${INCLUDE}`], cwd);
      expect(said.status).toBe(0);
      expect(said.stderr).toBe(
        'cc: the compiler did not make a.out, and it was left as it is; name the output by -o, or give it to static-call annotate\n',
      );
      expect(stateOf(join(cwd, 'a.out'))).toBe(before);
      expect(hasTable(join(cwd, 'chosen'))).toBe(false);
    },
  );

  it.concurrent('lets the compiler say that -o lacks its name', async () => {
    using folder = new Folder();
    const cwd = room(folder, 'room');
    const said = await cc(['--', 'gcc', `-I${INCLUDE}`, '-c', 'f.c', '-o'], cwd);
    expect(said.status).toBe(1);
    expect(said.stderr).toContain('missing filename after');
  });

  it.concurrent('asks for a compiler where its name is empty', async () => {
    const said = await cc(['--', ''], process.cwd());
    expect(said.status).toBe(2);
    expect(said.stderr).toContain("error[bad-usage]: the compiler's name is empty");
  });

  it.concurrent('without -- says where to put it', async () => {
    const said = await cc(['gcc', '-c', 'x.c'], process.cwd());
    expect(said.status).toBe(2);
    expect(said.stderr).toContain('hint: put -- before the compiler');
  });
});

describe('a response file', () => {
  it.each([
    ['a b\tc\n\nd', ['a', 'b', 'c', 'd']],
    ['"a b" \'c d\'', ['a b', 'c d']],
    ['a\\ b', ['a b']],
    ['"a\\"b" \'c\\\'d\'', ['a"b', "c'd"]],
    ['a"b c"d', ['ab cd']],
    ['""', ['']],
    ['  ', []],
    ['', []],
  ])('holds the words that libiberty finds in it: %j', (text, words) => {
    expect(splitWords(text)).toEqual(words);
  });
  it('that is not there, or is a directory, is a word like another', () => {
    expect(expandResponses(['@/no/such/file', '@/tmp'])).toEqual(['@/no/such/file', '@/tmp']);
  });
  it('that names itself ends', () => {
    using folder = new Folder();
    const path = folder.write('loop', '');
    writeFileSync(path, `@${path} -c`);
    expect(expandResponses([`@${path}`])).toContain('-c');
  });
});

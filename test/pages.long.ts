// The commands and snippets of docs/ that no other test runs (pages.ts has the list): in the order
// of their page, from an empty folder, by a user who owns nothing.

import { spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Folder, gcc, nobody } from './build.js';
import { blocks, type Block } from './readme.js';

const blocksOf = (path: string): Block[] => blocks(readFileSync(path, 'utf8'));

const other = nobody(join(process.cwd(), 'bin/launch.sh'));

function emptyFolder(): Folder {
  const folder = new Folder();
  for (const name of ['examples', 'scripts'])
    symlinkSync(join(process.cwd(), name), folder.file(name));
  if (other) chownSync(folder.path, other.uid, other.gid);
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
    ...other,
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

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Folder, gcc, tool } from '../build.js';
import { LONG } from '../more.js';
import { script } from '../readme.js';

const text = readFileSync('docs/runtime.md', 'utf8');
const env = { ...process.env, PATH: `${process.cwd()}/bin${delimiter}${process.env['PATH']}` };
const here = process.platform === 'linux' && process.arch === 'x64' && gcc !== null;
const shell = (folder: Folder, command: string): { stdout: string; stderr: string } =>
  spawnSync('sh', ['-ec', command], { cwd: folder.path, encoding: 'utf8', env });

describe.skipIf(!here)('docs/runtime.md', () => {
  if (LONG)
    it('builds a program with cc and by hand, and both print what it says', () => {
      using folder = new Folder();
      const { stdout, stderr } = shell(
        folder,
        script(text, () => true),
      );
      expect(text).toContain('prints `2 0 3`');
      expect(stderr).toBe('');
      expect(stdout).toBe('2 0 3\nserver.o: 3 sites, 1 tail\n2 0 3\n');
    });

  it.skipIf(!LONG || tool('make') === null)('says what a Makefile needs', () => {
    using folder = new Folder();
    const [, compiler = ''] = /`(CC = [^`]*)`/.exec(text) ?? [];
    folder.write('Makefile', `${compiler}\nserver: server.o\n`);
    const source = script(text, () => false);
    const { stdout } = shell(folder, `${source}\nmake -s server\n./server`);
    expect(stdout).toBe('2 0 3\n');
  });

  it.skipIf(!LONG || tool('cmake') === null)('says what CMake needs', () => {
    using folder = new Folder();
    const [, wrapped = ''] = /`(-DCMAKE_C_COMPILER_LAUNCHER=[^`]*)`/.exec(text) ?? [];
    const options = wrapped.replaceAll('\n', ' ');
    const lists =
      'cmake_minimum_required(VERSION 3.21)\nproject(p C)\nadd_executable(server server.c)';
    folder.write('CMakeLists.txt', lists);
    const source = script(text, () => false);
    const { stdout, stderr } = shell(
      folder,
      `${source}\ncmake -S . -B out ${options} >/dev/null\ncmake --build out >/dev/null\nout/server`,
    );
    expect(stderr).toBe('');
    expect(stdout).toBe('2 0 3\n');
  });
});

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { gcc, tool } from '../build.js';
import { LONG } from '../more.js';
import { Reader } from '../reader.js';
import { script } from '../readme.js';

const text = readFileSync('docs/runtime.md', 'utf8');
const here = process.platform === 'linux' && process.arch === 'x64' && gcc !== null;
const follow = (lines: string, files: Readonly<Record<string, string>>) => {
  using reader = new Reader();
  for (const [name, body] of Object.entries(files)) reader.write(name, body);
  return reader.run(`set -e\n${source}\n${lines}`);
};
const source = script(text, () => false);

// pages.long.ts follows its commands; these are sentences of it.
describe.skipIf(!here || !LONG)('docs/runtime.md', () => {
  it.skipIf(tool('make') === null)('says what a Makefile needs', () => {
    const [, compiler = ''] = /`(CC = [^`]*)`/.exec(text) ?? [];
    const { stdout } = follow('make -s server\n./server', {
      Makefile: `${compiler}\nserver: server.o\n`,
    });
    expect(stdout).toBe('2 0 3\n');
  });

  it.skipIf(tool('cmake') === null)('says what CMake needs', () => {
    const [, wrapped = ''] = /`(-DCMAKE_C_COMPILER_LAUNCHER=[^`]*)`/.exec(text) ?? [];
    const options = wrapped.replaceAll('\n', ' ');
    const lists =
      'cmake_minimum_required(VERSION 3.21)\nproject(p C)\nadd_executable(server server.c)';
    const { stdout, stderr } = follow(
      `cmake -S . -B out ${options} >/dev/null\ncmake --build out >/dev/null\nout/server`,
      { 'CMakeLists.txt': lists },
    );
    expect(stderr).toBe('');
    expect(stdout).toBe('2 0 3\n');
  });
});

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc, tool } from '../build.js';
import { LONG } from '../more.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

const folder = new Folder();
let library = '';
beforeAll(() => {
  if (gcc) library = compileProgram(folder, 'answers.c');
});
afterAll(() => folder[Symbol.dispose]());
const ask = <T = Record<string, unknown>>(what: string): T =>
  answer<T>(child('answers.mjs', [JSON.stringify({ library, what })]));

describe.skipIf(!gcc)('a user of an open program', () => {
  it('is answered with the name that was asked for last where a linker made one function of two', () => {
    expect(ask('two names of one function')).toEqual({
      names: ['work_one', 'work_same', 'work_two', 'work_same', 'work_one'],
      changes: [[], [['work_same', 'work_two']], [['work_two', 'work_same']], []],
    });
  });
  it('asks which sites a protocol takes for one target, and is told what update then says', () => {
    expect(ask('which sites take a target')).toEqual({
      any: null,
      empty: 'the changed bytes of the site cross a quadword',
      same: null,
      refused: 'not-inline',
      unknown: 'unknown-target',
      drift: 0,
    });
  });
  if (LONG)
    it('prints app.keys and sees the targets', () => {
      const { shown, json } = ask<{ shown: string; json: object }>('what the console shows');
      expect(shown).toContain("target: 'work_one'");
      expect(json).toEqual({
        name: 'work',
        target: 'work_one',
        targets: ['work_one', 'work_same', 'work_two'],
        sites: 2,
      });
    });
  it('gives undefined as a target and is told to leave the key out', () => {
    expect(ask('a target that is undefined')).toMatchObject({
      code: 'unknown-target',
      hint: expect.stringContaining('leave the key out') as string,
    });
  });
  it('opens a plug-in that lies in a memory file by /proc/self/fd/N', () => {
    expect(ask('a plug-in in a memory file')).toEqual({ called: 5, drift: 0 });
  });
  if (LONG)
    it('opens text that is sealed (mseal) with writer alias and is sent to procmem', ({ skip }) => {
      const got = ask('text that is sealed');
      if (got['skipped']) skip(String(got['skipped']));
      expect(got).toMatchObject({
        refused: { code: 'not-supported', hint: expect.stringContaining('procmem') },
        called: 5,
      });
    });
  if (LONG)
    it('opens text in shared memory with writer procmem and is sent to alias', () => {
      expect(ask('text in shared memory')).toMatchObject({
        refused: { code: 'no-text-write', hint: "open with writer 'alias'" },
        called: 5,
      });
    });
  if (LONG)
    it('opens it again with writer alias, and goes on updating the first one', () => {
      expect(ask('the same object opened again with writer alias')).toEqual({
        called: [5, 5],
        drift: 0,
      });
    });
  it('who sets a breakpoint between two sites finds it as it was set: only bytes of sites are written', () => {
    const { writes, outside } = ask<{ writes: number; outside: unknown[] }>(
      'what is written between two sites',
    );
    expect(writes).toBeGreaterThan(6);
    expect(outside).toEqual([]);
  });
  if (LONG)
    it('names no symbol by a name with a NUL in it', () => {
      expect(ask<string>('a name with a NUL')).toBe('unknown-target');
    });
});

describe.skipIf(!gcc)('a tool around the process', () => {
  const here = fileURLToPath(new URL('./children/answers.mjs', import.meta.url));
  const under = (words: readonly string[]): Record<string, unknown> => {
    const [program = '', ...args] = words;
    const request = JSON.stringify({ library, what: 'a refused open' });
    const done = spawnSync(program, [...args, here, request], {
      encoding: 'utf8',
      timeout: 120_000,
    });
    return JSON.parse(done.stdout.trim().split('\n').at(-1)!) as Record<string, unknown>;
  };
  it('that runs code as it was before it is changed is found before anything is patched', () => {
    expect(ask('a tool that runs code as it was')).toMatchObject({ code: 'not-supported' });
  });
  if (LONG)
    it.skipIf(!tool('valgrind'))('valgrind is refused with its flag, and goes with it', () => {
      const node = ['valgrind', '-q', '--tool=none', process.execPath];
      expect(under(node)).toEqual({
        code: 'not-supported',
        hint: 'start valgrind with --smc-check=all',
      });
      expect(under(node.toSpliced(2, 0, '--smc-check=all'))).toBe(null);
    });
  if (LONG)
    it('node --jitless and --no-addons are refused with the flag to leave out', () => {
      expect(under([process.execPath, '--jitless'])).toEqual({
        code: 'not-supported',
        hint: 'start node without --jitless',
      });
      const addons = spawnSync(
        process.execPath,
        [
          '--no-addons',
          '-e',
          `import('#machine/linux/native').then((m) => m.openNative()).catch((e) => console.log(e.code, e.hint))`,
        ],
        { encoding: 'utf8' },
      );
      expect(addons.stdout.trim()).toBe('not-supported start node without --no-addons');
    });
  if (LONG)
    it.skipIf(!tool('strace'))('strace is told of by doctor', ({ skip }) => {
      const done = spawnSync(
        'strace',
        ['-f', '-q', '-o', '/dev/null', process.execPath, 'bin/static-call', 'doctor'],
        { encoding: 'utf8' },
      );
      if (/not permitted/i.test(done.stderr)) skip('strace may not trace here');
      expect(done.stdout).toMatch(/tracer +missing +process \d+ traces this one/);
    });
});

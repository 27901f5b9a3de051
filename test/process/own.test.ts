// Programs: the one that runs, which is opened in place, and others, which are read and cannot be
// loaded.

import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { readElf } from '#elf/read';
import { keysOf } from '#keys/bind';
import { open, isFault } from '#index';
import { Folder, gcc, must } from '../build.js';
import { LONG, more } from '../more.js';
import { answer, child } from './child.js';
import { nodeWithCalls } from './own.js';
import { INCLUDE } from './programs.js';
import { WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

function refusal(path: string): { code: string; hint: string } {
  try {
    open(path).close();
  } catch (error) {
    if (isFault(error)) return { code: error.code, hint: error.hint };
    throw error;
  }
  throw new Error('it was opened');
}

describe.skipIf(!gcc)('an executable that has static calls itself and runs the runtime', () => {
  const programs = [false, true].map((writable) => (gcc ? nodeWithCalls(folder, writable) : null));
  function run(options: object, writable = false): ReturnType<typeof child> | null {
    const made = programs[Number(writable)]!;
    if (made === null) return null;
    const symbols = readElf(readFileSync(made.own)).symbols!;
    const at = (name: string): number =>
      symbols.value(
        Array.from({ length: symbols.count }, (_, i) => i).find((i) => symbols.name(i) === name)!,
      );
    return child(
      'own.mjs',
      [JSON.stringify({ options, pass: at('own_pass'), tail: at('own_tail'), two: at('own_two') })],
      { program: made.program },
    );
  }
  it.for([WAYS[0], ...more(WAYS[2])])(
    '$protocol, $writer: it is opened by its own path, and its sites are retargeted',
    (options, { skip }) => {
      const ended = run(options);
      if (ended === null) skip('this node is position-independent');
      const got = answer<{ sites: string[] }>(ended);
      expect(got).toMatchObject({
        before: [22, 11],
        after: [24, 12],
        zero: [0, 0],
        again: ['own_two', 24, 12],
        drift: 0,
        closed: [22, 11],
      });
      expect(got.sites.sort()).toEqual([
        'call own_pass inline',
        'jmp own_tail inline',
        'trampoline __SCT__own',
      ]);
    },
  );

  if (LONG)
    it('text that may be written where it runs is not mapped twice: its data would be lost', ({
      skip,
    }) => {
      const ended = run({ writer: 'alias' }, true);
      if (ended === null) skip('this node is position-independent');
      expect(ended.stderr).toMatch(/may be written where it runs/);
      expect([ended.status, ended.signal]).toEqual([1, null]);
      expect(answer(run({}, true)!)).toMatchObject({ after: [24, 12], closed: [22, 11] });
    });

  it('node as it is has none, and says so', () => {
    expect(refusal(process.execPath).code).toBe('no-sites');
  });
});

describe.skipIf(!gcc)('another executable', () => {
  const KINDS = [
    ['-pie', '-fPIE'],
    ...more(['-static-pie', '-fPIE'], ['-no-pie', '-fno-pie'], ['-static', '-no-pie', '-fno-pie']),
  ];
  it.for(KINDS)(
    '%s: its sites, keys and targets are read, and it runs as before with a table',
    (flags, { skip }) => {
      const path = folder.file(`program${flags[0]}`);
      const done = spawnSync(
        'gcc',
        [
          '-O2',
          ...flags,
          '-DPROGRAM',
          `-I${INCLUDE}`,
          fileURLToPath(new URL('./programs/own.c', import.meta.url)),
          '-o',
          path,
        ],
        { encoding: 'utf8' },
      );
      if (done.status !== 0) skip(`gcc cannot link ${flags[0]} here`);
      const [key] = keysOf(readElf(folder.read(`program${flags[0]}`)));
      expect(key).toMatchObject({
        name: 'own',
        returns: 'integer',
        initial: { kind: 'function', name: 'own_one' },
      });
      expect(key!.targets.map((t) => t.name)).toEqual(['own_one', 'own_two']);
      expect(key!.sites.map((s) => s.kind).sort()).toContain('jmp');
      expect(key!.sites.length).toBeGreaterThanOrEqual(2);
      const listed = `${path}-listed`;
      copyFileSync(path, listed);
      expect(must(process.execPath, ['bin/static-call', 'annotate', listed])).toContain(
        `${key!.sites.length} sites`,
      );
      expect(must(listed, ['a'])).toBe(must(path, ['a']));
      expect(
        keysOf(readElf(folder.read(`program${flags[0]}-listed`)))[0]!
          .sites.map((s) => s.at)
          .sort(),
      ).toEqual(key!.sites.map((s) => s.at).sort());
      expect(must(process.execPath, ['bin/static-call', 'types', path])).toContain(
        "readonly own: 'own_one' | 'own_two' | 'ret0'",
      );
      // The dynamic linker loads no program into another; what helps is said.
      expect(refusal(path)).toMatchObject({
        code: 'not-loaded',
        hint: expect.stringMatching(/-shared/),
      });
    },
  );

  if (LONG)
    it('a stripped program is read by its records', () => {
      const path = folder.file('stripped');
      must('gcc', [
        '-O2',
        '-s',
        '-DPROGRAM',
        `-I${INCLUDE}`,
        fileURLToPath(new URL('./programs/own.c', import.meta.url)),
        '-o',
        path,
      ]);
      expect(keysOf(readElf(folder.read('stripped')))[0]).toMatchObject({
        name: 'own',
        sites: expect.arrayContaining([expect.objectContaining({ kind: 'jmp' })]),
      });
    });
});

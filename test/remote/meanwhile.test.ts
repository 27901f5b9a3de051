// A program that does something of its own while a tool changes it. The long run begins it at every
// step of an attach and an update, the short one where it went wrong once.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { LONG, more } from '../more.js';
import { compileTarget, mayAttach } from './running.js';

const linux = process.platform === 'linux' && process.arch === 'x64';
const root = process.getuid?.() === 0;
const CHILD = fileURLToPath(new URL('./children/meanwhile.mjs', import.meta.url));

interface Said {
  readonly steps: number;
  readonly outcomes: readonly string[];
  readonly wrongs: readonly string[];
}

describe.skipIf(!(linux && gcc !== null && mayAttach()))('while it is changed, a program', () => {
  const folder = new Folder();
  let program = '';
  beforeAll(() => void (program = compileTarget(folder, 'meanwhile.c')));
  afterAll(() => folder[Symbol.dispose]());

  it.for([
    ['executes another program', 'exec', ['run masked', 'run done'], 1],
    ...more(
      [
        'closes all of its descriptors',
        'close all',
        ['memfd_create made', 'mmap masked', 'mmap made'],
        0,
      ],
      ['ends', 'exit', [], 1],
      ['forks', 'fork', [], 3],
      ['forks by vfork and executes', 'vfork', [], 3],
      ['installs a handler of SIGTRAP', 'handler', [], 3],
      ['blocks SIGTRAP in a thread', 'block', [], 3],
      ...(root ? [['drops root', 'drop root', [], 3] as const] : []),
    ),
  ] as const)('%s', { timeout: 900_000 }, ([, action, names, every]) => {
    // 0: at the named steps alone, in the long run too. Between the tool's last look at a number and
    // its close() of it, the program may give the number to another file (docs/attach.md).
    const whole = LONG && every > 0;
    const asked = whole ? { action, every } : { action, every: 1, names };
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [CHILD, program, JSON.stringify(asked)],
      { encoding: 'utf8' },
    );
    expect(stdout, stderr).not.toBe('');
    const { outcomes, wrongs } = JSON.parse(stdout) as Said;
    expect(wrongs).toEqual([]);
    expect(outcomes.length).toBeGreaterThanOrEqual(whole ? 20 : names.length);
  });
});

// The two commands on a fresh checkout without node_modules, with the settings of npm that have
// broken first runs elsewhere.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc, must, owner, tool } from './build.js';
import { promised, readme, script } from './readme.js';

const git = tool('git') !== null && existsSync('.git');
const missing = !git ? 'this is no git checkout' : !gcc ? 'gcc is not installed' : '';

/** As a shell has it in which neither npm nor vitest is running. */
const clean = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) =>
      !/^(npm_|VITEST|NODE_ENV$|NODE_OPTIONS$|INIT_CWD$|TEST$|PROD$|DEV$|MODE$|SSR$|BASE_URL$)/.test(
        name,
      ),
  ),
);

describe.each([
  ['as it is', {}],
  ['with ignore-scripts', { npm_config_ignore_scripts: 'true' }],
  ['for production', { NODE_ENV: 'production' }],
  ['with both', { npm_config_ignore_scripts: 'true', NODE_ENV: 'production' }],
])('a fresh checkout, %s', (what, settings: Record<string, string>) => {
  const folder = new Folder();
  const npm = (...args: string[]) =>
    spawnSync('npm', args, {
      cwd: folder.file('static-call'),
      encoding: 'utf8',
      maxBuffer: 1 << 26,
      env: { ...clean, ...settings },
    });

  beforeAll(() => {
    if (!missing) must('git', ['clone', '--quiet', process.cwd(), folder.file('static-call')]);
  });
  afterAll(() => folder[Symbol.dispose]());

  it('starts: nothing wrong, every target called, and only the answer on stdout', ({ skip }) => {
    skip(missing !== '', missing);
    expect(existsSync(folder.file('static-call/node_modules'))).toBe(false);
    const done = npm('start', '--silent', '--', '--json');
    expect(done.status, done.stderr).toBe(0);
    const told = JSON.parse(done.stdout) as {
      schema: string;
      wrong: number;
      calls: number;
      targets: Record<string, number>;
    };
    expect(told.schema).toBe('static-call/demo@1');
    expect(told.wrong).toBe(0);
    expect(told.calls).toBeGreaterThan(0);
    expect(Object.keys(told.targets).length).toBeGreaterThan(5);
    expect(Math.min(...Object.values(told.targets))).toBeGreaterThan(0);
  });

  // A part of it, with everything against it: .ci/run runs the whole on a checkout as fresh.
  if (what === 'with both') {
    it('tests', ({ skip }) => {
      skip(missing !== '', missing);
      const done = npm('test', '--', 'test/asm', 'test/process/sharing.test.ts');
      // What failed is on stderr, the count on stdout.
      expect(done.status, `${done.stderr.slice(-6000)}\n${done.stdout.slice(-1000)}`).toBe(0);
      expect(done.stdout).toMatch(/Tests .*\d passed/);
    });
  }
});

describe('the README and docs/cmake.md, followed from a fresh checkout without root', () => {
  it('lead to retargeted programs of the reader: every command, in its order', ({ skip }) => {
    skip(missing !== '', missing);
    skip(tool('cmake') === null, 'cmake is not installed');
    using folder = new Folder();
    must('git', ['clone', '--quiet', process.cwd(), folder.file('static-call')]);
    const user = owner(folder);
    const pages = [readme(), readFileSync('docs/cmake.md', 'utf8')];
    const followed = spawnSync(
      'sh',
      ['-ec', pages.map((page) => script(page, () => true)).join('\n')],
      {
        cwd: folder.file('static-call'),
        encoding: 'utf8',
        env: { ...clean, HOME: folder.path },
        ...user,
      },
    );
    expect(followed.status, followed.stderr).toBe(0);
    const printed = followed.stdout.trimEnd().split('\n');
    const wanted = pages.map((page) => promised(page));
    expect(printed.slice(-2)).toEqual(wanted[1]);
    expect(printed.filter((line) => wanted[0]!.includes(line))).toEqual(wanted[0]);
    expect(followed.stdout).toMatch(/wrong results +0\n/);
    if (user) expect(statSync(folder.file('tone/main.js')).uid).toBe(user.uid);
  });
});

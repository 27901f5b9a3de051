// The packed file as those who judge packages see it, and as a user's older compiler does. The
// tools come from the registry, at the versions named here; where it is not reached, nothing of
// this can be said.

import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { chownSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc, nobody, packInto, tool } from './build.js';
import { promised, script } from './readme.js';

const TOOLS = ['publint@0.3.25', '@arethetypeswrong/cli@0.18.5', 'typescript@5.4.5'];
const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const npm = (...words: string[]): SpawnSyncReturns<string> =>
  spawnSync('npm', words, { cwd: folder.path, encoding: 'utf8', timeout: 180_000 });
const run = (name: string, ...words: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [folder.file(`node_modules/${name}`), ...words], {
    cwd: folder.path,
    encoding: 'utf8',
    timeout: 120_000,
  });

let packed = '';
let missing: string | null = null;
let npmSeconds = 0;
beforeAll(() => {
  folder.write('package.json', '{ "name": "judge", "private": true, "type": "module" }');
  packed = folder.file(packInto(folder).filename);
  const quiet = [
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    '--fetch-retries=1',
    '--fetch-retry-mintimeout=1000',
  ];
  const began = performance.now();
  const done = npm('install', ...quiet, packed, ...TOOLS);
  npmSeconds = (performance.now() - began) / 1000;
  if (done.status !== 0) missing = `the registry is not reached: ${firstLine(done.stderr)}`;
});
const firstLine = (text: string): string => text.split('\n', 1)[0] || 'npm did not end';

const CONSUMER = `
import { attach, isFault, open, target, unchecked, type App, type Update } from 'static-call';
import { check, type CheckReport } from 'static-call/check';

type Keys = { blend: 'a' | 'b'; trace: 'ring' | null; tracing: boolean };
const app: App<Keys> = open<Keys>('./x.so', { protocol: 'int3' });
const update: Update = app.update({ blend: 'b', trace: null, tracing: true });
app.update({ blend: target((a: number, b: number) => a + b, 'int (int, int)') });
app.update({ trace: unchecked('mine') });
update.undo();
// @ts-expect-error: no target of this name
app.update({ blend: 'c' });
try { attach<Keys>(1).detach(); } catch (error) { if (!isFault(error)) throw error; }
const report: CheckReport = await check(['naive'], { passes: 1 });
report.runs.map(({ properties }) => properties.torn.verdict);
`;

describe('the package', () => {
  it('is taken by npm as it stands', ({ skip }) => {
    skip(missing !== null, missing ?? '');
    // Offline, or npm would ask the registry whether the version is there.
    const words = ['publish', '--dry-run', '--ignore-scripts', '--json', '--offline', packed];
    const done = npm(...words);
    expect(done.status, done.stderr).toBe(0);
    expect(done.stderr).not.toMatch(/auto-corrected|errors corrected/);
  });

  it('has nothing that publint remarks', ({ skip }) => {
    skip(missing !== null, missing ?? '');
    const done = run('publint/src/cli.js', packed, '--strict');
    expect(done.stdout).toMatch(/All good!/);
    expect(done.status, done.stdout + done.stderr).toBe(0);
  });

  it('has types that resolve for each way of resolving that can load it', ({ skip }) => {
    skip(missing !== null, missing ?? '');
    const done = run('@arethetypeswrong/cli/dist/index.js', packed, '--profile', 'esm-only');
    expect(done.status, done.stdout + done.stderr).toBe(0);
  });

  it.for(['node16', 'nodenext', 'bundler'])(
    'is compiled against by TypeScript 5.4, which reads all its declarations: %s',
    (resolution, { skip }) => {
      skip(missing !== null, missing ?? '');
      folder.write('user.ts', CONSUMER);
      const module = resolution === 'bundler' ? 'esnext' : resolution;
      const compilerOptions = {
        noEmit: true,
        strict: true,
        target: 'es2022',
        module,
        moduleResolution: resolution,
        types: [],
        skipLibCheck: false,
      };
      folder.write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['user.ts'] }));
      const done = run('typescript/bin/tsc', '-p', '.');
      expect(done.stdout).toBe('');
      expect(done.status).toBe(0);
    },
  );

  it('leads someone without root from an empty folder to a hook of their own: docs/cmake.md', ({
    skip,
  }) => {
    skip(missing !== null, missing ?? '');
    skip(!gcc || !tool('cmake') || !tool('make'), 'gcc, cmake or make is not installed');
    const page = readFileSync('docs/cmake.md', 'utf8');
    const made = folder.file('tone');
    mkdirSync(made);
    // What npm would install lies in the folder above.
    symlinkSync('../node_modules', join(made, 'node_modules'));
    const commands = script(page, (command) => !/^npm |^mkdir /.test(command));
    const other = nobody();
    if (other) for (const path of [folder.path, made]) chownSync(path, other.uid, other.gid);
    const began = performance.now();
    const done = spawnSync('sh', ['-ec', commands], {
      cwd: made,
      encoding: 'utf8',
      timeout: 300_000,
      env: { PATH: process.env['PATH'], HOME: made, npm_config_update_notifier: 'false' },
      ...other,
    });
    expect(done.stderr).toBe('');
    expect(done.status, done.stdout).toBe(0);
    expect(done.stdout).toContain('libtone.so: 1 site, 1 tail\n');
    expect(done.stdout.endsWith(`${promised(page).join('\n')}\n`)).toBe(true);
    expect(promised(page)).toEqual(['4', '32']);
    if (other) expect(statSync(join(made, 'main.js')).uid).toBe(other.uid);
    const seconds = (npmSeconds + (performance.now() - began) / 1000).toFixed(0);
    const typed = commands.trim().split('\n').length;
    console.log(
      `docs/cmake.md: ${typed} lines to type, ${seconds} s of the machine's with npm install`,
    );
  });
});

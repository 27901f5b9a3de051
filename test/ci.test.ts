// The count at the end of .ci/run: nothing that ended badly may be missing from it.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { count } from '../.ci/count.mjs';
import { Folder } from './build.js';

const file = (status: string, ...ends: string[]) => ({
  status,
  assertionResults: ends.map((end) => ({ status: end })),
});

describe('the count', () => {
  it.each([
    [
      'passed and skipped tests',
      [file('passed', 'passed', 'passed', 'skipped')],
      0,
      { passed: 2, failed: 0, skipped: 1 },
    ],
    [
      'a failed test, once',
      [file('failed', 'passed', 'failed')],
      1,
      { passed: 1, failed: 1, skipped: 0 },
    ],
    [
      'a file that could not be loaded',
      [file('passed', 'passed'), file('failed')],
      1,
      { passed: 1, failed: 1, skipped: 0 },
    ],
    [
      'a hook that failed after its tests passed',
      [file('failed', 'passed')],
      1,
      { passed: 1, failed: 1, skipped: 0 },
    ],
    [
      'a test that never finished',
      [file('passed', 'passed', 'pending')],
      1,
      { passed: 1, failed: 1, skipped: 0 },
    ],
    [
      'an error outside all tests',
      [file('passed', 'passed')],
      1,
      { passed: 1, failed: 1, skipped: 0 },
    ],
    ['a run without tests', [], 0, { passed: 0, failed: 1, skipped: 0 }],
  ])('counts %s', (_what, testResults, status, total) => {
    expect(count({ testResults }, status)).toEqual(total);
  });

  it('counts a report that was never written', () => {
    expect(count(null, 0)).toEqual({ passed: 0, failed: 1, skipped: 0 });
    const done = spawnSync(process.execPath, ['.ci/count.mjs', 'gone.json', '0'], {
      encoding: 'utf8',
    });
    expect([done.status, done.stdout]).toEqual([1, '0 passed, 1 failed\n']);
  });

  it.each([
    ['0', '1 passed, 0 failed\n'],
    ['1', '0 passed, 1 failed\n'],
  ])('counts a command that ended with status %s as one test', (status, closing) => {
    const done = spawnSync(process.execPath, ['.ci/count.mjs', 'lint', status], {
      encoding: 'utf8',
    });
    expect(done.stdout).toBe(closing);
  });

  it('counts a worker that crashed, in a real run, and tells why a test was skipped', () => {
    using folder = new Folder();
    folder.write(
      'good.test.mjs',
      `import { test } from 'vitest'; test('good', () => {}); test('not here', ({ skip }) => skip('no compiler'));`,
    );
    folder.write(
      'bad.test.mjs',
      `import { test } from 'vitest'; test('crashes', () => process.kill(process.pid, 'SIGKILL'));`,
    );
    const reporters = [
      '--reporter',
      `${process.cwd()}/test/skipped.ts`,
      '--reporter',
      'json',
      '--outputFile.json',
      folder.file('report.json'),
    ];
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')),
    );
    const run = spawnSync(
      process.execPath,
      ['node_modules/vitest/vitest.mjs', 'run', '--root', folder.path, ...reporters],
      { encoding: 'utf8', env },
    );
    expect(run.status).toBe(1);
    expect(count(JSON.parse(readFileSync(folder.file('report.json'), 'utf8')), run.status)).toEqual(
      { passed: 1, failed: 1, skipped: 1 },
    );
    expect(run.stdout).toMatch(/Skipped:\n +1 {2}no compiler \(.*good\.test\.mjs\)/);
  });
});

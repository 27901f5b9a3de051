import { spawn } from 'node:child_process';
import { chmodSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { more } from '../more.js';
import { Folder, gcc } from '../build.js';

const BIN = join(process.cwd(), 'bin', 'static-call');

/** The demo with a slow compiler, ended as soon as its folder is there; what is left then. */
async function ended(
  signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP',
  compiler: string,
): Promise<{ status: number | null; signal: string | null; left: string[] }> {
  using folder = new Folder();
  const child = spawn(process.execPath, [BIN, 'demo', '--seconds', '30'], {
    // A group of its own: Ctrl-C reaches the compiler too.
    detached: true,
    stdio: 'ignore',
    env: { ...process.env, TMPDIR: folder.path, CC: compiler },
  });
  const gone = new Promise<[number | null, string | null]>((resolve) => {
    child.on('close', (status, by) => resolve([status, by]));
  });
  while (readdirSync(folder.path).length === 0 && child.exitCode === null) await setTimeout(5);
  await setTimeout(50);
  process.kill(-child.pid!, signal);
  const [status, by] = await gone;
  return { status, signal: by, left: readdirSync(folder.path) };
}

describe.skipIf(!gcc)('the demo (skipped without gcc)', () => {
  test.concurrent.each(['SIGINT', ...more('SIGTERM', 'SIGHUP')] as const)(
    'leaves no folder behind where %s ends it while it compiles',
    async (signal) => {
      using folder = new Folder();
      const slow = folder.write('slow', '#!/bin/sh\nsleep 0.3\nexec gcc "$@"\n');
      chmodSync(slow, 0o755);
      const { status, signal: by, left } = await ended(signal, slow);
      expect(left).toEqual([]);
      expect([status, by]).toEqual(signal === 'SIGINT' ? [130, null] : [null, signal]);
    },
  );
});

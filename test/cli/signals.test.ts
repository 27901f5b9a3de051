// What a command keeps in a temporary folder is gone when a signal ends it, whichever it is. The
// demo, which listens to Ctrl-C itself, is tested beside it (demo.test.ts).

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Folder, gcc } from '../build.js';

const BIN = join(process.cwd(), 'bin', 'static-call');
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Starts a command with a folder for temporary files, and ends it as soon as one is there. */
async function left(
  folder: Folder,
  words: readonly string[],
  signal: NodeJS.Signals,
): Promise<{ by: unknown; files: string[] }> {
  const tmp = folder.file('tmp');
  mkdirSync(tmp);
  const child: ChildProcess = spawn(process.execPath, [BIN, ...words], {
    stdio: 'ignore',
    env: { ...process.env, TMPDIR: tmp, HOME: folder.path },
  });
  const gone = once(child, 'close');
  while (readdirSync(tmp).length === 0 && child.exitCode === null) await setTimeout(5);
  child.kill(signal);
  const [status, by] = (await gone) as [number | null, string | null];
  return { by: by ?? status, files: readdirSync(tmp) };
}

describe.each(SIGNALS)('%s', (signal) => {
  test.skipIf(!gcc)('leaves nothing of cc --runtime (skipped without gcc)', async () => {
    using folder = new Folder();
    const slow = folder.write(
      'slow',
      '#!/bin/sh\ncase "$*" in *--version) exec gcc "$@" ;; esac\nexec sleep 2\n',
    );
    chmodSync(slow, 0o755);
    folder.write('a.c', 'int main(void) { return 0; }\n');
    expect(
      await left(
        folder,
        ['cc', '--runtime', '--', slow, folder.file('a.c'), '-o', folder.file('a')],
        signal,
      ),
    ).toEqual({ by: signal, files: [] });
  });

  test('leaves nothing of inspect --live on a machine that never answers', async () => {
    using folder = new Folder();
    const silent = createServer(() => {});
    await once(silent.listen(folder.file('qmp')), 'listening');
    try {
      expect(
        await left(folder, ['inspect', '--live', `qmp:${folder.file('qmp')}`], signal),
      ).toEqual({ by: signal, files: [] });
    } finally {
      silent.close();
    }
  });
});

// Ctrl-C it takes as the wish to stop, and ends when the measurement of the moment does.
test.skipIf(!gcc)('SIGTERM leaves nothing of bench (skipped without gcc)', async () => {
  using folder = new Folder();
  const words = ['bench', '--quick', '--only', 'call', '--seconds', '30'];
  expect((await left(folder, words, 'SIGTERM')).files).toEqual([]);
});

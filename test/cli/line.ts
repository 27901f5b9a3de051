// One command line run in this process, with what it wrote; and the same in a process of its own.

import { spawnSync } from 'node:child_process';
import { main } from '#cli/main';

export interface Said {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function line(
  argv: readonly string[],
  env: Record<string, string> = {},
): Promise<Said> {
  const said = { stdout: '', stderr: '' };
  const status = await main(argv, {
    stdout: { write: (text: string) => void (said.stdout += text) },
    stderr: { write: (text: string) => void (said.stderr += text) },
    env,
  });
  return { status, ...said };
}

export function spawned(argv: readonly string[], env: Record<string, string> = {}): Said {
  const done = spawnSync(process.execPath, ['bin/static-call', ...argv], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { status: done.status ?? -1, stdout: done.stdout, stderr: done.stderr };
}

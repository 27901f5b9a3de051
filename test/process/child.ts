import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { nobody } from '../build.js';
import { making, type Mistake } from '../mistake/mistake.js';

export interface Ended {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ChildOptions {
  readonly timeoutMs?: number;
  readonly env?: Record<string, string>;
  /** What ships is changed so for this child. */
  readonly mistake?: Mistake;
  /** What runs it, in place of this node. */
  readonly program?: string;
  /** Who runs it, if not the user of the tests. */
  readonly user?: ReturnType<typeof nobody>;
}

/** Runs `children/NAME` in a process of its own: what it does may kill it, and that is a result. */
export function child(
  name: string,
  args: readonly string[] = [],
  options: ChildOptions = {},
): Ended {
  const path = fileURLToPath(new URL(`./children/${name}`, import.meta.url));
  const done = spawnSync(options.program ?? process.execPath, [path, ...args], {
    encoding: 'utf8',
    timeout: options.timeoutMs ?? 60_000,
    env: { ...process.env, ...options.env, ...(options.mistake && making(options.mistake)) },
    maxBuffer: 1 << 26,
    ...options.user,
  });
  if (options.mistake && /places that read: /.test(done.stderr)) throw new Error(done.stderr);
  return { status: done.status, signal: done.signal, stdout: done.stdout, stderr: done.stderr };
}

/** The JSON value that the child printed last; a child that died is told with what it said. */
export function answer<T>(ended: Ended): T {
  if (ended.status !== 0)
    throw new Error(
      `the child ended with status ${ended.status}, signal ${ended.signal}\n${ended.stderr}\n${ended.stdout}`,
    );
  return JSON.parse(ended.stdout.trim().split('\n').at(-1)!) as T;
}

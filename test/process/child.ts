import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface Ended {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `children/NAME` in a process of its own: what it does may kill it, and that is a result. */
export function child(name: string, args: readonly string[] = [], options: { timeoutMs?: number; env?: Record<string, string> } = {}): Ended {
  const path = fileURLToPath(new URL(`./children/${name}`, import.meta.url));
  const done = spawnSync(process.execPath, [path, ...args], { encoding: 'utf8', timeout: options.timeoutMs ?? 60_000, env: { ...process.env, ...options.env }, maxBuffer: 1 << 26 });
  return { status: done.status, signal: done.signal, stdout: done.stdout, stderr: done.stderr };
}

/** The JSON value that the child printed last; a child that died is told with what it said. */
export function answer<T>(ended: Ended): T {
  if (ended.status !== 0) throw new Error(`the child ended with status ${ended.status}, signal ${ended.signal}\n${ended.stderr}\n${ended.stdout}`);
  return JSON.parse(ended.stdout.trim().split('\n').at(-1)!) as T;
}

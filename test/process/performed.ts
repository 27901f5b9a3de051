// Protocols performed on the CPU at hand, through the command line.

import { line } from '../cli/line.js';
import { complaints } from '../cli/schema.js';

interface Run {
  readonly name: string;
  readonly offset: number;
  readonly updates: number;
  readonly calls: number;
  readonly seen: Readonly<Record<string, number>>;
  readonly mixtures: Readonly<Record<string, number>>;
  readonly met: boolean;
  readonly far: boolean;
  readonly allowed: readonly { readonly fetch: string; readonly chunk: string }[];
  readonly strictest: readonly { readonly fetch: string; readonly chunk: string }[];
  readonly skipped: string | null;
}

export async function performed(seconds: number, ...words: string[]): Promise<[number, Run]> {
  const flags = ['--litmus', '--json', '--seconds-max', String(seconds)];
  const { status, stdout, stderr } = await line(['check', ...words, ...flags]);
  if (stdout === '') throw new Error(stderr);
  const value = JSON.parse(stdout) as { runs: Run[] };
  if (complaints(value).length > 0) throw new Error(complaints(value).join('\n'));
  const { runs } = value;
  return [status, runs[0]!];
}

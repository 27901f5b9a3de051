// Asks the real CPU the programs of plan/litmus.ts, each in a process of its own: what a torn call
// does to that process is a result. Says what was seen in the words of the model, and how often.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { InvariantError } from '../base/invariant.js';
import { LANDINGS, ORDERS, type LitmusOutcome, type LitmusProgram } from '../plan/litmus.js';
import type { SiliconCounts } from './silicon.js';

export interface Seen {
  readonly program: LitmusProgram;
  readonly updates: number;
  readonly calls: number;
  /** Outcomes that were seen at all, with how often. */
  readonly seen: Readonly<Partial<Record<LitmusOutcome, number>>>;
  /**
   * Torn calls by which bytes of the displacement were the new ones, the lowest first: `0011` is
   * old, old, new, new.
   */
  readonly mixtures: Readonly<Record<string, number>>;
  /** The signal that ended the process: something was executed that is no landing. */
  readonly crash: string | null;
  /** Why it was not asked. */
  readonly skipped: string | null;
}

export interface AskOptions {
  readonly milliseconds: number;
  readonly signal?: AbortSignal;
}

/** What this CPU calls itself. */
export function cpuName(): string {
  const name = cpus()[0]?.model ?? 'unknown';
  try {
    const info = readFileSync('/proc/cpuinfo', 'utf8');
    const field = (key: string): string =>
      new RegExp(`^${key}\\s*: (.*)$`, 'm').exec(info)?.[1] ?? '?';
    return (
      `${name} (family ${field('cpu family')}, model ${field('model')}, ` +
      `stepping ${field('stepping')})`
    );
  } catch {
    return name;
  }
}

/** Why no CPU can be asked here, or null. */
export function whyNot(): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `this is ${process.platform} on ${process.arch}`;
  return cpus().length < 2 ? 'there is one CPU' : null;
}

export async function ask(
  program: LitmusProgram,
  { milliseconds, signal }: AskOptions,
): Promise<Seen> {
  const path = fileURLToPath(new URL('./silicon.js', import.meta.url));
  const child = spawn(process.execPath, [path, JSON.stringify({ program, milliseconds })], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal ? { signal } : {}),
    timeout: 60_000 + 20 * milliseconds,
    killSignal: 'SIGKILL',
  });
  let [answer, said] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (answer += data.toString()));
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const [status, killed] = await new Promise<[number | null, NodeJS.Signals | null]>(
    (resolve, reject) => {
      child.on('error', reject);
      child.on('close', (...ended) => resolve(ended));
    },
  );
  const nothing = {
    program,
    updates: 0,
    calls: 0,
    seen: {},
    mixtures: {},
    crash: null,
    skipped: null,
  };
  if (killed === 'SIGKILL') return { ...nothing, skipped: 'it did not end in time' };
  // Executed was something that is neither instruction, and no landing either.
  if (killed !== null) return { ...nothing, seen: { mixed: 1 }, crash: killed };
  if (status !== 0)
    throw new InvariantError(
      `asking the CPU ${program.name} ended with status ${status}: ${said.trim()}`,
    );
  const { updates, calls, traps, counts, skipped }: SiliconCounts = JSON.parse(answer);
  if (skipped !== undefined) return { ...nothing, skipped };
  return {
    program,
    updates,
    calls,
    seen: classify(program, counts, traps),
    mixtures: mixturesOf(program, counts),
    crash: null,
    skipped: null,
  };
}

/** Landings 0 and 15 are the two calls; 16 is what does nothing in place of the old one. */
function classify(
  { watch, from }: LitmusProgram,
  counts: readonly number[],
  traps: number,
): Seen['seen'] {
  const at = (i: number): number => counts[i] ?? 0;
  const all = counts.reduce((a, b) => a + b, 0);
  const whole = at(15) + at(from === 'call' ? 0 : 16);
  const rows: readonly (readonly [LitmusOutcome, number])[] =
    watch === 'landing'
      ? [
          [LANDINGS[0], whole],
          [LANDINGS[1], all - whole],
          [LANDINGS[2], traps],
        ]
      : ORDERS.map((outcome, i) => [outcome, at(i)]);
  return Object.fromEntries(rows.filter(([, n]) => n > 0));
}

function mixturesOf({ watch, from }: LitmusProgram, counts: readonly number[]): Seen['mixtures'] {
  if (watch === 'order') return {};
  const torn = counts
    .map((n, mask) => [[0, 1, 2, 3].map((i) => (mask >> i) & 1).join(''), n, mask] as const)
    .filter(([, n, mask]) => n > 0 && mask < 15 && (mask > 0 || from !== 'call'));
  return Object.fromEntries(torn);
}

// Starts the comparisons with the real CPU; a crash is an answer that names the instruction.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answer, child } from './child.js';

export interface Comparison {
  readonly cases: number;
  /** Cases by row of the instruction table, or by what the handler was to emulate. */
  readonly rows: Readonly<Record<string, number>>;
  /** Of those beside, how many were a condition with a combination of flags. */
  readonly conditions?: number;
  readonly problems: number;
  readonly disagreements: readonly string[];
  readonly skipped?: string;
}

export const here = process.platform === 'linux' && process.arch === 'x64';

/** Random instructions; of one row, and with a mutant of its semantics, where named. */
export function instructions(cases: number, seed: number, row = '', mutant = ''): Comparison {
  const folder = mkdtempSync(join(tmpdir(), 'static-call-silicon-'));
  try {
    const progress = join(folder, 'case');
    const ended = child('silicon.mjs', [String(cases), String(seed), row, mutant, progress], {
      timeoutMs: 600_000,
    });
    if (ended.status === 0) return answer<Comparison>(ended);
    const last = readFileSync(progress, { encoding: 'utf8', flag: 'a+' }).trim();
    throw new Error(
      `the comparison ended by ${ended.signal ?? `status ${ended.status}`} at ${last || 'its start'}\n${ended.stderr}`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Random contexts through the whole SIGTRAP handler. */
export function contexts(cases: number, seed: number, mutant = ''): Comparison {
  return answer<Comparison>(
    child('sigtrap.mjs', [String(cases), String(seed), mutant], { timeoutMs: 600_000 }),
  );
}

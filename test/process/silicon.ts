// Starts the comparison with the real CPU; a crash is an answer that names the instruction.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Comparison {
  readonly cases: number;
  readonly rows: Readonly<Record<string, number>>;
  readonly problems: number;
  readonly disagreements: readonly string[];
  readonly skipped?: string;
}

const CHILD = fileURLToPath(new URL('./silicon.child.mjs', import.meta.url));
export const here = process.platform === 'linux' && process.arch === 'x64';

export function compare(cases: number, seed: number, row = '', mutant = ''): Comparison {
  const folder = mkdtempSync(join(tmpdir(), 'static-call-silicon-'));
  try {
    const progress = join(folder, 'case');
    const child = spawnSync(process.execPath, [CHILD, String(cases), String(seed), row, mutant, progress], { encoding: 'utf8', timeout: 600_000 });
    if (child.status !== 0) {
      const last = readFileSync(progress, { encoding: 'utf8', flag: 'a+' }).trim();
      throw new Error(`the comparison ended by ${child.signal ?? `status ${child.status}`} at ${last || 'its start'}\n${child.stderr}`);
    }
    return JSON.parse(child.stdout) as Comparison;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

import { cpus } from 'node:os';
import { expect } from 'vitest';
import { answer, child } from './child.js';

interface Gated {
  compared: number;
  regressions: { row: string; before: number; after: number }[];
}
export interface Benched {
  rows: Record<string, Record<string, { rows: number; missing: string[] }>>;
  again: Gated | null;
  slowed: Gated | null;
}

export const bench = (...runs: string[]): Benched =>
  answer<Benched>(child('bench.mjs', runs, { timeoutMs: 150_000 }));

const RUNNING = [
  'An update: one thread running, elsewhere in the program',
  'An update: one thread calling through the sites all the time',
  'An update: two threads calling through the sites all the time',
  'The pause: the longest gap between two passes of the running thread, while',
];
const WHY = 'a thread that should run was not on a CPU just before a sample';

/**
 * The rows that claim a running thread are refused, and the others are there: what was refused is
 * the claim and not the run.
 */
export function expectRefused({ rows }: Benched): void {
  for (const title of RUNNING) {
    expect(rows['stopped']![title]!.rows, title).toBe(0);
    if (cpus().length > 1) expect(rows['stopped']![title]!.missing.join(), title).toContain(WHY);
  }
  expect(rows['stopped']!['An update: no thread running']!.rows).toBeGreaterThan(2);
}

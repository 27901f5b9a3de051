// Two runs held against each other, by ratios alone: a ratio was taken within one run, so the
// machine's speed is not in it. A row is worse where its ratio grew by more than both runs' own
// noise can explain.

import { Fault } from '../base/fault.js';
import { readWhole } from '../base/file.js';
import type { BenchResult, Row, Table } from './result.js';

export const SCHEMA = 'static-call/bench@1';

export interface Regression {
  readonly table: string;
  readonly row: string;
  readonly before: number;
  readonly after: number;
  /** Growth that would have been accepted, as a part. */
  readonly tolerance: number;
}

export interface Verdict {
  /** Rows that both runs have, with samples enough. */
  readonly compared: number;
  readonly regressions: readonly Regression[];
}

/**
 * Below this nothing is told from chance, however quiet a run seemed: cache placement differs from
 * run to run.
 */
const LEAST = 0.15;
/** Quartiles of a run's own rounds, in this multiple: half of all rounds lie inside one. */
const SPREADS = 4;
/** Quartiles of fewer samples say nothing of the next run's. */
const FEWEST = 20;

function tolerance(table: Table, row: Row): number {
  return Math.max(LEAST, SPREADS * row.ratio!.spread, 2 * (table.noise ?? 0));
}

/** Rates are better the higher, everything else the lower. */
const worse = (row: Row, from: number, to: number): number =>
  (row.unit === 'per second' ? from / to : to / from) - 1;

export function compare(before: BenchResult, after: BenchResult): Verdict {
  const regressions: Regression[] = [];
  let compared = 0;
  for (const table of after.tables) {
    if (table.unheld !== undefined) continue;
    const old = before.tables.find((t) => t.group === table.group && t.title === table.title);
    for (const row of table.rows) {
      const was = old?.rows.find((r) => r.id === row.id);
      if (!old || !row.ours || !row.ratio || !was?.ratio || was.ratio.to !== row.ratio.to) continue;
      if (Math.min(row.samples, was.samples) < FEWEST) continue;
      compared++;
      const accepted = tolerance(table, row) + tolerance(old, was);
      if (worse(row, was.ratio.value, row.ratio.value) > accepted)
        regressions.push({
          table: table.title,
          row: row.name,
          before: was.ratio.value,
          after: row.ratio.value,
          tolerance: accepted,
        });
    }
  }
  return { compared, regressions };
}

/** What `bench --json` wrote. @throws Fault `no-such-file`, `unreadable-file`, `bad-usage` */
export function readStored(path: string): BenchResult {
  const text = Buffer.from(readWhole(path)).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Fault('bad-usage', 'it is not JSON', {
      at: path,
      cause,
      hint: 'give what `static-call bench --json` wrote',
    });
  }
  const stored = value as { schema?: unknown; tables?: unknown };
  if (stored?.schema !== SCHEMA || !Array.isArray(stored.tables))
    throw new Fault('bad-usage', `its schema is ${String(stored?.schema)}, not ${SCHEMA}`, {
      at: path,
      hint: 'give what `static-call bench --json` wrote',
    });
  return value as BenchResult;
}

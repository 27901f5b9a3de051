// Two runs held against each other, by ratios alone: a ratio was taken within one run, so the
// machine's speed is not in it. A row is worse where its ratio grew by more than both runs' own
// noise can explain.

import { Fault } from '../base/fault.js';
import { readWhole } from '../base/file.js';
import type { BenchResult, GroupName, Row, Table } from './result.js';

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

type Ratio = NonNullable<Row['ratio']>;

function tolerance(table: Table, { spread }: Ratio): number {
  return Math.max(LEAST, SPREADS * spread, 2 * (table.noise ?? 0));
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
      const accepted = tolerance(table, row.ratio) + tolerance(old, was.ratio);
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

const HINT = 'give what `static-call bench --json` wrote';

/**
 * Refuses a record that can hold no run of these groups: to compare nothing is not to pass.
 * @throws Fault `bad-usage`
 */
export function requireHeld(stored: BenchResult, groups: readonly GroupName[], path: string): void {
  const holds = stored.tables.some(
    ({ group, unheld, rows }) =>
      unheld === undefined &&
      groups.includes(group) &&
      rows.some((row) => row.ours && row.ratio && row.samples >= FEWEST),
  );
  if (!holds)
    throw new Fault('bad-usage', `it has no ratio to hold of the groups ${groups.join(', ')}`, {
      at: path,
      hint: 'keep a longer run, of the same groups: at least 20 samples of a row are compared',
    });
}

/** What `bench --json` wrote. @throws Fault `no-such-file`, `unreadable-file`, `bad-usage` */
export function readStored(path: string): BenchResult {
  const text = Buffer.from(readWhole(path)).toString('utf8');
  const refuse = (found: string, cause?: unknown): Fault =>
    new Fault('bad-usage', found, { at: path, hint: HINT, cause });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refuse('it is not JSON', cause);
  }
  if (!isObject(value) || value['schema'] !== SCHEMA)
    throw refuse(
      `its schema is ${isObject(value) ? String(value['schema']) : 'none'}, not ${SCHEMA}`,
    );
  const wrong = flawOf(value['tables'], 'tables', TABLES);
  if (wrong !== null) throw refuse(wrong);
  return value as unknown as BenchResult;
}

type Unknown = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What the gate reads of a record, as the checks of each field. */
type Check = (value: unknown) => boolean;
type Shape = Readonly<Record<string, Check | { readonly of: Shape; readonly many: boolean }>>;

const text: Check = (value) => typeof value === 'string';
const number: Check = Number.isFinite;
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const RATIO: Shape = { to: text, value: number, spread: number };
const ROW: Shape = {
  id: text,
  name: text,
  unit: text,
  samples: number,
  ours: (value) => typeof value === 'boolean',
  ratio: orNull(
    (value) => isObject(value) && flawOf(value, '', { of: RATIO, many: false }) === null,
  ),
};
const TABLE: Shape = {
  group: text,
  title: text,
  noise: orNull(number),
  rows: { of: ROW, many: true },
};
const TABLES = { of: TABLE, many: true } as const;

/** The first place that is not what it should be, in words, or null. */
function flawOf(
  value: unknown,
  place: string,
  { of, many }: { readonly of: Shape; readonly many: boolean },
): string | null {
  if (many) {
    if (!Array.isArray(value)) return `its ${place} is no list`;
    for (const [i, entry] of value.entries()) {
      const flaw = flawOf(entry, `${place}[${i}]`, { of, many: false });
      if (flaw !== null) return flaw;
    }
    return null;
  }
  if (!isObject(value)) return `its ${place} is no record`;
  for (const [field, check] of Object.entries(of)) {
    const at = `${place}.${field}`;
    if (typeof check !== 'function') {
      const flaw = flawOf(value[field], at, check);
      if (flaw !== null) return flaw;
    } else if (!check(value[field])) return `its ${at} is not what a run writes there`;
  }
  return null;
}

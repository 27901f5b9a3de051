// `check --litmus`: what this CPU does beside what the model allows. A CPU that shows what the
// model forbids makes the model wrong, and the answer "no".

import { ask, cpuName, whyNot, type Seen } from '../host/litmus.js';
import { EXIT, Fault } from '../base/fault.js';
import { allowed, CLAIMED, explains, type LitmusModel } from '../check/litmus/allowed.js';
import { LITMUS, type LitmusOutcome } from '../plan/litmus.js';
import type { Context } from './context.js';
import { table } from './table.js';

export interface LitmusFlags {
  readonly json: boolean;
  /** For each program. */
  readonly milliseconds: number;
}

interface Result {
  readonly seen: Seen;
  readonly outcomes: readonly LitmusOutcome[];
  readonly may: ReadonlySet<LitmusOutcome>;
  readonly conflict: readonly LitmusOutcome[];
  /** The strictest model that allows what was seen. */
  readonly least: LitmusModel | null;
}

/** @throws Fault `not-supported` */
export async function litmus(
  context: Context,
  { json, milliseconds }: LitmusFlags,
): Promise<number> {
  const missing = whyNot();
  if (missing !== null)
    throw new Fault('not-supported', `two threads cannot be watched here: ${missing}`);
  const results: Result[] = [];
  for (const program of LITMUS)
    results.push(resultOf(await ask(program, { milliseconds, signal: context.signal })));
  const all = explains(results.map(({ seen: { program }, outcomes }) => ({ program, outcomes })));
  const conflicts = results.filter(({ conflict }) => conflict.length > 0);
  if (json) printJson(context, results, all, conflicts.length);
  else {
    const verdict = verdictOf(
      all,
      conflicts.map(({ seen }) => seen.program.name),
    );
    const lines = [cpuName(), '', grid(results), '', verdict];
    context.print([...lines, 'What was not seen is not thereby impossible.'].join('\n'));
  }
  return conflicts.length > 0 ? EXIT.no : EXIT.good;
}

function resultOf(seen: Seen): Result {
  const { program } = seen;
  const may = allowed(program, CLAIMED);
  const outcomes = Object.keys(seen.seen) as LitmusOutcome[];
  const conflict = outcomes.filter((outcome) => !may.has(outcome));
  return { seen, outcomes, may, conflict, least: explains([{ program, outcomes }]) };
}

function printJson(
  context: Context,
  results: readonly Result[],
  all: LitmusModel | null,
  conflicts: number,
): void {
  context.json('static-call/litmus@1', {
    cpu: cpuName(),
    claimed: CLAIMED,
    explains: all,
    conflicts,
    programs: results.map(({ seen: { program, ...found }, may, conflict, least }) => ({
      name: program.name,
      about: program.about,
      offset: program.offset,
      ...found,
      allowed: [...may],
      explains: least,
      conflict,
    })),
  });
}

const COLUMNS: Parameters<typeof table>[0] = [
  { title: 'program' },
  { title: '' },
  { title: 'updates', align: 'right' },
  { title: 'seen' },
  { title: 'the model allows' },
  { title: 'explained by' },
];

function grid(results: readonly Result[]): string {
  const rows = results.map((result) => {
    const { program, updates } = result.seen;
    const may = [...result.may].join(', ');
    return [
      program.name,
      program.about,
      quantity(updates),
      sightings(result.seen),
      may,
      explained(result),
    ];
  });
  return table(COLUMNS, rows);
}

const quantity = (n: number): string =>
  n < 10_000 ? String(n) : n.toExponential(2).replace('e+', 'e');

function sightings({ seen, crash, skipped }: Seen): string {
  if (skipped !== null) return skipped;
  const outcomes = Object.entries(seen).map(([outcome, n]) => `${outcome} ${quantity(n)}`);
  return [...outcomes, ...(crash === null ? [] : [`ended by ${crash}`])].join(', ') || 'nothing';
}

function explained({ seen, conflict, least }: Result): string {
  if (conflict.length > 0) return `forbids ${conflict.join(', ')}`;
  if (seen.skipped !== null) return '';
  return least === null ? 'none' : `${least.fetch} ${least.chunk}`;
}

const nameOf = ({ fetch, chunk }: LitmusModel): string => `${fetch} with chunks of one ${chunk}`;

function verdictOf(all: LitmusModel | null, conflicts: readonly string[]): string {
  if (conflicts.length > 0)
    return `CONFLICT: the model forbids what was seen in ${conflicts.join(', ')}. The model is wrong.`;
  const allowedBy = `All of it is allowed by ${nameOf(CLAIMED)}`;
  if (all === null) return `${allowedBy}.`;
  return `${allowedBy}, under which verdicts are given; the strictest model that allows it is ${nameOf(all)}.`;
}

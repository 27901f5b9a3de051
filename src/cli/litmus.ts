// `check --litmus`: what this CPU does beside what the model allows. A CPU that shows what the
// model forbids makes the model wrong, and the answer "no", unless that is known of this CPU.

import { loadavg, release } from 'node:os';
import {
  ask,
  cpuName,
  cpuOf,
  distance,
  isFar,
  NEAR,
  waitForNear,
  whyNot,
  type Seen,
} from '../host/litmus.js';
import { crossesLine, UNIT_NAMES } from '../base/addr.js';
import { EXIT, Fault } from '../base/fault.js';
import { CLAIMED, Explanations, type LitmusModel } from '../check/litmus/allowed.js';
import { departuresOf } from '../check/litmus/departures.js';
import { version } from '../host/version.js';
import { LITMUS, type LitmusOutcome } from '../plan/litmus.js';
import type { Context } from './context.js';
import { progress } from './progress.js';
import { table } from './table.js';

export interface LitmusFlags {
  readonly json: boolean;
  /** For each program. */
  readonly milliseconds: number;
  /** How long to wait for CPUs that are near each other, in seconds. */
  readonly wait: number;
}

interface Result {
  readonly seen: Seen;
  /** Without those that are known of this CPU. */
  readonly outcomes: readonly LitmusOutcome[];
  /** What no model allows, and this CPU is known to do. */
  readonly known: readonly LitmusOutcome[];
  readonly may: ReadonlySet<LitmusOutcome>;
  readonly conflict: readonly LitmusOutcome[];
  /** The strictest models that allow what was seen. */
  readonly least: readonly LitmusModel[];
}

/** @throws Fault `not-supported` */
export async function litmus(
  context: Context,
  { json, milliseconds, wait }: LitmusFlags,
): Promise<number> {
  const missing = whyNot();
  if (missing !== null)
    throw new Fault('not-supported', `two threads cannot be watched here: ${missing}`);
  const { signal } = context;
  const begun = await (wait > 0 ? waitForNear(wait, signal) : distance(signal));
  const live = progress(context);
  const model = new Explanations();
  const results: Result[] = [];
  try {
    for (const program of LITMUS) {
      live.show(() => `${results.length} of ${LITMUS.length}: ${program.name}`);
      results.push(resultOf(model, await ask(program, { milliseconds, signal })));
    }
  } finally {
    live.end();
  }
  const all = model.strictest(
    results.map(({ seen: { program }, outcomes }) => ({ program, outcomes })),
  );
  const conflicts = results.filter(({ conflict }) => conflict.length > 0);
  if (json) printJson(context, { results, all, conflicts: conflicts.length, milliseconds, begun });
  else {
    const verdict = verdictOf(
      all,
      conflicts.map(({ seen }) => seen.program.name),
    );
    const lines = [
      cpuName(),
      near(begun, results),
      '',
      grid(results),
      '',
      verdict,
      ...split(results),
      ...departed(results),
    ];
    context.print([...lines, 'What was not seen is not thereby impossible.'].join('\n'));
  }
  return conflicts.length > 0 ? EXIT.no : EXIT.good;
}

function resultOf(model: Explanations, seen: Seen): Result {
  const { program } = seen;
  const may = model.allowed(program, CLAIMED);
  const all = Object.keys(seen.seen) as LitmusOutcome[];
  const departures = departuresOf(cpuOf(), program.name);
  const known = all.filter((outcome) => !may.has(outcome) && departures.has(outcome));
  const outcomes = all.filter((outcome) => !known.includes(outcome));
  const conflict = outcomes.filter((outcome) => !may.has(outcome));
  return { seen, outcomes, known, may, conflict, least: model.strictest([{ program, outcomes }]) };
}

/** A load that finds half of a store inside a line says that it is not the fetcher that tears. */
function split(results: readonly Result[]): string[] {
  const torn = results.filter(
    ({ seen: { program, seen } }) =>
      program.watch === 'data' && !crossesLine(program.offset + 1, 4) && seen.mixed !== undefined,
  );
  if (torn.length === 0) return [];
  const names = torn.map(({ seen }) => seen.program.name).join(', ');
  return [`In ${names} a load found half of a store: this CPU stores it in two pieces.`];
}

function departed(results: readonly Result[]): string[] {
  const names = results.flatMap(({ seen, known }) =>
    known.map((outcome) => `${outcome} in ${seen.program.name}`),
  );
  if (names.length === 0) return [];
  return [`No model allows ${names.join(' and ')}. It is known of this CPU: docs/silicon.md.`];
}

/** How far the CPUs were apart, and what follows for what was not seen. */
function near(begun: number | null, results: readonly Result[]): string {
  const all = results.flatMap(({ seen }) => seen.distance);
  if (begun === null || all.length === 0) return 'The distance of the CPUs is not known.';
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const range = least === most ? `${least} ns` : `${least} to ${most} ns`;
  const far = results.filter(({ seen }) => isFar(seen.distance)).length;
  const said = `One word there and back between the CPUs takes ${range}`;
  if (far === 0) return `${said}: they are near.`;
  const where = far === results.length ? '' : ` (${far} of ${results.length} programs)`;
  return `${said}. CPUs far apart${where}, over ${NEAR} ns: absence says nothing.`;
}

interface Record {
  readonly results: readonly Result[];
  readonly all: readonly LitmusModel[];
  readonly conflicts: number;
  readonly milliseconds: number;
  readonly begun: number | null;
}

function printJson(
  context: Context,
  { results, all, conflicts, milliseconds, begun }: Record,
): void {
  context.json('static-call/litmus@1', {
    cpu: cpuName(),
    ...cpuOf(),
    kernel: release(),
    version: version(),
    load: loadavg()[0],
    date: new Date().toISOString().slice(0, 10),
    milliseconds,
    distance: begun,
    claimed: CLAIMED,
    explains: all[0] ?? null,
    strictest: all,
    conflicts,
    programs: results.map(({ seen: { program, ...found }, may, known, conflict, least }) => ({
      name: program.name,
      about: program.about,
      offset: program.offset,
      ...found,
      far: isFar(found.distance),
      allowed: [...may],
      explains: least[0] ?? null,
      strictest: least,
      known,
      conflict,
    })),
  });
}

const COLUMNS: Parameters<typeof table>[0] = [
  { title: 'program' },
  { title: '' },
  { title: 'updates', align: 'right' },
  { title: 'ns', align: 'right' },
  { title: 'seen' },
  { title: 'the model allows' },
  { title: 'explained by' },
];

function grid(results: readonly Result[]): string {
  const rows = results.map((result) => {
    const { program, updates, distance: apart } = result.seen;
    const may = [...result.may].join(', ');
    return [
      program.name,
      program.about,
      quantity(updates),
      apart.length === 0 ? '' : String(Math.max(...apart)),
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
  const ended =
    crash === null ? [] : [`ended by ${crash.signal}, executed ${crash.executed ?? '?'}`];
  return [...outcomes, ...ended].join(', ') || 'nothing';
}

function explained({ seen, known, conflict, least }: Result): string {
  if (conflict.length > 0) return `forbids ${conflict.join(', ')}`;
  if (known.length > 0) return `known: ${known.join(', ')}`;
  if (seen.skipped !== null) return '';
  return least.map(shortName).join(' or ') || 'none';
}

const shortName = ({ fetch, chunk, store }: LitmusModel): string =>
  `${fetch} ${chunk}${store === 'line' ? '' : `, stores by ${store}`}`;
const nameOf = ({ fetch, chunk, store }: LitmusModel): string =>
  `${fetch} with chunks of one ${chunk} and stores of one ${store}`;

function verdictOf(all: readonly LitmusModel[], conflicts: readonly string[]): string {
  if (conflicts.length > 0)
    return `CONFLICT: the model forbids what was seen in ${conflicts.join(', ')}. The model is wrong.`;
  const allowedBy =
    `All of it is allowed by ${CLAIMED.fetch} with chunks of one ${CLAIMED.chunk}, ` +
    `whose stores are whole inside a ${UNIT_NAMES.qword}`;
  if (all.length === 0) return `${allowedBy}.`;
  const names = all.map(nameOf).join(', or ');
  return `${allowedBy}, under which verdicts are given; of all models the strictest that allows it is ${names}.`;
}

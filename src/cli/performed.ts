// `check PROTOCOL --litmus`: the protocol's steps by real threads on this CPU, and beside it what
// each model allows. What was not seen is never called impossible.

import { EXIT, Fault } from '../base/fault.js';
import { printable } from '../base/printable.js';
import { checkDropped, proposalNamed } from '../check/ask/jobs.js';
import { CLAIMED, Explanations, LEVELS, type LitmusModel } from '../check/litmus/allowed.js';
import { cpuName, cpuOf, isFar, NEAR, waitForNear, whyNot } from '../host/litmus.js';
import { perform, programOf, type Performed } from '../host/performed.js';
import { version } from '../host/version.js';
import { CHUNKS, type Chunk } from '../machine/sim/settings.js';
import { offsetsOf, placeOf } from '../zoo/place.js';
import { titled } from '../zoo/proposal.js';
import type { Context } from './context.js';
import { table } from './table.js';

export interface PerformFlags {
  readonly json: boolean;
  /** For each protocol and offset. */
  readonly seconds: number;
  readonly wait: number;
  readonly offset: number | 'all' | null;
  readonly dropSync: number | null;
}

interface Result {
  readonly performed: Performed;
  /** Under which models the outcome `mixed` is allowed. */
  readonly torn: readonly LitmusModel[];
  /** Without those that allow more than another. */
  readonly strictest: readonly LitmusModel[];
}

/** @throws Fault `not-supported`, `unknown-protocol`, `bad-protocol`, `bad-usage` */
export async function performAll(
  context: Context,
  names: readonly string[],
  flags: PerformFlags,
): Promise<number> {
  const missing = whyNot();
  if (missing !== null)
    throw new Fault('not-supported', `two threads cannot be watched here: ${missing}`);
  const { signal } = context;
  const programs = (await Promise.all(names.map((name) => programsOf(name, flags)))).flat();
  if (flags.wait > 0) await waitForNear(flags.wait, signal);
  const model = new Explanations();
  const results: Result[] = [];
  for (const program of programs) {
    const performed = await perform(program, flags.seconds, signal);
    const torn = MACHINES.filter((machine) => model.allowed(program, machine).has('mixed'));
    const sighting = { program, outcomes: ['mixed'] } as const;
    const result = { performed, torn, strictest: model.strictest([sighting]) };
    results.push(result);
    if (!flags.json) context.print(text(result));
  }
  if (flags.json) printJson(context, results);
  return results.some(({ performed }) => isTorn(performed)) ? EXIT.no : EXIT.good;
}

const isTorn = ({ seen }: Performed): boolean => seen.mixed !== undefined;

async function programsOf(name: string, { offset, dropSync }: PerformFlags) {
  const proposal = await proposalNamed(name, undefined);
  checkDropped(name, proposal.protocol, dropSync);
  const offsets =
    offset === 'all' ? offsetsOf(proposal, 'call') : [placeOf(proposal, 'call', offset)];
  const without = dropSync === null ? '' : ` without sync ${dropSync}`;
  const title = `${titled(proposal)}${without}`;
  return offsets.map((at) => programOf(title, proposal.protocol, at, dropSync));
}

/** Stores come whole inside a line: what a fetcher does is asked. */
const CHUNK_NAMES = (Object.keys(CHUNKS) as Chunk[]).toSorted((a, b) => CHUNKS[b] - CHUNKS[a]);
const MACHINES: readonly LitmusModel[] = LEVELS.flatMap((fetch) =>
  CHUNK_NAMES.map((chunk) => ({ fetch, chunk, store: 'line' as const })),
);

const count = (n: number): string => n.toLocaleString('en-US');
const CONTROL = '  control, five stores byte by byte:';

function text({ performed, torn, strictest }: Result): string {
  const { program, seconds, updates, calls, control, skipped, crash } = performed;
  const { name, offset } = program;
  if (skipped !== null) return `${printable(name)}: not performed, ${skipped}`;
  const lines = [
    `${printable(name)} at ${offset} of its line, ${seconds} s on ${cpuName()}`,
    `  ${count(updates)} updates, ${count(calls)} calls; ${apart(performed)}`,
    ...seen(performed),
    control.torn > 0
      ? `${CONTROL} ${count(control.torn)} of ${count(control.calls)} torn, so the threads met`
      : `${CONTROL} nothing was torn, so the threads did not meet and nothing is said`,
    ...(crash === null
      ? []
      : [`  ended by ${crash.signal}; executed ${crash.executed ?? 'at no known place'}`]),
    '',
    grid(torn),
    '',
    verdict(performed, torn, strictest),
    '',
  ];
  return lines.join('\n');
}

function apart({ distance }: Performed): string {
  const [least, most] = [Math.min(...distance), Math.max(...distance)];
  const far = isFar(distance) ? `, over ${NEAR} in part: absence says nothing` : '';
  return distance.length === 0 ? 'distance not known' : `CPUs ${least} to ${most} ns apart${far}`;
}

function seen({ seen: outcomes, mixtures }: Performed): string[] {
  const counts = Object.entries(outcomes).map(([outcome, n]) => `${outcome} ${count(n)}`);
  const kinds = Object.entries(mixtures).map(([name, n]) => `${name} ${count(n ?? 0)}`);
  return [
    `  ${counts.join(', ') || 'no call came back'}`,
    ...(kinds.length === 0
      ? []
      : [`  torn calls by their bytes, the lowest first, 0 old and 1 new: ${kinds.join(', ')}`]),
  ];
}

/** A row for each level, a column for each chunk. */
function grid(torn: readonly LitmusModel[]): string {
  const may = (fetch: string, chunk: string): boolean =>
    torn.some((each) => each.fetch === fetch && each.chunk === chunk);
  return table(
    [{ title: '  the model allows' }, ...CHUNK_NAMES.map((chunk) => ({ title: chunk }))],
    LEVELS.map((fetch) => [
      `  ${fetch}`,
      ...CHUNK_NAMES.map((chunk) => (may(fetch, chunk) ? 'torn' : '.')),
    ]),
  );
}

function verdict(
  performed: Performed,
  torn: readonly LitmusModel[],
  strictest: readonly LitmusModel[],
): string {
  const names = strictest
    .map(
      ({ fetch, chunk, store }) =>
        `${fetch} ${chunk}${store === 'line' ? '' : `, stores by ${store}`}`,
    )
    .join(' or ');
  const allows =
    names === '' ? 'no model allows it' : `the strictest models that allow it: ${names}`;
  if (!isTorn(performed)) return `Torn: not seen, which is no promise; ${allows}.`;
  if (torn.length > 0 || strictest.length > 0) return `TORN on this CPU; ${allows}.`;
  return `CONFLICT: torn on this CPU, and ${nameOf(CLAIMED)} forbids it. The model is wrong.`;
}

const nameOf = ({ fetch, chunk }: LitmusModel): string => `${fetch} with chunks of one ${chunk}`;

function printJson(context: Context, results: readonly Result[]): void {
  context.json('static-call/performed@1', {
    cpu: cpuName(),
    ...cpuOf(),
    version: version(),
    date: new Date().toISOString().slice(0, 10),
    runs: results.map(({ performed: { program, ...found }, torn, strictest }) => ({
      name: program.name,
      about: program.about,
      offset: program.offset,
      ...found,
      far: isFar(found.distance),
      met: found.control.torn > 0,
      allowed: torn,
      strictest,
    })),
  });
}

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

const told = ({ fetch, chunk }: LitmusModel): string => `${fetch} with chunks of one ${chunk}`;
const quantity = (n: number): string =>
  n < 10_000 ? String(n) : n.toExponential(2).replace('e+', 'e');

/** @throws Fault `not-supported` */
export async function litmus(
  context: Context,
  { json, milliseconds }: LitmusFlags,
): Promise<number> {
  const missing = whyNot();
  if (missing !== null)
    throw new Fault('not-supported', `two threads cannot be watched here: ${missing}`);
  const results: {
    seen: Seen;
    may: ReadonlySet<LitmusOutcome>;
    conflict: LitmusOutcome[];
    least: LitmusModel | null;
  }[] = [];
  for (const program of LITMUS) {
    const seen = await ask(program, { milliseconds, signal: context.signal });
    const may = allowed(program, CLAIMED);
    const outcomes = Object.keys(seen.seen) as LitmusOutcome[];
    results.push({
      seen,
      may,
      conflict: outcomes.filter((outcome) => !may.has(outcome)),
      least: explains([{ program, outcomes }]),
    });
  }
  const all = explains(
    results.map(({ seen }) => ({
      program: seen.program,
      outcomes: Object.keys(seen.seen) as LitmusOutcome[],
    })),
  );
  const conflicts = results.filter(({ conflict }) => conflict.length > 0);
  if (json) {
    context.json('static-call/litmus@1', {
      cpu: cpuName(),
      claimed: CLAIMED,
      explains: all,
      conflicts: conflicts.length,
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
  } else {
    const rows = results.map(
      ({ seen: { program, updates, seen, crash, skipped }, may, conflict, least }) => [
        program.name,
        program.about,
        quantity(updates),
        skipped ??
          ([
            ...Object.entries(seen).map(([outcome, n]) => `${outcome} ${quantity(n)}`),
            ...(crash === null ? [] : [`ended by ${crash}`]),
          ].join(', ') ||
            'nothing'),
        [...may].join(', '),
        conflict.length > 0
          ? `forbids ${conflict.join(', ')}`
          : skipped !== null
            ? ''
            : least === null
              ? 'none'
              : `${least.fetch} ${least.chunk}`,
      ],
    );
    context.print(
      [
        cpuName(),
        '',
        table(
          [
            { title: 'program' },
            { title: '' },
            { title: 'updates', align: 'right' },
            { title: 'seen' },
            { title: 'the model allows' },
            { title: 'explained by' },
          ],
          rows,
        ),
        '',
        conflicts.length > 0
          ? `CONFLICT: the model forbids what was seen in ${conflicts.map(({ seen }) => seen.program.name).join(', ')}. The model is wrong.`
          : all === null
            ? `All of it is allowed by ${told(CLAIMED)}.`
            : `All of it is allowed by ${told(CLAIMED)}, under which verdicts are given; the strictest model that allows it is ${told(all)}.`,
        'What was not seen is not thereby impossible.',
      ].join('\n'),
    );
  }
  return conflicts.length > 0 ? EXIT.no : EXIT.good;
}

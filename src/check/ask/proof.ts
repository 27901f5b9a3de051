// A proof first, where a job asks for one: the search without bounds, ended by a count of states
// and by no clock, because a clock would end it elsewhere on every machine. Where it closes, it is
// the answer. Where something counts up, or the search is not at an end by then, the answer is the
// one within bounds, with the reason. So it is where a failure hides what comes after it and the
// search within bounds knows more, because there a damaged CPU comes to the end of its program. A
// failure that the first search met is told in any case: what it did not see cannot mend it.
//
// Everything that can be done within bounds can be done without them, so the nearest failure of a
// search that closes is no farther than the one within bounds, and its picture is shown.

import { BOUNDS_ANY } from '../configuration.js';
import { report } from '../explain/report.js';
import type { PropertyName } from '../properties.js';
import type { PropertyReport, RunReport } from '../result.js';
import { obstacleOf, obstructed } from '../search/endless.js';
import { INTERRUPTED, type Limits } from '../search/explore.js';
import { run, type Run } from '../search/run.js';
import type { Job } from './asked.js';
import { proposalFor } from './job.js';

/** What is said of a job, and the search that said it. */
export interface Answered {
  readonly found: Run;
  readonly report: RunReport;
}

/** @param means what a search may use, and what ends it */
export async function answer(
  job: Job,
  means: Pick<Limits, 'signal' | 'threads'> = {},
): Promise<Answered> {
  const proposal = await proposalFor(job);
  const { configuration, limits, proof, explained } = job;
  const search = (asked: Job['configuration'], most: Job['limits']): Run =>
    run(proposal, asked, { ...most, ...means });
  const told = (found: Run): Answered => ({ found, report: report(found, explained) });
  const within = (): Answered => told(search(configuration, limits));
  if (proof === undefined) return within();
  const endless = { ...configuration, ...BOUNDS_ANY };
  const obstacle = obstacleOf(proposal, endless);
  if (obstacle !== null) return unproved(within(), obstructed(obstacle));
  const first = search(endless, proof);
  const because = undecided(first);
  if (because === null) return told(first);
  const bounded = within();
  return first.exhaustive && unknown(bounded.found) >= unknown(first)
    ? told(first)
    : unproved(bounded, because, failuresOf(first, explained));
}

/** Why a search without bounds may not be the answer; null where it is. */
function undecided(first: Run): string | null {
  // A user who interrupts a search does not want another one.
  if (first.stopped === INTERRUPTED) return null;
  const met = `${first.states.toLocaleString('en-US')} states`;
  if (!first.exhaustive) return `the search without bounds met ${met} and was not at an end`;
  const left = unknown(first);
  if (left === 0) return null;
  const behind = new Set([...first.properties.values()].flatMap(({ beyond = [] }) => beyond));
  const where = behind.size === 0 ? '' : ` behind the failure of ${[...behind].join(', ')}`;
  return `the search without bounds leaves ${left} properties unknown${where}`;
}

const unknown = ({ properties }: Run): number =>
  [...properties.values()].filter(({ verdict }) => verdict === 'unknown').length;

type Failures = ReadonlyMap<PropertyName, PropertyReport>;

/** What a search without bounds found broken, though it is not the answer. */
function failuresOf(first: Run, explained: Job['explained']): Failures {
  const failed = [...first.properties].flatMap(([name, { verdict }]) =>
    verdict === 'fails' ? [name] : [],
  );
  const { properties } = report(
    first,
    failed.filter((name) => explained?.includes(name) ?? true),
  );
  return new Map(failed.map((name) => [name, { ...properties[name], bounds: 'any' }]));
}

/** An answer within bounds, with why it says no more, and with what fails beyond them. */
function unproved(
  { found, report: bounded }: Answered,
  because: string,
  failures: Failures = new Map(),
): Answered {
  const properties = { ...bounded.properties };
  for (const [name, failure] of failures)
    if (properties[name].verdict !== 'fails') properties[name] = failure;
  return { found, report: { ...bounded, properties, claim: { ...bounded.claim, because } } };
}

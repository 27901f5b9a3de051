// Rows of the matrix that are one search. What a CPU fetches whole is a unit of some size, and all
// that a search knows of its size is where it cuts the bytes that some step writes. A call over the
// end of a cache line is cut there by quadwords, by blocks of 16 and 32 bytes and by lines alike.
// So of rows that differ in nothing else, one is searched, and the others say the same of their
// unit.

import type { Text } from '../../machine/sim/text.js';
import type { RunReport } from '../result.js';
import { underChunk } from '../explain/token.js';
import { PROPERTIES } from '../properties.js';
import type { Job } from './asked.js';

/** The number of a job, and the job. */
export type Numbered = readonly [number, Job];

/** All of a job but its unit. */
const common = (job: Job): string =>
  JSON.stringify({ ...job, configuration: { ...job.configuration, chunk: null } });

/** Jobs that may be one search stand together, where the first of them stood. */
export function grouped(jobs: readonly Job[]): readonly (readonly Numbered[])[] {
  const groups = new Map<string, Numbered[]>();
  for (const [number, job] of jobs.entries()) {
    const key = common(job);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [[number, job]]);
    else known.push([number, job]);
  }
  return [...groups.values()];
}

/** A job that was judged, and how its search took the text apart. */
export interface Judged {
  readonly job: Job;
  readonly text: Text;
  readonly report: RunReport;
}

/** What the report of one job says of another; null where that takes a search of its own. */
export function restated({ job, text, report }: Judged, other: Job): RunReport | null {
  const { chunk } = other.configuration;
  if (common(job) !== common(other) || !text.isDividedBy(chunk)) return null;
  const properties = { ...report.properties };
  for (const { name } of PROPERTIES) {
    const said = properties[name];
    const { path } = said;
    if (path !== undefined) properties[name] = { ...said, path: underChunk(path, chunk) };
  }
  return { ...report, chunk, properties };
}

// What goes through the queue. Asker and worker may be installed at different times on different
// machines, so each envelope says who wrote it: a search by another version would be an answer
// about another model.

import { createHash } from 'node:crypto';
import { Fault } from '../../base/fault.js';
import { titleOf } from '../configuration.js';
import type { FaultFields } from '../ask/job.js';
import type { Job } from '../ask/asked.js';
import type { RunReport } from '../result.js';

/** Another one wherever an envelope or a reply means something else. */
export const SCHEMA = 1;

/** Jobs that may be one search, for one thread. */
export interface Envelope {
  /** Version of the package. */
  readonly version: string;
  readonly schema: number;
  readonly jobs: readonly Job[];
  /** The asker has gone: what is not begun is dropped, and what is searched is ended. */
  readonly cancelled?: true;
}

export interface Reply {
  /** Which worker it was, for the figures alone. */
  readonly by: string;
  /** In the order of the jobs; or why one of them was refused. */
  readonly reports: readonly RunReport[] | FaultFields;
}

export const envelope = (version: string, jobs: readonly Job[]): Envelope => ({
  version,
  schema: SCHEMA,
  jobs,
});

/**
 * The same for the same searches of one version: a run that is repeated after its asker was killed
 * finds what was searched for it. It begins with a letter because the queue takes a number for one
 * of its own.
 */
export const idOf = (asked: Envelope): string =>
  `s${createHash('sha256').update(JSON.stringify(asked)).digest('hex').slice(0, 24)}`;

/** What is said of it in a line. */
export const titled = ({ jobs }: Envelope): string => jobs.slice(0, 1).map(titleOf).join();

/** @returns why this version neither searches it nor waits behind it; null where it does */
export function otherVersion(found: unknown, version: string, where: string): Fault | null {
  const { version: its, schema } = (found ?? {}) as Partial<Envelope>;
  if (its === version && schema === SCHEMA) return null;
  const theirs = `static-call ${its ?? 'of no version'} (schema ${schema ?? 'none'})`;
  return new Fault(
    'queue-version',
    `the queue holds searches of ${theirs}, and this is ${version} (schema ${SCHEMA})`,
    { at: where },
  );
}

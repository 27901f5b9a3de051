// Runs searches one after the other on a thread of its own: a search is one long computation that
// no event loop could interrupt, so it looks at a word of shared memory now and then.

import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../../base/invariant.js';
import { isFault } from '../../base/fault.js';
import { report } from '../explain/report.js';
import { verdict, type Answer, type Crashed, type Failed, type Hands, type Job } from './job.js';

const port = parentPort;
const { aborted } = workerData as Hands;
const signal = {
  get aborted() {
    return Atomics.load(aborted, 0) !== 0;
  },
};
invariant(port, 'this file runs as a worker thread');
port.on('message', async ({ job, work }: { job: number; work: Job }) => {
  const answer: Answer = await verdict(work, signal)
    .then((found) => ({ job, report: report(found, work.explained) }))
    .catch((error: unknown) => ({ job, ...failure(error) }));
  port.postMessage(answer);
});

/**
 * A Fault crosses to the other thread as its fields, because structured cloning drops its class.
 */
function failure(error: unknown): Pick<Failed, 'fault'> | Pick<Crashed, 'error'> {
  if (!isFault(error))
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  const { code, message, hint, at } = error;
  return { fault: { code, message, hint, ...(at === undefined ? {} : { at }) } };
}

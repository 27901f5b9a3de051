// Runs searches one after the other on a thread of its own: a search is one long computation that
// no event loop could interrupt, so it looks at a word of shared memory now and then.

import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../../base/invariant.js';
import { isFault } from '../../base/fault.js';
import type { RunReport } from '../result.js';
import { restated, type Judged } from './alike.js';
import { fieldsOf, type Answer, type Crashed, type Failed, type Hands } from './job.js';
import type { Job } from './asked.js';
import { answer } from './proof.js';

const port = parentPort;
const { aborted, threads } = workerData as Hands;
const signal = {
  get aborted() {
    return Atomics.load(aborted, 0) !== 0;
  },
};
invariant(port, 'this file runs as a worker thread');
port.on('message', async (job: Job) => {
  const said: Answer = await judge(job)
    .then((made) => ({ report: made }))
    .catch(failure);
  port.postMessage(said);
});

/** The last job, as long as the next may be the same search. */
let last: Judged | null = null;

async function judge(job: Job): Promise<RunReport> {
  const known = last === null ? null : restated(last, job);
  if (known !== null) return known;
  last = null;
  const { found, report: made } = await answer(job, { signal, threads });
  if (found.exhaustive) last = { job, text: found.model.text, report: made };
  return made;
}

function failure(error: unknown): Failed | Crashed {
  if (!isFault(error))
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  return { fault: fieldsOf(error) };
}

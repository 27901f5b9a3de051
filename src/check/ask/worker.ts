// Runs searches one after the other on a thread of its own: a search is one long computation that
// no event loop could interrupt, so it looks at a word of shared memory now and then.

import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../../base/invariant.js';
import { isFault } from '../../base/fault.js';
import { loadProtocol } from './load.js';
import { findProposal, proposalOf } from '../../zoo/index.js';
import { report } from '../explain/report.js';
import type { Answer, Hands, Job } from './job.js';

const port = parentPort;
const { aborted } = workerData as Hands;
const signal = {
  get aborted() {
    return Atomics.load(aborted, 0) !== 0;
  },
};
invariant(port, 'this file runs as a worker thread');
port.on('message', async ({ job, work }: { job: number; work: Job }) => {
  let answer: Answer;
  try {
    const proposal =
      work.file !== null
        ? proposalOf(await loadProtocol(work.file), work.configuration.environment)
        : findProposal(work.protocol, work.variant, work.configuration.environment);
    answer = { job, report: report(proposal, work.configuration, { ...work.limits, signal }) };
  } catch (error) {
    if (isFault(error))
      answer = {
        job,
        fault: {
          code: error.code,
          message: error.message,
          hint: error.hint,
          ...(error.at === undefined ? {} : { at: error.at }),
        },
      };
    else
      answer = {
        job,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      };
  }
  port.postMessage(answer);
});

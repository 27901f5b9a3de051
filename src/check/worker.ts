// Runs searches one after the other on a thread of its own: a search is one long computation that
// no event loop could interrupt, so it looks at a word of shared memory now and then.

import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../base/invariant.js';
import { isFault } from '../base/fault.js';
import { loadProtocol } from './load.js';
import { findSubject, subjectOf } from './subject.js';
import { report, type RunReport } from './report.js';
import type { Hands, Job } from './pool.js';

export type Answer =
  | { readonly job: number; readonly report: RunReport }
  | {
      readonly job: number;
      readonly fault: {
        readonly code: string;
        readonly message: string;
        readonly hint: string;
        readonly at?: string;
      };
    }
  | { readonly job: number; readonly error: string };

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
    const subject =
      work.file !== null
        ? subjectOf(await loadProtocol(work.file), work.configuration.environment)
        : findSubject(work.protocol, work.variant, work.configuration.environment);
    answer = { job, report: report(subject, work.configuration, { ...work.limits, signal }) };
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

// One configuration to judge, and what threads are sent and answer about it.

import type { Fault, FaultCode } from '../../base/fault.js';
import { findProposal, proposalOf, type Proposal } from '../../zoo/index.js';
import type { RunReport } from '../result.js';
import { loadProtocol } from './load.js';
import type { Job } from './asked.js';

/** The proposal that a job is about. */
export async function proposalFor({
  file,
  protocol,
  variant,
  configuration,
}: Job): Promise<Proposal> {
  const { environment } = configuration;
  return file === null
    ? findProposal(protocol, variant, environment)
    : proposalOf(await loadProtocol(file), environment);
}

/** What a thread begins with. */
export interface Hands {
  /** One word, not zero once the searches shall end. */
  readonly aborted: Int32Array;
  /** That may make one search together. */
  readonly threads: number;
}

interface Done {
  readonly report: RunReport;
}
/** A Fault as data, because what carries it to another thread or machine drops its class. */
export interface FaultFields {
  readonly code: FaultCode;
  readonly message: string;
  readonly hint: string;
  readonly at?: string;
}
export const fieldsOf = ({ code, message, hint, at }: Fault): FaultFields => ({
  code,
  message,
  hint,
  ...(at === undefined ? {} : { at }),
});
export interface Failed {
  readonly fault: FaultFields;
}
/** A bug of ours. */
export interface Crashed {
  readonly error: string;
}
export type Answer = Done | Failed | Crashed;

// Every form that a site may have, under every protocol as it was proposed: one table of the page,
// and the runs that fill it. A handler that knows fewer forms than a compiler makes is not judged
// by the others.

import { SITE_SHAPES, type SiteShape } from '../../machine/sim/settings.js';
import { PROPOSALS } from '../../zoo/index.js';
import { emulates, type Proposal } from '../../zoo/proposal.js';
import type { Job } from './asked.js';
import { job } from './matrix.js';

const asProposed = PROPOSALS.filter(({ variant, via }) => variant === '' && via === 'site');

/** By the words of the table's columns; `rest` is what stands between the updates. */
const COLUMNS = [
  { kind: 'call, 5 bytes', shapes: ['call', 'null', 'ret0'] },
  { kind: 'call, 6 bytes', shapes: ['call6', 'call6-null', 'call6-ret0'] },
  { kind: 'jmp, 5 bytes', shapes: ['jmp', 'jmp-null', 'jmp-ret0'] },
  { kind: 'jmp, 6 bytes', shapes: ['jmp6', 'jmp6-null', 'jmp6-ret0'] },
  { kind: 'conditional jmp', shapes: ['jcc', 'jcc-null', 'jcc-ret0'] },
] as const satisfies readonly { readonly kind: string; readonly shapes: readonly SiteShape[] }[];

const jobsOf = (proposal: Proposal, shapes: readonly SiteShape[]): Job[] =>
  shapes.filter((site) => emulates(proposal, site)).map((site) => job(proposal, { site }));

export const formJobs = (): Job[] => asProposed.flatMap((each) => jobsOf(each, SITE_SHAPES));

/** A row for each protocol: what fails at sites of each form, in any of its three sequences. */
export const formRows = (answer: (job: Job) => string): string[][] =>
  asProposed.map((proposal) => [
    proposal.name,
    proposal.environment,
    ...COLUMNS.map(({ shapes }) => {
      const answers = jobsOf(proposal, shapes).map(answer);
      return [...new Set(answers)].join('; ') || 'not emulated';
    }),
  ]);

export const FORM_HEAD: readonly string[] = ['protocol', 'in', ...COLUMNS.map(({ kind }) => kind)];

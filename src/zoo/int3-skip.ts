// ftrace's handler until Linux 5.2: a context that meets the int3 goes on behind the instruction,
// as if the call were a nop. Kept as the baseline that the emulations were to replace.

import { breakpoint, resumeAt, type BreakpointHandler } from './breakpoint.js';
import type { Entry } from '../trap/entry.js';
import { commit, poke, type Idea } from './proposal.js';

export function skip({ entry }: { readonly entry: Entry }): BreakpointHandler {
  return breakpoint({ entry, call: resumeAt('rdi'), jump: resumeAt('rdi') });
}

export const int3Skip: Idea = {
  proposed: [commit('Steven Rostedt', '2011-08-16', '08d636b6d4fb')],
  objections: [
    'Nicolai Stange: for live patching, which replaces a function by that very call, a ' +
      'skipped call is the old function running for a moment (b700e7f03df5).',
    'For a tracer it is a lost event.',
  ],
  rows: [poke('int3-skip', '', (entry) => skip({ entry }))],
};

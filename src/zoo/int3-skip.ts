// ftrace's handler until Linux 5.2: a context that meets the int3 goes on behind the instruction,
// as if the call were a nop. For a tracer that is a lost event. For live patching, which replaces a
// function by that very call, it is the old function running for a moment (b700e7f03df5
// ("livepatch: kernel: add support for live patching"); Nicolai Stange, 27 April 2019,
// 20190427100639...). Kept as the baseline that the emulations were to replace.

import { breakpoint, resumeAt, type BreakpointHandler } from './breakpoint.js';
import type { Entry } from '../trap/kernel.js';

export function skip({ entry }: { readonly entry: Entry }): BreakpointHandler {
  return breakpoint({ entry, call: resumeAt('rdi'), jump: resumeAt('rdi') });
}

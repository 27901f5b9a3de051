// One line for each name that can be checked, where the protocol's own line does not tell it from
// its fellows: most ideas differ in what the trap handler does, and a variant in one thing.

import type { Proposal } from './proposal.js';

const ABOUT: Readonly<Record<string, string>> = {
  'pointer/retpoline': 'the same call through a retpoline',
  'store/refused': 'a site that one store cannot change: its trampoline is patched',
  'store/forced': 'one store to a site over the end of a line all the same: wrong',
  'int3-stub': 'the first series: the handler returns to a stub with its addresses in two globals',
  'int3-skip': 'the handler skips the call, as ftrace once did',
  'int3-gap': 'what Linux merged: the entry code leaves a gap, and the handler pushes into it',
  'int3-gap/no-gap': 'the same push without the gap: it lands in the exception frame',
  'int3-gap/permanent': 'the gap, with a table of traps that is never taken down',
  'int3-gap/counted': 'the gap, with handlers that hold a reference to the table',
  'int3-shift': 'the frame is shifted on the way out to make room for the return address',
  'int3-percpu': 'addresses in variables of the CPU, pushed by a trampoline: as posted in 2020',
  'int3-percpu/fixed': 'the same with the return address corrected',
  'int3-percpu/if-kept': 'the same with interrupts left on',
  'int3-percpu-nmi': "variables of the CPU, with a second set for NMIs: ftrace's attempt of 2019",
  'int3-levels': 'variables for each level of nesting',
};

/** What a proposal does that its fellows do not. */
export function aboutOf({ name, variant, protocol }: Proposal): string {
  const title = variant === '' ? name : `${name}/${variant}`;
  const own = ABOUT[title];
  if (own !== undefined) return own;
  return variant === '' ? protocol.about : `${ABOUT[name] ?? protocol.about}; ${words(variant)}`;
}

const words = (variant: string): string => variant.replaceAll('-', ' ');

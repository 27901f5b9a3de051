// The way that Linux 5.2 merged. A CALL is emulated from #BP by pushing the return address on the
// interrupted stack; but that is where the exception frame lies, because #BP has had no stack of
// its own since d8ba61ba58c8. So the entry code copies the six words of the frame once more below
// themselves, and the upper copy becomes room to push into: six words, seven with the padding. The
// emulation then edits pt_regs and nothing else; it keeps no state, so NMI and #MC may nest freely
// in it. `no-gap` is the same without the copy: the push lands in the frame's saved SS, as on Xen
// PV before its entry was changed.
//
// With `shadow` the same is done once more on the supervisor shadow stack, where the exception
// frame lies just as much in the way: see shadow.ts. With `counted` the handler holds a reference
// to the table of traps while it runs, as the kernel's has since v5.5: the updater drops its own
// after the last synchronisation, waits until there is none, and only then takes the table down.
// `own-space` and `each-site` are that as the kernel does it (examples/kernel records it): the text
// is written through an address space of its own, and a static call is a whole cycle for its
// trampoline and then one for each site.

import { mem } from '../asm/assembler.js';
import { breakpoint, pushReturn, resumeAt, type BreakpointHandler } from './breakpoint.js';
import { POKE } from '../trap/kernel.js';
import type { Entry } from '../trap/entry.js';
import { SHADOW } from './shadow.js';
import { textPokeCounted, textPokeOwnSpace, textPokePermanent } from './text-poke.js';
import {
  EACH_SITE,
  TWO_KEYS,
  commit,
  helping,
  inKernel,
  kernelHandler,
  mail,
  poke,
  type Idea,
  type Proposal,
} from './proposal.js';

/** Frame words that the entry copies: RIP, CS, RFLAGS, RSP, SS and the error code's place. */
const FRAME_WORDS = 6;

export interface GapOptions {
  readonly gap: 0 | typeof FRAME_WORDS;
  readonly entry: Entry;
  readonly shadow?: boolean;
  readonly counted?: boolean;
}

export function gap({
  gap: words,
  entry,
  shadow = false,
  counted = false,
}: GapOptions): BreakpointHandler {
  return breakpoint({
    entry,
    shadow,
    counted,
    anySite: true,
    ...(counted ? { words: { refs: POKE.refs } } : {}),
    // Each push lowers RSP by one word, so the same displacement copies the next one. Every prefix
    // of the copy leaves the original intact above RSP: an NMI in between does no harm.
    room: Array.from({ length: words }, () => ['push', mem('rsp', 8 * (FRAME_WORDS - 1))] as const),
    call: [...pushReturn, ...(shadow ? SHADOW.push : []), ...resumeAt('rsi')],
  });
}

export const merged = (entry: Entry): BreakpointHandler => gap({ gap: FRAME_WORDS, entry });
export const counted = (entry: Entry): BreakpointHandler =>
  gap({ gap: FRAME_WORDS, entry, counted: true });

const variant = (name: string, rest: Partial<Proposal>): Proposal =>
  poke('int3-gap', name, merged, { sites: 'any', full: true, ...rest });

export const int3Gap: Idea = {
  proposed: [
    mail('Josh Poimboeuf', '2018-11-30', '20181130183917.hxmti5josgq4clti@treble'),
    commit('Josh Poimboeuf', '2019-05-08', '2700fefdb2d9'),
    commit('Daniel Bristot de Oliveira', '2019-06-12', 'c0213b0ac03c'),
    commit('Peter Zijlstra', '2023-01-23', 'ac0ee0a9560c'),
  ],
  objections: [
    'Every int3 entry pays for the copy.',
    '32-bit kernels, whose frames have no SS:RSP, needed theirs rebuilt first.',
    'Linus Torvalds: change pt_regs in C and hand the new pointer back, and leave the ' +
      'entry code alone.',
  ],
  rows: [
    poke('int3-gap', '', merged, { sites: 'any' }),
    poke('int3-gap', 'no-gap', (entry) => gap({ gap: 0, entry }), { sites: 'any' }),
    inKernel('int3-gap', 'permanent', textPokePermanent, { handler: kernelHandler(merged) }),
    poke('int3-gap', 'shadow', (entry) => gap({ gap: FRAME_WORDS, entry, shadow: true }), {
      sites: 'any',
      full: true,
    }),
    variant('lost-tail', { lostTail: true }),
    inKernel('int3-gap', 'counted', textPokeCounted, helping(kernelHandler(counted))),
    inKernel('int3-gap', 'own-space', textPokeOwnSpace, {
      ...helping(kernelHandler(counted)),
      full: true,
    }),
    inKernel('int3-gap', 'each-site', textPokeCounted, {
      ...helping(kernelHandler(counted)),
      functions: 2,
      order: 'each',
      second: { site: 'jmp', offset: 61 },
      full: true,
    }),
    variant('two-sites', { functions: 2 }),
    variant('two-keys', TWO_KEYS),
    variant('one-by-one', EACH_SITE),
    variant('unsorted', { functions: 2, order: 'unsorted' }),
    variant('duplicate', { functions: 2, order: 'duplicate' }),
    variant('two-updaters', { updaters: 'locked' }),
    variant('no-lock', { updaters: 'unlocked' }),
    variant('foreign', { foreign: true }),
    variant('spin', { spin: true, full: false }),
  ],
};

// The steps of the kernel's text_poke_bp, which every emulating handler here runs under. The trap
// table is claimed for one update and given up at its end; so a trap that is taken but not yet
// looked up when the table goes is an oops, and only the last synchronisation prevents that. Since
// v5.5 the handler also counts itself in, and the updater waits for that count (`counting`).

import type { Protocol, Step } from '../plan/protocol.js';
import { int3 } from '../plan/protocols/int3.js';

const steps: readonly Step[] = int3.steps;

export const textPoke: Protocol = {
  name: 'int3-gap',
  about:
    'trap byte, sync, rest, sync, first byte, sync; the handler pushes into a gap above its frame',
  accepts: { bytes: 'whole', within: null },
  handler: 'gap',
  steps: [...steps, { do: 'retire', why: 'the table belongs to one update' }],
};

/** A reference for the update, from before the first trap to after the last synchronisation. */
export const counting = (first: readonly Step[], last: readonly Step[]): readonly Step[] => [
  ...first,
  { do: 'count', word: 'refs', by: 1, why: 'from here a handler finds the table' },
  ...last,
  { do: 'count', word: 'refs', by: -1, why: 'no handler finds it any more' },
  { do: 'await', word: 'refs', is: 0, why: 'those that have found it are still in it' },
  { do: 'retire', why: 'the table belongs to one update' },
];

export const textPokeCounted: Protocol = {
  ...textPoke,
  about: `${textPoke.about}, and counts itself in`,
  steps: counting(steps.slice(0, 1), steps.slice(1)),
};

/**
 * As it has been since v5.2, through a mapping that only the updater's CPU sees, and only
 * meanwhile.
 */
export const textPokeOwnSpace: Protocol = {
  ...textPokeCounted,
  about: `${textPokeCounted.about}; stores through an address space of its own`,
  place: { space: 'own' },
};

/** The table stays, as a process keeps it. */
export const textPokePermanent: Protocol = {
  ...textPoke,
  about: `${textPoke.about}; the table stays`,
  steps,
};

// H. Peter Anvin, 14 January 2019: whoever meets the int3 gives the update up or finishes it
// (trap/abort.ts), so that nothing has to be emulated. The steps are his: arm, ask everybody, and
// if nobody has given it up meanwhile, patch and let it drain. As proposed there is no
// synchronisation between the rest and the first byte; `synced` has one. `waiting` also begins each
// attempt by putting the old byte back itself and synchronising: a handler that gave the last
// attempt up may be late, and would put the old byte back in the next one. To synchronise alone is
// not enough, for who has answered may still meet the trap.

import { ABORT } from './int3-abort-handler.js';
import type { Protocol, Step } from '../plan/protocol.js';

/** Updates that are given up oftener are not explored. */
const TIMES = 2;

const between: Step = { do: 'sync', why: 'nobody may pair the new first byte with an old rest' };
const settled: readonly Step[] = [
  {
    do: 'store',
    part: 'first',
    bytes: 'old',
    as: 'one',
    why: 'nobody comes to the trap of the last attempt any more',
  },
  { do: 'sync', why: 'whoever gave it up has done all that he will do' },
];

const abort = (about: string, before: readonly Step[], middle: readonly Step[]): Protocol => ({
  name: 'int3-abort',
  about: `whoever traps gives the update up or finishes it${about}`,
  accepts: { bytes: 'whole', within: null },
  handler: 'abort',
  steps: [
    { do: 'publish', why: 'whoever traps must find the bytes that he is to store' },
    {
      do: 'exchange',
      word: 'state',
      from: ABORT.idle,
      to: ABORT.arming,
      why: 'from here a trap is ours',
    },
    ...before,
    {
      do: 'exchange',
      word: 'state',
      from: ABORT.aborted,
      to: ABORT.arming,
      why: 'the same, where a trap gave the last attempt up',
    },
    {
      do: 'store',
      part: 'first',
      bytes: 'trap',
      as: 'one',
      why: 'nobody decodes the rest of the site',
    },
    { do: 'sync', why: 'everybody has seen the trap, or has given the update up' },
    {
      do: 'exchange',
      word: 'state',
      from: ABORT.arming,
      to: ABORT.patching,
      why: 'from here a trap finishes the update',
    },
    {
      do: 'retry',
      to: 2,
      word: 'state',
      is: ABORT.patching,
      times: TIMES,
      why: 'it was given up: the old first byte is back, or soon will be',
    },
    { do: 'store', part: 'rest', bytes: 'new', as: 'bytes', why: 'hidden behind the trap' },
    ...middle,
    { do: 'store', part: 'first', bytes: 'new', as: 'one', why: 'the new instruction' },
    {
      do: 'exchange',
      word: 'state',
      from: ABORT.patching,
      to: ABORT.draining,
      why: 'whoever still traps just runs the site again',
    },
    { do: 'sync', why: 'from here nobody traps' },
    {
      do: 'exchange',
      word: 'state',
      from: ABORT.draining,
      to: ABORT.idle,
      why: 'a trap is no longer ours',
    },
    { do: 'retire', why: 'the table belongs to one update' },
  ],
});

export const int3Abort: Protocol = abort('', [], []);
export const int3AbortSynced: Protocol = abort(
  '; with a sync before the first byte',
  [],
  [between],
);
export const int3AbortWaiting: Protocol = abort(
  '; with a sync before the first byte, and each attempt begun afresh',
  settled,
  [between],
);

// The kernel's way carried into a process as it is: the table of traps is torn down after the last
// synchronisation. membarrier does not wait for a thread between its trap and its handler, so the
// handler may find no table. `int3` keeps its table for ever because of this; the variants here are
// what a handler could try instead (trap/retire.ts).

import type { Protocol, Step } from '../plan/protocol.js';
import { counting } from './int3-kernel.js';
import { int3 } from '../plan/protocols/int3.js';

const version: Step = {
  do: 'count',
  word: 'version',
  by: 1,
  why: 'a handler that looked too early shall look again',
};
const [publish, ...rest] = int3.steps as readonly [Step, ...Step[]];
const retire: Step = { do: 'retire', why: 'the table belongs to one update' };

const retiring = (steps: readonly Step[], about: string): Protocol => ({
  name: 'int3-retire',
  about,
  accepts: int3.accepts,
  handler: 'retire',
  steps,
});

export const retirePlain: Protocol = retiring(
  [publish, ...rest, retire],
  'int3 with a table that is torn down after the last sync',
);
/** Published before the version moves. */
export const retirePublished: Protocol = retiring(
  [publish, version, ...rest, retire],
  'the table is published, then the version moves',
);
/** Published after it: the mistake. */
export const retireVersioned: Protocol = retiring(
  [version, publish, ...rest, retire],
  'the version moves, then the table is published',
);
/** A handler that counts itself in, which it cannot do before it runs. */
export const retireCounted: Protocol = retiring(
  counting([publish], rest),
  'int3 with a table that is torn down when no handler is in it',
);

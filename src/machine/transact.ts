// Runs a protocol so that its failure has a defined end: the text and the keys' words come out all
// old or all new. Where neither can be written any more, the sites stay parked on their trap and
// are emulated to what the words say. Which way is open follows from the steps: back until a store
// has let a site run the new instruction, and forward from then on. A protocol without traps has
// nothing to park on: there a second failure leaves some sites old and some new, each of them
// whole.

import { Batch, isEmpty, waysIn, type Edits, type KeyChanges } from '../plan/batch.js';
import { isFor as isForSome, type Protocol, type Step } from '../plan/protocol.js';
import { WAY, type Way } from '../plan/ways.js';
import { Stopped, type Machine } from './machine.js';

export type End = 'old' | 'new' | 'parked' | 'mixed';

const TOLD: Readonly<Record<End, string>> = {
  old: 'the text is all old',
  new: 'the text is all new',
  parked: 'sites are parked on their trap',
  mixed: 'some sites are old and some new',
};

/** Why an update did not go through, and in which state it left the text. */
export class Unfinished extends Error {
  override readonly name = 'Unfinished';
  readonly end: End;
  readonly step: number;
  constructor(end: End, step: number, cause: unknown) {
    super(`step ${step + 1} failed; ${TOLD[end]}`, { cause });
    this.end = end;
    this.step = step;
  }
}

const isStore = (step: Step): step is Extract<Step, { do: 'store' }> => step.do === 'store';

const isFor = ({ ways }: Step, way: Way): boolean => ways === undefined || ways.includes(way);

/**
 * The step from which on the way is forward. Where sites are trapped that is the first after which
 * one of them may run the new instruction; the others can be switched back until then. Where none
 * is, it is the last store.
 */
function pointOfNoReturn({ handler, steps }: Protocol): number {
  const i =
    handler === null
      ? steps.findLastIndex(isStore)
      : steps.findIndex(
          (s) => isStore(s) && s.bytes === 'new' && s.part !== 'rest' && isFor(s, 'trap'),
        );
  return i < 0 ? steps.length : i;
}

/**
 * @param previous what the words were before
 * @throws Unfinished, and what the machine throws where it begins nothing
 */
export function transact(
  protocol: Protocol,
  edits: Edits,
  previous: KeyChanges,
  machine: Machine,
): void {
  const { steps } = protocol;
  try {
    machine.begin(protocol, edits);
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    const { step: failed, cause } = error;
    const commit = pointOfNoReturn(protocol);
    // Behind a trap every site can still go forward once the switch has begun. Without a trap the
    // sites that were switched are switched back, and only what follows the switch is tried again.
    const end = failed > commit || (failed === commit && protocol.handler !== null) ? 'new' : 'old';
    try {
      if (end === 'new') machine.run(steps.slice(failed), edits);
      else goBack(protocol, failed, edits, previous, machine);
    } catch {
      // It failed twice: what stands in the text decides.
    }
    throw new Unfinished(settled(protocol, edits, end, machine), failed, cause);
  }
}

/**
 * What stands in the text decides. A site that is off, and whose rest was written already, does
 * what it did before.
 */
function settled(protocol: Protocol, edits: Edits, end: 'old' | 'new', machine: Machine): End {
  const others = machine.unlike(edits, end === 'old' ? 'off' : end);
  if (isEmpty(others)) return end;
  // A parked site does what the words say; one that was to be switched without a trap does not.
  if (protocol.handler !== null && isTrapped(others)) return 'parked';
  return isEmpty(ours(others, machine)) ? end : 'mixed';
}

/** Whether each edit hides its site behind a trap, as all do under a protocol that has one way. */
function isTrapped({ batches }: Edits): boolean {
  return batches.every(({ count, way }) =>
    way.subarray(0, count).every((each) => each === 0 || each === WAY.trap),
  );
}

/**
 * Without the edits whose site other code has overwritten meanwhile: those sites are left alone,
 * because nothing of ours stands there.
 */
function ours(edits: Edits, machine: Machine): Edits {
  const foreign = machine.unlike(edits, 'ours');
  return {
    ...edits,
    batches: edits.batches.map((batch, k) => {
      const others = foreign.batches[k];
      const found = new Batch(batch.count);
      // In the same order.
      for (let i = 0, o = 0; i < batch.count; i++) {
        if (others && o < others.count && others.at[o] === batch.at[i]) o++;
        else found.append(batch, i);
      }
      return found;
    }),
  };
}

function goBack(
  protocol: Protocol,
  failed: number,
  edits: Edits,
  previous: KeyChanges,
  machine: Machine,
): void {
  const { steps } = protocol;
  machine.run([{ do: 'publish', why: 'the way back' }], { ...edits, keys: previous });
  const others = machine.unlike(edits, 'old');
  const changed = protocol.handler === null ? ours(others, machine) : others;
  if (isEmpty(changed)) return;
  const back = { ...changed, batches: changed.batches.map((batch) => batch.reversed()) };
  if (protocol.ways === undefined && protocol.handler === null)
    // No trap hides a site: each is stored back by one store, as it came.
    machine.run([steps.find(isStore)!, SYNC], back);
  else machine.run(wayBack(protocol, failed, waysIn(changed)), back);
}

const SYNC: Step = {
  do: 'sync',
  why: 'no CPU may pair bytes of before with bytes of the way back',
};

/** Over the edits that lead back. */
export const BACK: readonly Step[] = [
  {
    do: 'store',
    ways: ['byte'],
    part: 'byte',
    bytes: 'new',
    as: 'one',
    why: 'one byte switched the site, and one byte switches it back',
  },
  {
    do: 'store',
    ways: ['store'],
    part: 'changed',
    bytes: 'new',
    as: 'exchange',
    why: 'one store switched the site, and one store switches it back',
  },
  {
    do: 'store',
    ways: ['behind'],
    part: 'opcode',
    bytes: 'new',
    as: 'one',
    why: 'off again, before its rest is touched',
  },
  { ...SYNC, ways: ['behind'] },
  {
    do: 'store',
    ways: ['behind'],
    part: 'displacement',
    bytes: 'new',
    as: 'bytes',
    why: 'the site is off',
  },
  {
    do: 'store',
    ways: ['trap'],
    part: 'rest',
    bytes: 'new',
    as: 'bytes',
    why: 'hidden behind the trap',
  },
  SYNC,
  {
    do: 'store',
    ways: ['trap'],
    part: 'first',
    bytes: 'new',
    as: 'one',
    why: 'the old first byte before the old rest is the old instruction',
  },
];

/** Whether the store may have left a site that is no more the old one behind its first byte. */
const commits = (step: Step): boolean =>
  isStore(step) && step.bytes === 'new' && step.part !== 'displacement';

/**
 * Where only trap bytes were stored, and displacements of sites that are off, every site is whole
 * either way and no synchronisation is needed: a thread that still meets the trap is emulated to
 * the old target.
 */
function wayBack({ ways, steps }: Protocol, failed: number, present: number): readonly Step[] {
  const touched = steps.slice(0, failed + 1).some(commits);
  const needed = touched
    ? BACK
    : BACK.filter(
        (step) => isStore(step) && (step.part === 'first' || step.part === 'displacement'),
      );
  if (ways !== undefined) return needed.filter((step) => isForSome(step, present));
  // Every site is trapped, and none has a way of its own.
  return needed.filter((step) => isFor(step, 'trap')).map(({ ways: _, ...step }) => step);
}

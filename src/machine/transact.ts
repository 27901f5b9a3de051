// Runs a protocol so that its failure has an end: the text and the keys' words come out all old or all new, or,
// where neither can be written any more, the sites stay parked on their trap and are emulated to what the words
// say. Which way is open follows from the steps: until a store has let a site run the new instruction, back;
// from then on, forward.

import type { Batch, KeyChange } from '../plan/batch.js';
import type { Protocol, Step } from '../plan/protocol.js';
import type { Machine } from './machine.js';

export type End = 'old' | 'new' | 'parked';

/** Why an update did not go through, and in which state it left the text. */
export class Unfinished extends Error {
  override readonly name = 'Unfinished';
  readonly end: End;
  readonly step: number;
  constructor(end: End, step: number, cause: unknown) {
    super(`step ${step + 1} failed; the text is ${end === 'parked' ? 'parked on traps' : `all ${end}`}`, { cause });
    this.end = end;
    this.step = step;
  }
}

const isStore = (step: Step): step is Extract<Step, { do: 'store' }> => step.do === 'store';

/** The first step after which some thread may run the new instruction itself. */
function pointOfNoReturn(steps: readonly Step[]): number {
  const i = steps.findIndex((s) => isStore(s) && s.bytes === 'new' && s.part !== 'rest');
  return i < 0 ? steps.length : i;
}

/**
 * @param previous what the words were before
 * @param written edits whose new bytes are in the text, among those of a batch: reads the text
 * @throws Unfinished
 */
export function transact(protocol: Protocol, batch: Batch, previous: readonly KeyChange[], machine: Machine, written: (batch: Batch) => Batch): void {
  const { steps } = protocol;
  let failed = 0;
  try {
    for (; failed < steps.length; failed++) machine.perform(steps[failed]!, batch);
    return;
  } catch (cause) {
    throw new Unfinished(settle(protocol, failed, batch, previous, machine, written), failed, cause);
  }
}

function settle(protocol: Protocol, failed: number, batch: Batch, previous: readonly KeyChange[], machine: Machine, written: (batch: Batch) => Batch): End {
  const { steps } = protocol;
  const attempt = (...tried: readonly Step[]): boolean => {
    try {
      for (const step of tried) machine.perform(step, batch);
      return true;
    } catch {
      return false;
    }
  };
  const publishOld = (): void => machine.perform({ do: 'publish', why: 'the way back' }, Object.assign(Object.create(batch) as Batch, { keys: previous }));

  if (protocol.handler === null) {
    // No trap hides a site: those already written are exchanged back, one store each, as they came.
    const store = steps.find(isStore)!;
    publishOld();
    const undone = written(batch);
    try {
      machine.perform(store, undone);
      machine.perform({ do: 'sync', why: 'from here no CPU runs the new instruction' }, undone);
      return 'old';
    } catch {
      return 'parked';
    }
  }
  const commit = pointOfNoReturn(steps);
  if (failed >= commit) {
    // A trap that is still there is emulated to the new target; a second try often goes through (EINTR, ENOMEM).
    return attempt(...steps.slice(failed)) ? 'new' : failed > commit && steps[failed]!.do === 'sync' ? 'new' : 'parked';
  }
  publishOld();
  const rest = steps.findIndex((s) => isStore(s) && s.part === 'rest');
  const first: Step = { do: 'store', part: 'first', bytes: 'old', as: 'one', why: 'the old first byte before the old rest is the old instruction' };
  const sync: Step = { do: 'sync', why: 'nobody may pair the old first byte with a new rest' };
  if (failed < rest) {
    // Only first bytes differ, so the site is whole either way and no synchronisation is owed: whoever still
    // meets the trap is emulated to the old target.
    return attempt(first) ? 'old' : 'parked';
  }
  return attempt({ do: 'store', part: 'rest', bytes: 'old', as: 'bytes', why: 'hidden behind the trap' }, sync, first) ? 'old' : 'parked';
}

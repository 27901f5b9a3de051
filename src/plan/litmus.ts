// Two-thread programs that are asked of the real CPU and of the model: one thread changes an
// instruction by some steps, over and over, while another executes it. They are not protocols but
// questions about the machine, one each; what a CPU shows must be among what the model allows, or
// the model is wrong.

import type { Step } from './protocol.js';
import { int3 } from './protocols/int3.js';
import { naive } from './protocols/naive.js';

export interface LitmusProgram {
  readonly name: string;
  readonly about: string;
  /**
   * What changes into a call of another target and back: a call, a nop of the same length, or the
   * empty form that keeps the call's displacement.
   */
  readonly from: 'call' | 'nop' | 'off';
  /** Of the instruction in its cache line. */
  readonly offset: number;
  readonly steps: readonly Step[];
  /**
   * `landing`: is what is executed one of the two instructions, whole? `order`: the displacement
   * only ever counts up, and the writer says in a word how far it has come; does a call go to an
   * older target than the word said, or than the call before it?
   */
  readonly watch: 'landing' | 'order';
}

export const LANDINGS = ['whole', 'mixed', 'trap'] as const;
export const ORDERS = ['in order', 'late', 'backwards'] as const;
export type LitmusOutcome = (typeof LANDINGS)[number] | (typeof ORDERS)[number];

const stores = (steps: readonly Step[]): Step[] => steps.filter((step) => step.do === 'store');
const effects = (steps: readonly Step[]): Step[] => steps.filter((step) => step.do !== 'publish');
/** The steps of int3 with these of its three synchronisations. */
const synced = (...kept: readonly number[]): Step[] => {
  let n = 0;
  return effects(int3.steps).filter((step) => step.do !== 'sync' || kept.includes(++n));
};
const whole: Step = {
  do: 'store',
  part: 'changed',
  bytes: 'new',
  as: 'one',
  why: 'one store instruction',
};
const sync: Step = { do: 'sync', why: 'every CPU serialises' };

const landing = (
  name: string,
  about: string,
  offset: number,
  steps: readonly Step[],
  from: LitmusProgram['from'] = 'call',
): LitmusProgram => ({ name, about, from, offset, steps, watch: 'landing' });

export const LITMUS: readonly LitmusProgram[] = [
  landing('bytes', 'five stores, byte by byte, inside a line', 8, stores(naive.steps)),
  landing('bytes-line', 'five stores over the end of a line', 61, stores(naive.steps)),
  landing('one', 'one store of the displacement inside a quadword', 8, [whole]),
  landing('one-qword', 'one store over the end of a quadword', 4, [whole]),
  landing('one-fetch16', 'one store over the end of 16 bytes', 12, [whole]),
  landing('one-fetch32', 'one store over the end of 32 bytes', 30, [whole]),
  landing('one-line', 'one store over the end of a line', 61, [whole]),
  landing(
    'one-nop',
    'a nop and a call, exchanged by one store inside a quadword',
    8,
    [whole],
    'nop',
  ),
  landing(
    'flip',
    'an empty site and its call, exchanged by their first byte, over the end of a line',
    61,
    [{ do: 'store', part: 'opcode', bytes: 'new', as: 'one', why: 'one byte' }],
    'off',
  ),
  landing(
    'int3',
    'the trap byte and three synchronisations, over the end of a line',
    61,
    synced(1, 2, 3),
  ),
  landing('int3-no-1', 'without the one behind the trap byte', 61, synced(2, 3)),
  landing('int3-no-2', 'without the one behind the rest', 61, synced(1, 3)),
  landing('int3-no-3', 'without the last one', 61, synced(1, 2)),
  landing('int3-none', 'without any', 61, synced()),
  {
    name: 'order',
    about: 'one store, then the word',
    from: 'call',
    offset: 8,
    steps: [whole],
    watch: 'order',
  },
  {
    name: 'order-sync',
    about: 'one store, a synchronisation, then the word',
    from: 'call',
    offset: 8,
    steps: [whole, sync],
    watch: 'order',
  },
];

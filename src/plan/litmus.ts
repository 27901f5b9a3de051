// Two-thread programs that are asked of the real CPU and of the model: one thread changes
// instructions by some steps, over and over, while another executes them. They are not protocols
// but questions about the machine, one each; what a CPU shows must be among what the model allows,
// or the model is wrong.

import type { Step } from './protocol.js';
import { int3 } from './protocols/int3.js';
import { naive } from './protocols/naive.js';
import type { ParsedText } from './text.js';

interface Named {
  readonly name: string;
  readonly about: string;
  /** Of the instruction in its cache line. */
  readonly offset: number;
  /**
   * Before the instruction the reader has so many multiplications, each of which needs the one
   * before it, and nops of one byte. The queues behind the fetcher run full, so the fetcher often
   * stands still in the middle of the line, and a store has time to come between two of its reads.
   */
  readonly stall?: number;
}

/** What one site goes through. */
interface Stored extends Named {
  /**
   * What changes into a call of another target and back: a call, a nop of the same length, or the
   * empty form that keeps the call's displacement.
   */
  readonly from: 'call' | 'nop' | 'off';
  readonly steps: readonly Step[];
}

/** Is what is executed one of the instructions that were meant, whole? */
export interface LandingProgram extends Stored {
  readonly watch: 'landing';
  /** In place of the call: text of a protocol's own, whose states come in turn. */
  readonly text?: ParsedText;
}

/**
 * The same bytes, loaded by a load instruction of four bytes: what the caches do with the store
 * when no fetcher is asked.
 */
export interface DataProgram extends Stored {
  readonly watch: 'data';
}

/**
 * What a round of the writer makes newer: the call at `x`, the one at `y`, a word of data. `trap`
 * puts the trap byte over x and waits until the reader has met it.
 */
export type Written = 'x' | 'y' | 'word' | 'trap' | 'sync';
/**
 * What the reader looks at, one after the other, and what it does in between. `trap` goes through x
 * until it has met the trap, whose handler goes on behind x; `branch` is a jump and a return.
 */
export type Looked = 'x' | 'y' | 'word' | 'trap' | 'cpuid' | 'iret' | 'serialize' | 'branch';

/**
 * Numbers only ever count up. Is what the reader looks at no older than what it looked at before?
 * An older call after something else is `late`; after a newer call at the same place, `backwards`.
 */
export interface OrderProgram extends Named {
  readonly watch: 'order';
  readonly writes: readonly Written[];
  readonly reads: readonly Looked[];
  /**
   * The thread that reads is the one that writes, at the address that it executes or through
   * another mapping.
   */
  readonly own?: 'same-address' | 'alias';
}

export type LitmusProgram = LandingProgram | DataProgram | OrderProgram;

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

const landing = (
  name: string,
  about: string,
  offset: number,
  steps: readonly Step[],
  from: Stored['from'] = 'call',
): LandingProgram => ({ name, about, from, offset, steps, watch: 'landing' });

const order = (
  name: string,
  about: string,
  writes: OrderProgram['writes'],
  reads: OrderProgram['reads'],
  more: Partial<Pick<OrderProgram, 'own' | 'stall'>> = {},
): OrderProgram => ({ name, about, offset: 8, writes, reads, watch: 'order', ...more });

/** Where one store lies over the end of a unit that a fetcher may read by. */
const STRADDLES = [
  ['one', 'inside a quadword', 8],
  ['one-qword', 'over the end of a quadword', 4],
  ['one-fetch16', 'over the end of 16 bytes', 12],
  ['one-fetch32', 'over the end of 32 bytes', 30],
  ['one-line', 'over the end of a line', 61],
] as const;

/** How long a chain holds the fetcher up: with two, more calls were torn than with sixteen. */
export const STALL = 2;

const one: readonly LitmusProgram[] = [
  ...STRADDLES.map(([name, where, offset]) => landing(name, `one store ${where}`, offset, [whole])),
  ...STRADDLES.flatMap(([name, where, offset]): LitmusProgram[] => {
    const program = { offset, from: 'call', steps: [whole] } as const;
    return [
      {
        ...program,
        name: `${name}-stalled`,
        about: `one store ${where}, the fetcher held up`,
        stall: STALL,
        watch: 'landing',
      },
      {
        ...program,
        name: `${name}-data`,
        about: `one store ${where}, read as data`,
        watch: 'data',
      },
    ];
  }),
];

/** A store that is one whatever it crosses: what is torn then, the fetcher has torn. */
const locked: LitmusProgram = {
  ...landing(
    'one-fetch32-locked',
    'one LOCKed store over the end of 32 bytes, the fetcher held up',
    30,
    [{ do: 'write', at: 1, bytes: 4, from: 'new', as: 'exchange', why: 'one LOCKed instruction' }],
  ),
  stall: STALL,
};

export const LITMUS: readonly LitmusProgram[] = [
  landing('bytes', 'five stores, byte by byte, inside a line', 8, stores(naive.steps)),
  landing('bytes-line', 'five stores over the end of a line', 61, stores(naive.steps)),
  ...one,
  locked,
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
  order('order', 'one store, then the word', ['x', 'word'], ['word', 'x', 'x']),
  order(
    'order-sync',
    'one store, a synchronisation, then the word',
    ['x', 'sync', 'word'],
    ['word', 'x', 'x'],
  ),
  order(
    'mp-df',
    'code, then the word; the word as late as it can be loaded, then the code',
    ['x', 'word'],
    ['word', 'x'],
    { stall: 16 },
  ),
  order('mp-df-cpuid', 'the same, CPUID in between', ['x', 'word'], ['word', 'cpuid', 'x']),
  order('mp-df-iret', 'the same, IRET in between', ['x', 'word'], ['word', 'iret', 'x']),
  order(
    'mp-df-serialize',
    'the same, SERIALIZE in between',
    ['x', 'word'],
    ['word', 'serialize', 'x'],
  ),
  order('mp-ff', 'code y, then code x; x, then y', ['y', 'x'], ['x', 'y']),
  order('mp-fd', 'the word, then code; the code, then the word', ['word', 'x'], ['x', 'word']),
  order('co-ff', 'one place, executed twice', ['x'], ['x', 'x']),
  order('co-ff-branch', 'the same, a jump and a return in between', ['x'], ['x', 'branch', 'x']),
  order('sm', "a thread's own store, then the code", ['x'], ['x'], { own: 'same-address' }),
  order('sm-jump', 'the same, a jump in between', ['x'], ['branch', 'x'], {
    own: 'same-address',
  }),
  order('sm-alias', 'the same through another mapping, no jump', ['x'], ['x'], { own: 'alias' }),
  order(
    'trap-then-rest',
    'code y, then the trap byte at x; the trap is met, then y',
    ['y', 'trap'],
    ['trap', 'y'],
  ),
];

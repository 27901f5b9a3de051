// What a run is judged by: what the machine promises at every step (machine/sim/promises.ts), and
// the two properties that only a finished search can decide. All properties judge a step together;
// the path ends there if the machine no longer does what its program says.

import type { PromiseName } from '../machine/sim/promises.js';
import type { Configuration } from './configuration.js';

export interface Property {
  readonly name: PropertyName;
  /** What must hold. */
  readonly holds: string;
  readonly applies: (configuration: Configuration) => boolean;
  /** Reported apart: its failure alone does not make the answer "no". */
  readonly apart: boolean;
}

/**
 * What the machine judges at a step, and what only the whole search can tell. One of PROPERTY_NAMES.
 */
export type PropertyName = PromiseName | 'deadlock' | 'livelock';

const always = () => true;
const inKernel = ({ environment }: Configuration) => environment === 'kernel';

/** In the order in which reports list them. */
const TABLE: Readonly<Record<PropertyName, Omit<Property, 'name'>>> = {
  torn: {
    holds: 'every instruction executed at a site is one that the protocol meant to be there',
    applies: always,
    apart: false,
  },
  target: {
    holds:
      'a pass runs exactly one of the targets that were current between its first fetch and the begin of its call',
    applies: always,
    apart: false,
  },
  'after-update': {
    holds: 'no call begun after an update returned runs a target that it replaced',
    applies: always,
    apart: false,
  },
  'after-update-strict': {
    holds: 'no replaced target is entered after the update returned',
    applies: always,
    apart: true,
  },
  stack: {
    holds:
      'stack and return address on entry to the target are as after a real call, and balanced after the return',
    applies: always,
    apart: false,
  },
  flags: {
    holds: 'IF and the registers that a call preserves are unchanged on entry to the target',
    applies: always,
    apart: false,
  },
  slot: {
    holds: 'data stashed for one emulated call is never used by another',
    applies: always,
    apart: false,
  },
  lockdep: { holds: "lockdep's idea of IF equals IF", applies: inKernel, apart: false },
  'shadow-stack': {
    holds: 'no control-protection exception',
    applies: ({ shadowStack }) => shadowStack,
    apart: false,
  },
  deadlock: {
    holds: 'from every state the program can still end',
    applies: always,
    apart: false,
  },
  livelock: {
    holds: 'the machine cannot go round for ever with nothing ending, each of its parts in turn',
    applies: always,
    apart: true,
  },
  'indirect-branch': {
    holds: 'no indirect jump or call outside a complete retpoline',
    applies: always,
    apart: false,
  },
  'indirect-branch-strict': {
    holds: 'also no return that matches no call',
    applies: always,
    apart: true,
  },
  'stray-trap': {
    holds: 'every trap that the protocol planted is claimed',
    applies: always,
    apart: false,
  },
  unwind: {
    holds: 'the call chain can be recovered at every instruction outside entry code',
    applies: always,
    apart: false,
  },
};

/** The names of all properties, in the order in which reports list them. */
export const PROPERTY_NAMES = Object.keys(TABLE) as readonly PropertyName[];

/** What each property promises, and where it applies. */
export const PROPERTIES: readonly Property[] = PROPERTY_NAMES.map((name) => ({
  name,
  ...TABLE[name],
}));

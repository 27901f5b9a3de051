// What a run is judged by: what the machine promises at every step (machine/sim/promises.ts), and
// the two properties that only a finished search can decide. All properties judge a step together;
// the path ends there if the machine no longer does what its program says.

import type { PromiseName } from '../machine/sim/promises.js';
import type { Configuration } from './configuration.js';

export interface Property {
  readonly name: PropertyName;
  /** What must hold. */
  readonly holds: string;
  /** What must hold of a program without an end, where that is something else. */
  readonly endless?: string;
  readonly applies: (configuration: Configuration) => boolean;
  /** Reported apart: its failure alone does not make the answer "no". */
  readonly apart: boolean;
}

/**
 * What the machine judges at a step, and what only the whole search can tell. One of
 * PROPERTY_NAMES.
 */
export type PropertyName = PromiseName | 'deadlock' | 'livelock';

const always = () => true;
const inKernel = ({ environment }: Configuration) => environment === 'kernel';

/** In the order in which reports list them. */
const TABLE: Readonly<Record<PropertyName, Omit<Property, 'name'>>> = {
  torn: {
    holds: 'every instruction executed at a site is one that the protocol put there',
    applies: always,
    apart: false,
  },
  target: {
    holds:
      'a call runs exactly one target, current at some time between its first fetch and its start',
    applies: always,
    apart: false,
  },
  'after-update': {
    holds: 'no call that starts after an update has returned runs a target that it replaced',
    applies: always,
    apart: false,
  },
  'after-update-strict': {
    holds: 'no replaced target is entered after the update has returned',
    applies: always,
    apart: true,
  },
  'trap-after-return': {
    holds: 'no thread fetches the trap byte of an update that has returned',
    applies: always,
    apart: true,
  },
  stack: {
    holds:
      'stack and return address on entry to the target are those of a real call, balanced after it',
    applies: always,
    apart: false,
  },
  flags: {
    holds: 'IF and the registers that a call preserves are unchanged on entry to the target',
    applies: always,
    apart: false,
  },
  slot: {
    holds: 'data stored for one emulated call is never used by another',
    applies: always,
    apart: false,
  },
  lockdep: { holds: "lockdep's record of IF agrees with IF", applies: inKernel, apart: false },
  'shadow-stack': {
    holds: 'no control-protection exception',
    applies: ({ shadowStack }) => shadowStack,
    apart: false,
  },
  deadlock: {
    holds: 'the program can still end from every state',
    endless: 'from every state a pass can end, an update can return, a CPU can answer a request',
    applies: always,
    apart: false,
  },
  livelock: {
    holds: 'no fair infinite run without a completed call or update',
    applies: always,
    apart: true,
  },
  'indirect-branch': {
    holds: 'no indirect jump or call outside a complete retpoline',
    applies: always,
    apart: false,
  },
  'indirect-branch-strict': {
    holds: 'no return without a matching call either',
    applies: always,
    apart: true,
  },
  'stray-trap': {
    holds: 'every trap that the protocol causes is recognised by its handler',
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

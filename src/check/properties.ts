// What a run is judged by. Every property judges a violating step together; the path ends there
// when the machine no longer does what its program says, and goes on when only a promise was
// broken.

import type { Configuration } from './configuration.js';

export interface Property {
  readonly name: PropertyName;
  /** What must hold. */
  readonly holds: string;
  readonly applies: (configuration: Configuration) => boolean;
  /** Reported apart: its failure alone does not make the answer "no". */
  readonly apart: boolean;
}

/** In the order in which reports list them. */
export const PROPERTY_NAMES = [
  'torn',
  'target',
  'after-update',
  'after-update-strict',
  'stack',
  'flags',
  'slot',
  'lockdep',
  'shadow-stack',
  'deadlock',
  'livelock',
  'indirect-branch',
  'indirect-branch-strict',
  'stray-trap',
  'unwind',
] as const;
/** One of PROPERTY_NAMES. */
export type PropertyName = (typeof PROPERTY_NAMES)[number];

const always = () => true;
const inKernel = ({ environment }: Configuration) => environment === 'kernel';

/** What each property promises, and where it applies. */
export const PROPERTIES: readonly Property[] = [
  {
    name: 'torn',
    holds: 'every instruction executed at a site is one that the protocol meant to be there',
    applies: always,
    apart: false,
  },
  {
    name: 'target',
    holds:
      'a pass runs exactly one of the targets that were current between its first fetch and the begin of its call',
    applies: always,
    apart: false,
  },
  {
    name: 'after-update',
    holds: 'no call begun after an update returned runs a target that it replaced',
    applies: always,
    apart: false,
  },
  {
    name: 'after-update-strict',
    holds: 'no replaced target is entered after the update returned',
    applies: always,
    apart: true,
  },
  {
    name: 'stack',
    holds:
      'stack and return address on entry to the target are as after a real call, and balanced after the return',
    applies: always,
    apart: false,
  },
  {
    name: 'flags',
    holds: 'IF and the registers that a call preserves are unchanged on entry to the target',
    applies: always,
    apart: false,
  },
  {
    name: 'slot',
    holds: 'data stashed for one emulated call is never used by another',
    applies: always,
    apart: false,
  },
  { name: 'lockdep', holds: "lockdep's idea of IF equals IF", applies: inKernel, apart: false },
  {
    name: 'shadow-stack',
    holds: 'no control-protection exception',
    applies: ({ shadowStack }) => shadowStack,
    apart: false,
  },
  {
    name: 'deadlock',
    holds: 'from every state the program can still end',
    applies: always,
    apart: false,
  },
  {
    name: 'livelock',
    holds: 'the machine cannot go round for ever with nothing ending, each of its parts in turn',
    applies: always,
    apart: true,
  },
  {
    name: 'indirect-branch',
    holds: 'no indirect jump or call outside a complete retpoline',
    applies: always,
    apart: false,
  },
  {
    name: 'indirect-branch-strict',
    holds: 'also no return that matches no call',
    applies: always,
    apart: true,
  },
  {
    name: 'stray-trap',
    holds: 'every trap that the protocol planted is claimed',
    applies: always,
    apart: false,
  },
  {
    name: 'unwind',
    holds: 'the call chain can be recovered at every instruction outside entry code',
    applies: always,
    apart: false,
  },
];

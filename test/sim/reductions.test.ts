import { describe, expect, it } from 'vitest';
import type { Configuration } from '#check/configuration';
import { PROPOSALS } from '#zoo/index';
import { disagreements } from './agree.js';
import { more } from '../more.js';

const NMI = {
  contexts: ['task', 'nmi'],
  cpus: 1,
  passes: 1,
  updates: 1,
  tso: false,
} as const satisfies Partial<Configuration>;
const TWO = {
  contexts: ['task'],
  cpus: 2,
  passes: 1,
  updates: 1,
  tso: false,
} as const satisfies Partial<Configuration>;

const CASES: readonly [name: string, variant: string, size: Partial<Configuration>][] = [
  ...more<[string, string, Partial<Configuration>][]>(
    ['int3-stub', '', NMI],
    ['int3-gap', 'no-gap', NMI],
    ['int3-gap', '', { ...TWO, dropSync: 1 }],
    ['int3-gap', '', TWO],
    ['int3-gap', '', { ...TWO, dropSync: 3 }],
  ),
  ['store', '', NMI],
  // Whether a request comes before the CLI of the spin can be told: once a reduction took the CLI
  // alone.
  ['int3-gap', 'spin', { ...TWO, dropSync: 3 }],
  ['int3', '', { ...TWO, contexts: ['task', 'signal'], cpus: 1 }],
  // The patcher's CPU is unlike the others, and its events must find its buffer empty.
  ['store', '', { ...TWO, patcher: 'task', tso: true }],
  ['int3-gap', '', { ...NMI, patcher: 'task' }],
  ['stop-machine', '', { ...TWO, contexts: ['task', 'nmi'], patcher: 'task' }],
  ['int3', '', { ...TWO, contexts: ['task', 'signal'], cpus: 1, patcher: 'task', tso: true }],
  ['int3', '', { ...TWO, contexts: ['task', 'preempt'], cpus: 1, tasks: 1, patcher: 'task' }],
];

describe('every reduction agrees with the plain search', () => {
  for (const [name, variant, size] of CASES) {
    const proposal = PROPOSALS.find((each) => each.name === name && each.variant === variant);
    it(`${name} ${variant} with ${size.contexts?.join()} on ${size.cpus} CPU${size.patcher === 'task' ? ", one of them the patcher's" : ''}${size.dropSync ? `, without synchronisation ${size.dropSync}` : ''}`, () => {
      expect(proposal && disagreements(proposal, size)).toEqual([]);
    });
  }
});

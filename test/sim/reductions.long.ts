import { describe, expect, it } from 'vitest';
import { findProposal, PROPOSALS } from '#zoo/index';
import { disagreements } from './agree.js';
import { inTurn, jmpSelf, once } from './livelocks.js';

const SMALL = { passes: 1, updates: 1, tso: false } as const;
const TWO = { ...SMALL, contexts: ['task'], cpus: 2 } as const;

describe('every reduction agrees with the plain search, for every protocol', () => {
  for (const proposal of PROPOSALS) {
    const title = `${proposal.name}${proposal.variant === '' ? '' : `/${proposal.variant}`} (${proposal.environment})`;
    const beside = proposal.environment === 'kernel' ? 'nmi' : 'signal';
    it(`${title} beside ${beside}`, () => {
      expect(disagreements(proposal, { ...SMALL, contexts: ['task', beside], cpus: 1 })).toEqual(
        [],
      );
    });
    if (proposal.updaters === 'one') {
      it(`${title} beside ${beside}, the patcher a task on the same CPU`, () => {
        expect(
          disagreements(proposal, {
            ...SMALL,
            contexts: ['task', beside],
            cpus: 1,
            patcher: 'task',
          }),
        ).toEqual([]);
      });
    }
    if (proposal.functions === 2) continue; // two sites on two CPUs are beyond the plain search
    const syncs = proposal.protocol.steps.filter((step) => step.do === 'sync').length;
    for (const dropSync of [null, ...Array.from({ length: syncs }, (_, i) => i + 1)]) {
      it(`${title} on two CPUs, without synchronisation: ${dropSync ?? 'none'}`, () => {
        expect(
          disagreements(proposal, { ...SMALL, contexts: ['task'], cpus: 2, dropSync }),
        ).toEqual([]);
      });
    }
  }
  // One CPU beside the patcher's own stands for all the others.
  it.for([
    ['store', 'kernel'],
    ['store', 'user'],
    ['naive', 'user'],
    ['int3-gap', 'kernel'],
    ['int3', 'user'],
  ] as const)("%s (%s) on three CPUs, one of them the patcher's", ([name, environment]) => {
    expect(
      disagreements(findProposal(name, '', environment), { ...TWO, cpus: 3, patcher: 'task' }),
    ).toEqual([]);
  });
  it.for([
    ['two handlers that make each other look again', inTurn, TWO],
    ['two handlers that do so once', once, TWO],
    ['a spin at a jump that is gone', jmpSelf, { ...TWO, chunk: 'qword', dropSync: 3 }],
    ['a spin that ends', jmpSelf, { ...TWO, chunk: 'qword' }],
  ] as const)('%s', ([, proposal, size]) => {
    expect(disagreements(proposal, size)).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import { findSubject, SUBJECTS } from '#check/subject';
import { disagreements } from './agree.js';
import { inTurn, jmpSelf, once } from './livelocks.js';

const SMALL = { passes: 1, updates: 1, tso: false } as const;
const TWO = { ...SMALL, contexts: ['task'], cpus: 2 } as const;

describe('every reduction agrees with the plain search, for every protocol', () => {
  for (const subject of SUBJECTS) {
    const title = `${subject.name}${subject.variant === '' ? '' : `/${subject.variant}`} (${subject.environment})`;
    const beside = subject.environment === 'kernel' ? 'nmi' : 'signal';
    it(`${title} beside ${beside}`, () => {
      expect(disagreements(subject, { ...SMALL, contexts: ['task', beside], cpus: 1 })).toEqual([]);
    });
    if (subject.updaters === 'one') {
      it(`${title} beside ${beside}, the patcher a task on the same CPU`, () => {
        expect(
          disagreements(subject, {
            ...SMALL,
            contexts: ['task', beside],
            cpus: 1,
            patcher: 'task',
          }),
        ).toEqual([]);
      });
    }
    if (subject.functions === 2) continue; // two sites on two CPUs are beyond the plain search
    const syncs = subject.protocol.steps.filter((step) => step.do === 'sync').length;
    for (const dropSync of [null, ...Array.from({ length: syncs }, (_, i) => i + 1)]) {
      it(`${title} on two CPUs, without synchronisation: ${dropSync ?? 'none'}`, () => {
        expect(disagreements(subject, { ...SMALL, contexts: ['task'], cpus: 2, dropSync })).toEqual(
          [],
        );
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
      disagreements(findSubject(name, '', environment), { ...TWO, cpus: 3, patcher: 'task' }),
    ).toEqual([]);
  });
  it.for([
    ['two handlers that make each other look again', inTurn, TWO],
    ['two handlers that do so once', once, TWO],
    ['a spin at a jump that is gone', jmpSelf, { ...TWO, chunk: 'qword', dropSync: 3 }],
    ['a spin that ends', jmpSelf, { ...TWO, chunk: 'qword' }],
  ] as const)('%s', ([, subject, size]) => {
    expect(disagreements(subject, size)).toEqual([]);
  });
});

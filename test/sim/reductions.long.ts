import { describe, expect, it } from 'vitest';
import { SUBJECTS } from '#check/subject';
import { disagreements } from './agree.js';

describe('every reduction agrees with the plain search, for every protocol with every synchronisation dropped', () => {
  for (const subject of SUBJECTS.filter(({ name }) => name !== 'naive')) {
    const syncs = subject.protocol.steps.filter((step) => step.do === 'sync').length;
    for (const dropSync of [null, ...Array.from({ length: syncs }, (_, i) => i + 1)]) {
      const contexts = subject.environment === 'kernel' ? (['task', 'nmi'] as const) : (['task', 'signal'] as const);
      it(`${subject.name} ${subject.variant} ${subject.environment} without ${dropSync ?? 'none'}`, () => {
        expect(disagreements(subject, { contexts, cpus: 1, passes: 1, updates: 1, tso: false, dropSync })).toEqual([]);
        expect(disagreements(subject, { contexts: ['task'], cpus: 2, passes: 1, updates: 1, tso: false, dropSync })).toEqual([]);
      });
    }
  }
});

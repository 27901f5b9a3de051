// Kernels of a distribution with the recorder: what they do to their text is what is checked; and
// with one synchronisation taken out of their own text, that is seen.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { conform, type Conformance } from '#check/conform';
import { readPokeLog } from '#check/poke-log';
import { findProposal } from '#zoo/index';
import { tool } from '../build.js';
import { missing } from '../../examples/kernel/guest.mjs';
import { Recorder, SWITCHES } from '../../examples/kernel/recorder.mjs';

const corpus = process.env['STATIC_CALL_CORPUS'] ?? 'corpus';
const imageIn = (name: string): string | undefined => {
  const boot = join(corpus, name, 'boot');
  const found = existsSync(boot)
    ? readdirSync(boot).find((file) => file.startsWith('vmlinuz-'))
    : undefined;
  return found && join(boot, found);
};
const KERNELS = ['kernel', 'newer'].map((name) => ({ name, kernel: imageIn(name) ?? '' }));

function reasonToSkip(): string | null {
  if (!tool('gcc')) return 'gcc is not installed';
  if (KERNELS.some(({ kernel }) => kernel === '')) return 'scripts/corpus has not been run';
  return missing();
}
const reason = reasonToSkip();
const { protocol } = findProposal('int3-gap', 'counted', 'kernel');

describe.skipIf(reason !== null).each(KERNELS)(
  `the kernel in corpus/$name${reason === null ? '' : ` (skipped: ${reason})`}`,
  ({ kernel }) => {
    let recorder: Recorder;
    const recorded = async (line: string): Promise<Conformance> => {
      const events: object[] = await recorder.record(line);
      const text = events.map((event) => JSON.stringify(event)).join('\n');
      return conform(protocol, readPokeLog(text, 'log'));
    };
    beforeAll(async () => {
      recorder = await Recorder.boot({ kernel });
    });
    afterAll(() => recorder?.close());

    test('tracepoints and preemption modes: each batch conforms, each trap goes on at the new target', async () => {
      const found = await recorded(SWITCHES.join('; '));
      expect(found.refusals).toEqual([]);
      expect(found.batches).toBeGreaterThan(6000);
      expect(found.conform).toBe(found.batches);
      expect(found.resumed.other).toBe(0);
    });

    test('with each synchronisation taken out in turn, every batch is refused at that step', async () => {
      const event = '/sys/kernel/tracing/events/kmem/kmalloc/enable';
      expect(recorder.syncs).toHaveLength(3);
      const steps: number[] = [];
      for (const index of [0, 1, 2]) {
        const {
          batches,
          conform: good,
          refusals,
        } = await recorder.withoutSync(index, () =>
          recorded(`echo 1 > ${event}; echo 0 > ${event}`),
        );
        expect(batches).toBeGreaterThan(5);
        expect(good).toBe(0);
        const [first] = refusals;
        expect(refusals.every(({ step }) => step === first?.step)).toBe(true);
        expect(first?.expected).toContain('every CPU synchronises, and CPU 0, 1 did not');
        steps.push(first?.step ?? 0);
      }
      expect(steps.sort()).toEqual([4, 6, 8]);
    });
  },
);

// What is seldom, and is recorded where it is met: no line of this gates on seeing it.

import { describe, expect, it } from 'vitest';
import { whyNot } from '#host/litmus';
import { performed } from './performed.js';

const SECONDS = 20;
const SLICE = 4;

describe.skipIf(whyNot() !== null)('a synchronisation that is left out', () => {
  it.for([
    ['the crate static-key', ['examples/protocols/static-key.json', '--offset', '61']],
    ['int3 without its first', ['int3', '--drop-sync', '1']],
  ] as const)(
    '%s: torn where it is met within 20 s, and the model allows it',
    async ([name, words]) => {
      let [updates, torn] = [0, 0];
      const begun = performance.now();
      while (torn === 0 && performance.now() - begun < 1000 * SECONDS) {
        const [, run] = await performed(SLICE, ...words);
        if (run.skipped !== null) return;
        updates += run.updates;
        torn += run.seen['mixed'] ?? 0;
        expect(run.strictest).toContainEqual({ fetch: 'F1', chunk: 'line', store: 'line' });
      }
      const seconds = ((performance.now() - begun) / 1000).toFixed(0);
      const seen = torn === 0 ? 'not seen' : `${torn} torn`;
      console.log(`${name}: ${seen} in ${updates} updates, ${seconds} s`);
    },
  );

  it('a sled of two instructions: what is seen, the model allows', async () => {
    const [, run] = await performed(SLICE, 'examples/protocols/sled.mjs', '--offset', '8');
    expect(run.strictest).toContainEqual({ fetch: 'F3', chunk: 'line', store: 'line' });
    expect(run.calls).toBeGreaterThan(0);
    console.log(`sled at 8: ${JSON.stringify(run.seen)} in ${run.updates} updates`);
  });

  it.for([
    ['the same steps with all three', ['examples/protocols/jmp-self.mjs', '--offset', '61']],
    ['int3', ['int3']],
  ] as const)('%s: none is torn', async ([, words]) => {
    const [status, run] = await performed(SLICE, ...words);
    expect(run.seen['mixed']).toBeUndefined();
    expect(status).toBe(0);
  });
});

import { describe, expect, it } from 'vitest';
import { ask, distance, whyNot, type Seen } from '#host/litmus';
import { allowed, CLAIMED } from '#check/litmus/allowed';
import { LITMUS, type LitmusOutcome, type LitmusProgram } from '#plan/litmus';
import { more } from '../more.js';

const program = (name: string): LitmusProgram => LITMUS.find((each) => each.name === name)!;

/** Asked again where a loaded machine may have kept the reader off its CPU. */
async function met(asked: LitmusProgram, enough: (seen: Seen) => boolean): Promise<Seen> {
  let seen = await ask(asked, { milliseconds: 300 });
  for (let again = 0; again < 3; again++) {
    if (seen.skipped !== null || seen.crash !== null || enough(seen)) return seen;
    seen = await ask(asked, { milliseconds: 1500 });
  }
  return seen;
}

/**
 * Only what is torn thousands of times in a million, on every CPU that was asked, may fail a test
 * when it is not seen.
 */
const RELIABLE = 'bytes-line';
const ASKED = [RELIABLE, 'one-data', 'int3', 'order-sync'];
const ASKED_LONG = more('one', 'one-nop', 'flip', 'one-stalled', 'mp-df-iret', 'mp-ff');

describe.skipIf(whyNot() !== null)('the real CPU and the model', () => {
  it.for([...ASKED, ...ASKED_LONG])(
    '%s: nothing is seen that the model forbids',
    async (name, { skip }) => {
      const asked = program(name);
      const seen = await met(
        asked,
        ({ calls, seen: outcomes }) =>
          calls > 0 && (name !== RELIABLE || outcomes.mixed !== undefined),
      );
      if (seen.skipped !== null) skip(seen.skipped);
      expect(seen.updates).toBeGreaterThan(0);
      expect(Object.keys(seen.seen).length).toBeGreaterThan(0);
      const may = [...allowed(asked, CLAIMED)];
      for (const outcome of Object.keys(seen.seen)) expect(may).toContain(outcome as LitmusOutcome);
      if (name === RELIABLE) expect(seen.seen.mixed).toBeGreaterThan(0);
    },
  );

  it('what executes neither instruction ends its process, and says which bytes it had', async ({
    skip,
  }) => {
    // The opcode of a call before the rest of a nop leads to where no pad lies.
    const asked = { ...program('bytes-line'), from: 'nop' } as LitmusProgram;
    const { crash, seen, skipped } = await met(asked, () => false);
    if (skipped !== null) skip(skipped);
    if (crash === null) skip('not seen');
    expect(seen.mixed).toBe(1);
    expect(crash?.executed).toMatch(/^[0-9a-f]{2}( [0-9a-f]{2})+$/);
  });

  it('one word between two CPUs takes some nanoseconds', async () => {
    expect(await distance()).toBeGreaterThan(0);
  });
});

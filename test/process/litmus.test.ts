import { describe, expect, it } from 'vitest';
import { ask, whyNot } from '#host/litmus';
import { allowed, CLAIMED } from '#check/litmus/allowed';
import { LITMUS, type LitmusOutcome } from '#plan/litmus';

/**
 * Only what is torn thousands of times in a million, on every CPU that was asked, may fail a test
 * when it is not seen.
 */
const RELIABLE = 'bytes-line';
const ASKED = [RELIABLE, 'one', 'one-nop', 'flip', 'int3', 'order-sync'];

describe.skipIf(whyNot() !== null)('the real CPU and the model', () => {
  it.for(ASKED)('%s: nothing is seen that the model forbids', async (name, { skip }) => {
    const program = LITMUS.find((each) => each.name === name)!;
    let seen = await ask(program, { milliseconds: 300 });
    // A loaded machine may have kept the reader off its CPU.
    for (
      let again = 0;
      again < 3 &&
      seen.skipped === null &&
      seen.crash === null &&
      (seen.calls === 0 || (name === RELIABLE && seen.seen.mixed === undefined));
      again++
    )
      seen = await ask(program, { milliseconds: 1500 });
    if (seen.skipped !== null) skip(seen.skipped);
    expect(seen.updates).toBeGreaterThan(0);
    expect(Object.keys(seen.seen).length).toBeGreaterThan(0);
    const may = allowed(program, CLAIMED);
    for (const outcome of Object.keys(seen.seen))
      expect([...may]).toContain(outcome as LitmusOutcome);
    if (name === RELIABLE) expect(seen.seen.mixed).toBeGreaterThan(0);
  });
});

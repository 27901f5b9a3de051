import { expect, test } from 'vitest';
import { LONG } from '../more.js';
import { BYSTANDER, race, whyNot } from './race.js';

test.skipIf(whyNot() !== null)(
  'root writes in the directory of another user, who races it, and only the named output differs',
  async () => {
    const { before, after, bystander, statuses, swapped, complaints } = await race('tnd', 2);
    expect(complaints).toBe('');
    expect(after).toEqual(before);
    expect(bystander).toBe(BYSTANDER);
    // The race was one: both won at times.
    expect(swapped).toBeGreaterThan(10);
    expect(statuses['0']).toBeGreaterThan(0);
  },
);

if (LONG)
  test.skipIf(whyNot() !== null)('a writer that goes by names loses that race', async () => {
    const { before, after } = await race('tn', 1, { careful: false });
    expect(after).not.toEqual(before);
  });

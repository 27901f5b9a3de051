import { expect, test } from 'vitest';
import { BYSTANDER, race, whyNot } from './race.js';

test.skipIf(whyNot() !== null).each(['t', 'n', 'd', 'tn', 'tnd'])(
  'twenty seconds against a racer that swaps %s: only the named outputs differ',
  async (modes) => {
    const { before, after, bystander, statuses, swapped, complaints } = await race(modes, 20);
    expect(complaints).toBe('');
    expect(after).toEqual(before);
    expect(bystander).toBe(BYSTANDER);
    expect(swapped).toBeGreaterThan(100);
    expect(statuses['0']).toBeGreaterThan(20);
  },
  120_000,
);

import { expect, test } from 'vitest';
import { BYSTANDER, race, whyNot } from './race.js';

test.skipIf(whyNot() !== null).each(['t', 'n', 'd', 'tn', 'tnd'])(
  'twenty seconds against a racer that swaps %s: only the named outputs differ',
  async (modes) => {
    const { before, after, bystander, statuses, swapped, complaints } = await race(modes, 20);
    expect(complaints).toBe('');
    expect(after).toEqual(before);
    expect(bystander).toBe(BYSTANDER);
    // A temporary is replaced only where the racer comes in between: seven times in twenty seconds.
    expect(swapped).toBeGreaterThan(0);
    expect(statuses['0']).toBeGreaterThan(20);
  },
  120_000,
);

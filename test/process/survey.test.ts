import { describe, expect, it } from 'vitest';
import { WAY } from '#plan/ways';
import { answer, child } from './child.js';

interface Answer {
  differences: unknown[];
  seen: {
    drawn: number;
    runs: number;
    copied: number;
    refused: Record<string, number>;
    ways: Record<string, number>;
    trampoline: number;
    unchanged: number;
    stored: number;
    exchanged: number;
    drifted: number;
  };
}

describe('the machine code of an update', () => {
  it('draws, refuses and stores as the plain loops do, and notices a byte that changed', () => {
    const { differences, seen } = answer<Answer>(child('survey.mjs', ['4000', '20261123']));
    expect(differences).toEqual([]);
    // Every outcome was met, or the comparison says nothing about it.
    for (const n of [
      seen.drawn,
      seen.runs,
      seen.copied,
      seen.trampoline,
      seen.unchanged,
      seen.stored,
      seen.exchanged,
      seen.drifted,
      ...Object.values(WAY).map((way) => seen.ways[way] ?? 0),
    ])
      expect(n).toBeGreaterThan(50);
    expect(Object.keys(seen.refused).sort()).toEqual(['not-inline', 'store-refused']);
  });
});

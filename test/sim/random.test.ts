// Random lists of steps, most of them wrong: the simulator, which runs machine code and searches by
// reductions, against a second model that does neither (second.ts).

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { configure } from '#check/configuration';
import { run } from '#check/search/run';
import type { Step } from '#plan/protocol';
import { proposalOf } from '#zoo/index';
import { LONG } from '../more.js';
import { WORDS, verdicts, type Do, type Setting, type Word } from './second.js';

type Store = Extract<Do, { do: 'write' }>;
const CHUNKS = { 1: 'byte', 8: 'qword', 64: 'line' } as const;

const store: fc.Arbitrary<Store> = fc
  .record({
    at: fc.integer({ min: 0, max: 4 }),
    bytes: fc.integer({ min: 1, max: 5 }),
    from: fc.constantFrom('old' as const, 'new' as const),
    as: fc.constantFrom('one' as const, 'exchange' as const, 'bytes' as const),
  })
  .map(({ at, bytes, ...rest }) => ({ do: 'write', at, bytes: Math.min(bytes, 5 - at), ...rest }));
const trap: Store = { do: 'write', at: 0, bytes: 1, from: 'trap', as: 'one' };
const first: Store = { do: 'write', at: 0, bytes: 1, from: 'new', as: 'one' };
const rest: Store = { do: 'write', at: 1, bytes: 4, from: 'new', as: 'one' };
const sync = { do: 'sync' } as const;
const grace = { do: 'grace' } as const;
const publish = { do: 'publish' } as const;

/** Steps of any kind, and whole protocols with some of their steps left out. */
const any: fc.Arbitrary<Do> = fc.oneof(
  { weight: 4, arbitrary: store },
  { weight: 2, arbitrary: fc.constant(sync) },
  { weight: 1, arbitrary: fc.constant(grace) },
  { weight: 2, arbitrary: fc.constantFrom<Do>(trap, first, rest) },
  { weight: 1, arbitrary: fc.constantFrom<Do>(publish, { do: 'store-head', bytes: [0xeb, 0xfe] }) },
);
const known: readonly (readonly Do[])[] = [
  [publish, trap, sync, rest, sync, first, sync],
  [
    publish,
    { do: 'store-head', bytes: [0xeb, 0xfe] },
    sync,
    { ...rest, at: 2, bytes: 3 },
    sync,
    { ...first, bytes: 2 },
    sync,
  ],
  [
    publish,
    { do: 'stop' },
    { ...first, bytes: 5, as: 'bytes' },
    { do: 'release', serialise: true },
  ],
  [publish, { do: 'stop' }, { ...first, bytes: 5 }, { do: 'release', serialise: false }],
  [publish, rest, sync],
  [publish, trap, sync, grace, rest, sync, first, sync],
  [publish, { do: 'store-head', bytes: [0xeb, 0xfe] }, grace, sync, rest, sync, first, sync],
];
const thinned = fc
  .record({ steps: fc.constantFrom(...known), without: fc.nat(9) })
  .map(({ steps, without }) => {
    const left = steps.filter(
      (step, i) => i !== without || step.do === 'stop' || step.do === 'release',
    );
    return left.length === 0 ? [publish] : left;
  });
const lists = fc.oneof(
  thinned,
  fc.array(any, { minLength: 1, maxLength: 6 }).map((steps): readonly Do[] => [publish, ...steps]),
);
const sizes = fc.constantFrom(...[1, 2].map((n) => ({ updates: n, passes: 3 - n })));
const places = fc.record({
  fetch: fc.constantFrom('F0' as const, 'F1' as const, 'F3' as const),
  chunk: fc.constantFrom(1, 8, 64),
  tso: fc.boolean(),
  offset: fc.constantFrom(8, 4, 61, 62, 63),
  keys: fc.constantFrom(1 as const, 2 as const),
});
const settings: fc.Arbitrary<Setting> = fc
  .tuple(places, sizes)
  .map(([place, size]) => ({ ...place, ...size }));

function simulated(
  steps: readonly Do[],
  { keys, ...setting }: Setting,
): Partial<Record<Word, string>> {
  const proposal = proposalOf({
    name: 'random',
    about: 'a list of steps',
    accepts: { bytes: 'whole', within: null },
    handler: 'sigtrap',
    sites: keys,
    keys,
    steps: steps.map((step): Step => ({ why: 'chance', ...step })),
  });
  const { properties } = run(
    proposal,
    configure({
      ...setting,
      environment: 'user',
      contexts: ['task'],
      cpus: 1,
      chunk: CHUNKS[setting.chunk as keyof typeof CHUNKS],
    }),
    { states: 1e6, seconds: 60 },
  );
  return Object.fromEntries(WORDS.map((word) => [word, properties.get(word)!.verdict]));
}

describe('random protocols', () => {
  it('are judged by a model of at most 300 lines that imports nothing', () => {
    const source = readFileSync('test/sim/second.ts', 'utf8');
    expect(source).not.toMatch(/\bimport\b.*from|\brequire\b/);
    expect(source.trimEnd().split('\n').length).toBeLessThanOrEqual(300);
  });
  it('have the verdicts that brute force over the same steps has', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(lists, settings, (steps, setting) => {
        const expected = verdicts(steps, setting);
        for (const word of WORDS) {
          const key = `${word} ${expected[word]}`;
          seen.set(key, (seen.get(key) ?? 0) + 1);
        }
        expect(simulated(steps, setting)).toEqual(expected);
      }),
      { numRuns: LONG ? 2_000 : 200, seed: 20_191_128 },
    );
    // Each verdict was met: else the comparison would say nothing about it.
    for (const word of WORDS)
      for (const verdict of ['holds', 'fails', 'unknown'])
        if (`${word} ${verdict}` !== 'torn unknown')
          expect(seen.get(`${word} ${verdict}`) ?? 0, `${word} ${verdict}`).toBeGreaterThan(0);
  }, 900_000);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { globMatches, group, onlyKeys, summarise } from '#inspect/count';
import { compare } from '#inspect/diff';
import type { FileFacts, SiteFacts } from '#inspect/facts';

const site: fc.Arbitrary<SiteFacts> = fc
  .record({
    section: fc.constantFrom('.text', '.init.text', null),
    offset: fc.nat(5000),
    function: fc.constantFrom('f', 'g', 'h', null),
    key: fc.constantFrom('a', 'ab', 'b'),
    kind: fc.constantFrom('call', 'jmp', 'jcc'),
    init: fc.boolean(),
    destinationCrossesLine: fc.boolean(),
  })
  .map((s) => ({
    ...s,
    address: null,
    functionOffset: 0,
    keySymbol: `__SCK__${s.key}`,
    tail: s.kind !== 'call',
    crossesLine: s.destinationCrossesLine,
    lineCertain: false,
    bytes: '',
    protocols: s.destinationCrossesLine ? ['int3'] : ['int3', 'store'],
  }));
const file = (sites: readonly SiteFacts[], path = 'x'): FileFacts => ({
  path,
  kind: 'relocatable',
  sites,
  keys: [...new Set(sites.map((s) => s.key))].sort().map((name) => ({
    name,
    symbol: `__SCK__${name}`,
    trampoline: null,
    sites: sites.filter((s) => s.key === name).length,
    target: null,
    targetKnown: false,
  })),
  trampolines: [],
  faults: [],
});
const build = (sites: readonly SiteFacts[], path = 'x') => ({
  files: [{ relative: path, facts: file(sites, path) }],
});

test('groups of any dimension add up to the summary', () => {
  fc.assert(
    fc.property(fc.array(fc.array(site, { maxLength: 30 }), { maxLength: 4 }), (lists) => {
      const files = lists.map((sites, i) => file(sites, `f${i}`));
      const all = summarise(files);
      for (const by of ['key', 'section', 'function', 'file'] as const) {
        const groups = group(files, by);
        const sum = (of: (c: (typeof groups)[number]['counts']) => number): number =>
          groups.reduce((n, g) => n + of(g.counts), 0);
        expect([
          sum((c) => c.sites),
          sum((c) => c.tail),
          sum((c) => c.crossesLine),
          sum((c) => c.protocols['store'] ?? 0),
        ]).toEqual([all.sites, all.tail, all.crossesLine, all.protocols['store'] ?? 0]);
      }
      expect(summarise(files.map((file) => onlyKeys(file, '*')))).toEqual(all);
      expect(
        summarise(files.map((file) => onlyKeys(file, 'a'))).sites +
          summarise(files.map((file) => onlyKeys(file, '?b'))).sites +
          summarise(files.map((file) => onlyKeys(file, 'b'))).sites,
      ).toBe(all.sites);
    }),
  );
});

test('a glob agrees with the same thing as a regular expression', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', 'b', '*', '?', '.'), maxLength: 8 }),
      fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 10 }),
      (pattern, name) => {
        const expression = new RegExp(
          `^${pattern.replace(/\./g, '\\.').replace(/\*+/g, '.*').replace(/\?/g, '.')}$`,
        );
        expect(globMatches(pattern, name)).toBe(expression.test(name));
      },
    ),
    { numRuns: 1000 },
  );
});

test('a glob of many stars ends', () => {
  expect(globMatches(`${'*a'.repeat(200)}b`, 'a'.repeat(20_000))).toBe(false);
});

test('a build compared with itself has not changed', () => {
  fc.assert(
    fc.property(fc.array(site, { maxLength: 30 }), (sites) => {
      expect(compare(build(sites), build(sites, 'renamed'))).toMatchObject({
        changes: [],
        keys: { gained: [], lost: [] },
        same: sites.length,
        moved: 0,
      });
    }),
  );
});

test('what one direction gains the other loses', () => {
  fc.assert(
    fc.property(fc.array(site, { maxLength: 20 }), fc.array(site, { maxLength: 20 }), (a, b) => {
      const there = compare(build(a), build(b));
      const back = compare(build(b), build(a));
      const count = (d: typeof there, change: string): number =>
        d.changes.filter((c) => c.change === change).length;
      expect([count(there, 'gained'), count(there, 'lost'), count(there, 'onto-line')]).toEqual([
        count(back, 'lost'),
        count(back, 'gained'),
        count(back, 'off-line'),
      ]);
      expect(there.same + count(there, 'gained')).toBe(b.length);
      expect(there.keys.gained).toEqual(back.keys.lost);
    }),
  );
});

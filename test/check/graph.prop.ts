// Going on for ever, on graphs small enough to try every set of states.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  components,
  fairCycles,
  LANE,
  NO_LANE,
  PROGRESS,
  reaching,
  standstill,
  type Graph,
} from '#check/search/graph';

interface Edge {
  readonly to: number;
  readonly kind: number;
}
const graphOf = (states: readonly (readonly Edge[])[]): Graph => ({
  count: states.length,
  first: Int32Array.from([0, ...states.map((_, i) => states.slice(0, i + 1).flat().length)]),
  to: Int32Array.from(states.flat(), ({ to }) => to),
  kind: Uint8Array.from(states.flat(), ({ kind }) => kind),
});
const edge = (count: number): fc.Arbitrary<Edge> =>
  fc.record({
    to: fc.integer({ min: -1, max: count - 1 }),
    kind: fc
      .tuple(fc.constantFrom(0, 1, 2, NO_LANE), fc.integer({ min: 0, max: 4 }))
      .map(([lane, end]) => lane | (end === 0 ? PROGRESS : 0)),
  });
const graphs = fc
  .integer({ min: 1, max: 6 })
  .chain((count) =>
    fc.array(fc.array(edge(count), { maxLength: 3 }), { minLength: count, maxLength: count }),
  );
const everything = (count: number) => new Uint8Array(count).fill(1);

/** States that a state leads to within a set, over the edges that count. */
function reach(
  states: readonly (readonly Edge[])[],
  from: number,
  inside: ReadonlySet<number>,
  counts: (edge: Edge) => boolean,
): Set<number> {
  const seen = new Set<number>();
  const work = [from];
  for (let at = work.pop(); at !== undefined; at = work.pop()) {
    for (const each of states[at]!) {
      if (!counts(each) || !inside.has(each.to) || seen.has(each.to)) continue;
      seen.add(each.to);
      work.push(each.to);
    }
  }
  return seen;
}
const subsets = (count: number): Set<number>[] =>
  Array.from(
    { length: 2 ** count - 1 },
    (_, n) =>
      new Set(Array.from({ length: count }, (__, i) => i).filter((i) => ((n + 1) >> i) & 1)),
  );
const quiet = ({ kind }: Edge) => (kind & PROGRESS) === 0;

/**
 * A machine can stay in a set for ever, with every lane in its turn, if the set is strongly
 * connected and no lane that can move is held still.
 */
function isFair(
  states: readonly (readonly Edge[])[],
  set: ReadonlySet<number>,
  lanes: number,
): boolean {
  if (![...set].every((s) => [...set].every((t) => reach(states, s, set, quiet).has(t))))
    return false;
  const can = new Set([...set].flatMap((s) => states[s]!).map(({ kind }) => kind & LANE));
  const does = new Set(
    [...set]
      .flatMap((s) => states[s]!)
      .filter((each) => quiet(each) && set.has(each.to))
      .map(({ kind }) => kind & LANE),
  );
  return [...can].every((lane) => ((1 << lane) & lanes) === 0 || does.has(lane));
}

describe('a graph', () => {
  it('falls into its strongly connected components', () => {
    fc.assert(
      fc.property(graphs, (states) => {
        const all = new Set(states.keys());
        const found = components(graphOf(states), everything(states.length), 0, true);
        expect(found.flat().sort()).toEqual([...all]);
        for (const component of found)
          for (const s of component) {
            for (const t of all)
              if (t !== s)
                expect(component.includes(t)).toBe(
                  reach(states, s, all, () => true).has(t) &&
                    reach(states, t, all, () => true).has(s),
                );
          }
      }),
    );
  });
  it('says from where an end can be reached, and where nobody gets any further', () => {
    fc.assert(
      fc.property(graphs, fc.array(fc.nat(5), { maxLength: 2 }), (states, wanted) => {
        const all = new Set(states.keys());
        // Where a path ends with a move, the end is reached.
        const ends = [...all].filter(
          (s) => wanted.includes(s) || states[s]!.some(({ to }) => to < 0),
        );
        const reached = reaching(graphOf(states), ends);
        const can = (s: number) =>
          ends.includes(s) || ends.some((end) => reach(states, s, all, () => true).has(end));
        expect([...reached]).toEqual([...all].map((s) => Number(can(s))));
        const still = standstill(graphOf(states), reached);
        expect(still === null).toBe([...all].every(can));
        for (const s of still ?? [])
          expect(
            [...reach(states, s, all, () => true)].every((t) => still!.includes(t) && !can(t)),
          ).toBe(true);
      }),
    );
  });
  it('has a fair round where trying every set of states finds one, and only there', () => {
    let [with_, without] = [0, 0];
    fc.assert(
      fc.property(graphs, fc.constantFrom(0b111, 0b001, 0), (states, lanes) => {
        const rounds = fairCycles(graphOf(states), everything(states.length), lanes);
        for (const round of rounds) expect(isFair(states, new Set(round), lanes)).toBe(true);
        const exists = subsets(states.length).some((set) => isFair(states, set, lanes));
        expect(rounds.length > 0).toBe(exists);
        if (exists) with_++;
        else without++;
      }),
      { numRuns: 400 },
    );
    expect(Math.min(with_, without)).toBeGreaterThan(20);
  });
  it('is judged so that a lane held still makes a round unfair', () => {
    const spin = [{ to: 0, kind: 0 }];
    expect(fairCycles(graphOf([spin]), everything(1), 0b11)).toEqual([[0]]);
    expect(fairCycles(graphOf([[...spin, { to: 1, kind: 1 }], []]), everything(2), 0b11)).toEqual(
      [],
    );
    expect(fairCycles(graphOf([[...spin, { to: 1, kind: 1 }], []]), everything(2), 0b01)).toEqual([
      [0],
    ]);
    expect(fairCycles(graphOf([[{ to: 0, kind: PROGRESS }]]), everything(1), 0b11)).toEqual([]);
  });
});

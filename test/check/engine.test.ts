// The search keeps packed states in chunks and sweeps over its edges. Here is one that keeps
// strings in a Map and objects in arrays: both must find the same states, edges and dead ends.

import { describe, expect, it } from 'vitest';
import { matrixJobs } from '#check/ask/matrix';
import { build, shapeOf } from '#check/search/build';
import { expand } from '#check/search/expand';
import { explore, type Search } from '#check/search/explore';
import { normalise, widthOf, type Shape } from '#check/search/state';
import { StateTable } from '#check/search/table';
import type { Configuration } from '#check/configuration';
import type { Model } from '#machine/sim/model';
import { findProposal } from '#zoo/index';
import { more } from '../more.js';

interface Counted {
  readonly states: number;
  readonly transitions: number;
  /** Number of the first state from which no end can be reached; null where there is none. */
  readonly stuck: number | null;
}

function reference(model: Model, shape: Shape, partial: boolean): Counted {
  const next = new Int32Array(widthOf(shape));
  const known = new Map<string, number>();
  const states: Int32Array[] = [];
  const before: number[][] = [];
  let transitions = 0;
  const visit = (from: number): void => {
    transitions++;
    normalise(next, shape);
    const id = known.get(next.join()) ?? states.length;
    if (id === states.length) {
      known.set(next.join(), id);
      states.push(next.slice());
      before.push([]);
    }
    if (from >= 0) before[id]?.push(from);
  };
  next.set(model.initial(shape.cpus, shape.waiting));
  visit(-1);
  const ends = new Set<number>();
  // Iterating an array goes on to what is added meanwhile.
  for (const [at, state] of states.entries()) {
    const ended = expand(model, shape, partial, state, next, {
      patcher: () => visit(at),
      cpu: () => visit(at),
      swapped: () => visit(at),
      broken: (_, __, ___, over) => over && ends.add(at),
      unknown: (text) => expect.fail(text),
    });
    if (ended) ends.add(at);
  }
  for (const end of ends) for (const from of before[end] ?? []) ends.add(from);
  const stuck = states.findIndex((_, id) => !ends.has(id));
  return { states: states.length, transitions, stuck: stuck < 0 ? null : stuck };
}

function searched(model: Model, shape: Shape, partial: boolean): Search {
  const slices = explore(model, shape, partial, { states: 1e6, seconds: 600 });
  for (;;) {
    const { done, value } = slices.next();
    if (done === true) return value;
  }
}

const small = matrixJobs().filter(
  ({ configuration: { contexts, updates } }) => contexts.length < 3 && updates === 1,
);
/** Spread over all protocols, models and reductions. */
const chosen = [
  ...small.filter((_, i) => i % 60 === 1),
  ...more(...small.filter((_, i) => i % 4 === 0)),
];
const REDUCTIONS = ['por', 'sym', 'macro'] as const;
const sized = (reduce: Configuration['reduce']): Partial<Configuration> =>
  reduce === 'por' ? {} : { passes: 1, contexts: ['task'] };

describe('the search finds what a plain one finds', () => {
  for (const [i, { protocol, variant, configuration: asked }] of chosen.entries()) {
    const reduce = REDUCTIONS[i % REDUCTIONS.length] ?? 'por';
    const configuration = { ...asked, reduce, ...sized(reduce) };
    const { contexts, fetch, chunk, environment } = configuration;
    it(`${protocol} ${variant} in ${environment}: ${contexts.join()}, ${fetch} ${chunk}, ${reduce}`, () => {
      const grain = { plain: false, split: true };
      const of = () => build(findProposal(protocol, variant, environment), configuration, grain);
      const shape = shapeOf(configuration, reduce);
      const { states, transitions, findings, stopped } = searched(of(), shape, reduce === 'por');
      const { stuck, ...counted } = reference(of(), shape, reduce === 'por');
      expect({ states, transitions, stopped }).toEqual({ ...counted, stopped: null });
      const among = findings.get('deadlock')?.among ?? null;
      expect(among !== null).toBe(stuck !== null);
    });
  }
});

describe('the table of states', () => {
  it('gives every state back, also once ids no longer fit in half a word', () => {
    for (const width of [3, 4, 5]) {
      const table = new StateTable(width);
      const all = Array.from({ length: 9000 }, (_, n) =>
        Int32Array.from({ length: width }, (__, i) =>
          n < 4000 ? (n * (i + 3)) % 4001 : n * (i + 1) * (i % 2 === n % 2 ? 1 : 40),
        ),
      );
      const distinct = new Map(all.map((state) => [state.join(), state]));
      const ids = [...distinct.values()].map((state, n) => table.intern(state, n - 1));
      expect(ids).toEqual(ids.map((_, n) => n));
      expect(all.every((state) => table.find(state) >= 0)).toBe(true);
      expect([...distinct.values()].every((s, n) => table.get(n).join() === s.join())).toBe(true);
      expect(table.path(5000)).toHaveLength(5001);
      expect(table.find(new Int32Array(width).fill(0x7fffffff))).toBe(-1);
    }
  });

  it('takes at most 24 bytes for a state of two CPUs, its parent and its slot', () => {
    const table = new StateTable(4);
    const state = new Int32Array(4);
    for (let n = 0; n < 200_000; n++) {
      state.set([n & 7, (n >> 3) & 7, (n >> 6) & 0xff, n >> 14]);
      table.intern(state, n - 1);
      if (n > 4096 && n % 1000 === 0) expect(table.bytes / n).toBeLessThan(27);
    }
    expect(table.bytes / table.count).toBeLessThanOrEqual(24);
  });
});

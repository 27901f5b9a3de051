// The engine in WebAssembly is held against the walk in TypeScript: not only the counts are the
// same, but the number of every state, so that paths and edges are.

import { describe, expect, it } from 'vitest';
import { configure, type Configuration } from '#check/configuration';
import { matrixJobs } from '#check/ask/matrix';
import { build, shapeOf } from '#check/search/build';
import type { Engine } from '#check/search/engine';
import { explore, type Search } from '#check/search/explore';
import { findProposal } from '#zoo/index';
import { more } from '../more.js';

interface Instance {
  readonly protocol: string;
  readonly variant: string;
  readonly configuration: Configuration;
  readonly states?: number;
}
/** So many in turn show what all would, and a search that ends early is one more case. */
const STATES = 40_000;

/** Everything that an answer and its picture are made of. */
function facts(instance: Instance, engine: Engine, threads = 1): unknown {
  const { protocol, variant, configuration, states: most = STATES } = instance;
  const { reduce } = configuration;
  const proposal = findProposal(protocol, variant, configuration.environment);
  const model = build(proposal, configuration, { plain: reduce === 'none', split: true });
  const shape = shapeOf(configuration, reduce);
  const limits = { states: most, seconds: 600, threads };
  const slices = explore(model, shape, reduce === 'por', limits, engine);
  let next = slices.next();
  while (next.done !== true) next = slices.next();
  const search: Search = next.value;
  const { states, transitions, findings, stopped, undecided, cut } = search;
  const spread = Array.from({ length: 20 }, (_, i) => Math.floor((i * states) / 20));
  const broken = [...findings.values()].map(({ state }) => state);
  const paths = [...spread, ...broken].map((state) => search.path(state).map(String));
  const { parts } = model;
  return { states, transitions, findings, stopped, undecided, cut, paths, parts };
}

const of = (protocol: string, given: Partial<Configuration>, variant = ''): Instance => ({
  protocol,
  variant,
  configuration: configure(given),
});
const USER = { environment: 'user' } as const;
const ANY = { passes: 'any', updates: 'any' } as const;

const small = matrixJobs().filter(({ configuration: { updates } }) => updates === 1);
const REDUCTIONS = ['por', 'sym', 'macro', 'none'] as const;
const spread = small
  .filter((_, i) => i % Math.ceil(small.length / 40) === 0)
  .map(({ protocol, variant, configuration }, i) => {
    const reduce = REDUCTIONS[i % REDUCTIONS.length] ?? 'por';
    return { protocol, variant, configuration: { ...configuration, reduce } };
  });
const chosen: readonly Instance[] = [
  of('store', { ...USER, reduce: 'sym', updates: 1 }),
  // A limit that has no room in 32 bits is none.
  { ...of('naive', { ...USER, updates: 1 }), states: Infinity },
  // A deadlock, which is read off the edges.
  of('int3-gap', { passes: 1, updates: 1, contexts: ['task'] }, 'spin'),
  of('int3-gap', { passes: 1 }),
  of('int3-gap', { dropSync: 1, reduce: 'macro', passes: 1 }),
  ...more(
    ...spread,
    of('int3', {
      ...USER,
      cpus: 3,
      contexts: ['task'],
      passes: 1,
      updates: 1,
      reduce: 'sym',
    }),
    of('int3', { ...USER, contexts: ['task'], updates: 1, reduce: 'macro' }),
    of('int3', { ...USER, patcher: 'task', updates: 1 }),
    of('int3-gap', { patcher: 'task', updates: 1 }),
    of('int3-gap', { contexts: ['task', 'irq', 'nmi'] }),
    of('store', { ...USER, ...ANY, chunk: 'qword' }),
    of('int3-gap', ANY),
    // More CPUs than half a word counts.
    { ...of('int3', { ...USER, ...ANY }), states: 150_000 },
  ),
];

describe('the engine gives every state the same number, on one thread and on two', () => {
  it.for(chosen.map((each) => [`${each.protocol}/${each.variant}`, each] as const))(
    '%s',
    ([, each]) => {
      const reference = facts(each, 'reference');
      expect(facts(each, 'wasm')).toEqual(reference);
      expect(facts(each, 'together', 2)).toEqual(reference);
    },
  );

  it('where a memory that threads share is refused', () => {
    const each = of('int3-gap', { passes: 1 });
    const here: { Memory: unknown } = Reflect.get(globalThis, 'WebAssembly');
    const { Memory } = here;
    here.Memory = function refused() {
      throw new RangeError('could not allocate memory');
    };
    try {
      expect(facts(each, 'together', 2)).toEqual(facts(each, 'wasm'));
    } finally {
      here.Memory = Memory;
    }
  });
});

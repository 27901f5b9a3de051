import { describe, expect, it } from 'vitest';
import { judgeSoak } from '../../scripts/judge-soak.mjs';
import { gcc } from '../build.js';
import { LONG } from '../more.js';
import { expectWeathered, storms, type Storms } from './storms.js';

describe.skipIf(!gcc)('four threads, every protocol and writer and every storm', () => {
  let got: Storms;
  it('no wrong result, no lost call, no crash', () => {
    got = storms(LONG ? 10 : 4);
    expectWeathered(got);
    expect(got.turns).toBeGreaterThanOrEqual(LONG ? 10 : 4);
  });

  // The report of the run, made worse in one place.
  const long = (more: Partial<Storms>): Partial<Storms> => ({ seconds: 600, ...more });
  it.each<[string, (good: Storms) => Partial<Storms>]>([
    ['a wrong result', () => ({ wrong: 1 })],
    ['a lost call', () => ({ lost: -1 })],
    ['a storm that failed', () => ({ failed: 1 })],
    ['a site off its key', () => ({ drift: 1 })],
    ['a byte that was not put back', () => ({ differs: 1 })],
    ['a trap that no handler claims', () => ({ foreign: 1 })],
    ['no trap where traps are planted', ({ traps }) => ({ traps: { ...traps, 'int3 alias': 0 } })],
    ['a trap where none is planted', ({ traps }) => ({ traps: { ...traps, 'store alias': 1 } })],
    ['a storm that did not blow', ({ gusts }) => ({ gusts: { ...gusts, forks: 0 } })],
    ['a target that no call reached', ({ outcomes }) => ({ outcomes: { ...outcomes, work_b: 0 } })],
    ['a form of site that is missing', ({ sites }) => ({ sites: { ...sites, 'call 6': 0 } })],
    ['a mapping of ours more', ({ settled }) => ({ last: { ...settled, ours: settled.ours + 1 } })],
    ['a mapping of ours less', ({ settled }) => ({ last: { ...settled, ours: settled.ours - 1 } })],
    [
      'a heap that grows',
      ({ settled }) => long({ last: { ...settled, heapMB: settled.heapMB * 1.06 } }),
    ],
    [
      'memory that grows',
      ({ settled }) => long({ last: { ...settled, residentMB: settled.residentMB + 17 } }),
    ],
    [
      'mappings that grow',
      ({ settled }) => long({ last: { ...settled, mappings: settled.mappings + 40 } }),
    ],
  ])('is not passed with %s', (_, worse) => {
    expect(judgeSoak({ ...got, last: got.settled, ...worse(got) })).toHaveLength(1);
  });
});

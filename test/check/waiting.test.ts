// Handlers of traps that wait, in rows of their own: for a bounded number of rounds, or for as long as
// the trap is there, beside a patcher that waits for every CPU.

import { expect, it } from 'vitest';
import { isFault } from '#base/fault';
import { configure, type Configuration } from '#check/configuration';
import { run } from '#check/search/run';
import type { Protocol } from '#plan/protocol';
import { findProposal, proposalOf, type Variant } from '#zoo/index';
import { LONG } from '../more.js';

const LIMITS = { states: 1e6, seconds: 60 } as const;
const SMALL = { environment: 'kernel', passes: 1, updates: 1, cpus: 1 } as const;
function failing(name: string, variant: Variant, given: Partial<Configuration> = {}): string[] {
  const row = findProposal(name, variant, 'kernel');
  const { properties, stopped } = run(row, configure({ ...SMALL, ...given }), LIMITS);
  expect(stopped).toBeNull();
  return [...properties].flatMap(([property, { verdict }]) =>
    verdict === 'fails' ? [property] : [],
  );
}
const WITH_NMI = { contexts: ['task', 'nmi'] } as const;

it('a trap that waits two rounds holds, and one that waits for ever is a deadlock', () => {
  expect(failing('bounded-spin', '')).toEqual(['indirect-branch-strict']);
  expect(failing('bounded-spin', 'broken')).toEqual(['deadlock']);
});
it('a trap that acknowledges may wait for ever, and not where the IPI alone does', () => {
  expect(failing('acknowledge-mask', '')).toEqual([]);
  expect(failing('acknowledge-mask', 'broken')).toEqual(['deadlock']);
});
it('an NMI in a handler that has acknowledged runs the site before the IRET serialises', () => {
  expect(failing('acknowledge-mask', '', WITH_NMI)).toContain('torn');
});
it('an acknowledgement in a handler is refused in a process, with the field', () => {
  const protocol: Protocol = {
    name: 'own',
    about: 'a test',
    accepts: { bytes: 'whole', within: null },
    handler: null,
    steps: [{ do: 'sync', how: 'acknowledge', why: 'to see' }],
  };
  let found: unknown;
  try {
    run(proposalOf(protocol), configure({ ...SMALL, environment: 'user' }), LIMITS);
  } catch (error) {
    found = isFault(error) ? [error.code, error.at] : error;
  }
  expect(found).toEqual(['bad-protocol', 'steps[0].how']);
});
if (LONG)
  it('the reductions agree with the plain search, and a patcher that is a task meets the NMI too', () => {
    const plain = { reduce: 'none' } as const;
    expect(failing('acknowledge-mask', '', plain)).toEqual([]);
    expect(failing('acknowledge-mask', 'broken', plain)).toEqual(['deadlock']);
    expect(failing('acknowledge-mask', '', { ...plain, ...WITH_NMI })).toContain('torn');
    const hosted = { ...WITH_NMI, patcher: 'task', cpus: 2 } as const;
    expect(failing('acknowledge-mask', '', hosted)).toContain('deadlock');
    expect(failing('bounded-spin', '', hosted)).toEqual(['indirect-branch-strict']);
  }, 300_000);

// Two keys with a site each, two sites of one key, and a handler that a protocol brings itself.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { configure, type Configuration } from '#check/configuration';
import { loadProtocol } from '#check/ask/load';
import { check } from '#check/index';
import type { PropertyName } from '#check/properties';
import { run } from '#check/search/run';
import { isFault } from '#base/fault';
import { int3 } from '#plan/protocols/int3';
import { textPoke } from '#zoo/text-poke';
import { validateProtocol } from '#plan/validate';
import { findProposal, proposalOf, type Proposal } from '#zoo/index';
import { LONG } from '../more.js';

const LIMITS = { states: 1_000_000, seconds: 60 };
const SMALL = { passes: 1, cpus: 1, contexts: ['task'] } as const;
const ran = (proposal: Proposal, given: Partial<Configuration> = {}) =>
  run(proposal, configure({ environment: proposal.environment, ...SMALL, ...given }), LIMITS);
const named = (name: string, variant: string) => findProposal(name, variant, undefined);
const word = (proposal: Proposal, property: PropertyName, given?: Partial<Configuration>) =>
  ran(proposal, given).properties.get(property)!.verdict;
const failing = (proposal: Proposal, given?: Partial<Configuration>): string[] =>
  [...ran(proposal, given).properties].flatMap(([name, { verdict }]) =>
    verdict === 'fails' && name !== 'indirect-branch-strict' ? [name] : [],
  );

describe('two keys, updated one after the other', () => {
  it('are confused by a stub that finds its addresses in two globals', () => {
    const { properties, model } = ran(named('int3-stub', 'two-keys'));
    expect(properties.get('target')!.verdict).toBe('fails');
    expect(properties.get('slot')!.story).toMatch(/published for the calls of another site/);
    expect(model.breaches).toContain('target-of-another-key');
  });
  it('are confused on one CPU too, where the patcher runs while a task is preempted in the stub', () => {
    // Without preemption such a patcher is alone until it has returned.
    const asked = (contexts: Configuration['contexts']) =>
      ({ contexts, patcher: 'task', tasks: 1 }) as const;
    const [alone, preempted] = [asked(['task']), asked(['task', 'preempt'])];
    const stub = named('int3-stub', 'two-keys');
    expect(failing(stub, alone)).toEqual([]);
    const lost = ['target', 'stack', 'slot', 'indirect-branch', 'unwind'];
    expect(failing(stub, preempted)).toEqual(expect.arrayContaining(lost));
    // A scheduler that switches for ever is a livelock, which is reported apart.
    expect(failing(named('int3-gap', 'two-keys'), preempted)).toEqual(['livelock']);
  });
  if (!LONG) return;
  it('are kept apart by a handler that pushes, in a kernel and in a process', () => {
    expect(failing(named('int3-gap', 'two-keys'))).toEqual([]);
    expect(failing(named('int3', 'two-keys'))).toEqual([]);
    expect(failing(named('int3', 'two-keys'), { passes: 2 })).not.toContain('after-update');
  });
  it('are told apart where both are current: the update of one replaces none of the other', () => {
    const protocol = { ...int3, handler: 'sigtrap', sites: 2, keys: 2 } as const;
    expect(failing(proposalOf(protocol))).toEqual([]);
    const late = { ...protocol, steps: protocol.steps.filter((step) => step.do !== 'sync') };
    expect(failing(proposalOf(late))).toContain('torn');
  });
});

describe('two sites of one key, each through all steps', () => {
  it('lead a pass over one to the end of the other where the way back is in a global', () => {
    const { properties, model } = ran(named('int3-stub', 'each-site'), { updates: 1 });
    expect(properties.get('slot')!.verdict).toBe('fails');
    expect(model.breaches).toContain('pass-abandoned');
  });
  if (!LONG) return;
  it('are patched as ever where it is on the stack', () => {
    expect(failing(named('int3-gap', 'one-by-one'), { updates: 1 })).toEqual([]);
    const protocol = { ...textPoke, sites: 2, order: 'each' } as const;
    expect(failing(proposalOf(protocol), { updates: 1 })).toEqual([]);
  });
});

describe('slot', () => {
  it('is judged of globals, and of nothing where a handler keeps no data for a call', () => {
    expect(word(named('int3-stub', ''), 'slot', { updates: 1 })).toBe('holds');
    expect(word(named('int3-gap', ''), 'slot', { updates: 1 })).toBe('not-applicable');
    expect(word(named('int3-percpu', 'fixed'), 'slot', { updates: 1 })).toBe('holds');
  });
});

describe('a handler of its own', () => {
  const FILE = 'examples/protocols/percpu.json';
  it('stands on the page as it is in the file', () => {
    const page = readFileSync('docs/protocols.md', 'utf8');
    expect(page).toContain(readFileSync(FILE, 'utf8').trim());
  });
  if (!LONG) return;
  it('says of the mail’s trampoline what the row of that name says', async () => {
    const proposal = proposalOf(await loadProtocol(FILE));
    expect(proposal.environment).toBe('kernel');
    const irq = { contexts: ['task', 'irq'], updates: 1 } as const;
    expect(failing(proposal, irq)).toEqual(['unwind']);
    const { runs } = await check([FILE], {
      ...SMALL,
      contexts: ['task', 'nmi'],
      updates: 1,
      explained: [],
    });
    expect(runs[0]!.properties.slot.verdict).toBe('fails');
  });
});

const STATES = [
  { name: 'off', runs: 'null', bytes: 'eb 00' },
  { name: 'on', runs: 'null', bytes: '66 90' },
];

describe('a file is refused with the field', () => {
  const own = (rest: object): object => ({ ...int3, handler: 'sigtrap', ...rest });
  const rows = (call: readonly string[], rest: object = {}): object =>
    own({ handler: { call, ...rest } });
  it.each([
    ['sites', own({ sites: 3 })],
    ['keys', own({ keys: 2 })],
    ['keys', own({ keys: 0 })],
    ['order', own({ order: 'each' })],
    ['order', own({ order: 'sorted', sites: 2 })],
    ['order', own({ order: 'each', sites: 2, keys: 2 })],
    ['sites', own({ sites: 2, ways: ['trap'] })],
    ['sites', own({ sites: 2, text: { states: STATES } })],
    ['handler', own({ handler: 5 })],
    ['handler.call', own({ handler: {} })],
    ['handler.then', rows(['ret'], { then: [] })],
    ['handler.slots', rows(['ret'], { slots: 99 })],
    ['handler.after', rows(['ret'], { after: [] })],
    ['handler.call[1]', rows(['nop', 'mov rax, [there]'])],
    ['handler.call[0]', rows(['bounce rax'])],
    ['handler.call[0]', rows(['mov rax, 1, 2'])],
    ['handler.call[0]', rows(['je nowhere'])],
    ['handler.call[0]', rows(['mov rax, [slot24]'])],
    ['handler.after[1]', rows(['ret'], { after: ['a:', 'a:'] })],
    [
      'handler',
      own({ handler: { call: ['ret'] }, steps: [{ do: 'await', word: 'w', is: 0, why: 'x' }] }),
    ],
  ])('%s', (at, protocol) => {
    let found: unknown = null;
    try {
      validateProtocol(protocol);
    } catch (error) {
      found = isFault(error) ? [error.code, error.at] : error;
    }
    expect(found).toEqual(['bad-protocol', at]);
  });
  it('where it has two keys and the site is none that goes from function to function', () => {
    const proposal = named('int3', 'two-keys');
    for (const given of [{ site: 'null' }, { updates: 'any' }] as const)
      expect(() => ran(proposal, given)).toThrow(/two keys/);
  });
});

// Text that a protocol's file brings itself: several instructions, with boundaries at which threads
// stand, states in turn, and the ways to wait for threads that are inside.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { configure, type Configuration } from '#check/configuration';
import { loadProtocol } from '#check/ask/load';
import { run } from '#check/search/run';
import { isFault } from '#base/fault';
import type { Protocol, Step } from '#plan/protocol';
import { validateProtocol } from '#plan/validate';
import { proposalOf } from '#zoo/index';

function failing(protocol: Protocol, given: Partial<Configuration> = {}): string[] {
  const proposal = proposalOf(protocol);
  const configuration = configure({
    environment: proposal.environment,
    passes: 1,
    cpus: 1,
    ...given,
  });
  const { properties, stopped } = run(proposal, configuration, { states: 1e6, seconds: 60 });
  expect(stopped).toBeNull();
  return [...properties].flatMap(([name, { verdict }]) => (verdict === 'fails' ? [name] : []));
}
const example = (name: string): Promise<Protocol> => loadProtocol(`examples/protocols/${name}`);
const fault = (doing: () => unknown): unknown => {
  try {
    return doing();
  } catch (error) {
    return isFault(error) ? [error.code, error.at] : error;
  }
};
const IN_ORDER = { fetch: 'F1', chunk: 'line' } as const;
const without = (protocol: Protocol, ...kinds: Step['do'][]): Protocol => ({
  ...protocol,
  steps: protocol.steps.filter((step) => !kinds.includes(step.do)),
});

describe('text of a protocol of its own', () => {
  it('stands on the page as it is in the files', () => {
    const page = readFileSync('docs/protocols.md', 'utf8');
    for (const name of ['sled.mjs', 'jump-over.json', 'fence-all.json'])
      expect(page, name).toContain(readFileSync(`examples/protocols/${name}`, 'utf8').trim());
  });
  it('holds in a sled where lines are fetched in order, and not where one may be stale', async () => {
    const sled = await example('sled.mjs');
    expect(failing(sled, IN_ORDER)).toEqual([]);
    expect(failing(sled, { chunk: 'line' })).toEqual(['torn']);
    expect(failing(sled, { chunk: 'line', offset: 0 })).toEqual(['torn']);
    const [publish, number, call, distance, jump] = sled.steps;
    const hasty = { ...sled, steps: [publish!, jump!, number!, call!, distance!] };
    expect(failing(hasty, IN_ORDER)).toContain('torn');
  });
  it('of several instructions is left by every thread before it becomes one', async () => {
    const jump = await example('jump-over.json');
    expect(failing(jump, { updates: 1 })).toEqual([]);
    expect(failing(without(jump, 'grace'), { updates: 1 })).toContain('torn');
  });
  it('waits for handlers where each thread is sent a signal, and not by membarrier', async () => {
    const signals = await example('fence-all.json');
    const late = (protocol: Protocol) => failing(protocol, { passes: 2 });
    expect(late(signals)).not.toContain('after-update-strict');
    const steps = signals.steps.map((step): Step =>
      step.do === 'sync' ? { do: 'sync', why: step.why } : step,
    );
    expect(late({ ...signals, steps })).toContain('after-update-strict');
  });
  it('is serialised by progress too', async () => {
    const signals = await example('fence-all.json');
    const steps = signals.steps.map((step): Step =>
      step.do === 'sync' ? { ...step, how: 'progress' } : step,
    );
    expect(failing({ ...signals, steps }, { updates: 1 })).toEqual(['indirect-branch-strict']);
    expect(failing(without(signals, 'sync'), { updates: 1 })).toContain('torn');
  });
});

describe('a file with text of its own is refused with the field', () => {
  const states = [
    { name: 'off', runs: 'null', bytes: 'eb 00' },
    { name: 'on', runs: 'null', bytes: '66 90' },
  ];
  const own = (text: object, step: object = {}, rest: object = {}): object => ({
    name: 'own',
    about: 'a test',
    accepts: { bytes: 'whole', within: null },
    handler: null,
    text: { states, ...text },
    steps: [{ do: 'sync', why: 'to see', ...step }],
    ...rest,
  });
  const changed = (state: object): object =>
    own({ states: [states[0], { ...states[1], ...state }] });
  it.each([
    ['text.states', own({ states: [states[0]] })],
    ['text.states[1].bytes', changed({ bytes: '66 90 90' })],
    ['text.states[1].bytes', changed({ bytes: '66 zz' })],
    ['text.states[1].bytes', changed({ bytes: '0f 0a' })],
    ['text.states[0].bytes', own({ states: [{ ...states[0], bytes: 'eb ..' }, states[1]] })],
    ['text.states[1].runs', changed({ runs: 'Z' })],
    ['text.states[1].trap', changed({ trap: 'there' })],
    ['text.states[1].byte', changed({ byte: '90' })],
    ['text.entry', own({ entry: 2 })],
    ['text.ends', own({ ends: 'somewhere' })],
    ['text.changes', own({ changes: ['r99'] })],
    ['steps[0].how', own({}, { how: 'telegram' })],
    ['steps[0].into', own({}, { into: ['of'] })],
    ['ways', own({}, {}, { ways: ['trap'] })],
  ])('%s', (at, protocol) => {
    expect(fault(() => validateProtocol(protocol))).toEqual(['bad-protocol', at]);
  });
  it('a store leaves the text; a synchronisation that the environment does not have', () => {
    const store = { do: 'write', at: 1, bytes: 2, from: 'new', as: 'one', why: 'to see' };
    const asked = (steps: object[]) => fault(() => failing(own({}, {}, { steps }) as Protocol));
    expect(asked([store])).toEqual(['bad-protocol', 'steps[0].bytes']);
    expect(asked([{ do: 'sync', how: 'ipi', why: 'x' }])).toEqual(['bad-protocol', 'steps[0].how']);
    const waits = own({}, { do: 'grace' }) as Protocol;
    expect(fault(() => failing(waits, { contexts: ['task', 'preempt'] }))).toEqual([
      'bad-usage',
      undefined,
    ]);
  });
});

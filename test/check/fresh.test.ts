// Code that a protocol writes at a place where no thread runs yet. Its bytes are text like any other,
// so a CPU may still have what the place held before. The long run writes random lists of steps for
// a site that jumps to such a place, and for one text that holds both: the verdicts are the same.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isFault } from '#base/fault';
import { configure, type Configuration } from '#check/configuration';
import { loadProtocol } from '#check/ask/load';
import { run } from '#check/search/run';
import { programOf } from '#host/performed';
import type { Protocol, Step, TextState } from '#plan/protocol';
import { validateProtocol } from '#plan/validate';
import { findProposal, proposalOf } from '#zoo/index';
import { LONG } from '../more.js';

const SMALL = { passes: 1, updates: 1, cpus: 1, contexts: ['task'] } as const;

function verdicts(protocol: Protocol, given: Partial<Configuration> = {}) {
  const proposal = proposalOf(protocol);
  const { environment } = proposal;
  const configuration = configure({ environment, ...SMALL, ...given });
  const { properties, stopped } = run(proposal, configuration, { states: 1e6, seconds: 60 });
  expect(stopped).toBeNull();
  return [...properties].map(([name, { verdict }]) => `${name}: ${verdict}`);
}
const failing = (protocol: Protocol, given: Partial<Configuration> = {}): string[] =>
  verdicts(protocol, given).filter((said) => said.endsWith('fails'));
const example = (): Promise<Protocol> => loadProtocol('examples/protocols/compile.mjs');
const fault = (doing: () => unknown): unknown => {
  try {
    return doing();
  } catch (error) {
    return isFault(error) ? [error.code, error.at] : error;
  }
};
const TORN = ['torn: fails'];
const without = (protocol: Protocol, kind: Step['do']): Protocol => ({
  ...protocol,
  steps: protocol.steps.filter((step) => step.do !== kind),
});

describe('fresh code', () => {
  it('is called by the worked example of docs/protocols.md', async () => {
    const file = readFileSync('examples/protocols/compile.mjs', 'utf8').trim();
    expect(readFileSync('docs/protocols.md', 'utf8')).toContain(file);
    expect(failing(await example(), { chunk: 'qword' })).toEqual([]);
  });
  it('may have been fetched before it was written, so every CPU serialises first', async () => {
    const hasty = without(await example(), 'sync');
    expect(failing(hasty, { chunk: 'line' })).toEqual(TORN);
    expect(failing(hasty, { fetch: 'F2', chunk: 'line' })).toEqual(TORN);
    expect(failing(hasty, { fetch: 'F1', chunk: 'line' })).toEqual([]);
  });
  it('is not there before it is emitted, whatever a CPU promises', async () => {
    const coherent = { fetch: 'F0', chunk: 'line' } as const;
    const compile = await example();
    expect(failing(without(compile, 'emit'), coherent)).toEqual(TORN);
    const [emit, ...rest] = compile.steps;
    expect(failing({ ...compile, steps: [...rest, emit!] }, coherent)).toEqual(TORN);
  });
  it('is overwritten where a thread may still be in it, unless the patcher waits', () => {
    const settings = configure({ ...SMALL, environment: 'kernel', updates: 2 });
    const fails = (variant: string): boolean => {
      const row = findProposal('linux-bpf-dispatcher', variant, 'kernel');
      return (
        run(row, settings, { states: 1e5, seconds: 60 }).properties.get('torn')?.verdict === 'fails'
      );
    };
    expect([fails(''), fails('broken')]).toEqual([false, true]);
  });
  it('may call and jump back to the end of the text', () => {
    const states: readonly [TextState, TextState] = [
      { name: 'old', runs: 'A', bytes: 'e8 {A}', fresh: 'cc cc cc cc cc cc cc cc cc cc' },
      { name: 'new', runs: 'B', bytes: 'e9 {fresh}', fresh: 'e8 {B} e9 {end}' },
    ];
    const steps: readonly Step[] = [
      { do: 'emit', as: 'one', why: 'a call, and a jump back' },
      { do: 'sync', why: 'every CPU sees it' },
      { do: 'publish', why: 'it may be called' },
      { do: 'stop', why: 'the call and the jump differ in their opcode' },
      { do: 'write', at: 0, bytes: 5, from: 'new', as: 'one', why: 'the jump' },
      { do: 'release', serialise: true, why: 'they go on' },
    ];
    const accepts = { bytes: 'whole', within: null } as const;
    const detour = {
      name: 'detour',
      about: 'a test',
      accepts,
      handler: null,
      text: { states },
      steps,
    };
    expect(failing(detour)).toEqual([]);
    expect(failing(without(detour, 'emit'))).toEqual(TORN);
  });
});

describe('a file with fresh code is refused with the field', () => {
  const FRESH = 'cc cc cc cc cc';
  const own = (old: object, now: object, step: object = {}): Protocol =>
    ({
      name: 'own',
      about: 'a test',
      accepts: { bytes: 'whole', within: null },
      handler: null,
      text: {
        states: [
          { name: 'old', runs: 'A', bytes: 'e8 {A}', ...old },
          { name: 'new', runs: 'B', bytes: 'e8 {fresh}', ...now },
        ],
      },
      steps: [{ do: 'emit', as: 'one', why: 'to see', ...step }],
    }) as unknown as Protocol;
  it.each([
    ['text.states[0].fresh', own({}, { fresh: 'e9 {B}' })],
    ['text.states[0].fresh', own({ fresh: '.. ..' }, {})],
    ['text.states[0].fresh', own({ fresh: 7 }, {})],
    ['text.states[1].fresh', own({ fresh: FRESH }, { fresh: 'e9 {B} 90' })],
    ['text.states[1].fresh', own({ fresh: FRESH }, { fresh: 'e9 {Z}' })],
    ['text.states[1].fresh', own({ fresh: '0f 0a' }, {})],
    ['text.states[1].bytes', own({}, {})],
    ['steps[0].do', own({}, { bytes: 'e8 {B}' })],
    ['steps[0].as', own({ fresh: FRESH }, { fresh: 'e9 {B}' }, { as: 'exchange' })],
    ['steps[0].at', own({ fresh: FRESH }, { fresh: 'e9 {B}' }, { at: 1 })],
  ])('%s', (at, protocol) => {
    expect(fault(() => validateProtocol(protocol))).toEqual(['bad-protocol', at]);
  });
  it('and is not performed by threads, which write one site', async () => {
    const compile = await example();
    expect(fault(() => programOf('compile', compile, 3, null))).toEqual([
      'not-supported',
      'text.states[0].fresh',
    ]);
  });
});

/** A step of both, or what fresh code is emitted by. */
type Random = Extract<Step, { do: 'write' | 'sync' | 'publish' | 'emit' | 'grace' }>;
const SITE = 5;
const why = 'to see';
const write = fc.constantFrom<readonly [number, number]>([0, 1], [1, 4], [0, 5], [2, 3]);
const step: fc.Arbitrary<Random> = fc.oneof(
  fc.constantFrom('one' as const, 'bytes' as const).map((as): Random => ({ do: 'emit', as, why })),
  fc
    .record({ range: write, as: fc.constantFrom('one' as const, 'bytes' as const) })
    .map(({ range: [at, bytes], as }): Random => ({
      do: 'write',
      at,
      bytes,
      from: 'new',
      as,
      why,
    })),
  fc.constantFrom<Random>({ do: 'sync', why }, { do: 'grace', why }),
);
const FIRST: Random = { do: 'publish', why };
/** The right steps with one of them left out, or any. */
const RIGHT: readonly Random[] = [
  { do: 'emit', as: 'bytes', why },
  { do: 'sync', why },
  { do: 'write', at: 1, bytes: 4, from: 'new', as: 'one', why },
  { do: 'sync', why },
  { do: 'grace', why },
];
const thinned = fc.nat(RIGHT.length).map((without) => RIGHT.filter((_, i) => i !== without));
const lists = fc
  .oneof(thinned, fc.array(step, { minLength: 2, maxLength: 6 }))
  .map((steps): readonly Random[] => [FIRST, ...steps]);

/** Where the line ends that the fresh code lies over, so that one text is cut there too. */
const PLACE = { offset: [64 - SITE - 2] };
const shell = {
  name: 'own',
  about: 'a test',
  accepts: { bytes: 'whole', within: null },
  handler: null,
};
const CODE = ['cc cc cc cc cc', 'e9 {B}', 'e9 {C}'] as const;
const apart = (steps: readonly Random[]): unknown => ({
  ...shell,
  place: PLACE,
  text: {
    ends: 'return',
    states: [
      { name: 'old', runs: 'A', bytes: 'e9 {A}', fresh: CODE[0] },
      { name: 'new', runs: 'B', bytes: 'e9 {fresh}', fresh: CODE[1] },
      { name: 'third', runs: 'C', bytes: 'e9 {fresh}', fresh: CODE[2] },
    ],
  },
  steps,
});
const together = (steps: readonly Random[]): unknown => ({
  ...shell,
  place: PLACE,
  text: {
    ends: 'return',
    states: [
      { name: 'old', runs: 'A', bytes: `e9 {A} ${CODE[0]}` },
      { name: 'new', runs: 'B', bytes: `e9 00 00 00 00 ${CODE[1]}` },
      { name: 'third', runs: 'C', bytes: `e9 00 00 00 00 ${CODE[2]}` },
    ],
  },
  steps: steps.map((each) =>
    each.do === 'emit' ? { ...each, do: 'write', at: SITE, bytes: SITE, from: 'new' } : each,
  ),
});

if (LONG)
  it('answers for a place of its own as for one text that holds both (120 random lists)', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        lists,
        fc.constantFrom('F0', 'F1', 'F2', 'F3'),
        fc.constantFrom(1 as const, 2 as const),
        (steps, fetch, updates) => {
          const settings = { fetch, updates, chunk: 'byte' } as const;
          const [one, other] = [apart(steps), together(steps)].map((protocol) =>
            verdicts(validateProtocol(protocol), settings),
          );
          for (const said of one!) seen.add(said);
          expect(one).toEqual(other);
        },
      ),
      { numRuns: 120, seed: 15 },
    );
    for (const said of ['torn: fails', 'torn: holds', 'target: fails', 'target: holds'])
      expect(seen).toContain(said);
  }, 300_000);

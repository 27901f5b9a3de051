import { describe, expect, it } from 'vitest';
import { allowed, CLAIMED, explains, MODELS } from '#check/litmus/allowed';
import { LITMUS, type LitmusOutcome, type LitmusProgram } from '#plan/litmus';

const program = (name: string): LitmusProgram => LITMUS.find((each) => each.name === name)!;
const may = (
  name: string,
  fetch: (typeof MODELS)[number]['fetch'],
  chunk: (typeof MODELS)[number]['chunk'],
): LitmusOutcome[] => [...allowed(program(name), { fetch, chunk })].sort();
const explained = (...seen: [string, LitmusOutcome][]) =>
  explains(seen.map(([name, outcome]) => ({ program: program(name), outcomes: [outcome] })));

describe('what the model allows of the programs that CPUs are asked', () => {
  it('several stores are torn whatever the level, one store only where chunks are small', () => {
    for (const { fetch, chunk } of MODELS)
      expect(may('bytes', fetch, chunk)).toEqual(['mixed', 'whole']);
    expect(may('one', 'F3', 'qword')).toEqual(['whole']);
    expect(may('one', 'F3', 'byte')).toEqual(['mixed', 'whole']);
    expect(may('one-line', 'F0', 'line')).toEqual(['mixed', 'whole']);
  });
  it('int3 with its synchronisations is whole under every one of them, and torn without the first or the second', () => {
    for (const { fetch, chunk } of MODELS)
      expect(may('int3', fetch, chunk)).toEqual(['trap', 'whole']);
    for (const name of ['int3-no-1', 'int3-no-2', 'int3-none'])
      expect(may(name, 'F3', 'byte')).toEqual(['mixed', 'trap', 'whole']);
    expect(may('int3-no-3', 'F3', 'byte')).toEqual(['trap', 'whole']);
  });
  it('a call is late where fetching may be, goes backwards where the mark stays, and neither behind a synchronisation', () => {
    expect(may('order', 'F1a', 'line')).toEqual(['in order']);
    expect(may('order', 'F2', 'line')).toEqual(['in order', 'late']);
    expect(may('order', 'F3', 'line')).toEqual(['backwards', 'in order', 'late']);
    expect(may('order-sync', 'F3', 'line')).not.toContain('late');
  });
  it('allows more the later it stands in the list, within its size of chunk', () => {
    for (const each of LITMUS) {
      for (const chunk of ['line', 'byte'] as const) {
        const levels = (['F1a', 'F2', 'F3'] as const).map((fetch) =>
          allowed(each, { fetch, chunk }),
        );
        for (const i of [1, 2])
          expect([...levels[i]!], each.name).toEqual(expect.arrayContaining([...levels[i - 1]!]));
      }
    }
  });
});

describe('what explains a CPU', () => {
  it('is the first model that allows all that it showed', () => {
    expect(explained(['bytes', 'mixed'], ['one', 'whole'])).toEqual({ fetch: 'F0', chunk: 'line' });
    expect(explained(['int3-no-1', 'mixed'])).toEqual({ fetch: 'F1', chunk: 'line' });
    expect(explained(['one-qword', 'mixed'])).toEqual({ fetch: 'F1', chunk: 'qword' });
    expect(explained(['order', 'backwards'], ['one', 'mixed'])).toEqual({
      fetch: 'F3',
      chunk: 'byte',
    });
  });
  it('is a model that no other one undercuts: in-order fetches come before fetches in any order', () => {
    for (const name of ['int3-no-1', 'int3-none'])
      expect(explained([name, 'mixed']), name).toEqual({ fetch: 'F1', chunk: 'line' });
    expect(explained(['int3-no-1', 'mixed'], ['one-fetch32', 'mixed'])).toEqual({
      fetch: 'F1',
      chunk: 'fetch32',
    });
  });
  it('is none of them where a CPU shows what no model allows: a conflict', () => {
    expect(explained(['order-sync', 'late'])).toBe(null);
    expect(explained(['int3', 'mixed'])).toBe(null);
    expect(allowed(program('int3'), CLAIMED).has('mixed')).toBe(false);
  });
});

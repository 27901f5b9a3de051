// What a protocol's file can say: stores of any bytes, where its sites lie, what else may be executed,
// what it promises. Each worked example of docs/protocols.md answers as the page says.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { configure, type Configuration } from '#check/configuration';
import { loadProtocol } from '#check/ask/load';
import { run } from '#check/search/run';
import { validateProtocol } from '#plan/validate';
import type { Protocol, Step } from '#plan/protocol';
import { isFault } from '#base/fault';
import { proposalOf } from '#zoo/index';
import { Folder } from '../build.js';

const SMALL = { environment: 'user', passes: 1, updates: 1, cpus: 1, contexts: ['task'] } as const;
const failing = (protocol: Protocol, given: Partial<Configuration> = {}): string[] =>
  [
    ...run(proposalOf(protocol), configure({ ...SMALL, ...given }), { states: 1e6, seconds: 60 })
      .properties,
  ]
    .filter(([, { verdict }]) => verdict === 'fails')
    .map(([name]) => name);
const example = (name: string): Promise<Protocol> => loadProtocol(`examples/protocols/${name}`);
const fault = (doing: () => unknown): unknown => {
  try {
    return doing();
  } catch (error) {
    return isFault(error) ? [error.code, error.at, error.message] : error;
  }
};

const step = (rest: object): Step => ({ why: 'to see', ...rest }) as Step;
const publish = step({ do: 'publish' });
const sync = step({ do: 'sync' });
const own = (steps: readonly Step[], rest: object = {}): Protocol => ({
  name: 'own',
  about: 'a test',
  accepts: { bytes: 'whole', within: null },
  handler: null,
  steps: [publish, ...steps],
  ...rest,
});
const write = (at: number, bytes: number, as: string): Step =>
  step({ do: 'write', at, bytes, from: 'new', as });

describe('the worked examples of docs/protocols.md', () => {
  it('are the files that the page shows', () => {
    const page = readFileSync('docs/protocols.md', 'utf8');
    for (const name of ['static-key.json', 'aligned-call.mjs', 'smash.mjs'])
      expect(page, name).toContain(readFileSync(`examples/protocols/${name}`, 'utf8').trim());
  });
  it('one synchronisation at the end is too late for a site over the end of a line', async () => {
    const shipped = await example('static-key.json');
    const inOrder = { fetch: 'F1', chunk: 'line' } as const;
    expect(failing(shipped, inOrder)).toEqual(['torn']);
    const [start, head, rest, last, end] = shipped.steps;
    const mended = { ...shipped, steps: [start!, head!, sync, rest!, sync, last!, end!] };
    expect(failing(mended, inOrder)).toEqual([]);
    expect(failing(mended, { chunk: 'qword' })).toEqual([]);
  });
  it('an aligned displacement needs a quadword that is fetched whole, and no synchronisation', async () => {
    const aligned = await example('aligned-call.mjs');
    expect(failing(aligned, { chunk: 'qword', passes: 2, updates: 2 })).toEqual([]);
    expect(failing(aligned, { chunk: 'byte' })).toEqual(['torn']);
    expect(failing({ ...aligned, promise: 'returned' }, { chunk: 'qword' })).toContain(
      'after-update',
    );
  });
  it('a store may stay in its buffer, so that the update returns before it is in memory', async () => {
    const aligned = { ...(await example('aligned-call.mjs')), promise: 'stored' } as const;
    const settings = { chunk: 'qword', updates: 2 } as const;
    expect(failing(aligned, settings)).toEqual(['target', 'after-update']);
    expect(failing(aligned, { ...settings, tso: false })).toEqual([]);
    const locked = { ...aligned, steps: [publish, write(1, 4, 'exchange')] };
    expect(failing(locked, settings)).toEqual([]);
    expect(failing({ ...locked, promise: 'returned' }, settings)).toContain('after-update');
  });
  it('an instruction that does nothing, with another last byte, is harmless', async () => {
    const smash = await example('smash.mjs');
    const site = { site: 'null', chunk: 'line', fetch: 'F1' } as const;
    expect(failing(smash, site)).toEqual([]);
    expect(failing(smash, { ...site, fetch: 'F3', chunk: 'byte' })).toEqual(['torn']);
  });
});

describe('a step that writes', () => {
  it('stores its bytes at once, one by one, or with their neighbours', () => {
    const whole = { chunk: 'line', fetch: 'F0', offset: 8 } as const;
    expect(failing(own([write(0, 5, 'one'), sync]), whole)).toEqual([]);
    expect(failing(own([write(0, 5, 'exchange'), sync]), whole)).toEqual([]);
    expect(failing(own([write(0, 5, 'merge'), sync]), whole)).toEqual([]);
    expect(failing(own([write(0, 5, 'bytes'), sync]), whole)).toEqual(['torn']);
  });
  it('merges with what the update has stored before', () => {
    const steps = [write(1, 4, 'one'), write(0, 1, 'merge'), sync];
    expect(failing(own(steps), { fetch: 'F0', chunk: 'line', offset: 8 })).toEqual([]);
  });
  it('is refused where it leaves its site, or merges into two quadwords', () => {
    expect(fault(() => failing(own([write(2, 4, 'one')])))).toEqual([
      'bad-protocol',
      'steps[1].bytes',
      'steps[1] writes bytes 2 to 5 of a site that has 5',
    ]);
    expect(fault(() => failing(own([write(0, 5, 'merge')])))).toEqual([
      'bad-protocol',
      'steps[1].as',
      'steps[1] merges into one quadword, and crosses it',
    ]);
  });
});

describe('an instruction that the protocol says may be executed', () => {
  it('is no mixture, and is judged by what it does', () => {
    const steps = [write(4, 1, 'one'), sync, write(0, 4, 'one'), sync];
    const fetch = { fetch: 'F0', chunk: 'line', offset: 8 } as const;
    expect(failing(own(steps), fetch)).toEqual(['torn']);
    const said = { text: { also: ['e8 .. .. .. ..'] } };
    expect(failing(own(steps, said), fetch)).toEqual(['target', 'unwind']);
  });
});

describe('a file', () => {
  const folder = new Folder();
  it('of JSON is read and not run', async () => {
    const path = folder.write('a.json', JSON.stringify(own([write(0, 5, 'one')])));
    expect((await loadProtocol(path)).name).toBe('own');
    const broken = await loadProtocol(folder.write('b.json', '{')).catch((error: unknown) => error);
    expect(broken).toMatchObject({
      code: 'bad-protocol',
      message: expect.stringContaining('no JSON') as string,
    });
    const missing = await loadProtocol(folder.file('c.json')).catch((error: unknown) => error);
    expect(missing).toMatchObject({ code: 'no-such-file' });
  });
  it.each([
    ['steps[1].at', { ...own([write(9, 1, 'one')]) }],
    ['steps[1].bytes', { ...own([write(0, 0, 'one')]) }],
    ['steps[1].as', { ...own([write(0, 1, 'two')]) }],
    ['place.offset', own([], { place: { offset: [64] } })],
    ['place.offset', own([], { place: { offset: { align: 3, at: 0 } } })],
    ['place.offset', own([], { place: { offset: { align: 4, at: 4 } } })],
    ['place.from', own([], { place: { from: 'elsewhere' } })],
    ['text.also', own([], { text: { also: ['nop'] } })],
    ['text.also', own([], { text: { also: ['0f ..'] } })],
    ['steps[1].bytes', own([{ do: 'store-head', bytes: [0xe8, 1], why: 'half a call' }])],
    ['promise', own([], { promise: 'perhaps' })],
  ])('is refused with the field that is wrong: %s', (at, protocol) => {
    expect(fault(() => validateProtocol(protocol))).toEqual([
      'bad-protocol',
      at,
      expect.stringContaining(at),
    ]);
  });
});

import { describe, expect, test } from 'vitest';
import { Fault } from '#base/fault';
import { conform } from '#check/conform';
import { readPokeLog } from '#check/poke-log';
import { findProposal } from '#zoo/index';
import { Folder } from '../build.js';
import { line } from '../cli/line.js';
import { complaints } from '../cli/schema.js';

const counted = findProposal('int3-gap', 'counted', 'kernel').protocol;
const HEADER = {
  schema: 'static-call/poke-log@1',
  cpus: [0, 1],
  words: { vec: '0xffffffff82000000', count: '0xffffffff82000008', refs: '0xffffffff8200000c' },
};
const { vec, count, refs } = HEADER.words;
const SITE = 0xffffffff81000100n;
const at = (offset: number, site: bigint = SITE): string =>
  `0x${(site + BigInt(offset)).toString(16)}`;
const store = (where: string, bytes: string, cpu = 0): object => ({
  cpu,
  op: 'store',
  at: where,
  width: bytes.length / 2,
  bytes,
});
const sync = (...cpus: number[]): object[] =>
  cpus.map((cpu) => ({ cpu, op: 'sync', at: '0xffffffff81000000' }));
const both = sync(1, 0);
const trap = (cpu: number): object => ({ cpu, op: 'trap', at: at(0) });
const resume = (cpu: number, to: string | null): object => ({ cpu, op: 'resume', to });
/** The new instruction is `call` to 0x1000 behind the site's end. */
const TARGET = at(5 + 0x1000);

/** One batch as the kernel does it, with its parts by name, so that a test can change one. */
const PARTS = {
  publish: [store(vec, '0000000000000000'), store(count, '01000000')],
  claim: [store(refs, '01000000')],
  trap: [store(at(0), 'cc')],
  sync1: both,
  rest: [store(at(1), '00'), store(at(2), '10'), store(at(3), '00'), store(at(4), '00')],
  sync2: both,
  first: [store(at(0), 'e8')],
  sync3: both,
  release: [store(refs, '00000000')],
};
type Parts = { readonly [P in keyof typeof PARTS]: readonly object[] };
const batch = (changes: Partial<Parts> = {}): object[] =>
  Object.values({ ...PARTS, ...changes }).flat();
/** A log whose header has more fields. */
const headed = (more: object, events: readonly object[]): string =>
  [{ ...HEADER, ...more }, ...events].map((each) => JSON.stringify(each)).join('\n');
const written = (events: readonly object[]): string => headed({}, events);
const judged = (...events: object[]) => conform(counted, readPokeLog(written(events), 'log'));

describe('a batch of the kernel', () => {
  test('conforms, one after the other', () => {
    expect(judged(...batch(), ...batch())).toMatchObject({
      batches: 2,
      conform: 2,
      sites: 2,
      refusals: [],
    });
  });
  test('conforms with the rest as one store, done twice', () => {
    const rest = [store(at(1), '00100000'), store(at(1), '00100000')];
    expect(judged(...batch({ rest }))).toMatchObject({ conform: 1 });
  });
  test('conforms with two sites', () => {
    const two = (offset: number, bytes: string): object[] => [
      store(at(offset), bytes),
      store(at(offset, SITE + 64n), bytes),
    ];
    const changes = { trap: two(0, 'cc'), rest: two(1, '00100000'), first: two(0, 'e8') };
    expect(judged(...batch(changes))).toMatchObject({ conform: 1, sites: 2 });
  });
  test('conforms as the cycle of a module, whose text is not watched', () => {
    expect(judged(...batch({ trap: [], rest: [], first: [] }))).toMatchObject({
      conform: 1,
      unseen: 1,
    });
  });
  test('conforms while another CPU traps, counts itself and goes on at the new target', () => {
    const handled = [
      trap(1),
      store(refs, '02000000', 1),
      store(refs, '01000000', 1),
      resume(1, TARGET),
    ];
    const found = judged(
      ...batch({ sync1: [...handled, ...both], rest: [...PARTS.rest, ...handled] }),
    );
    expect(found).toMatchObject({
      conform: 1,
      traps: { 'after trap': 1, 'after rest': 1 },
      resumed: { new: 2, other: 0, unknown: 0 },
    });
  });
  test('conforms where a trap at a site that is to return 0 goes on at the function that does', () => {
    const return0 = '0xffffffff81000010';
    const changes = {
      sync1: [trap(1), resume(1, return0), ...both],
      rest: [store(at(1), '2e2e31c0')],
      first: [store(at(0), '2e')],
    };
    const resumed = (more: object) =>
      conform(counted, readPokeLog(headed(more, batch(changes)), 'log')).resumed;
    expect(resumed({ return0 })).toEqual({ new: 1, other: 0, unknown: 0 });
    expect(resumed({ return0: '0xffffffff81000020' })).toEqual({ new: 0, other: 1, unknown: 0 });
    // The log of a recorder that does not say where that is.
    expect(resumed({})).toEqual({ new: 0, other: 0, unknown: 1 });
  });
  test('conforms while the updater goes to another CPU, and that is counted', () => {
    const first = [store(at(0), 'e8', 1)];
    expect(judged(...batch(), ...batch({ first }))).toMatchObject({ conform: 2, migrated: 1 });
  });
  test('is known to be handled by a CPU that an interrupt takes elsewhere', () => {
    expect(judged(...batch({ sync1: [trap(1), resume(1, null), ...both] }))).toMatchObject({
      conform: 1,
      resumed: { unknown: 1 },
    });
  });
});

describe('a batch is refused at its first step that differs', () => {
  test.each([
    ['the first synchronisation is missing', { sync1: [] }, 4, 'CPU 0, 1 did not'],
    ['the second is missing', { sync2: [] }, 6, 'CPU 0, 1 did not'],
    ['the third is missing', { sync3: [] }, 8, 'CPU 0, 1 did not'],
    ['one CPU does not synchronise', { sync2: sync(0) }, 6, 'CPU 1 did not'],
    [
      'a synchronisation comes before its store',
      { trap: [...both, ...PARTS.trap], sync1: [] },
      4,
      'did not',
    ],
    ['the table is not claimed', { claim: [] }, 2, 'refs + 1'],
    ['no trap byte is stored', { trap: [] }, 3, 'the trap byte'],
    ['the rest is left out', { rest: [] }, 5, 'the rest'],
    ['the first byte stays a trap', { first: [] }, 7, 'the new first byte'],
    ['the instruction is written whole', { first: [store(at(0), 'e800100000')] }, 5, 'the rest'],
  ] as [string, Partial<Parts>, number, string][])('%s', (_, changes, step, expected) => {
    const { conform: good, refusals } = judged(...batch(changes), ...batch());
    expect(good).toBe(1);
    expect(refusals).toHaveLength(1);
    expect(refusals[0]).toMatchObject({ batch: 1, step });
    expect(refusals[0]?.expected).toContain(expected);
  });
  test('a CPU that traps goes on elsewhere', () => {
    const handled = [trap(1), resume(1, at(5))];
    const found = judged(...batch({ sync1: [...handled, ...both] }));
    expect(found).toMatchObject({ conform: 0, resumed: { other: 1 } });
  });
});

describe('the command', () => {
  const folder = new Folder();
  const run = async (log: string, ...args: string[]): Promise<Awaited<ReturnType<typeof line>>> =>
    line(['check', 'int3-gap/counted', '--against', folder.write('log', log), ...args]);

  test('says how many conform, status 0 if all do', async () => {
    const { status, stdout } = await run(written(batch()));
    expect(status).toBe(0);
    expect(stdout).toContain('log against int3-gap/counted: 1 batches of 1 sites, 1 conform\n');
  });
  test('names the step, status 1', async () => {
    const { status, stdout } = await run(written(batch({ sync2: [] })));
    expect(status).toBe(1);
    expect(stdout).toContain(
      '  batch 1 differs at step 6: expected every CPU synchronises, and CPU 0, 1 did not; ' +
        'found a store of 1 bytes at 0xffffffff81000100 (event 11)\n',
    );
  });
  test('JSON is one value', async () => {
    const { stdout } = await run(written(batch()), '--json');
    expect(complaints(JSON.parse(stdout))).toEqual([]);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'static-call/conform@1', conform: 1 });
  });
  test.each([
    ['', 'it is no JSON'],
    ['{"schema": "other"}', 'its schema'],
    [`${JSON.stringify({ ...HEADER, cpus: [] })}\n`, 'cpus is no list'],
    [written([{ cpu: 0, op: 'jump' }]), 'op is neither'],
    [written([{ op: 'sync' }]), 'cpu is no number'],
    [written([store('81000100', 'cc')]), 'at is no address'],
    [written([store(at(0), 'xy')]), 'bytes is no text'],
  ])('refuses the log %j', async (text, said) => {
    const { status, stderr } = await run(text);
    expect(status).toBe(3);
    expect(stderr).toContain('error[bad-log]');
    expect(stderr).toContain(said);
  });
  test.each([
    [['check', 'int3-gap/counted', '--against', 'log', '--cpus', '3'], '--cpus says nothing'],
    [['check', '--against', 'log'], 'one protocol'],
  ])('%j is wrong usage', async (args, said) => {
    const { status, stderr } = await line(args);
    expect({ status, said: stderr.includes(said) }).toEqual({ status: 2, said: true });
  });
  test('a protocol with steps that no log shows is wrong usage', () => {
    const { protocol } = findProposal('stop-machine', '', 'kernel');
    expect(() => conform(protocol, readPokeLog(written([]), 'log'))).toThrow(Fault);
  });
});

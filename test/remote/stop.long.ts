// Updates while all threads stand: of a program that has a SIGTRAP handler of its own, in a sandbox
// that refuses what a runtime would need.

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { compileTarget, mayAttach, Running, tool, toolBeside, type Said } from './running.js';

const linux = process.platform === 'linux' && process.arch === 'x64';
const attachable = linux && gcc !== null && mayAttach();

const OWN = { TRAPS: '1', SANDBOX: '1' };
const options = { protocol: 'stop' };
/** A program in which nothing was disturbed. */
const WELL = { wrong: 0, disturbed: 0, interrupted: 0, trapped: 0 };

/** All of it, and not only what is of files. */
const mapsOf = ({ pid }: Running): string => readFileSync(`/proc/${pid}/maps`, 'utf8');

describe.skipIf(!attachable)('a program that has a SIGTRAP handler of its own', () => {
  const folder = new Folder();
  let program = '';
  beforeAll(() => void (program = compileTarget(folder, 'target.c')));
  afterAll(() => folder[Symbol.dispose]());
  afterAll(() => Running.killAll());

  it('goes where it is sent, with nothing installed, mapped or interrupted', async () => {
    const own = await Running.start(
      program,
      ['1', 'read', 'epoll', 'pause', 'poll', 'ppoll', 'nanosleep'],
      OWN,
    );
    const before = { ...own.state(), all: mapsOf(own) };
    const said = tool(own.pid, {
      options,
      do: [['update', { route: 'fast', hook: 'count' }], ['verify'], ['keys']],
    });
    expect(said.fault).toBeUndefined();
    expect(said).toMatchObject({ keys: { route: 'fast', hook: 'count' }, drifts: [], objects: 1 });
    const report = await own.report();
    expect(report).toMatchObject({ ...WELL, route: 5 });
    expect(report.hooked).toBeGreaterThan(0);
    expect({ ...own.state(), all: splitless(mapsOf(own)) }).toEqual({
      ...before,
      all: splitless(before.all),
    });
    // The next tool finds it as it was left, and puts it back.
    const next = tool(own.pid, { options, do: [['update', { route: 'fast' }], ['close']] });
    expect(next).toMatchObject({ changes: [] });
    expect(next.fault).toBeUndefined();
    expect(await own.report()).toMatchObject({ ...WELL, route: 3 });
    expect(await own.end()).toBe(0);
  }, 120_000);

  it('goes where it is sent while its threads come and go', async () => {
    const own = await Running.start(program, ['1', 'storm', 'storm'], OWN);
    const said = tool(own.pid, {
      options,
      do: [['loop', { ms: 3000, targets: ['fast', 'slow', 'other'] }], ['verify']],
    });
    expect(said.fault).toBeUndefined();
    expect(said).toMatchObject({ drifts: [], unchanged: 0 });
    expect(said.updates).toBeGreaterThan(0);
    expect(await own.report()).toMatchObject(WELL);
    expect(await own.end()).toBe(0);
  }, 120_000);

  it('goes its own way when the tool is killed at every step', async () => {
    const own = await Running.start(program, ['1', 'read', 'epoll', 'pause'], OWN);
    const before = own.state();
    const { steps } = tool(own.pid, {
      options,
      do: [['update', { route: 'fast', hook: 'count' }]],
    });
    expect(steps).toContain('written');
    for (let kill = 0; kill < steps.length; kill++) {
      const step = `step ${kill}, ${steps[kill]}`;
      const to = kill % 2 ? { route: 'fast', hook: 'count' } : { route: 'other', hook: null };
      expect(tool(own.pid, { options, kill, do: [['update', to]] }).signal, step).toBe('SIGKILL');
      expect(await own.report(), step).toMatchObject({ wrong: 0, disturbed: 0, trapped: 0 });
      expect(own.state(), step).toEqual(before);
      const after = tool(own.pid, { options, do: [['update', to], ['verify']] });
      expect(after.fault, step).toBeUndefined();
      expect(after.drifts, step).toEqual([]);
    }
    expect(await own.end()).toBe(0);
  }, 300_000);

  it('is whole where the kernel refuses any one of the calls', async () => {
    const own = await Running.start(program, ['1', 'read', 'pause'], OWN);
    const { calls } = tool(own.pid, { options, do: [['update', { route: 'fast' }]] });
    for (let refuse = 0; refuse < calls; refuse++) {
      const route = refuse % 2 ? 'fast' : 'slow';
      tool(own.pid, { options, refuse, do: [['update', { route }]] });
      expect(await own.report(), `call ${refuse}`).toMatchObject(WELL);
    }
    const after = tool(own.pid, { options, do: [['update', { route: 'other' }], ['verify']] });
    expect(after).toMatchObject({ drifts: [] });
    expect(await own.end()).toBe(0);
  }, 300_000);

  it('is refused what would need code in it, by name', async () => {
    const own = await Running.start(program, ['0'], OWN);
    expect(tool(own.pid, { options, do: [['trace', 'route']] }).fault).toBe('bad-option');
    expect(await own.end()).toBe(0);
  }, 60_000);
});

describe.skipIf(!attachable)('a program that has a runtime', () => {
  const folder = new Folder();
  let program = '';
  beforeAll(() => void (program = compileTarget(folder, 'target.c')));
  afterAll(() => folder[Symbol.dispose]());
  afterAll(() => Running.killAll());

  it('takes updates by either protocol after the other, and each finds what the other left', async () => {
    const own = await Running.start(program, ['1', 'read', 'pause']);
    const ways = [{}, options, {}, options, options, {}];
    for (const [i, each] of ways.entries()) {
      const to = { route: ['fast', 'slow', 'other'][i % 3], hook: i % 2 ? null : 'count' };
      const said = tool(own.pid, { options: each, do: [['update', to], ['verify'], ['keys']] });
      expect(said, `update ${i}`).toMatchObject({ drifts: [], keys: to });
      expect(said.fault, `update ${i}`).toBeUndefined();
    }
    expect(await own.report()).toMatchObject({ wrong: 0, disturbed: 0, route: 7 });
    expect(await own.end()).toBe(0);
  }, 120_000);

  it('goes its own way when a tool that stops it is killed at every step', async () => {
    const own = await Running.start(program, ['1', 'read', 'pause']);
    tool(own.pid, { do: [['update', { route: 'slow' }]] });
    const { steps } = tool(own.pid, { options, do: [['update', { route: 'fast' }]] });
    for (let kill = 0; kill < steps.length; kill++) {
      const route = kill % 2 ? 'fast' : 'other';
      const step = `step ${kill}, ${steps[kill]}`;
      const { signal } = tool(own.pid, { options, kill, do: [['update', { route }]] });
      // What the first killed one wrote, the later ones need not.
      if (signal === null) {
        expect(kill).toBeGreaterThan(8);
        break;
      }
      expect(await own.report(), step).toMatchObject({ wrong: 0, disturbed: 0 });
      const next = kill % 3 === 0 ? options : {};
      const after = tool(own.pid, { options: next, do: [['update', { route }], ['verify']] });
      expect(after.fault, step).toBeUndefined();
      expect(after.drifts, step).toEqual([]);
    }
    expect(await own.end()).toBe(0);
  }, 300_000);

  it('takes the updates of tools that stop it and of one that borrows, each of them whole', async () => {
    const own = await Running.start(program, ['1', 'pause']);
    tool(own.pid, { do: [['update', { route: 'slow' }]] });
    const loop = (targets: readonly string[], how: object): Promise<Said> =>
      toolBeside(own.pid, { options: how, do: [['loop', { ms: 1000, targets }]] }).ended;
    const all = await Promise.all([
      loop(['slow', 'fast'], options),
      loop(['other', 'fast'], options),
      loop(['other', 'slow'], {}),
    ]);
    // Each waits for the others, and gives up in the end.
    for (const { fault } of all) expect([undefined, 'busy', 'traced']).toContain(fault);
    const after = tool(own.pid, { do: [['update', { route: 'fast' }], ['verify']] });
    expect(after).toMatchObject({ drifts: [] });
    expect(after.fault).toBeUndefined();
    expect(await own.report()).toMatchObject({ wrong: 0, disturbed: 0, route: 5 });
    expect(await own.end()).toBe(0);
  }, 120_000);
});

/** Text that was written to is another mapping's neighbour, and the heap may grow. */
const splitless = (maps: string): string[] =>
  [...new Set(maps.split('\n').map((line) => line.slice(73)))].sort();

// The calls of another process's keys, counted by machine code in it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attach } from '#app/index';
import { look } from '#app/look';
import { isFault } from '#base/fault';
import { complaints } from '../cli/schema.js';
import { Folder, gcc } from '../build.js';
import { compileTarget, mayAttach, Running } from './running.js';

const folder = new Folder();
afterAll(() => {
  Running.killAll();
  folder[Symbol.dispose]();
});
const linux = process.platform === 'linux' && process.arch === 'x64';

const targetOf = (pid: number, key: string): string | null | undefined =>
  look(pid).keys.find(({ name }) => name === key)?.target;
const until = async (what: () => boolean): Promise<void> => {
  const began = performance.now();
  while (!what()) {
    if (performance.now() - began > 60_000) throw new Error(`this never came: ${what.toString()}`);
    await setTimeout(5);
  }
};
const codeOf = (body: () => unknown): unknown => {
  try {
    return body();
  } catch (error) {
    if (!isFault(error)) throw error;
    return error.code;
  }
};

describe.skipIf(!linux || !gcc || !mayAttach())('a key of another process', () => {
  const HOT = 2;
  let program = '';
  let running: Running;
  beforeAll(async () => {
    program = compileTarget(folder, 'target.c');
    running = await Running.start(program, [String(HOT)]);
  });

  it('is traced: as many calls as the program counts, between the looks inside and around', async () => {
    using app = attach(running.pid);
    for (const hook of ['count', null]) {
      app.update({ hook });
      const outer = await running.report();
      const traces = ['route', 'hook'].map((key) => app.trace(key));
      const inner = await running.report();
      await until(() => traces.every(({ calls }) => calls > 10_000));
      const within = await running.report();
      for (const trace of traces) trace.stop();
      const around = await running.report();
      for (const { calls } of traces) {
        // A thread calls, and counts that a moment later.
        expect(calls).toBeGreaterThanOrEqual(within.calls - inner.calls - HOT);
        expect(calls).toBeLessThanOrEqual(around.calls - outer.calls + HOT);
      }
      expect(traces.map(({ target }) => target)).toEqual(['slow', hook]);
      expect(around).toMatchObject({ wrong: 0, disturbed: 0, route: 3 });
    }
    expect([app.keys['route']?.target, app.verify()]).toEqual(['slow', []]);
  });

  it('has as many mappings after the fiftieth trace as after the first', () => {
    using app = attach(running.pid);
    app.trace('route').stop();
    const { mappings } = running;
    for (let i = 0; i < 50; i++) app.trace('route').stop();
    expect(running.mappings).toBe(mappings);
  });

  it('keeps the target that another tool gives it meanwhile', () => {
    using app = attach(running.pid);
    using other = attach(running.pid);
    const trace = app.trace('route');
    expect(codeOf(() => other.trace('route'))).toBe('busy');
    expect(targetOf(running.pid, 'route')).toBe('slow (counted)');
    const { changes } = other.update({ route: 'fast' });
    expect(changes).toEqual([{ key: 'route', from: 'slow (counted)', to: 'fast' }]);
    trace.stop();
    expect([trace.retargeted, targetOf(running.pid, 'route')]).toEqual([true, 'fast']);
    other.update({ route: 'slow' });
  });

  async function command(
    words: readonly string[],
    signal?: NodeJS.Signals,
  ): Promise<{ status: unknown; said: any; stderr: string }> {
    const child = spawn(process.execPath, ['bin/static-call', ...words, '--json']);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (piece) => (stdout += String(piece)));
    child.stderr.on('data', (piece) => (stderr += String(piece)));
    const ended = once(child, 'close');
    if (signal) {
      await until(() => targetOf(running.pid, 'route') === 'slow (counted)');
      child.kill(signal);
    }
    const [status, by] = (await ended) as [number | null, string | null];
    return { status: status ?? by, said: stdout === '' ? null : JSON.parse(stdout), stderr };
  }
  const trace = (...words: string[]): string[] => ['trace', String(running.pid), ...words];

  it('is traced by the command, which says what it counted and leaves the target as it was', async () => {
    const { status, said, stderr } = await command(trace('route', 'hook', '--seconds', '0.2'));
    expect([status, stderr, complaints(said)]).toEqual([0, '', []]);
    const [{ traces }] = said.processes;
    expect(traces).toMatchObject([
      { key: 'route', target: 'slow', retargeted: false },
      { key: 'hook', target: null, retargeted: false },
    ]);
    expect(traces[0].ns).toBeGreaterThanOrEqual(0.2e9);
    expect(targetOf(running.pid, 'route')).toBe('slow');
  });

  it.for(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'goes back when the command is ended by %s, which still says what it counted',
    async (signal) => {
      const { said } = await command(trace('route', '--seconds', '600'), signal);
      expect(said.processes[0].traces[0]).toMatchObject({ key: 'route', retargeted: false });
      expect(targetOf(running.pid, 'route')).toBe('slow');
      expect(await running.report()).toMatchObject({ wrong: 0, route: 3 });
    },
  );

  it('still calls its target when the tool is killed, says so, and is set again', async () => {
    const { status } = await command(trace('route', '--seconds', '600'), 'SIGKILL');
    expect([status, targetOf(running.pid, 'route')]).toEqual(['SIGKILL', 'slow (counted)']);
    expect(await running.report()).toMatchObject({ wrong: 0, route: 3 });
    const again = await command(trace('route', '--seconds', '1'));
    expect(again.said.processes[0].error).toMatchObject({ code: 'busy' });
    await command(['set', String(running.pid), 'route=slow']);
    expect(targetOf(running.pid, 'route')).toBe('slow');
  });

  it('goes back where a later key of the command is refused, or another process', async () => {
    const unknown = await command(trace('route', 'rout', '--seconds', '600'));
    expect(unknown.said.processes[0].error.code).toBe('unknown-key');
    expect(complaints(unknown.said)).toEqual([]);
    const two = await command([
      'trace',
      String(running.pid),
      '1073741824',
      'route',
      '--seconds',
      '.1',
    ]);
    expect(two.said.processes[0].traces).toHaveLength(1);
    expect(two.said.processes[1].error.code).toBe('no-such-process');
    expect(targetOf(running.pid, 'route')).toBe('slow');
  });

  it('is not traced where the command names no key, no process, or no time', async () => {
    expect((await command(['trace', String(running.pid)])).said.code).toBe('bad-usage');
    expect((await command(['trace', 'route'])).said.code).toBe('bad-usage');
    expect((await command(trace('route', '--seconds', '-1'))).status).not.toBe(0);
  });

  it('is answered for what was counted where the process ends meanwhile', async () => {
    const short = await Running.start(program, ['1']);
    const ended = command(['trace', String(short.pid), 'route', '--seconds', '2']);
    await until(() => targetOf(short.pid, 'route') === 'slow (counted)');
    await short.end();
    const { said } = await ended;
    expect(said.processes[0].error.code).toBe('target-gone');
  });
});

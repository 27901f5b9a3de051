import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SYS } from '#base/linux';
import { Folder, gcc } from '../build.js';
import { compileTarget, mayAttach, Running } from './running.js';

const CHILD = fileURLToPath(new URL('./children/again.mjs', import.meta.url));
/** Both sides of a key that other objects call say so. */
const EXPORTED = '-DSTATIC_CALL_EXPORTED_route=1';
const linux = process.platform === 'linux' && process.arch === 'x64';

interface Said {
  readonly changes: readonly (string | null)[];
  readonly drifts: readonly string[];
  readonly looks: number;
  readonly stops: number;
  /** The system call of a thread before some updates, and behind them. */
  readonly calls?: readonly (readonly [number, number])[];
  /** Where a name leads now, and where the site led then. */
  readonly address?: string;
  readonly reached?: string;
}

interface How {
  /** An object that it loads. */
  readonly plugin: string;
  /** The kind of system call that its thread is in. */
  readonly sleeps: string;
  readonly interrupted: number;
}

describe.skipIf(!(linux && gcc !== null && mayAttach()))('updates that are made again', () => {
  const folder = new Folder();
  let program = '';
  beforeAll(() => void (program = compileTarget(folder, 'target.c', ['-rdynamic', EXPORTED])));
  afterAll(() => {
    Running.killAll();
    folder[Symbol.dispose]();
  });

  async function again(
    between: string,
    { plugin, sleeps = 'pause', interrupted = 0 }: Readonly<Partial<How>> = {},
  ): Promise<Said> {
    const own = await Running.start(program, ['1', sleeps]);
    if (plugin !== undefined) own.say(`load ${plugin}`);
    const { stdout, stderr } = spawnSync(process.execPath, [CHILD, String(own.pid), between], {
      encoding: 'utf8',
    });
    expect(stdout, stderr).not.toBe('');
    const plugged = plugin === undefined ? 0 : 3;
    const expected = { wrong: 0, disturbed: 0, interrupted, route: 3, plugged };
    expect(await own.report()).toMatchObject(expected);
    await own.end();
    return JSON.parse(stdout) as Said;
  }

  it('are looked at by one call, and stop a thread once', async () => {
    expect(await again('nothing')).toMatchObject({ looks: 8, stops: 8, drifts: [] });
  });

  it('are made where the kernel writes no two places at once', async () => {
    const said = await again('the kernel writes no two places at once');
    expect(said).toMatchObject({ looks: 8, stops: 8, drifts: [] });
  });

  it.each([
    ['another tool sends the key elsewhere', ['other', 'fast', 'slow', 'fast']],
    ['another tool sends the key elsewhere and back', ['slow', 'fast', 'slow', 'fast']],
    ['another tool changes another key', ['slow', 'fast', 'slow', 'fast']],
    ['this tool sends the key elsewhere', ['other', 'fast', 'slow', 'fast']],
  ] as const)('start from where the key is, where %s', async (between, changes) => {
    expect(await again(between)).toMatchObject({ changes, drifts: [] });
  });

  it('reach the sites that another tool has found in another object', async () => {
    const plugin = compileTarget(folder, 'plugin.c', ['-shared', '-fPIC', EXPORTED]);
    const said = await again('another tool finds sites of the key in another object', { plugin });
    expect(said).toMatchObject({ changes: ['slow', 'fast', 'slow', 'fast'], drifts: [] });
  });

  it('let a thread sleep on where it slept, wherever that is', async () => {
    const how = { sleeps: 'turns', interrupted: 4 };
    const { calls = [] } = await again('the thread goes to sleep elsewhere', how);
    const { pause, poll } = SYS;
    const both = [poll, pause, poll, pause];
    expect(calls).toEqual(both.map((call) => [call, call]));
  });

  it('leave a site alone that other code has written', async () => {
    const { changes, drifts } = await again('other code writes a site');
    expect(new Set(changes)).toEqual(new Set(['foreign-trap']));
    expect(drifts).toEqual([]);
  });

  it('do nothing to a program that has executed itself', async () => {
    const { changes } = await again('the program executes itself');
    expect(new Set(changes)).toEqual(new Set(['target-gone']));
  });

  it('go where the name leads now', async () => {
    const own = await again('a name comes to mean another function');
    expect(own).toMatchObject({ drifts: [] });
    expect(own.reached).toBe(own.address);
  });
});

import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc, must, tool as toolOf } from '../build.js';
import { BIN } from '../runtime/programs.js';
import { compileTarget, mayAttach, Running, tool, toolBeside } from './running.js';

const linux = process.platform === 'linux' && process.arch === 'x64';
const attachable = linux && gcc !== null && mayAttach();
const WELL = { wrong: 0, disturbed: 0 };

describe.skipIf(!attachable)('a program that tools come and go in', () => {
  const folder = new Folder();
  let program = '';
  beforeAll(() => void (program = compileTarget(folder, 'target.c')));
  afterAll(() => folder[Symbol.dispose]());
  afterAll(() => Running.killAll());

  it('goes its own way when the tool is killed at every step', async () => {
    const first = await Running.start(program, ['1', 'read', 'pause']);
    const { steps } = tool(first.pid, { do: [['update', { route: 'fast' }]] });
    await first.end();
    for (let kill = 0; kill < steps.length; kill++) {
      const own = await Running.start(program, ['1', 'read', 'pause']);
      const before = own.state();
      const said = tool(own.pid, { kill, do: [['update', { route: 'fast' }]] });
      expect(said.signal, `step ${kill}`).toBe('SIGKILL');
      expect(await own.report(), `step ${kill}, ${steps[kill]}`).toMatchObject(WELL);
      // A thread that was let go has its mask again as soon as it has had a CPU.
      await expect
        .poll(() => own.state().masks, { timeout: 20_000, message: `step ${kill}, ${steps[kill]}` })
        .toEqual(before.masks);
      expect(own.state().tasks).toBe(before.tasks);
      const after = tool(own.pid, { do: [['update', { route: 'other' }], ['verify']] });
      expect(after, `step ${kill}, ${steps[kill]}`).toMatchObject({ drifts: [] });
      expect(after.fault).toBeUndefined();
      expect(own.tools).toBe(0);
      expect(await own.end()).toBe(0);
    }
  }, 600_000);

  it('goes its own way when the tool is killed at random in updates', async () => {
    const own = await Running.start(program, ['2', 'pause']);
    const before = own.state();
    for (let n = 0; n < 100; n++) {
      const beside = toolBeside(own.pid, {
        do: [['loop', { ms: 5000, targets: ['fast', 'slow'] }]],
      });
      await new Promise((done) => setTimeout(done, 300 + ((n * 37) % 400)));
      beside.kill();
      expect((await beside.ended).signal).toBe('SIGKILL');
      expect(await own.report(), `kill ${n}`).toMatchObject(WELL);
    }
    expect(own.state().masks).toEqual(before.masks);
    expect(tool(own.pid, { do: [['update', { route: 'other' }], ['verify']] }).drifts).toEqual([]);
    expect(own.tools).toBe(0);
    expect(await own.end()).toBe(0);
  }, 600_000);

  it('is whole where the kernel refuses any one of the calls', async () => {
    const own = await Running.start(program, ['1', 'read', 'pause']);
    const { calls } = tool(own.pid, { do: [['update', { route: 'fast' }]] });
    for (let refuse = 0; refuse < calls; refuse++) {
      tool(own.pid, { refuse, do: [['update', { route: refuse % 2 ? 'fast' : 'slow' }]] });
      expect(await own.report(), `call ${refuse}`).toMatchObject(WELL);
    }
    expect(tool(own.pid, { do: [['update', { route: 'other' }], ['verify']] }).drifts).toEqual([]);
    expect(await own.end()).toBe(0);
  }, 600_000);

  it.each([
    ['linked at a fixed address', ['-no-pie'], 'gcc'],
    ['static', ['-static'], 'gcc'],
    ['static, with musl', ['-static'], 'musl-gcc'],
  ] as const)(
    '%s',
    async (_, flags, compiler) => {
      if (toolOf(compiler) === null) return;
      const built = compileTarget(folder, 'target.c', flags, compiler);
      const own = await Running.start(built, ['2', 'read', 'poll', 'ppoll', 'epoll', 'pause']);
      const before = own.state();
      const said = tool(own.pid, {
        do: [['loop', { ms: 1000, targets: ['fast', 'slow', 'other'] }], ['verify'], ['close']],
      });
      expect(said.fault).toBeUndefined();
      expect(said.drifts).toEqual([]);
      expect(await own.report()).toMatchObject({ ...WELL, interrupted: 0, route: 3 });
      expect(own.state()).toEqual(before);
      expect(await own.end()).toBe(0);
    },
    60_000,
  );

  it('is looked at by sites, watch and doctor without one of its threads being woken', async () => {
    const own = await Running.start(program, ['0', 'read', 'epoll', 'pause']);
    tool(own.pid, { do: [['update', { route: 'fast' }]] });
    // The time that a thread has run, in nanoseconds, and how often it was given a CPU.
    const clocks = (): readonly string[] =>
      readdirSync(`/proc/${own.pid}/task`).map((id) =>
        readFileSync(`/proc/${own.pid}/task/${id}/schedstat`, 'utf8'),
      );
    let before = clocks();
    const settled = (): boolean => {
      const last = before;
      before = clocks();
      return before.every((clock, i) => clock === last[i]);
    };
    await expect.poll(settled, { timeout: 60_000, interval: 200 }).toBe(true);
    for (const words of [['sites'], ['watch', '--seconds', '1'], ['doctor']]) {
      const [command = '', ...rest] = words;
      must(process.execPath, [BIN, command, String(own.pid), ...rest]);
      expect(clocks(), command).toEqual(before);
    }
    // The clocks would tell.
    tool(own.pid, { do: [['update', { route: 'other' }]] });
    expect(clocks()).not.toEqual(before);
    expect(await own.end()).toBe(0);
  }, 120_000);

  it('is left by its tool while the thread that was borrowed waits for a child of vfork', async () => {
    const own = await Running.start(program, ['0']);
    const status = (): string => readFileSync(`/proc/${own.pid}/status`, 'utf8');
    const said = tool(own.pid, { do: [['update', { route: 'fast' }], ['block']] });
    expect(said.fault).toBeUndefined();
    expect(status()).toMatch(/^State:\tD/m);
    own.signal('SIGKILL');
    await own.end();
  }, 120_000);

  it('is told which threads it has where none can be borrowed', async () => {
    const own = await Running.start(compileTarget(folder, 'waits.c'));
    expect(tool(own.pid, {}).fault).toBe('no-thread');
    own.signal('SIGKILL');
    await own.end();
  }, 60_000);
});

import { spawn } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { examineProcess } from '#host/doctor-process';
import { Target } from '#machine/remote/target';
import { Folder, gcc, must, nobody } from '../build.js';
import { compileTarget, mayAttach, Running, tool, toolBeside, type Said } from './running.js';
import { LONG } from '../more.js';

const root = process.getuid?.() === 0;
const other = nobody();
const linux = process.platform === 'linux' && process.arch === 'x64';
const attachable = linux && gcc !== null && mayAttach();

const HOSTILE = fileURLToPath(new URL('./children/hostile.mjs', import.meta.url));

const ended = (pid: number): boolean =>
  /^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

/** A program in which nothing was disturbed. */
const WELL = { wrong: 0, disturbed: 0 };

describe.skipIf(!attachable)('another process that runs', () => {
  const folder = new Folder();
  let program = '';
  let running!: Running;
  beforeAll(async () => {
    program = compileTarget(folder, 'target.c');
    running = await Running.start(program, ['1', 'read', 'epoll', 'pause', 'poll']);
  });
  afterAll(async () => {
    await running.end();
    Running.killAll();
    folder[Symbol.dispose]();
  });

  it('goes where it is sent, and keeps threads, masks, files and mappings as they were', async () => {
    const before = running.state();
    const said = tool(running.pid, {
      do: [['update', { route: 'fast', hook: 'count' }], ['verify'], ['keys']],
    });
    expect(said).toMatchObject({ keys: { route: 'fast', hook: 'count' }, drifts: [], objects: 1 });
    expect(said.fault).toBeUndefined();
    const report = await running.report();
    expect(report).toMatchObject({ ...WELL, interrupted: 0, route: 5, returns: 1 });
    expect(report.hooked).toBeGreaterThan(0);
    expect(running.state()).toEqual(before);
    expect(running.tools).toBe(0);
  });

  it('keeps none of its threads waiting until the kernel has registered it', async () => {
    // A lock of the kernel that another process has is waited for too, but not five times of five.
    const waited: unknown[] = [];
    while (!waited.includes(0) && waited.length < 5) {
      const own = await Running.start(program, ['1', 'read', 'pause']);
      const said = tool(own.pid, { watches: true });
      expect(said.fault).toBeUndefined();
      waited.push(said.waited);
      expect(await own.report()).toMatchObject(WELL);
      await own.end();
    }
    expect(waited).toContain(0);
  });

  it('is found as it was left by the next tool, which leaves it alone where nothing changes', () => {
    const before = running.mappings;
    const said = tool(running.pid, { do: [['update', { route: 'fast' }], ['verify'], ['keys']] });
    expect(said).toMatchObject({ changes: [], drifts: [], keys: { route: 'fast' } });
    expect(running.mappings).toBe(before);
  });

  if (LONG)
    it('goes its own way when the tool is killed between any two of its steps', async () => {
      const before = running.state();
      tool(running.pid, { do: [['update', { route: 'slow' }]] });
      // Every step in the long run (attach.long.ts). By name, because a tool that was killed leaves
      // the next one more to do.
      for (const kill of ['run set', 'mask back', 'registers back']) {
        const said = tool(running.pid, { kill, do: [['update', { route: 'other' }]] });
        expect(said.signal, kill).toBe('SIGKILL');
        expect(await running.report()).toMatchObject(WELL);
        expect(running.state()).toEqual(before);
      }
      const after = tool(running.pid, { do: [['update', { route: 'slow' }], ['verify']] });
      expect(after).toMatchObject({ drifts: [] });
      expect(running.tools).toBe(0);
    });

  if (LONG)
    it('takes the updates of two tools at once, each of them whole', async () => {
      const loop = (targets: readonly string[]): Promise<Said> =>
        toolBeside(running.pid, { do: [['loop', { ms: 400, targets }]] }).ended;
      const both = await Promise.all([loop(['slow', 'fast']), loop(['other', 'fast'])]);
      for (const said of both) {
        expect(said.fault).toBeUndefined();
        expect(said.updates).toBeGreaterThan(0);
      }
      expect(tool(running.pid, { do: [['verify']] }).drifts).toEqual([]);
      expect(await running.report()).toMatchObject(WELL);
    });

  if (LONG)
    it('is put back as its file has it', async () => {
      expect(tool(running.pid, { do: [['close']] }).fault).toBeUndefined();
      expect(await running.report()).toMatchObject({ ...WELL, route: 3 });
    });

  if (LONG)
    it('is left alone where the kernel refuses to trace', async () => {
      tool(running.pid, { refuse: 20, do: [['update', { route: 'fast' }]] });
      expect(tool(running.pid, { do: [['update', { route: 'slow' }], ['verify']] }).drifts).toEqual(
        [],
      );
      expect(await running.report()).toMatchObject(WELL);
    });

  it('is refused by name where it is stopped, traced, gone, or does not want it', async () => {
    const own = await Running.start(program, ['0'], { STATIC_CALL_NO_ATTACH: '1' });
    expect(tool(own.pid, {}).fault).toBe('no-attach');
    await own.end();
    expect(tool(2 ** 22 + 1, {}).fault).toBe('no-such-process');
    running.signal('SIGSTOP');
    expect(tool(running.pid, {}).fault).toBe('target-stopped');
    running.signal('SIGCONT');
    expect(await running.report()).toMatchObject(WELL);
  });

  it.skipIf(!root)("is refused where it is another user's", () => {
    expect(tool(running.pid, {}, { uid: 65534 }).fault).toBe('not-yours');
  });

  it('is refused where another tool traces it, which is named, and not afterwards', async () => {
    const tracer = await Running.start(compileTarget(folder, 'tracer.c'), [String(running.pid)]);
    const { fault, message } = tool(running.pid, {});
    expect(fault).toBe('traced');
    expect(message).toContain(`process ${tracer.pid} (tracer-`);
    await tracer.end();
    expect(tool(running.pid, {}).fault).toBeUndefined();
    expect(await running.report()).toMatchObject(WELL);
  });

  it.skipIf(!other)('is refused to its own user where it is set-uid, or not dumpable', async () => {
    const { uid } = other!;
    const plain = compileTarget(folder, 'guarded.c');
    const setUid = compileTarget(folder, 'guarded.c');
    chmodSync(dirname(plain), 0o755);
    chmodSync(setUid, 0o4755);
    for (const [file, args] of [
      [plain, ['not dumpable']],
      [setUid, []],
    ] as const) {
      const own = await Running.start(file, args, {}, uid);
      const { fault, message } = tool(own.pid, {}, { uid });
      expect({ fault, message }, file).toMatchObject({ fault: 'not-yours' });
      await own.end();
    }
  });

  if (LONG)
    it('is told as gone where it ends while it is changed', async () => {
      const own = await Running.start(program, ['1']);
      tool(own.pid, { do: [['update', { route: 'fast' }]] });
      const { steps } = tool(own.pid, { do: [['update', { route: 'slow' }]] });
      const stopAt = steps.lastIndexOf('run stopped');
      const said = tool(own.pid, {
        stopAt,
        signal: 'SIGKILL',
        do: [['update', { route: 'other' }]],
      });
      expect(said.fault).toBe('target-gone');
      expect(await own.end()).toBe('SIGKILL');
    });

  if (LONG)
    it('is refused, by the call that its sandbox refuses, with nothing left behind', async () => {
      const own = await Running.start(program, ['0'], { SANDBOX: '1' });
      const before = own.mappings;
      const said = tool(own.pid, { do: [['update', { route: 'fast' }]] });
      expect(said.fault).toBe('call-refused');
      expect(said.message).toContain('memfd_create');
      expect(own.mappings).toBe(before);
      expect(await own.report().catch(() => null)).toMatchObject({ route: 3 });
      await own.end();
    });

  it('is refused where the file is another one', () => {
    const other = compileTarget(folder, 'waits.c');
    expect(tool(running.pid, { options: { file: other } }).fault).toBe('not-same-file');
  });

  if (LONG)
    it('is refused where two of its objects define a key of one name', async () => {
      const twin = compileTarget(folder, 'twin.c', ['-shared', '-fPIC']);
      const both = compileTarget(folder, 'target.c', ['-Wl,--no-as-needed', twin]);
      const own = await Running.start(both, ['0']);
      expect(tool(own.pid, {}).fault).toBe('ambiguous-key');
      const object = both.slice(both.lastIndexOf('/') + 1);
      expect(tool(own.pid, { options: { object }, do: [['verify']] })).toMatchObject({
        objects: 1,
      });
      await own.end();
    });

  if (LONG)
    it('misleads no tool by a runtime that lies', async () => {
      const own = await Running.start(program, ['1', 'pause']);
      const before = { state: own.state(), mappings: -1 };
      tool(own.pid, { do: [['update', { route: 'fast' }]] });
      before.mappings = own.mappings;
      const { first, answers } = JSON.parse(
        must(process.execPath, [HOSTILE, String(own.pid), JSON.stringify({ slow: true })]),
      ) as { first: string; answers: Record<string, readonly string[]> };
      expect(first).toBe('done');
      expect(Object.keys(answers).length).toBeGreaterThan(15);
      const taken = ['done', 'other-runtime', 'busy', 'drift'];
      for (const [lie, [attached, looked, again, ...rest]] of Object.entries(answers)) {
        expect(taken, lie).toContain(attached);
        expect(taken, lie).toContain(looked);
        expect([again, ...rest], lie).toEqual(['done']);
      }
      expect(Object.values(answers).filter(([attached]) => attached !== 'done').length).toBe(15);
      expect(own.mappings).toBe(before.mappings);
      expect(own.state()).toEqual(before.state);
      expect(await own.report()).toMatchObject(WELL);
      await own.end();
    }, 300_000);

  it('is examined without being stopped', async () => {
    const found = examineProcess(running.pid);
    expect(found.findings.filter(({ ok }) => !ok)).toEqual([]);
    expect(found.canAttach).toBe(true);
    const blocked = await Running.start(program, ['0'], { STATIC_CALL_NO_ATTACH: '1' });
    const refused = examineProcess(blocked.pid);
    expect(refused.canAttach).toBe(false);
    expect(refused.findings.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(['wish']);
    await blocked.end();
  });

  it('is refused where it has ended and its parent has not asked for it', async () => {
    // The shell's first child ends, and what the shell becomes does not know of it.
    const parent = spawn('sh', ['-c', 'true & exec sleep 600'], { stdio: 'ignore' });
    const kids = `/proc/${parent.pid}/task/${parent.pid}/children`;
    const zombie = await vi.waitUntil(
      () =>
        readFileSync(kids, 'utf8')
          .split(' ')
          .map(Number)
          .find((pid) => pid > 0 && ended(pid)),
      { timeout: 30_000 },
    );
    expect(() => new Target(zombie)).toThrow(expect.objectContaining({ code: 'no-such-process' }));
    parent.kill();
  });

  it('is refused where it has no static calls', () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    expect(tool(child.pid!, {}).fault).toBe('no-sites');
    child.kill();
  });
});

import { once } from 'node:events';
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { FileBytes } from '#inspect/live/bytes';
import { Gdb } from '#inspect/live/gdb';
import { KCORE, kcoreRefused, levelIn } from '#inspect/live/kcore';
import { dumpByQmp } from '#inspect/live/qmp';
import { Folder } from '../build.js';
import { buildGzipImage, buildKernel } from '../inspect/kernel-image.mjs';
import { buildMemory, coreOffset, elfCore, kdump } from '../inspect/live/core.mjs';
import { LONG, more } from '../more.js';
import { line } from './line.js';
import { complaints } from './schema.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const run = async (...args: string[]): Promise<Awaited<ReturnType<typeof line>>> => {
  const said = await line(['inspect', ...args]);
  const plain = (text: string): string => text.replaceAll(`${folder.path}/`, '');
  return { ...said, stdout: plain(said.stdout), stderr: plain(said.stderr) };
};

const memory = buildMemory();
const good = folder.write('vmcore', elfCore(memory));
const core = elfCore(memory);
core[coreOffset(memory, core, memory.sites[0]!.at)] = 0xcc;
const bad = folder.write('vmcore.bad', core);

describe('inspect of a dump', () => {
  it('says that all is well, with or without --live', async () => {
    const said = await run(good);
    expect(said).toEqual({
      status: 0,
      stderr: '',
      stdout: `\
6.1.0-toy slid by 0x1000000, from an ELF core; 1 module, 1 with sites
6 branches (1 of them init, freed), 2 static keys, 1 of them on
15 sites (1 of them init, freed), 7 keys, 7 trampolines: all do what their key says
note: 1 return of an empty key without the return thunk that the kernel uses elsewhere (bareReturns in --json)
`,
    });
    expect(await run('--live', good)).toEqual(said);
  });
  it('shows each thing that is not as it should be, status 1', async () => {
    const { status, stdout } = await run(bad);
    expect(status).toBe(1);
    expect(stdout.slice(stdout.indexOf('\n\n') + 2)).toBe(`\
drift         key     address             place             bytes           stands  should be
foreign int3  called  0xffffffff82001000  caller_of_called  cc bb f1 ff ff  int3    call first_target
`);
    expect(stdout).toContain('7 trampolines: 1 thing is not as it should be\n');
  });
  it('lists keys, and those alone that are named', async () => {
    const { stdout, status } = await run('--key', 'tp_*', good);
    expect(status).toBe(0);
    expect(stdout.slice(stdout.indexOf('\n\n') + 2)).toBe(`\
key            module  image  now          sites  probes
tp_func_event  -       ?      probe_event      2  probe_event
`);
    expect(await run('--key', 'caled', good)).toMatchObject({
      status: 1,
      stderr: 'no key is called caled (did you mean called?)\n',
    });
  });
  it('lists static keys', async () => {
    const { stdout, status } = await run('--by', 'branch', '--key', 'switch_on', good);
    expect(status).toBe(0);
    expect(stdout.slice(stdout.indexOf('\n\n') + 2)).toBe(`\
static key  module  now  branches
switch_on   -       on          4
`);
  });
  it('lists hooks of security modules, tracepoints and sites', async () => {
    expect((await run('--by', 'lsm', good)).stdout).toContain(`
hook       functions, in order
file_open  first_target, second_target
`);
    expect((await run('--by', 'tracepoint', good)).stdout).toContain(`
tracepoint  called       probes
event       probe_event  probe_event
`);
    expect((await run('--by', 'site', good)).stdout).toContain(
      '0xffffffff82001040  caller_of_empty                        empty                        -      0f 1f 44 00 00     nop\n',
    );
  });
  it('prints one JSON value, the same for each kind of dump but for its source', async () => {
    const parsed = async (path: string): Promise<Record<string, object>> =>
      JSON.parse((await run('--json', path)).stdout);
    const value = await parsed(bad);
    expect(complaints(value)).toEqual([]);
    expect(value).toMatchObject({
      schema: 'static-call/live@1',
      kernel: {
        release: '6.1.0-toy',
        buildId: '00112233',
        offset: '0x1000000',
        source: 'an ELF core',
        stopped: true,
      },
      summary: { sites: 15, init: 1, keys: 7, trampolines: 7, modules: 1, drift: 1, outside: 0 },
      drift: [{ kind: 'foreign int3', key: 'called', at: '0xffffffff82001000' }],
      underWay: null,
    });
    const from = await parsed(good);
    const packed = await parsed(folder.write('kdump', kdump(memory)));
    expect(packed).toEqual({ ...from, kernel: { ...from['kernel'], source: 'a kdump' } });
  });
  it('refuses an image of another build', async () => {
    const image = folder.write('vmlinuz', buildGzipImage(buildKernel({ kallsyms: {} }).bytes));
    const { status, stderr } = await run('--against', image, good);
    expect({ status, code: stderr.slice(0, 18) }).toEqual({
      status: 3,
      code: 'error[other-image]',
    });
  });
  it.each([
    [['--live', good, good], 'one kernel at a time'],
    [['--against', good, 'x.o'], '--against belongs to memory'],
    [['--by', 'drift', 'x.o'], 'files are not listed by drift'],
    [['--by', 'section', good], 'memory is not listed by section'],
    [[], 'name a file or a directory'],
  ])('%j is wrong usage', async (args, message) => {
    const { status, stderr } = await run(...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('the kernel that this runs on', () => {
  it.skipIf(existsSync(KCORE))('is refused with the reason where it shows no memory', async () => {
    const { status, stderr } = await run('--live');
    expect(status).toBe(4);
    expect(stderr).toContain('error[no-kcore]: this kernel has no /proc/kcore');
  });
  const open = { proc: true, root: true, rawIo: true, lockdown: 'none' };
  it.each([
    ['ENOENT', {}, /built without CONFIG_PROC_KCORE$/, /^boot a kernel with CONFIG_PROC_KCORE; or/],
    ['ENOENT', { proc: false }, /no \/proc is mounted/, /^mount it: /],
    ['EACCES', { root: false }, /^only root /, /^run it as root; or give a dump: /],
    ['EACCES', {}, /^root of a container /, /^run it outside of the container; or/],
    ['EPERM', { lockdown: 'confidentiality' }, /^the kernel is locked down/, /^boot it without /],
    ['EPERM', { rawIo: false }, /lacks CAP_SYS_RAWIO/, /^run it as root outside of /],
    ['EPERM', { lockdown: null }, /^the kernel refuses/, /lockdown; or give a dump/],
    ['EIO', {}, /^it cannot be read: EIO$/, /; or give a dump: a vmcore, or qmp:SOCKET/],
  ] as const)('refuses it by %s, %j: the reason and what to do', (code, around, message, hint) => {
    const fault = kcoreRefused(code, undefined, { ...open, ...around });
    expect(fault).toMatchObject({ code: 'no-kcore', at: KCORE });
    expect(fault.message).toMatch(message);
    expect(fault.hint).toMatch(hint);
  });
  it('hides it behind another file in a container', () => {
    expect(() => new FileBytes('/dev/null', true)).toThrow(
      expect.objectContaining({ code: 'no-kcore', hint: expect.stringMatching(/^run it outside/) }),
    );
  });
  it.each([
    ['none integrity [confidentiality]\n', 'confidentiality'],
    ['[none] integrity confidentiality\n', 'none'],
    ['', null],
  ])('states its lockdown as %j', (text, level) => {
    expect(levelIn(text)).toBe(level);
  });
});

describe("QEMU's monitor", () => {
  /** Answers as a monitor does, an event before the answer; `dump` is what it writes. */
  async function monitor(dump: Uint8Array | null): Promise<{ path: string } & AsyncDisposable> {
    const path = join(folder.path, `qmp-${dump?.length ?? 0}`);
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.write('{"QMP": {"version": {}}}\r\n');
      socket.on('data', (piece) => {
        const { execute, arguments: args } = JSON.parse(piece.toString());
        const refused = execute === 'dump-guest-memory' && dump === null;
        if (execute === 'dump-guest-memory' && dump) writeFileSync(args.protocol.slice(5), dump);
        socket.write('{"event": "STOP"}\r\n');
        socket.write(refused ? '{"error": {"desc": "no"}}\r\n' : '{"return": {}}\r\n');
      });
    }).listen(path);
    await once(server, 'listening');
    return { path, [Symbol.asyncDispose]: async () => void server.close() };
  }
  it('dumps the memory, which is read and removed', async () => {
    await using server = await monitor(elfCore(memory));
    const { status, stdout } = await run('--live', `qmp:${server.path}`);
    expect(status).toBe(0);
    expect(stdout).toContain("from QEMU's monitor; 1 module");
  });
  it.each(['refuses', 'is not there'])('that %s is a fault', async (how) => {
    await using server = await monitor(null);
    const path = how === 'refuses' ? server.path : join(folder.path, 'none');
    const { status, stderr } = await run('--live', `qmp:${path}`);
    expect({ status, code: stderr.slice(0, 13) }).toEqual({ status: 4, code: 'error[no-qmp]' });
  });
});

describe("QEMU's monitor, which takes its time", () => {
  const PATIENCE = 60;
  /** `dump` gets the file and is to answer. */
  async function monitor(
    name: string,
    dump: (file: string, answer: () => void) => void,
  ): Promise<{ path: string } & AsyncDisposable> {
    const path = join(folder.path, name);
    const server = createServer((socket) => {
      socket.on('error', () => {});
      const answer = (): unknown => socket.write('{"return": {}}\r\n');
      socket.on('data', (piece) => {
        const { execute, arguments: args } = JSON.parse(piece.toString());
        if (execute === 'dump-guest-memory') dump(args.protocol.slice(5), answer);
        else answer();
      });
    }).listen(path);
    await once(server, 'listening');
    return { path, [Symbol.asyncDispose]: async () => void server.close() };
  }
  it('is waited for as long as the dump grows', async () => {
    const began = performance.now();
    await using server = await monitor('qmp-slow', (file, answer) => {
      const timer = setInterval(() => {
        appendFileSync(file, 'more');
        if (performance.now() - began < 4 * PATIENCE) return;
        clearInterval(timer);
        answer();
      }, PATIENCE / 10);
    });
    await using dump = await dumpByQmp(server.path, PATIENCE);
    expect(existsSync(dump.file)).toBe(true);
  });
  it('is a fault where it does nothing', async () => {
    await using server = await monitor('qmp-silent', () => {});
    await expect(dumpByQmp(server.path, PATIENCE)).rejects.toMatchObject({
      code: 'no-qmp',
      hint: expect.stringContaining('one client at a time'),
    });
  });
});

describe("gdb's protocol", () => {
  const bytes = Uint8Array.from({ length: 4096 }, (_, i) => i % 251);
  async function stub(options: object = {}): Promise<{ address: string } & AsyncDisposable> {
    const worker = new Worker(new URL('../inspect/live/stub.mjs', import.meta.url), {
      workerData: { page: -0x7f00_0000, bytes, ...options },
    });
    const [port] = await once(worker, 'message');
    return {
      address: `127.0.0.1:${port}`,
      [Symbol.asyncDispose]: async () => void (await worker.terminate()),
    };
  }
  it.each([
    ['which states the size of its packets', { features: 'PacketSize=1000;qXfer:features:read+' }],
    ...more(['which states nothing', {}] as const),
  ])('reads what is mapped from a server %s', async (_, options) => {
    await using server = await stub(options);
    using gdb = new Gdb(server.address);
    expect(Buffer.from(gdb.page(-0x7f00_0000) ?? [])).toEqual(Buffer.from(bytes));
    expect(gdb.page(-0x7e00_0000)).toBeNull();
  });
  // The whole answer takes longer than the patience, and each of its bytes a small part of that.
  it.runIf(LONG)('waits for a slow server as long as it sends anything', async () => {
    await using server = await stub({ drip: { characters: 20, pause: 12 } });
    using gdb = new Gdb(server.address, 3000);
    expect(gdb.page(-0x7f00_0000)).not.toBeNull();
  });
  it('that falls silent is a fault', async () => {
    await using server = await stub({ silent: true });
    expect(() => new Gdb(server.address, 50)).toThrow(
      expect.objectContaining({ code: 'no-gdb', message: expect.stringContaining('no byte') }),
    );
  });
  it('with no server is a fault', () => {
    expect(() => new Gdb(join(folder.path, 'none'))).toThrow(
      expect.objectContaining({ code: 'no-gdb' }),
    );
  });
});

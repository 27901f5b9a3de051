import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { Folder } from '../build.js';
import { buildGzipImage, buildKernel } from '../inspect/kernel-image.mjs';
import { line, spawned } from './line.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
/** Output with the temporary directory left out: everything else is the same on every machine. */
const run = async (
  ...args: string[]
): Promise<{ status: number; stdout: string; stderr: string }> => {
  const said = await line(['inspect', ...args]);
  return {
    ...said,
    stdout: said.stdout.replaceAll(`${folder.path}/`, ''),
    stderr: said.stderr.replaceAll(`${folder.path}/`, ''),
  };
};

const built = buildKernel({ keys: 4, sites: 12, kallsyms: { symbols: 20 } });
const image = folder.write('vmlinuz', buildGzipImage(built.bytes));
const fewer = folder.write(
  'vmlinuz.old',
  buildGzipImage(buildKernel({ keys: 3, sites: 9, kallsyms: {} }).bytes),
);

describe('the text', () => {
  it('is the summary, alone unless a listing is asked for', async () => {
    expect(await run(image)).toEqual({
      status: 0,
      stderr: '',
      stdout: `\
vmlinuz: image; 12 sites, 3 keys, 4 trampolines
  kinds      call 8  jmp 2  jcc 2
  flags      tail 4  init 1
  line       0 (0.0 %) cross a cache line, 0 (0.0 %) with their destination
  protocols  auto 12  int3 12  store 8
  top keys   4 tp_func_event_0
             4 tp_func_event_1
             4 tp_func_event_2
  kernel     table of sites at 0xffffffff81000140; 47 names from kallsyms; a scan of the text finds 12 of the table's branches and no other
`,
    });
  });
  it('lists keys with trampoline and initial target; an empty key has none', async () => {
    const { stdout } = await run('--by', 'key', image);
    expect(stdout.slice(stdout.indexOf('\n\n') + 2)).toBe(`\
key              sites  files  call  jmp  jcc  tail  init  crosses  destination  store  trampoline          target
tp_func_event_0      4      1     2    1    1     2     0        0            0      3  0xffffffff81000020  __traceiter_some_event
tp_func_event_1      4      1     3    0    1     1     0        0            0      1  0xffffffff81000028  -
tp_func_event_2      4      1     3    1    0     1     1        0            0      4  0xffffffff81000030  __traceiter_some_event
`);
  });
  it('lists sites one a line, and only those of the keys that are named', async () => {
    const { stdout } = await run('--key', '*_1', image);
    const lines = stdout
      .slice(stdout.indexOf('\n\n') + 2)
      .trimEnd()
      .split('\n');
    expect(lines.length).toBe(5);
    expect(lines[1]).toMatch(
      /^vmlinuz:\+0x\w+ +0xffffffff81\w+ +caller_0_tail\+0x\w+ +tp_func_event_1 +call +- +- +e8( \w\w){4} +auto,int3 +-$/,
    );
    expect(stdout).toContain('4 sites, 1 key, 1 trampoline\n');
  });
  it('says no where no key has the name, and which one is near', async () => {
    expect(await run('--key', 'tp_func_evnt_1', image)).toMatchObject({
      status: 1,
      stderr: 'no key is called tp_func_evnt_1 (did you mean tp_func_event_1?)\n',
    });
  });
  it.each(['section', 'function', 'file'])('lists by %s', async (by) => {
    const { stdout, status } = await run('--by', by, image);
    expect(status).toBe(0);
    expect(stdout).toContain(`\n\n${by}`);
  });
  it('is the same twice', async () => {
    expect(await run('--by', 'site', image)).toEqual(await run('--by', 'site', image));
  });
});

describe('the JSON', () => {
  it('has the schema and addresses as hex strings', async () => {
    const said = JSON.parse((await run('--json', image)).stdout) as {
      schema: string;
      files: {
        path: string;
        kind: string;
        sites: Record<string, unknown>[];
        keys: Record<string, unknown>[];
        trampolines: unknown[];
        faults: unknown[];
      }[];
    };
    expect(said.schema).toBe('static-call/inspect@1');
    const [file] = said.files;
    expect(file).toMatchObject({ path: 'vmlinuz', kind: 'image', faults: [] });
    expect([file!.sites.length, file!.keys.length, file!.trampolines.length]).toEqual([12, 3, 4]);
    for (const name of [
      'section',
      'offset',
      'address',
      'function',
      'key',
      'keySymbol',
      'kind',
      'tail',
      'init',
      'crossesLine',
      'destinationCrossesLine',
      'bytes',
      'protocols',
    ])
      expect(file!.sites[0]).toHaveProperty(name);
    for (const name of ['name', 'symbol', 'trampoline', 'sites', 'target'])
      expect(file!.keys[0]).toHaveProperty(name);
    expect(file!.sites[0]).toMatchObject({
      key: 'tp_func_event_0',
      kind: 'call',
      section: null,
      target: '__traceiter_some_event',
      targetKnown: true,
    });
    expect(file!.sites[0]!['address']).toMatch(/^0xffffffff81[0-9a-f]{6}$/);
    expect(file!.keys[0]).toMatchObject({
      trampoline: '0xffffffff81000020',
      target: '__traceiter_some_event',
    });
  });
  it('adds the groups that are asked for', async () => {
    const said = JSON.parse((await run('--json', '--by', 'key', image)).stdout) as {
      groups: unknown[];
    };
    expect(said.groups).toMatchObject([{ name: 'tp_func_event_0', sites: 4, files: 1 }, {}, {}]);
  });
});

describe('files that cannot be read', () => {
  const tree = folder.file('tree');
  mkdirSync(`${tree}/b/empty`, { recursive: true });
  writeFileSync(`${tree}/b/one.ko.gz`, gzipSync(built.bytes));
  writeFileSync(`${tree}/a-kernel`, built.bytes);
  writeFileSync(`${tree}/notes.txt`, 'nothing to see');
  writeFileSync(`${tree}/notes.gz`, gzipSync('packed, and no module by its name'));
  writeFileSync(`${tree}/c-broken`, built.bytes.subarray(0, 100));
  symlinkSync('..', `${tree}/b/loop`);
  symlinkSync('nowhere', `${tree}/b/dangling`);

  it('are told on stderr, and the others are answered', async () => {
    const { status, stdout, stderr } = await run(folder.file('gone'), tree, `${tree}/notes.txt`);
    expect(status).toBe(3);
    expect(stdout).toContain('5 files, 2 with sites; 24 sites');
    expect(stdout).toContain('; 3 files refused\n');
    expect(stderr.match(/^error\[.*|^ {2}at .*/gm)).toEqual([
      expect.stringMatching(/^error\[no-such-file\]/),
      '  at gone',
      expect.stringMatching(/^error\[truncated-elf\]/),
      '  at tree/c-broken',
      expect.stringMatching(/^error\[not-elf\]/),
      '  at tree/notes.txt',
    ]);
  });
  it('come in the order of their names', async () => {
    const { stdout } = await run('--json', tree);
    expect((JSON.parse(stdout) as { files: { path: string }[] }).files.map((f) => f.path)).toEqual([
      'tree/a-kernel',
      'tree/b/one.ko.gz',
      'tree/c-broken',
    ]);
  });
  it('may be all there is: a directory without one is refused', async () => {
    expect(await run(`${tree}/b/empty`)).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(/^error\[unreadable-file\]/) as string,
    });
  });
  it('may be no regular file at all', async () => {
    expect(await run('/dev/null')).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(/^error\[unreadable-file\]/) as string,
    });
    // Nobody writes to it: who waits for that waits for ever, so a child asks.
    const fifo = folder.file('fifo');
    if (spawnSync('mkfifo', [fifo]).status !== 0) return;
    const done = spawnSync(process.execPath, ['bin/static-call', 'inspect', fifo], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect(done).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(/^error\[unreadable-file\]: it is no regular file/) as string,
    });
  });
  it('may be given twice, and count twice', async () => {
    expect((await run(image, image)).stdout).toMatch(/^2 files, 2 with sites; 24 sites/);
  });
  it.skipIf(process.getuid?.() === 0)(
    "may be somebody else's (skipped as root, who reads everything)",
    async () => {
      const secret = folder.write('secret', built.bytes);
      chmodSync(secret, 0);
      expect(await run(secret)).toMatchObject({
        status: 3,
        stderr: expect.stringMatching(/^error\[unreadable-file\]/) as string,
      });
    },
  );
  it('- is standard input', () => {
    // The only place where the real stream is read: in a child, empty, whole, and written piece by
    // piece.
    expect(spawned(['inspect', '-'])).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(/^error\[not-elf\].*\n {2}at -/) as string,
    });
    const whole = spawnSync(process.execPath, ['bin/static-call', 'inspect', '-'], {
      input: built.bytes,
      encoding: 'utf8',
    });
    expect(whole.stdout).toMatch(/^-: vmlinux; 12 sites/);
    const pieces = spawnSync(
      'sh',
      [
        '-c',
        `(head -c 5000 "$1"; sleep 0.1; tail -c +5001 "$1") | "$0" bin/static-call inspect -`,
        process.execPath,
        image,
      ],
      { encoding: 'utf8' },
    );
    expect(pieces.stdout).toMatch(/^-: image; 12 sites/);
  });
});

describe('two builds', () => {
  it('that are the same have status 0', async () => {
    const { status, stdout } = await run('--diff', image, image);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout:
        '12 sites before, 12 after; 12 sites in both, 0 of them at another place\n  gained 0, lost 0, now across a line 0, no longer across a line 0\n  keys gained 0, lost 0\n',
    });
  });
  it('that differ have status 1, and each change is a line', async () => {
    const { status, stdout } = await run('--diff', fewer, image);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^9 sites before, 12 after; \d+ sites in both/);
    expect(stdout).toContain('\n  keys gained 1, lost 0\n\n+  key tp_func_event_2\n\n');
    expect(stdout).toMatch(/^\+ {2}caller_5_tail {2,}tp_func_event_\d +\w+ +#0 +\+0x\w+ +gained$/m);
    const json = JSON.parse((await run('--diff', '--json', fewer, image)).stdout) as {
      schema: string;
      changes: { change: string }[];
    };
    expect(json.schema).toBe('static-call/inspect-diff@1');
    expect(json.changes.length).toBe(stdout.split('\n\n').at(-1)!.trimEnd().split('\n').length);
  });
  it('must be two', async () => {
    expect(await run('--diff', image)).toMatchObject({ status: 2, stdout: '' });
    expect(await run('--diff', '--by', 'key', image, image)).toMatchObject({
      status: 2,
      stdout: '',
    });
  });
  it('of which one is missing are not compared', async () => {
    expect((await run('--diff', image, folder.file('gone'))).status).toBe(3);
  });
});

describe('wrong usage', () => {
  it.each([
    [['inspect']],
    [['inspect', '--by', 'colour', image]],
    [['inspect', '--nonsense', image]],
  ])('%j is status 2', async (argv) => {
    expect((await line(argv)).status).toBe(2);
  });
});

// `demo` and `doctor` as a user starts them: where everything is there, and where something is
// missing.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc, must } from '../build.js';
import { spawned, type Said } from '../cli/line.js';
import { LONG, more } from '../more.js';

const MEMBARRIER = 324;
const folder = new Folder();
const without = folder.file('without');
beforeAll(() => {
  mkdirSync(folder.file('nothing'));
  if (gcc) must('gcc', ['-O1', 'test/process/programs/without.c', '-o', without]);
});
afterAll(() => folder[Symbol.dispose]());

/** The command line on a machine whose kernel does not know a system call. */
function lacking(call: number, argv: readonly string[]): Said {
  const done = spawnSync(without, [String(call), process.execPath, 'bin/static-call', ...argv], {
    encoding: 'utf8',
  });
  return { status: done.status ?? -1, stdout: done.stdout, stderr: done.stderr };
}

interface Demo {
  readonly schema: string;
  readonly threads: number;
  readonly seconds: number;
  readonly calls: number;
  readonly updates: number;
  readonly traps: number;
  readonly wrong: number;
  readonly inline: number;
  readonly trampoline: number;
  readonly targets: Readonly<Record<string, number>>;
}

describe('demo', () => {
  it
    .skipIf(!gcc)
    .each([
      ['int3', 'procmem', []],
      ...more<[string, string, string[]][]>(
        ['int3', 'alias', ['--writer', 'alias']],
        ['store', 'alias', ['--protocol', 'store']],
      ),
    ])(
    'by %s through %s: nothing is wrong, and every call is accounted for',
    (protocol, writer, flags) => {
      const said = spawned(['demo', '--seconds', '0.4', '--json', ...flags]);
      expect(said.status, said.stderr).toBe(0);
      const told = JSON.parse(said.stdout) as Demo;
      expect(told).toMatchObject({
        schema: 'static-call/demo@1',
        protocol,
        writer,
        threads: 2,
        wrong: 0,
      });
      expect(told.updates).toBeGreaterThan(0);
      expect(told.inline).toBeGreaterThan(0);
      const sum = (...names: string[]): number =>
        names.reduce((all, name) => all + told.targets[name]!, 0);
      const [summed, traced, filtered] = [
        sum('crc_table', 'crc_slice8', 'crc_hardware'),
        sum('trace_count', 'trace_ring', 'null'),
        sum('filter_third', 'filter_none', 'ret0'),
      ];
      // Every block is filtered; one that is left out is neither summed nor traced.
      expect(summed).toBe(traced);
      expect(filtered).toBeGreaterThanOrEqual(summed);
      expect(summed + traced + filtered).toBe(told.calls);
    },
  );

  if (LONG)
    it.skipIf(!gcc)('refuses a file that is not there, and a compiler that refuses', () => {
      expect(spawned(['demo', '--file', folder.file('gone')])).toMatchObject({
        status: 3,
        stdout: '',
        stderr: expect.stringMatching(/^error\[no-such-file\]/),
      });
      expect(spawned(['demo', '--file', folder.write('empty', '')])).toMatchObject({
        status: 3,
        stdout: '',
        stderr: expect.stringMatching(/^error\[unreadable-file\]: is empty/),
      });
      expect(spawned(['demo', '--file', folder.path])).toMatchObject({
        status: 3,
        stdout: '',
        stderr: expect.stringMatching(/^error\[unreadable-file\]: is a directory/),
      });
      expect(spawned(['demo', '--threads', '65'])).toMatchObject({
        status: 2,
        stdout: '',
        stderr: expect.stringMatching(/^error\[bad-usage\]: threads is 65; it can be 1 to 64/),
      });
      expect(spawned(['demo'], { CC: 'false' })).toMatchObject({
        status: 3,
        stdout: '',
        stderr: expect.stringMatching(/^error\[compile-failed\]: false .* ended with status 1/),
      });
    });

  if (LONG)
    it('that is stopped by Ctrl-C while the compiler runs says nothing, and ends with 130', () => {
      const cc = folder.write('interrupted-cc', '#!/bin/sh\nkill -INT $PPID\nexit 1\n');
      chmodSync(cc, 0o755);
      expect(spawned(['demo', '--seconds', '1'], { CC: cc })).toEqual({
        status: 130,
        stdout: '',
        stderr: '',
      });
    });

  it('says that CC names no compiler, and with --json the same in JSON', () => {
    const { stdout, ...said } = spawned(['demo', '--json'], { CC: 'nowhere-cc' });
    const message = 'CC names nowhere-cc, which is not on the path';
    const hint = 'install gcc or clang, or set CC';
    expect(said).toEqual({
      status: 4,
      stderr: `error[no-compiler]: ${message}\n  hint: ${hint}\n`,
    });
    expect(JSON.parse(stdout)).toMatchObject({ code: 'no-compiler', message, hint, status: 4 });
  });

  if (LONG)
    it('says in one line that no compiler is on the path, without a stack', () => {
      const said = spawned(['demo', '--seconds', '1'], { CC: '', PATH: folder.file('nothing') });
      expect(said.status).toBe(4);
      expect(said.stderr).toMatch(
        /^the demo cannot be built: none of gcc, clang, cc is on the path/,
      );
      expect(said.stderr).not.toMatch(/^ +at .*:\d+:\d+/m);
      // What cannot be shown on this machine is shown on the simulated one: the wrong way with its
      // picture, and ours.
      expect(said.stdout).toMatch(/^naive: .*mixture/);
      expect(said.stdout).toMatch(/patcher +CPU 0/);
      expect(said.stdout).toMatch(/^int3: holds in all of its [\d,]+ states$/m);
    });

  it.skipIf(!gcc)('says in one line that membarrier is missing, without a stack', ({ skip }) => {
    const said = lacking(MEMBARRIER, ['demo', '--json']);
    skip(said.status === 125, 'no seccomp filter may be installed here');
    expect(said.status).toBe(4);
    expect(said.stderr).toMatch(/membarrier is refused: ENOSYS/);
    expect(said.stderr).not.toMatch(/^ +at .*:\d+:\d+/m);
  });
});

describe('doctor', () => {
  const FINDINGS = [
    'static-call',
    'node',
    'system',
    'cpu',
    'koffi',
    'decoder',
    'process',
    'membarrier',
    'runtime',
    'procmem',
    'alias',
    'trap',
    'shadow stack',
    'code changes',
    'tracer',
    'seccomp',
    'compiler',
  ];

  it('says of each thing what it is', () => {
    const said = spawned(['doctor']);
    expect([0, 4]).toContain(said.status);
    for (const name of FINDINGS) expect(said.stdout).toMatch(new RegExp(`^${name} `, 'm'));
    expect(said.stdout).toContain(process.versions.node);
    expect(said.stdout).toMatch(
      new RegExp(
        `^static-call +${(JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version}$`,
        'm',
      ),
    );
  });

  it.skipIf(!gcc)('finds out that membarrier is missing, and ends with status 4', ({ skip }) => {
    const said = lacking(MEMBARRIER, ['doctor', '--json']);
    skip(said.status === 125, 'no seccomp filter may be installed here');
    expect(said.status).toBe(4);
    const told = JSON.parse(said.stdout) as {
      findings: readonly { name: string; ok: boolean; detail: string }[];
    };
    expect(told.findings.find(({ name }) => name === 'membarrier')).toMatchObject({
      ok: false,
      detail: expect.stringContaining('ENOSYS'),
    });
    // It was tried, and nothing else was: the rest is as it was.
    expect(told.findings.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(['membarrier']);
  });
});

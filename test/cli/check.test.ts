import { spawn } from 'node:child_process';
import { existsSync, readFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { line } from './line.js';
import { LONG } from '../more.js';

const folder = mkdtempSync(join(tmpdir(), 'check-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('static-call check', () => {
  it('says no with a picture, and yes without', async () => {
    const wrong = await line([
      'check',
      'naive',
      '--env',
      'kernel',
      '--context',
      'task',
      '--passes',
      '1',
      '--updates',
      '1',
    ]);
    expect(wrong.status).toBe(1);
    expect(wrong.stdout).toMatch(/torn +FAILS/);
    expect(wrong.stdout).toMatch(/site +patcher +CPU 0/);
    expect(wrong.stdout).not.toMatch(/the same schedule/);
    const right = await line([
      'check',
      'int3-gap',
      '--context',
      'task',
      '--passes',
      '1',
      '--updates',
      '1',
      '--stats',
    ]);
    expect([right.status, right.stderr]).toEqual([0, '']);
    expect(right.stdout).toMatch(
      /M transitions\/s, \d+ bytes a state, \d+ for its edges; interned: .* core images/,
    );
  });

  it('proves what it can, and says beside the rest why it is none', async () => {
    const proved = await line(['check', 'int3-gap']);
    expect([proved.status, proved.stderr]).toEqual([0, '']);
    expect(proved.stdout).toMatch(/any number of CPUs.*torn +proved/s);
    expect(proved.stdout).not.toMatch(/within bounds only/);
    const counted = await line(['check', 'int3-retire/versioned']);
    expect([counted.status, /torn +holds/.test(counted.stdout)]).toEqual([0, true]);
    expect(counted.stdout).toMatch(/^ {2}within bounds only: .* counts the word version up by 1$/m);
    const asked = await line(['check', 'int3-gap', '--bounds', '2']);
    expect(asked.stdout).toMatch(/2 CPUs, 2 passes, 2 updates[^]*torn +holds/);
    expect(asked.stdout).not.toMatch(/within bounds only/);
  });

  it('judges only what it is asked for', async () => {
    const asked = ['check', 'int3-stub', '--context', 'task', '--passes', '1', '--updates', '1'];
    expect((await line([...asked, '--property', 'flags'])).status).toBe(0);
    expect((await line([...asked, '--property', 'flags', '--property', 'stack'])).status).toBe(1);
  });

  it('does not say that what was asked holds behind a failure that ends the machine', async () => {
    const flags = ['check', 'naive', '--env', 'user', '--context', 'task', '--property', 'flags'];
    const { status, stdout } = await line(flags);
    expect(status).toBe(1);
    expect(stdout).toMatch(/flags +unknown +not broken up to the failure of torn/);
  });

  it('lets what is reported apart decide where it is asked for', async () => {
    const waits = [
      'check',
      'examples/protocols/jmp-self.mjs',
      '--chunk',
      'qword',
      '--drop-sync',
      '3',
      '--context',
      'task',
      '--passes',
      '1',
      '--updates',
      '1',
    ];
    const all = await line(waits);
    expect([all.status, /livelock \(apart\) +FAILS/.test(all.stdout)]).toEqual([0, true]);
    const asked = await line([...waits, '--property', 'livelock']);
    expect(asked.status).toBe(1);
    expect(asked.stdout).toMatch(/^= livelock: CPU 0 loops by itself, forever/m);
    expect((await line([...waits.toSpliced(4, 2), '--property', 'livelock'])).status).toBe(0);
  });

  it('draws the same schedule under another protocol, in the environment where that one lives', async () => {
    const both = await line([
      'check',
      'naive',
      '--passes',
      '1',
      '--updates',
      '1',
      '--under',
      'int3',
    ]);
    expect(both.stdout).toMatch(
      /^naive: user,[^]*^= torn: [^]*^the same schedule under int3:$[^]*^= CPU 0 runs B, and nothing else$/m,
    );
    const token = /--path (\S+)/.exec(both.stdout)![1]!;
    expect((await line(['check', '--path', token, '--under', 'int3'])).stdout).toMatch(
      /^= CPU 0 runs B, and nothing else$/m,
    );
  });

  it('prints one JSON value, whose paths replay and draw', async () => {
    const { stdout, status } = await line([
      'check',
      'int3-gap/no-gap',
      '--context',
      'task',
      '--passes',
      '1',
      '--updates',
      '1',
      '--json',
    ]);
    const value = JSON.parse(stdout) as {
      schema: string;
      runs: {
        protocol: string;
        variant: string;
        exhaustive: boolean;
        properties: Record<string, { verdict: string; path?: string }>;
      }[];
    };
    expect([
      status,
      value.schema,
      value.runs[0]!.protocol,
      value.runs[0]!.variant,
      value.runs[0]!.exhaustive,
    ]).toEqual([1, 'static-call/check@1', 'int3-gap', 'no-gap', true]);
    const { path } = value.runs[0]!.properties['stack']!;
    const svg = join(folder, 'stack.svg');
    const replayed = await line(['check', '--path', path!, '--svg', svg]);
    expect(replayed.stdout).toMatch(/#GP at handler.exit/);
    expect(readFileSync(svg, 'utf8')).toMatch(/^<svg /);
  });

  it('refuses what it does not know and suggests the nearest', async () => {
    const refused = async (...words: string[]) => {
      const { status, stderr } = await line(['check', ...words]);
      return `${status} ${stderr.replaceAll('\n', ' ')}`;
    };
    expect(await refused('int3-gab')).toMatch(/^2 .*did you mean int3-gap\?/);
    expect(await refused('int3-gap', '--property', 'tron')).toMatch(
      /^2 .*unknown property tron.*did you mean torn\?/,
    );
    expect(await refused('int3-gap', '--context', 'task,nim')).toMatch(
      /^2 .*unknown context nim.*did you mean nmi\?/,
    );
    expect(await refused('int3', '--context', 'task,irq')).toMatch(
      /^2 .*context irq is the kernel's/,
    );
    expect(await refused('int3-gap/no-gab')).toMatch(/^2 .*did you mean no-gap\?/);
    expect(await refused('naive', '--under', 'int4')).toMatch(/^2 .*did you mean int3\?/);
    expect(await refused('int3-stub', '--site', 'jcc')).toMatch(
      /^2 .*emulates calls and jumps of five bytes only/,
    );
    expect(await refused('trampoline', '--site', 'call6')).toMatch(/^2 .*does not patch sites/);
    for (const [flag, wrong, right] of [
      ['--env', 'kernal', 'kernel'],
      ['--chunk', 'bite', 'byte'],
      ['--store', 'qwort', 'qword'],
      ['--site', 'rte0', 'ret0'],
      ['--entry', '2091', '2019'],
      ['--reduce', 'pro', 'por'],
      ['--fetch', 'F33', 'F3'],
    ] as const) {
      expect(await refused('int3-gap', flag, wrong)).toMatch(
        new RegExp(`^2 .*did you mean .*"${right}"`),
      );
    }
    expect(await refused()).toMatch(/^2 .*name a protocol/);
    expect(await refused('int3', '--drop-sync', '4')).toMatch(
      /^2 .*drop-sync is 4; int3 has 3 synchronisations/,
    );
    expect(await refused('int3', '--cpus', '1.5')).toMatch(
      /^2 .*1.5 is not a whole number above 0/,
    );
    const file = join(folder, 'own.mjs');
    writeFileSync(
      file,
      'export default { name: "own", about: "mine", accepts: { bytes: "whole", within: null }, handler: null, steps: [{ do: "stor", why: "x" }] };',
    );
    expect(await refused(file)).toMatch(/^3 .*steps\[0\]\.do.*did you mean store\?/);
    expect(await refused(join(folder, 'own.ts'))).toMatch(/^3 /);
  });

  it.each([
    [['--matrix', '--', 'naive'], '--matrix names no protocol, and naive is given'],
    [['naive', '--litmus', '--cpus', '3'], '--cpus says nothing beside --litmus'],
    [['--litmus', '--cpus', '3'], '--cpus says nothing beside --litmus'],
    [['--matrix', 'full', '--states-max', '9'], '--states-max says nothing beside --matrix'],
    [['--path', 'x', '--property', 'torn'], '--property says nothing beside --path'],
  ])('refuses %j, for it would not be heeded', async (words, message) => {
    expect(await line(['check', ...words])).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringContaining(message) as string,
    });
  });

  it('names the file that was given where it is no protocol', async () => {
    expect(await line(['check', '/etc/passwd'])).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(
        /error\[bad-protocol\]: its name ends in neither \.mjs nor \.json\n +at \/etc\/passwd/,
      ) as string,
    });
  });

  if (LONG)
    it('says with which contexts the strict promise was judged where they were fewer', async () => {
      const small = ['--passes', '1', '--updates', '1', '--env', 'kernel'];
      const nmi = await line(['check', 'naive', '--context', 'task,irq,nmi', ...small]);
      expect(nmi.stdout).toMatch(/after-update-strict \(apart\) .* \(judged with task,irq\)$/m);
      const irq = await line(['check', 'naive', '--context', 'task,irq', ...small]);
      expect(irq.stdout).not.toMatch(/judged with/);
    });

  it('gives the answer also where its picture cannot be had', async () => {
    const small = ['--context', 'task', '--passes', '1', '--updates', '1'];
    const nowhere = join(folder, 'nowhere', 'x.svg');
    const wrong = await line(['check', 'naive', '--env', 'kernel', ...small, '--svg', nowhere]);
    expect(wrong).toMatchObject({
      status: 3,
      stdout: expect.stringMatching(/torn +FAILS/) as string,
      stderr: expect.stringContaining('error[unwritable-file]') as string,
    });
    const right = await line(['check', 'int3-gap', ...small, '--svg', nowhere]);
    expect(right).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/torn +holds/) as string,
      stderr: `nothing that was asked for fails, so there is nothing to draw in ${nowhere}\n`,
    });
  });
});

if (LONG)
  describe('a check that is stopped', () => {
    const endless = [
      '--env',
      'kernel',
      '--reduce',
      'none',
      '--cpus',
      '3',
      '--context',
      'task,irq,nmi',
    ];
    it('by its bounds says what it knows, and unknown', async () => {
      const { status, stdout } = await line([
        'check',
        'naive',
        ...endless,
        '--states-max',
        '150000',
      ]);
      expect(status).toBe(1);
      expect(stdout).toMatch(/torn +FAILS/);
      expect(stdout).toMatch(/stack +unknown/);
      expect(stdout).toMatch(/stopped, more than 150000 states;/);
      expect(
        (await line(['check', 'naive', '--env', 'kernel', '--states-max', '1'])).stdout,
      ).toMatch(/stack +unknown[^]*stopped, more than 1 states; \d states/);
      expect(
        (await line(['check', 'int3-gap', ...endless, '--seconds-max', '0.2'])).stdout,
      ).toMatch(/stopped, more than 0.2 s;/);
    });

    /** Runs it until it has used so many seconds of CPU, then sends what Ctrl-C sends. */
    async function interrupted(
      words: readonly string[],
      seconds: number,
    ): Promise<{ status: number | null; stdout: string; stderr: string }> {
      const child = spawn(process.execPath, ['bin/static-call', 'check', ...words], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const said = { stdout: '', stderr: '' };
      child.stdout.on('data', (data: Buffer) => (said.stdout += data.toString()));
      child.stderr.on('data', (data: Buffer) => (said.stderr += data.toString()));
      const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
      // Fields 14 and 15 of proc_pid_stat(5), in hundredths; the name before them holds no blank.
      const used = () =>
        readFileSync(`/proc/${child.pid}/stat`, 'utf8')
          .split(' ')
          .slice(13, 15)
          .reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
      while (child.exitCode === null && used() < seconds)
        await new Promise((resolve) => setTimeout(resolve, 50));
      child.kill('SIGINT');
      return { status: await ended, ...said };
    }

    it.skipIf(!existsSync('/proc/self/stat')).for([
      ['one', ['naive', ...endless], 2, /torn +FAILS[^]*stack +unknown[^]*stopped, interrupted;/],
      [
        'several',
        ['int3-gap', 'naive', ...endless],
        5,
        /^int3-gap: [^]*torn +unknown[^]*^naive: [^]*torn +FAILS/m,
      ],
      ['the matrix', ['--matrix'], 5, /^protocol +env[^]*^Least that the hardware must promise/m],
    ] as const)(
      'by Ctrl-C prints what it knows of %s, and exits 130',
      async ([, words, seconds, expected]) => {
        const { status, stdout, stderr } = await interrupted(words, seconds);
        expect(status).toBe(130);
        expect(stdout).toMatch(expected);
        expect(stderr).toMatch(/not every run was finished: what is missing is unknown/);
      },
    );
  });

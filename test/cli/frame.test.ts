import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXIT, Fault } from '#base/fault';
import { InvariantError } from '#base/invariant';
import { contextFor, paintFor } from '#cli/context';
import { progress } from '#cli/progress';
import { report } from '#cli/report';
import { table } from '#cli/table';
import { line, spawned } from './line.js';

const golden = (name: string, text: string): void => {
  const path = join(import.meta.dirname, 'golden', `${name}.txt`);
  if (process.env['UPDATE']) writeFileSync(path, text);
  expect(existsSync(path), `${path} is missing: UPDATE=1 writes it`).toBe(true);
  expect(text).toBe(readFileSync(path, 'utf8'));
};
const plain = (_style: unknown, text: string): string => text;

describe('the command line', () => {
  it('prints the version alone', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(await line(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
    expect(spawned(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('answers --version without the parser', () => {
    // The loader refuses the parser and the route map: the version needs neither.
    const refuse = `export function resolve(name, context, next) { if (/stricli|app\\.js/.test(name)) throw new Error(name); return next(name, context); }`;
    const program = `
      import { register } from 'node:module';
      register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(refuse)}));
      const { main } = await import('#cli/main');
      await main(['--version']);
      await main(['--help']).catch((error) => console.log(error.message));`;
    const done = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    expect(done.stdout).toMatch(/^\d+\.\d+\.\d+\n\.\/app\.js\n$/);
  });

  it('says what there is', async () => {
    const { status, stdout, stderr } = await line(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    golden('help', stdout);
    expect((await line([])).stdout).toBe(stdout);
  });

  it('answers to the word help as to --help, of a command too', async () => {
    for (const words of [[], ['inspect']])
      expect(await line(['help', ...words])).toEqual(await line([...words, '--help']));
  });

  it('says what each command does, with an example', async () => {
    const { stdout } = await line(['--help']);
    const names = [...stdout.slice(stdout.indexOf('COMMANDS')).matchAll(/^ {2}(\w+) /gm)].map(
      (m) => m[1]!,
    );
    expect(names).toContain('include');
    for (const name of names) {
      const help = await line([name, '--help']);
      expect(help.status, name).toBe(0);
      expect(help.stdout, name).toMatch(/Examples:\n {2}# /);
      golden(`help-${name}`, help.stdout);
    }
  });

  it.each([
    [
      'an unknown command',
      ['inclde'],
      'error[bad-usage]: No command registered for `inclde`\n  hint: did you mean `include`?\n',
    ],
    [
      'an unknown flag',
      ['include', '--jsno'],
      'error[bad-usage]: No flag registered for --jsno\n  hint: did you mean --json?\n',
    ],
    [
      'too many arguments',
      ['include', 'x'],
      'error[bad-usage]: Too many arguments, expected 0 but encountered "x"\n  hint: see --help\n',
    ],
  ])('refuses %s with status 2', async (_what, argv, stderr) => {
    expect(await line(argv)).toEqual({ status: 2, stdout: '', stderr });
  });

  it('refuses in JSON where JSON was asked for, and in words beside it', async () => {
    const refused = async (argv: readonly string[]): Promise<unknown> => {
      const { status, stdout, stderr } = await line(argv);
      expect(stderr).toMatch(/^error\[/);
      const value = JSON.parse(stdout) as { status: number };
      expect(value.status).toBe(status);
      return value;
    };
    expect(await refused(['types', '--json', 'gone.so'])).toEqual({
      schema: 'static-call/error@1',
      code: 'no-such-file',
      message: 'there is no file gone.so',
      hint: 'check the path',
      at: 'gone.so',
      status: 3,
    });
    expect(await refused(['include', '--jsno', '--json'])).toMatchObject({
      code: 'bad-usage',
      hint: 'did you mean --json?',
      status: 2,
    });
    // Behind -- no word is ours.
    expect((await line(['cc', '--align', 'x', '--', 'gcc', '--json'])).stdout).toBe('');
  });

  it('names what can be checked, with a line for each', async () => {
    const { stdout } = await line(['check', '--list']);
    expect(stdout).toMatch(/^int3-gap +kernel +\w.+$/m);
    expect(stdout).toMatch(/^int3 +user +\w.+$/m);
    expect((await line(['check'])).stderr).toContain('--list lists them');
  });

  it("asks for -- before the compiler's command", async () => {
    expect((await line(['cc', 'gcc', '-c', 'x.c'])).stderr).toContain(
      'put -- before the compiler, as in: static-call cc -- gcc -c x.c',
    );
  });

  it('knows where the header is', async () => {
    const { status, stdout } = await line(['include']);
    expect(status).toBe(0);
    expect(existsSync(join(stdout.trim(), 'static_call.h'))).toBe(true);
    expect(JSON.parse((await line(['include', '--json'])).stdout)).toEqual({
      schema: 'static-call/include@1',
      path: stdout.trim(),
    });
  });

  it('survives a reader that has enough', () => {
    const done = spawnSync(
      'sh',
      [
        '-c',
        `${process.execPath} bin/static-call --help | true; ${process.execPath} bin/static-call --help | head -1`,
      ],
      { encoding: 'utf8' },
    );
    expect(done.stderr).toBe('');
    expect(done.stdout).toBe('USAGE\n');
  });
});

describe.skipIf(!existsSync('/dev/full'))(
  'standard output that takes nothing (skipped without /dev/full)',
  () => {
    it('is told, and is no success', () => {
      const done = spawnSync(
        'sh',
        ['-c', `${process.execPath} bin/static-call include > /dev/full`],
        { encoding: 'utf8' },
      );
      expect([done.status, done.stderr]).toEqual([
        3,
        'error[unwritable-file]: standard output cannot be written (ENOSPC)\n  hint: the answer is lost; make room for it\n',
      ]);
    });
  },
);

describe('a failure', () => {
  it('is three lines and the status of its row, without a stack', () => {
    const told = report(
      new Fault('bad-site', 'found 0f 1f, wanted a call', { at: 'libx.so:0x1130' }),
      '1.2.3',
      plain,
    );
    expect(told).toEqual({
      exit: EXIT.input,
      text: 'error[bad-site]: found 0f 1f, wanted a call\n  at libx.so:0x1130\n  hint: the file or another tool changed the instruction; rebuild or annotate again',
      failure: {
        code: 'bad-site',
        message: 'found 0f 1f, wanted a call',
        hint: 'the file or another tool changed the instruction; rebuild or annotate again',
        at: 'libx.so:0x1130',
      },
    });
  });
  it('that is ours says so, with version and status 70', () => {
    for (const error of [
      new InvariantError('two sites at one address'),
      new TypeError('x is undefined'),
      'thrown text',
    ]) {
      const told = report(error, '1.2.3', plain);
      expect(told.exit).toBe(70);
      expect(told.text).toMatch(/^error\[bug\]: /);
      expect(told.text).toContain(`in static-call 1.2.3 on node ${process.versions.node}`);
    }
  });
  it('is coloured only where colour is wanted', () => {
    const tty = { write: () => true, isTTY: true, getColorDepth: () => 24 };
    expect(paintFor(tty, {})('red', 'x')).toBe('\x1b[31mx\x1b[39m');
    expect(paintFor(tty, { NO_COLOR: '1' })('red', 'x')).toBe('x');
    expect(paintFor({ write: () => true }, {})('red', 'x')).toBe('x');
    expect(paintFor({ write: () => true }, { FORCE_COLOR: '1' })('red', 'x')).toBe(
      '\x1b[31mx\x1b[39m',
    );
  });
});

describe('Ctrl-C', () => {
  it('aborts the signal once and ends with 130 the second time', () => {
    const program = `
      const { contextFor } = await import('#cli/context');
      const context = contextFor(process);
      context.signal.addEventListener('abort', () => { console.log('stopping'); process.kill(process.pid, 'SIGINT'); });
      process.kill(process.pid, 'SIGINT');
      setTimeout(() => {}, 20_000);`;
    const done = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    expect({ status: done.status, stdout: done.stdout }).toEqual({
      status: 130,
      stdout: 'stopping\n',
    });
  });
  it('is left alone until a command asks for it', () => {
    const before = process.listenerCount('SIGINT');
    const context = contextFor({
      stdout: { write: () => true },
      stderr: { write: () => true },
      env: {},
    });
    expect(process.listenerCount('SIGINT')).toBe(before);
    expect(context.signal.aborted).toBe(false);
    expect(process.listenerCount('SIGINT')).toBe(before + 1);
    context.release();
    expect(process.listenerCount('SIGINT')).toBe(before);
  });
});

describe('a table', () => {
  it('aligns words left and numbers right, and shows what is absent', () => {
    const text = table(
      [{ title: 'key' }, { title: 'calls', align: 'right' }, { title: 'target' }],
      [
        ['blend', 1234567, 'blend_avx2'],
        ['trace', 3n, null],
      ],
    );
    expect(text).toBe(
      ['key        calls  target', 'blend  1,234,567  blend_avx2', 'trace          3  -'].join(
        '\n',
      ),
    );
  });
  it('shows an escape sequence for what it is, and aligns names of any script', () => {
    expect(
      table(
        [{ title: '' }, { title: '' }],
        [
          ['\x1b[31mab', 'x'],
          ['größe', 'y'],
          ['関数', 'z'],
        ],
      ),
    ).toBe('\\x1b[31mab  x\ngröße       y\n関数        z');
  });
});

describe('a progress line', () => {
  it('is drawn on a terminal, cut to its width, and removed', () => {
    let drawn = '';
    const live = progress({
      stderr: { write: (text: string) => void (drawn += text), isTTY: true, columns: 8 },
    });
    live.show(() => 'one two three');
    live.show(() => 'too soon');
    live.end();
    expect(drawn).toBe('\r\x1b[2Kone two\r\x1b[2K');
  });
  it('is not drawn anywhere else', () => {
    let drawn = '';
    const live = progress({ stderr: { write: (text: string) => void (drawn += text) } });
    live.show(() => 'never');
    live.end();
    expect(drawn).toBe('');
  });
});

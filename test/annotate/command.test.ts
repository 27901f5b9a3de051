import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readElf } from '#elf/read';
import { findSites } from '#sites/find';
import { Folder } from '../build.js';
import { line } from '../cli/line.js';
import { elf, smallLinked, smallObject } from '../elf/builder.mjs';

const sites = (bytes: Uint8Array): number => findSites(readElf(bytes)).length;
const bare = elf({ sections: [{ name: '.text', flags: 6, data: new Uint8Array(4) }] });

describe('static-call annotate', () => {
  test('works in place, keeps the mode and leaves nothing else behind', async () => {
    using folder = new Folder();
    const path = folder.write('a.o', smallObject());
    chmodSync(path, 0o741);
    expect(await line(['annotate', path])).toEqual({
      status: 0,
      stdout: `${path}: 3 sites, 2 tail\n`,
      stderr: '',
    });
    expect(readElf(folder.read('a.o')).section('.static_call_sites')!.size).toBe(24);
    expect(statSync(path).mode & 0o7777).toBe(0o741);
    expect(readdirSync(folder.path)).toEqual(['a.o']);
  });

  test('a symbolic link stays one, and its file is annotated', async () => {
    using folder = new Folder();
    folder.write('real.o', smallObject());
    symlinkSync('real.o', folder.file('link.o'));
    expect((await line(['annotate', folder.file('link.o')])).status).toBe(0);
    expect(lstatSync(folder.file('link.o')).isSymbolicLink()).toBe(true);
    expect(readElf(folder.read('real.o')).section('.static_call_sites')).toBeDefined();
  });

  test('-o leaves the input alone and gives the output its mode; a file without sites is copied', async () => {
    using folder = new Folder();
    for (const [name, bytes] of [
      ['with.so', smallLinked()],
      ['without.o', bare],
    ] as const) {
      const path = folder.write(name, bytes);
      chmodSync(path, 0o755);
      const out = folder.file(`out-${name}`);
      expect((await line(['annotate', path, '-o', out])).status).toBe(0);
      expect(folder.read(name).equals(bytes)).toBe(true);
      expect(statSync(out).mode & 0o777).toBe(0o755);
      expect(folder.read(`out-${name}`).equals(bytes)).toBe(bytes === bare);
    }
  });

  test('a signed module is told to be signed again', async () => {
    using folder = new Folder();
    const signed = Buffer.concat([smallObject(), Buffer.from('key~Module signature appended~\n')]);
    const path = folder.write('net.ko', signed);
    expect(await line(['annotate', path])).toMatchObject({
      status: 0,
      stderr: `${path}: its signature is void now; sign the module again\n`,
    });
    const once = folder.read('net.ko');
    expect((await line(['annotate', path])).stderr).toContain('has a table already');
    expect(folder.read('net.ko').equals(once)).toBe(true);
  });

  test('a file without sites is not touched', async () => {
    using folder = new Folder();
    const path = folder.write('a.o', bare);
    utimesSync(path, 1, 1);
    expect(await line(['annotate', path])).toEqual({
      status: 0,
      stdout: `${path}: no sites\n`,
      stderr: '',
    });
    expect(statSync(path).mtimeMs).toBe(1000);
  });

  test('a table that is there is left alone with a notice, and written again with --force', async () => {
    using folder = new Folder();
    const path = folder.write('a.o', smallObject());
    await line(['annotate', path]);
    const once = folder.read('a.o');
    const again = await line(['annotate', path]);
    expect([again.status, again.stdout]).toEqual([0, '']);
    expect(again.stderr).toMatch(
      /a\.o: has a table already \(3 sites, 2 tail\); --force writes it again\n$/,
    );
    const counts = async (...flags: string[]): Promise<unknown> =>
      (
        JSON.parse((await line(['annotate', '--json', ...flags, path])).stdout) as {
          files: [{ outcome: string; sites: number; tail: number }];
        }
      ).files.map(({ outcome, sites, tail }) => [outcome, sites, tail])[0];
    const [, sites, tail] = (await counts('--force')) as [string, number, number];
    expect(sites).toBeGreaterThan(0);
    expect(await counts()).toEqual(['present', sites, tail]);
    expect((await line(['annotate', '--force', path])).status).toBe(0);
    expect(folder.read('a.o').equals(once)).toBe(true);
  });

  test('a key that is not known: refused with the place, and nothing written; --module names the trampoline', async () => {
    using folder = new Folder();
    const lost = Buffer.from(
      smallObject().toString('latin1').replaceAll('__SCK__b', '__SCX__b'),
      'latin1',
    );
    const path = folder.write('a.o', lost);
    const refused = await line(['annotate', path]);
    expect(refused).toEqual({
      status: 3,
      stdout: '',
      stderr: `error[no-key]: the object calls __SCT__b and has no symbol __SCK__b\n  at ${path}: .text+0x8\n  hint: declare the key with DECLARE_STATIC_CALL, or pass --module\n`,
    });
    expect(folder.read('a.o').equals(lost)).toBe(true);
    expect((await line(['annotate', '--module', path])).status).toBe(0);
    expect(sites(folder.read('a.o'))).toBe(3);
  });

  test('one bad file among good ones: the good ones are done, the status is 3', async () => {
    using folder = new Folder();
    const good = [folder.write('a.o', smallObject()), folder.write('z.o', smallObject())];
    mkdirSync(folder.file('dir'));
    const bad = [
      folder.file('gone.o'),
      folder.file('dir'),
      folder.write('text.o', 'hello'),
      folder.write('lib.a', '!<arch>\nrest'),
      folder.write('bitcode.o', Buffer.from('BC\xc0\xde....', 'latin1')),
      folder.write('packed.ko', Buffer.from('\xfd7zXZ\0..', 'latin1')),
      folder.write('short.o', smallObject().subarray(0, 40)),
      folder.write('cut.o', smallObject().subarray(0, 400)),
      folder.write('thirty-two.o', Buffer.from(smallObject()).fill(1, 4, 5)),
      folder.write('empty.o', ''),
    ];
    const before = bad.map((path) =>
      statSync(path, { throwIfNoEntry: false })?.isFile() ? readFileSync(path) : null,
    );
    const { status, stdout, stderr } = await line(['annotate', good[0]!, ...bad, good[1]!]);
    expect(status).toBe(3);
    expect(stdout).toBe(good.map((path) => `${path}: 3 sites, 2 tail\n`).join(''));
    const codes = [
      'no-such-file',
      'unreadable-file',
      'not-elf',
      'not-elf',
      'not-elf',
      'not-elf',
      'truncated-elf',
      'truncated-elf',
      'wrong-class',
      'not-elf',
    ];
    expect([...stderr.matchAll(/error\[([\w-]+)\]/g)].map((m) => m[1])).toEqual(codes);
    for (const [i, path] of bad.entries()) {
      expect(stderr).toContain(`at ${path}`);
      if (before[i]) expect(readFileSync(path).equals(before[i])).toBe(true);
    }
    expect(stderr).toContain('the objects before ar');
  });

  test('--json says the same of every file', async () => {
    using folder = new Folder();
    const path = folder.write('a.o', smallObject());
    const gone = folder.file('gone.o');
    const { status, stdout, stderr } = await line(['annotate', '--json', path, gone]);
    expect([status, stderr]).toEqual([3, '']);
    expect(JSON.parse(stdout)).toEqual({
      schema: 'static-call/annotate@1',
      files: [
        { path, outcome: 'written', sites: 3, tail: 2, fault: null },
        {
          path: gone,
          outcome: 'refused',
          sites: 0,
          tail: 0,
          fault: {
            code: 'no-such-file',
            message: `there is no file ${gone}`,
            hint: 'check the path',
            at: gone,
          },
        },
      ],
    });
  });

  test('wrong use: no file, or -o with two', async () => {
    expect((await line(['annotate'])).status).toBe(2);
    using folder = new Folder();
    const [a, b] = [folder.write('a.o', smallObject()), folder.write('b.o', smallObject())];
    expect((await line(['annotate', a, b, '-o', folder.file('c.o')])).status).toBe(2);
    expect(readdirSync(folder.path).sort()).toEqual(['a.o', 'b.o']);
  });

  test('an output that cannot be written is refused and leaves nothing', async () => {
    using folder = new Folder();
    const path = folder.write('a.o', smallObject());
    const { status, stderr } = await line(['annotate', path, '-o', folder.file('no/such/out.o')]);
    expect(status).toBe(3);
    expect(stderr).toContain('error[unwritable-file]');
    expect(readdirSync(folder.path)).toEqual(['a.o']);
  });
});

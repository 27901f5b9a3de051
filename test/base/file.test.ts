import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readOriginal, replaceFile, rewriteFile } from '#base/file';
import { Folder } from '../build.js';

const BIN = join(process.cwd(), 'bin', 'static-call');
const ROOT = process.getuid?.() === 0;
const [DAEMON, NOBODY] = [1, 65534];
const modeOf = (path: string): number => statSync(path).mode & 0o7777;
const code = 'unwritable-file';

/** In a process of its own, as another user; the text sees `replaceFile` and the rest. */
function as(uid: number, gids: readonly number[], script: string, cwd: string): string {
  const [gid = uid, ...groups] = gids;
  const program = `
    import * as fs from 'node:fs';
    const { readOriginal, replaceFile, rewriteFile } = await import('#base/file');
    process.setgroups(${JSON.stringify(groups)}); process.setgid(${gid}); process.setuid(${uid});
    process.chdir(${JSON.stringify(cwd)});
    try { ${script} } catch (error) { console.log(error.code, error.message); }`;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  return done.stdout + done.stderr;
}

describe('a file that is written', () => {
  test('keeps its permissions; a new one gets those that the umask leaves', () => {
    using folder = new Folder();
    const old = folder.write('old', 'x');
    chmodSync(old, 0o604);
    replaceFile(old, 'y');
    expect([readFileSync(old, 'utf8'), modeOf(old)]).toEqual(['y', 0o604]);
    replaceFile(folder.file('new'), 'y');
    expect(modeOf(folder.file('new'))).toBe(0o666 & ~process.umask());
    const like = folder.write('like', '');
    chmodSync(like, 0o6755);
    replaceFile(folder.file('copy'), 'y', statSync(like));
    expect(modeOf(folder.file('copy'))).toBe(0o755 & ~process.umask());
  });

  test('in place keeps the set-user-ID bit, and as the output of something else does not', () => {
    using folder = new Folder();
    const path = folder.write('program', 'x');
    chmodSync(path, 0o6755);
    rewriteFile(readOriginal(path), Buffer.from('y'));
    expect([readFileSync(path, 'utf8'), modeOf(path)]).toEqual(['y', 0o6755]);
    replaceFile(path, 'z');
    expect(modeOf(path)).toBe(0o755);
  });

  test('is refused in place where another one took its name after it was read', () => {
    using folder = new Folder();
    const path = folder.write('a', 'attacker');
    const victim = folder.write('victim', 'precious');
    const original = readOriginal(path);
    rmSync(path);
    symlinkSync(victim, path);
    expect(() => rewriteFile(original, Buffer.from('evil'))).toThrow(
      expect.objectContaining({ code, at: path }),
    );
    rmSync(path);
    linkSync(victim, path);
    expect(() => rewriteFile(original, Buffer.from('evil'))).toThrow(
      expect.objectContaining({ code }),
    );
    expect(readFileSync(victim, 'utf8')).toBe('precious');
  });

  test('is refused in place where a compiler wrote to it after it was read', () => {
    using folder = new Folder();
    const path = folder.write('a', 'old');
    const original = readOriginal(path);
    writeFileSync(path, 'newer');
    expect(() => rewriteFile(original, Buffer.from('x'))).toThrow(
      expect.objectContaining({ code }),
    );
    expect(readFileSync(path, 'utf8')).toBe('newer');
  });

  test('is found behind a symbolic link of the same user, whatever the text of the path says', () => {
    using folder = new Folder();
    mkdirSync(folder.file('real'));
    mkdirSync(folder.file('real/sub'));
    symlinkSync('real/sub', folder.file('sub'));
    // `sub/..` is real, not the folder.
    symlinkSync('sub/../file', folder.file('link'));
    replaceFile(folder.file('link'), 'x');
    expect(readdirSync(folder.file('real')).sort()).toEqual(['file', 'sub']);
    expect(lstatSync(folder.file('link')).isSymbolicLink()).toBe(true);
    symlinkSync('loop', folder.file('loop'));
    expect(() => replaceFile(folder.file('loop'), 'x')).toThrow(expect.objectContaining({ code }));
  });

  test('may have the longest name that there is, and is written past what a killed run left', () => {
    using folder = new Folder();
    const path = folder.file('n'.repeat(255));
    folder.write(`.a.${process.pid}.tmp`, 'left');
    replaceFile(path, 'x');
    replaceFile(folder.file('a'), 'x');
    expect(readFileSync(path, 'utf8')).toBe('x');
  });

  test('leaves nothing behind where it cannot be written', () => {
    using folder = new Folder();
    mkdirSync(folder.file('directory'));
    for (const name of ['directory', 'new/', 'no/such'])
      expect(() => replaceFile(folder.file(name), 'x')).toThrow(expect.objectContaining({ code }));
    expect(readdirSync(folder.path)).toEqual(['directory']);
  });
});

describe('a name that is no regular file', () => {
  test.runIf(ROOT && existsSync('/usr/bin/mknod'))(
    'a device is written to and stays one (needs root)',
    () => {
      using folder = new Folder();
      const path = folder.file('null');
      spawnSync('mknod', [path, 'c', '1', '3']);
      replaceFile(path, 'x');
      expect(lstatSync(path).isCharacterDevice()).toBe(true);
      spawnSync('mknod', [folder.file('disk'), 'b', '7', '250']);
      expect(() => replaceFile(folder.file('disk'), 'x')).toThrow(
        expect.objectContaining({ code }),
      );
    },
  );

  test('a FIFO hands the bytes to its reader', async () => {
    using folder = new Folder();
    const path = folder.file('fifo');
    spawnSync('mkfifo', [path]);
    const reader = spawn('cat', [path]);
    let got = '';
    reader.stdout.on('data', (text: Buffer) => void (got += text.toString()));
    const done = new Promise((resolve) => reader.on('close', resolve));
    replaceFile(path, 'through the pipe');
    await done;
    expect(got).toBe('through the pipe');
    expect(lstatSync(path).isFIFO()).toBe(true);
  });

  test('/dev/null, /dev/stdout and /dev/fd/N take what a command writes', () => {
    using folder = new Folder();
    const run = (line: string) =>
      spawnSync('bash', ['-c', line], { encoding: 'utf8', cwd: folder.path });
    folder.write(
      'f.c',
      `#include <static_call.h>\nint f(int a) { return a; }\nDEFINE_STATIC_CALL(k, f);\n`,
    );
    const so = run(`gcc -shared -fPIC -I${process.cwd()}/include f.c -o f.so`);
    expect(so.status).toBe(0);
    const types = `"${process.execPath}" "${BIN}" types f.so -o`;
    expect(run(`${types} /dev/null`).status).toBe(0);
    expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
    expect(run(`${types} /dev/stdout | cat`).stdout).toMatch(/^\/\/|^export/);
    // Behind what is there, for it is the same open file.
    expect(run(`(echo first; ${types} /dev/stdout) > log; cat log`).stdout).toMatch(/^first\n.+/);
    expect(run(`${types} /dev/fd/3 3> three; cat three`).stdout.length).toBeGreaterThan(0);
  });

  test('a socket is refused and stays', () => {
    using folder = new Folder();
    const done = spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { createServer } from 'node:net'; import { lstatSync } from 'node:fs';
         const { replaceFile } = await import('#base/file');
         const server = createServer().listen('${folder.file('socket')}', () => {
           try { replaceFile('${folder.file('socket')}', 'x'); } catch (e) { console.log(e.code); }
           console.log(lstatSync('${folder.file('socket')}').isSocket()); server.close(); });`,
      ],
      { encoding: 'utf8' },
    );
    expect(done.stdout).toBe('unwritable-file\ntrue\n');
  });
});

/** A directory that all may write to, as the folder of `mkdtemp` is not. */
class Open implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'static-call-open-'));
  constructor() {
    chmodSync(this.path, 0o777);
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
  write(name: string, uid: number, gid: number, mode: number): string {
    const path = join(this.path, name);
    writeFileSync(path, 'old');
    chownSync(path, uid, gid);
    chmodSync(path, mode);
    return path;
  }
}

const look = (path: string): (number | string)[] => {
  const { uid, gid } = statSync(path);
  return [readFileSync(path, 'utf8'), uid, gid, modeOf(path).toString(8)];
};

describe.runIf(ROOT)("another user's file (needs root)", () => {
  test("annotated by nobody does not become nobody's set-user-ID program", () => {
    using open = new Open();
    const path = open.write('evil', DAEMON, 0, 0o6755);
    as(NOBODY, [NOBODY], `rewriteFile(readOriginal('evil'), Buffer.from('new'));`, open.path);
    expect(look(path)).toEqual(['new', NOBODY, NOBODY, '755']);
  });

  test('keeps its group where the writer is in it, and opens to no other group', () => {
    using open = new Open();
    const shared = open.write('shared', DAEMON, 50, 0o2664);
    const secret = open.write('secret', DAEMON, 51, 0o660);
    const write = `for (const f of ['shared', 'secret']) { const o = { path: f, bytes: null, stats: fs.statSync(f) }; rewriteFile(o, Buffer.from('new')); }`;
    as(NOBODY, [NOBODY, 50], write, open.path);
    expect(look(shared)).toEqual(['new', NOBODY, 50, '664']);
    expect(look(secret)).toEqual(['new', NOBODY, NOBODY, '600']);
  });

  test('given by root back to its owner, with its mode', () => {
    using open = new Open();
    const path = open.write('his', DAEMON, DAEMON, 0o4751);
    rewriteFile(readOriginal(path), Buffer.from('new'));
    expect(look(path)).toEqual(['new', DAEMON, DAEMON, '4751']);
    replaceFile(path, 'newer');
    expect(look(path)).toEqual(['newer', DAEMON, DAEMON, '751']);
  });

  test('behind his symbolic link is not written to', () => {
    using open = new Open();
    using mine = new Folder();
    const victim = mine.write('victim', 'precious');
    chmodSync(mine.path, 0o755);
    as(DAEMON, [DAEMON], `fs.symlinkSync('${victim}', 'link');`, open.path);
    expect(() => replaceFile(join(open.path, 'link'), 'x')).toThrow(
      expect.objectContaining({
        code,
        message: 'leads through a symbolic link of another user (uid 1)',
      }),
    );
    expect(readFileSync(victim, 'utf8')).toBe('precious');
  });

  test('that is a FIFO does not hold the writer up', () => {
    using open = new Open();
    spawnSync('mkfifo', [join(open.path, 'fifo')]);
    chownSync(join(open.path, 'fifo'), DAEMON, DAEMON);
    expect(() => replaceFile(join(open.path, 'fifo'), 'x')).toThrow(
      expect.objectContaining({ code, message: 'leads through a pipe of another user (uid 1)' }),
    );
  });

  test('is nobody else’s to read while it is written', () => {
    using open = new Open();
    const path = open.write('secret', DAEMON, DAEMON, 0o600);
    // strace tells the mode at the creation, which is too short to be seen from outside.
    const done = spawnSync(
      'strace',
      [
        '-f',
        '-e',
        'trace=openat',
        process.execPath,
        '--input-type=module',
        '-e',
        `const { readOriginal, rewriteFile } = await import('#base/file'); rewriteFile(readOriginal('${path}'), Buffer.from('new'));`,
      ],
      { encoding: 'utf8' },
    );
    if (done.error) return expect(existsSync('/usr/bin/strace')).toBe(false);
    const made = /\.static-call\.[0-9a-f]{16}\.tmp", ([A-Z_|]+), (0\d+)\)/.exec(done.stderr);
    expect(made?.[2]).toBe('0600');
    expect(made?.[1]).toContain('O_EXCL');
    expect(made?.[1]).toContain('O_NOFOLLOW');
    expect(look(path)).toEqual(['new', DAEMON, DAEMON, '600']);
  });
});

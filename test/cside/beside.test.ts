// bin/beside.cjs, which bin/launch.sh starts beside a compiler: it runs one bundle, and the modules
// where the bundle is missing, damaged or refuses.

import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readElf } from '#elf/read';
import { SITES_SECTION } from '#sites/section';
import { build, Folder, gcc } from '../build.js';

const SOURCE = `#include <static_call.h>
int one(int a);
int one(int a) { return a; }
DEFINE_STATIC_CALL(work, one);
int run(int a);
int run(int a) { return static_call(work)(a); }
`;
const KEPT = ['bin', 'package.json'];
/** What the package has behind its two doors, for a command that reads sites. */
const ROOMS = ['base', 'cli', 'elf', 'host', 'keys', 'sites', 'x86'];
const BUNDLE = 'dist/cli/beside.cjs';
const DECODER = 'dist/x86/decoder.wasm';

const folder = new Folder();
let object = Buffer.alloc(0);
beforeAll(() => {
  if (gcc) object = build(gcc, '.c', SOURCE, ['-O2', '-c', `-I${join(process.cwd(), 'include')}`]);
});
afterAll(() => folder[Symbol.dispose]());

/** An installed package, which may be damaged. */
function installed(name: string): string {
  const root = folder.file(name);
  mkdirSync(join(root, 'dist'), { recursive: true });
  for (const each of [...KEPT, ...ROOMS.map((room) => `dist/${room}`)])
    cpSync(each, join(root, each), { recursive: true });
  symlinkSync(join(process.cwd(), 'node_modules'), join(root, 'node_modules'));
  return root;
}

function beside(root: string, out: string, said: string): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [join(root, 'bin/beside.cjs'), out], {
    encoding: 'utf8',
    input: said,
  });
}
const QUIET = { status: 0, stdout: '', stderr: '' };

describe.skipIf(!gcc)('beside a compiler', () => {
  /** What the modules write. */
  const expected = (): Buffer => {
    const path = folder.write('expected.o', object);
    const { status } = spawnSync(process.execPath, ['bin/static-call', '__tabulate', path, '0']);
    expect(status).toBe(0);
    return readFileSync(path);
  };

  it.each<readonly [string, (root: string) => void]>([
    ['the bundle', (root) => rmSync(join(root, 'dist/cli/main.js'))],
    ['the modules, without a bundle', (root) => rmSync(join(root, BUNDLE))],
    ['the modules, for an empty bundle', (root) => truncateSync(join(root, BUNDLE), 0)],
    ['the modules, for a bundle that was cut', (root) => truncateSync(join(root, BUNDLE), 30_000)],
  ])('an object gets its table by %s', (how, damage) => {
    const root = installed(how);
    damage(root);
    const path = folder.write('made.o', object);
    expect(beside(root, path, '0\n')).toMatchObject(QUIET);
    expect(readElf(new Uint8Array(readFileSync(path)), path).section(SITES_SECTION)?.size).toBe(8);
    expect(readFileSync(path).equals(expected())).toBe(true);
  });

  it.each(['', '3\n'])('a compiler that did not succeed leaves the object alone: %j', (said) => {
    const path = folder.write('made.o', object);
    expect(beside('.', path, said)).toMatchObject({ status: said === '' ? 70 : 3, stderr: '' });
    expect(readFileSync(path).equals(object)).toBe(true);
  });

  it('an object that is refused is told of as by every command', () => {
    // The number of sections, which no longer fits.
    const damaged = Buffer.from(object);
    damaged.writeUInt16LE(0xffff, 60);
    const path = folder.write('damaged.o', damaged);
    const { status, stderr } = beside('.', path, '0\n');
    expect({ status, stderr }).toMatchObject({ status: 3 });
    expect(stderr).toMatch(/^error\[truncated-elf\]: .*\n  at .*\n  hint: /);
    expect(readFileSync(path).equals(damaged)).toBe(true);
  });

  it('a package whose decoder is missing says so', () => {
    const root = installed('undecided');
    rmSync(join(root, DECODER));
    const { status, stderr } = beside(root, folder.write('made.o', object), '0\n');
    expect({ status, stderr }).toMatchObject({ status: 3 });
    expect(stderr).toMatch(/^error\[no-such-file\]: .*the decoder was not made/);
  });
});

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { typeNameOf } from '#keys/typescript';
import { line } from '../cli/line.js';
import { compile, place } from './compile.js';

const TEXT = `
int blend_scalar(int a); int blend_scalar(int a) { return a; }
static int blend_fast(int a) { return a; }
DEFINE_STATIC_CALL(blend, blend_scalar);
STATIC_CALL_TARGET(blend, blend_fast);
STATIC_CALL_TARGET_RET0(blend);
void *get(unsigned long n); void *get(unsigned long n) { (void)n; return 0; }
DEFINE_STATIC_CALL(alloc, get);
void ring(void); void ring(void) {}
DEFINE_STATIC_CALL_NULL(trace, ring);
STATIC_CALL_TARGET(trace, ring);
double half(double x); double half(double x) { return x / 2; }
DEFINE_STATIC_CALL(scale, half);
void never(void); void never(void) {}
DEFINE_STATIC_CALL_NULL(bare, never);
int use(int a); int use(int a) { static_call_cond(trace)(); return static_call(blend)(a) + (int)static_call(scale)(1); }`;

let path: string;
beforeAll(() => {
  path = compile({ cc: 'gcc', text: TEXT }).path;
});

describe('static-call types', () => {
  it('writes each key with what it accepts', async () => {
    const { status, stdout } = await line(['types', path, '--name', 'Filters']);
    expect(status).toBe(0);
    expect(stdout)
      .toBe(`// Written by static-call types: write it again when the keys or their targets change.

/** For open<...>: each key with what may become its target. null empties it, 'ret0' makes it return 0. */
export type Filters = {
  readonly alloc: 'get';
  readonly bare: null;
  readonly blend: 'blend_fast' | 'blend_scalar' | 'ret0';
  readonly scale: 'half';
  readonly trace: 'ring' | null;
};
`);
    expect(
      JSON.parse((await line(['types', path, '--name', 'Filters', '--json'])).stdout),
    ).toMatchObject({
      schema: 'static-call/types@1',
      type: 'Filters',
      keys: [
        { name: 'alloc', returns: 'integer', accepts: ['get'] },
        { name: 'bare', returns: 'void', accepts: [null] },
        { name: 'blend', returns: 'integer', accepts: ['blend_fast', 'blend_scalar', 'ret0'] },
        { name: 'scale', returns: 'other' },
        { name: 'trace' },
      ],
    });
  });

  it('writes what the compiler accepts, and rejects wrong names with', async () => {
    const out = place('filters.keys.ts');
    expect(await line(['types', path, '--name', 'Filters', '-o', out])).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
    const user = join(dirname(out), 'user.ts');
    writeFileSync(
      user,
      `
import { open, unchecked } from ${JSON.stringify(join(process.cwd(), 'dist/index.js'))};
import type { Filters } from ${JSON.stringify(out.replace(/\.ts$/, '.js'))};
const app = open<Filters>('./libfilters.so');
app.update({ blend: 'blend_fast', trace: null, scale: unchecked('elsewhere') });
app.update({ blend: 'ret0' });
// @ts-expect-error: an allocator that returns 0 was not declared
app.update({ alloc: 'ret0' });
// @ts-expect-error: no such target
app.update({ blend: 'blend_slow' });
// @ts-expect-error: it returns a value
app.update({ blend: null });
// @ts-expect-error: no such key
app.update({ blond: 'blend_fast' });
const now: 'blend_fast' | 'blend_scalar' | 'ret0' = app.keys.blend.target;
export { now };
`,
    );
    const flags = [
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--module',
      'esnext',
      '--moduleResolution',
      'bundler',
      '--target',
      'es2023',
      '--lib',
      'es2023,esnext.disposable',
      '--types',
      'node',
      '--typeRoots',
      join(process.cwd(), 'node_modules/@types'),
      '--skipLibCheck',
    ];
    const tsc = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', ...flags, user], {
      encoding: 'utf8',
    });
    expect(tsc.stdout).toBe('');
    expect(tsc.status).toBe(0);
    expect(readFileSync(out, 'utf8')).toContain('export type Filters');
  });

  it('names the type after the file', () => {
    expect(
      ['libfilters.so', '/a/b/libfoo-bar.so.1.2', 'app', 'x.node', 'lib3d.so', 'lib.so'].map(
        typeNameOf,
      ),
    ).toEqual(['Filters', 'FooBar', 'App', 'X', 'Keys3d', 'Keys']);
  });

  it('refuses what has no keys, what is not linked, and what is no name', async () => {
    expect(await line(['types', process.execPath])).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('error[no-keys]: the file defines no key'),
    });
    expect(
      await line(['types', compile({ cc: 'gcc', text: TEXT, as: 'object' }).path]),
    ).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(/^error\[not-linked\].*\n {2}at \S+\.o\n/),
    });
    expect(await line(['types', path, '--name', 'a b'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('error[bad-usage]: a b is no name for a type'),
    });
    expect(await line(['types', path, '--name', 'class'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('error[bad-usage]: class is no name for a type'),
    });
    expect(await line(['types', '/nowhere.so'])).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('error[no-such-file]'),
    });
  });
});

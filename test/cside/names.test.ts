// Names as C, the linker and strangers make them: what types, inspect and annotate say of them.

import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { isFault } from '#base/fault';
import { decodeName, NAME_MAX } from '#elf/object';
import { readElf } from '#elf/read';
import { keysOf } from '#keys/bind';
import { inspectObject } from '#inspect/object';
import { assemble, Folder, must, tool } from '../build.js';
import { line } from '../cli/line.js';
import { elf, FLAGS } from '../elf/builder.mjs';
import { compile } from './compile.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const faultOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (isFault(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'no fault';
};

const TEXT = `
int größe_alt(int a); int größe_alt(int a) { return a; }
int größe_neu(int a); int größe_neu(int a) { return a + 1; }
DEFINE_STATIC_CALL(größe, größe_alt);
STATIC_CALL_TARGET(größe, größe_neu);
int tail(int a); int tail(int a) { return static_call(größe)(a); }
int prüfe(int a); int prüfe(int a) { return static_call(größe)(a) + 1; }
void ring(void); void ring(void) {}
DEFINE_STATIC_CALL_NULL(__proto__, ring);
DEFINE_STATIC_CALL_NULL(constructor, ring);
void go(void); void go(void) { static_call_cond(__proto__)(); static_call_cond(constructor)(); }`;

describe('an identifier beyond ASCII', () => {
  const { path, elf: linked } = compile({ cc: 'gcc', text: TEXT });
  it('is the name of its key, its targets and the functions around its sites', async () => {
    const keys = keysOf(linked);
    expect(keys.map(({ name }) => name)).toEqual(['__proto__', 'constructor', 'größe']);
    expect(keys[2]).toMatchObject({
      initial: { kind: 'function', name: 'größe_alt' },
      targets: [{ name: 'größe_alt' }, { name: 'größe_neu' }],
    });
    const { faults, sites } = inspectObject('x', linked);
    expect(faults).toEqual([]);
    expect(new Set(sites.map((site) => site.function))).toEqual(new Set(['tail', 'prüfe', 'go']));
    const listed = await line(['inspect', '--key', 'größe', path]);
    expect(listed).toMatchObject({ status: 0, stderr: '' });
    expect(listed.stdout).toMatch(/prüfe\+0x\w+ +größe +call/);
  });
  it('is read the same in an object, stripped or not', () => {
    const object = compile({ cc: 'gcc', text: TEXT, as: 'object' });
    expect(inspectObject('x', object.elf).keys.map(({ name }) => name)).toContain('größe');
    must('objcopy', ['--strip-all', path, folder.file('stripped.so')]);
    const stripped = keysOf(readElf(folder.read('stripped.so')));
    expect(stripped.map(({ name }) => name)).toContain('größe');
  });
  it('is written as an identifier by types, as every other name of C is', async () => {
    const { stdout } = await line(['types', path, '--name', 'K']);
    expect(stdout).toContain("  readonly größe: 'größe_alt' | 'größe_neu';");
    expect(stdout).toContain('  readonly __proto__: null;\n  readonly constructor: null;');
  });
});

it('a record whose name is code does not get into what types writes', async () => {
  const name = "x: 1 }; import 'node:fs'; console.log('pwned'); type Q = { y ";
  const stand = 'x'.repeat(name.length);
  const { path } = compile({
    cc: 'gcc',
    text: `int f(int a); int f(int a) { return a; } DEFINE_STATIC_CALL(${stand}, f);`,
    flags: ['-s'],
  });
  const hostile = readFileSync(path).toString('latin1').replaceAll(stand, name);
  const file = folder.write('hostile.so', Buffer.from(hostile, 'latin1'));
  const said = await line(['types', file, '--name', 'K']);
  expect(said).toMatchObject({ status: 0, stderr: '' });
  const rows = said.stdout
    .split('\n')
    .filter((row) => !/^(\/[/*].*|export type K = \{|\};|)$/.test(row));
  expect(rows).toEqual([`  readonly '${name.replaceAll("'", "\\'")}': 'f';`]);
});

it('a target that is declared for a macro is refused by types, as by open', async () => {
  const { path } = compile({
    cc: 'gcc',
    text: `
int f(int a); int f(int a) { return a; }
DEFINE_STATIC_CALL(zng_hash, f);
static struct static_call_target_record here __attribute__((section(".static_call_targets"), used)) =
  { &STATIC_CALL_KEY(zng_hash), (void (*)(void))f, "KEY", "f" };`,
    flags: ['-Wno-attributes'],
  });
  const said = await line(['types', path]);
  expect(said.status).toBe(3);
  expect(said.stdout).toBe('');
  expect(said.stderr).toContain(
    'error[bad-keys-section]: target f is declared for key KEY, but its record leads to key zng_hash',
  );
  expect(said.stderr).toContain('if KEY is a macro');
});

it('two keys of one name, each local to its object, are refused and not joined', async () => {
  const half = (n: number): string =>
    folder.write(
      `half${n}.o`,
      assemble(`
  .text
  .globl f${n}, run${n}
  .type f${n}, @function
f${n}: ret
  .type run${n}, @function
run${n}: call __SCT__hook
  ret
  .balign 8
__SCT__hook: jmp.d32 f${n}
  .byte 0x0f, 0xb9, 0xcc
  .section .note.GNU-stack,"",@progbits`),
    );
  must('gcc', ['-shared', half(1), half(2), '-o', folder.file('two.so')]);
  const file = folder.file('two.so');
  const two = /two trampolines are called __SCT__hook, one at 0x/;
  expect(faultOf(() => keysOf(readElf(folder.read('two.so'))))).toMatch(two);
  for (const command of ['inspect', 'types', 'annotate']) {
    const said = await line([command, file]);
    expect(said.status, command).toBe(3);
    expect(said.stderr, command).toMatch(two);
  }
});

const lld = tool('ld.lld', 'ld.lld-14', 'ld.lld-19');
it.skipIf(!lld)('two keys whose trampolines --icf=all folded into one are refused', async () => {
  const half = (key: string, target: string): string => {
    folder.write(
      `${key}.c`,
      `#include <static_call.h>
${target}
DEFINE_STATIC_CALL(${key}, f);
int use_${key}(int a); int use_${key}(int a) { return static_call(${key})(a) + 1; }`,
    );
    return folder.file(`${key}.c`);
  };
  const files = [
    half('one', 'int f(int a); int f(int a) { return a; }'),
    half('two', 'int f(int);'),
  ];
  const out = folder.file('folded.so');
  const flags = ['-O2', '-fPIC', '-shared', '-Iinclude', '-fuse-ld=lld', '-Wl,--icf=all'];
  must('gcc', [...flags, ...files, '-o', out]);
  const said = await line(['types', out]);
  expect(said.status).toBe(3);
  expect(said.stderr).toContain('error[bad-trampoline]: keys one and two share one trampoline');
  expect(said.stderr).toContain('--keep-unique=__SCT__two');
  must('gcc', [...flags, '-Wl,--keep-unique=__SCT__two', ...files, '-o', out]);
  expect(await line(['types', out])).toMatchObject({ status: 0, stderr: '' });
});

describe('a name that no compiler wrote', () => {
  const object = (function_: string, key: string): Buffer =>
    elf({
      sections: [
        {
          name: '.text',
          flags: FLAGS.alloc | FLAGS.exec,
          data: Uint8Array.of(0xe8, 0, 0, 0, 0, 0xc3),
          relocations: [{ at: 1, type: 4, symbol: 2, addend: -4 }],
        },
      ],
      symbols: [
        { name: function_, bind: 1, type: 2, section: 1, size: 6 },
        { name: `__SCT__${key}`, bind: 1 },
      ],
    });
  it('is shown cut where a function has a very long one, and refused as the name of a key', () => {
    const long = 'ä'.repeat(3000);
    const [site] = inspectObject('x', readElf(object(long, 'a'))).sites;
    expect(site?.function).toBe(`${'ä'.repeat(512)}…`);
    expect(inspectObject('x', readElf(object('f', long))).faults).toMatchObject([
      { code: 'bad-elf', message: `a name of more than ${NAME_MAX} bytes` },
    ]);
  });
  it('may be empty', () =>
    expect(inspectObject('x', readElf(object('', ''))).sites).toMatchObject([
      { key: '', function: '' },
    ]));
  it('and is no UTF-8 stays another name than one that is', () => {
    const names = [
      [0xc3, 0xb6],
      [0xb6],
      [0xc3],
      [0xed, 0xa0, 0x80],
      [0xff, 0x61],
      [0xef, 0xbf, 0xbd],
    ];
    expect(names.map((bytes) => decodeName(Uint8Array.from(bytes)))).toEqual([
      'ö',
      '\udcb6',
      '\udcc3',
      '\udced\udca0\udc80',
      '\udcffa',
      '\ufffd',
    ]);
  });
});

// The ways in which compilers and linkers route a call to a trampoline, each seen as the same five
// sites.

import { describe, expect, test } from 'vitest';
import { readElf } from '#elf/read';
import { decodeSites, findSites } from '#sites/find';
import { findTrampolines } from '#sites/trampoline';
import { build, clang, defineKey, gcc, must, Folder } from '../build.js';

const source = (visibility: 'default' | 'hidden'): string => `
int one(int x) { return x + 1; }
${defineKey('a', 'one', visibility)}
${defineKey('b', 'one', visibility)}
int plain(int x) { return __SCT__a(x) + 1; }
int tail(int x) { return __SCT__b(x); }
int both(int x) { return __SCT__a(x) + __SCT__b(x); }
`;

/** `a:call5` for a five-byte call to the trampoline of key a, in order of address. */
function shapes(bytes: Uint8Array): string[] {
  return findSites(readElf(bytes)).map((s) => `${s.key}:${s.kind}${s.length}`);
}

const direct = ['a:call5', 'b:jmp5', 'a:call5', 'b:call5'];
const cases: [string, 'default' | 'hidden', string[], string[]][] = [
  ['hidden trampolines: direct calls', 'hidden', ['-shared', '-fPIC'], direct],
  ['exported trampolines: through the PLT', 'default', ['-shared', '-fPIC'], direct],
  ['bound at once: through .plt.got', 'default', ['-shared', '-fPIC', '-Wl,-z,now'], direct],
  [
    'endbr64 in the PLT',
    'default',
    ['-shared', '-fPIC', '-fcf-protection', '-Wl,-z,ibtplt'],
    direct,
  ],
  [
    'endbr64, bound at once',
    'default',
    ['-shared', '-fPIC', '-fcf-protection', '-Wl,-z,ibtplt,-z,now'],
    direct,
  ],
  [
    '-fno-plt: through the GOT',
    'default',
    ['-shared', '-fPIC', '-fno-plt'],
    ['a:call6', 'b:jmp6', 'a:call6', 'b:call6'],
  ],
  [
    '-fno-plt relaxed: addr32 call, and a jump padded by a nop',
    'default',
    ['-shared', '-fPIC', '-fno-plt', '-Wl,-Bsymbolic'],
    ['a:call6', 'b:jmp5', 'a:call6', 'b:call6'],
  ],
  [
    '-fno-plt not relaxed: the slot is relative',
    'default',
    ['-shared', '-fPIC', '-fno-plt', '-Wl,-Bsymbolic,--no-relax'],
    ['a:call6', 'b:jmp6', 'a:call6', 'b:call6'],
  ],
  ['link-time optimisation', 'hidden', ['-shared', '-fPIC', '-flto'], direct],
  ['-Os', 'hidden', ['-shared', '-fPIC', '-Os'], direct],
];

describe.skipIf(!gcc)('gcc and ld', () => {
  test.each(cases)('%s', (_, visibility, flags, expected) => {
    expect(shapes(build(gcc!, '.c', source(visibility), ['-O2', ...flags]))).toEqual(expected);
  });
  test('a slot without a relocation, in a program at a fixed address', () => {
    const text = `${source('default')}\nint main(int n, char **v) { return plain(n) + tail(n) + both(n); }`;
    const bytes = build(gcc!, '.c', text, [
      '-O1',
      '-fno-inline',
      '-no-pie',
      '-fno-plt',
      '-Wl,--no-relax',
    ]);
    expect(shapes(bytes).filter((s) => s.endsWith('6')).length).toBeGreaterThanOrEqual(3);
  });
  test('stripped: the dynamic symbols still name exported trampolines', () => {
    using folder = new Folder();
    folder.write('a.so', build(gcc!, '.c', source('default'), ['-O2', '-shared', '-fPIC']));
    must('strip', [folder.file('a.so')]);
    expect(shapes(folder.read('a.so'))).toEqual(direct);
  });
  test('a key of another file: the PLT entry names the trampoline, and the entry of a table would too', () => {
    const text = 'extern int __SCT__far(int); int f(int x) { return __SCT__far(x) + 1; }';
    const [site] = findSites(readElf(build(gcc!, '.c', text, ['-O2', '-shared', '-fPIC'])));
    expect(site).toMatchObject({ key: 'far', keySymbol: '__SCT__far', kind: 'call', length: 5 });
  });
  test('bytes that look like a call inside another instruction are no site', () => {
    // movabs $0x00_00_00_XX_e8.., whose immediate spells a call to the trampoline that follows.
    const text = `.text
 .globl f; .type f,@function
f: .byte 0x48, 0xb8, 0xe8
 .long __SCT__a - . - 4
 .byte 0, 0, 0
 call __SCT__a
 ret
 .size f, .-f
 .globl __SCT__a; .hidden __SCT__a; .type __SCT__a,@function
__SCT__a: ret; int3; int3; int3; int3
 .byte 0x0f, 0xb9, 0xcc
 .size __SCT__a, 8
 .data
 .globl __SCK__a
__SCK__a: .quad 0, 0`;
    const object = readElf(build(gcc!, '.s', text, ['-shared', '-nostdlib']));
    const f = object.symbols!.value(object.symbols!.find('f'));
    expect(decodeSites(object).map((s) => s.at - f)).toEqual([10]);
  });
  test('trampolines, their forms and targets, direct and through the PLT', () => {
    for (const visibility of ['hidden', 'default'] as const) {
      const object = readElf(build(gcc!, '.c', source(visibility), ['-O2', '-shared', '-fPIC']));
      const found = findTrampolines(object).map((t) => [t.key, t.form, t.targetSymbol]);
      expect(found.sort()).toEqual([
        ['a', 'jmp', 'one'],
        ['b', 'jmp', 'one'],
      ]);
    }
    const relocatable = readElf(build(gcc!, '.c', source('default'), ['-O2', '-c']));
    expect(findTrampolines(relocatable).map((t) => [t.key, t.form, t.targetSymbol])).toEqual([
      ['a', 'jmp', 'one'],
      ['b', 'jmp', 'one'],
    ]);
  });
});

describe.skipIf(!clang)('clang', () => {
  test.each(cases.filter(([, , flags]) => !flags.includes('-flto') && !flags.includes('-fno-plt')))(
    '%s',
    (_, visibility, flags, expected) => {
      expect(shapes(build(clang!, '.c', source(visibility), ['-O2', ...flags]))).toEqual(expected);
    },
  );
});

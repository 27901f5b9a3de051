import { describe, expect, it } from 'vitest';
import { readElf } from '#elf/read';
import { inspectObject } from '#inspect/object';
import { assemble, gcc } from '../build.js';
import { compile } from '../cside/compile.js';

/** A module's table: each of the kernel's four forms, a key inside a structure, one of another file. */
const MODULE = `
	.section .modinfo,"a"
	.asciz "license=GPL"
	.text
	.globl f
	.type f, @function
f:
1:	.byte 0x0f, 0x1f, 0x44, 0x00, 0x00
2:	.byte 0x66, 0x90
3:	jmp .Lfar
4:	.byte 0xe9
	.long .Lfar - . - 4
	ret
.Lfar:	ret
	.size f, . - f
	.data
	.balign 8
	.type tracepoint, @object
tracepoint:
	.quad 0
	.long 0, 0
	.quad 0
	.size tracepoint, . - tracepoint
	.type on, @object
on:	.long 1, 0
	.quad 0
	.size on, . - on
	.section __jump_table,"aw"
	.balign 8
	.long 1b - ., .Lfar - .
	.quad tracepoint + 8 - .
	.long 2b - ., .Lfar - .
	.quad elsewhere + 3 - .
	.long 3b - ., .Lfar - .
	.quad on - .
	.long 4b - ., .Lfar - .
	.quad on + 2 - .
`;

describe.skipIf(!gcc)('static keys of a file', () => {
  it("of a kernel module are read from the kernel's table", () => {
    const { staticKeys, faults } = inspectObject('a.ko', readElf(assemble(MODULE), 'a.ko'));
    expect(faults).toEqual([]);
    expect(
      staticKeys?.branches.map((b) => [
        b.function,
        b.functionOffset,
        b.key,
        b.kind,
        b.form,
        b.distance,
      ]),
    ).toEqual([
      ['f', 0, 'tracepoint+0x8', 'if', 'nop5', 15],
      ['f', 5, 'elsewhere', 'unless', 'nop2', 10],
      ['f', 7, 'on', 'if', 'jmp2', 8],
      ['f', 9, 'on', 'if', 'jmp5', 6],
    ]);
    expect(staticKeys?.keys.map((k) => [k.name, k.initial, k.branches])).toEqual([
      ['elsewhere', true, 1],
      ['on', true, 2],
      ['tracepoint+0x8', false, 1],
    ]);
  });

  it.each([
    ['\t.long 0\n', 'bad-sites-section', '68 bytes are no whole number of entries of 16'],
    ['\t.quad 0, 0\n', 'bad-sites-section', 'entry 4 has no relocation at 0x40 that fits'],
    [
      '\t.long f + 14 - ., f - .\n\t.quad on - .\n',
      'bad-sites-section',
      'entry 4 names .text+0xe, where no branch is',
    ],
  ])('of a table with %j behind it are refused', (more, code, message) => {
    const { faults, staticKeys } = inspectObject('a.ko', readElf(assemble(MODULE + more), 'a.ko'));
    expect(staticKeys).toBeUndefined();
    expect(faults.map((f) => [f.code, f.message])).toEqual([[code, message]]);
  });

  it('are the same in an object and in what it is linked to', () => {
    const text = `
DEFINE_STATIC_KEY_TRUE(fast);
DEFINE_STATIC_KEY_FALSE(unused);
int f(int a);
int f(int a) { if (static_branch_likely(&fast)) return a; return static_branch_unlikely(&fast) ? 1 : 2; }`;
    const begin = '#include <static_key.h>';
    const [object, linked] = (['object', 'shared'] as const).map((as) => {
      const { path, elf } = compile({ cc: 'gcc', text, begin, as });
      return inspectObject(path, elf).staticKeys!;
    });
    const what = (facts: typeof object): unknown =>
      facts!.branches
        .map((b) => [b.function, b.functionOffset, b.key, b.kind, b.form, b.distance, b.taken])
        .sort();
    expect(what(linked)).toEqual(what(object));
    expect(what(linked)).toHaveLength(2);
    expect(linked!.keys.map((k) => [k.name, k.initial, k.branches])).toEqual([
      ['fast', true, 2],
      ['unused', false, 0],
    ]);
  });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  assemble,
  bytes,
  align,
  cfa,
  gs,
  label,
  mem,
  mem32,
  mem8,
  nop,
  place,
  quad,
  rip,
  word,
  type Instruction,
  type Item,
  type Program,
} from '#asm/assembler';
import { decode } from '#asm/decode';
import { printInsn } from '#asm/print';

/** Every instruction of the code, as text. */
function listing(code: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < code.length;) {
    const insn = decode(code, at);
    if (typeof insn === 'string') throw new Error(`${insn} at ${at}`);
    lines.push(printInsn(insn, at));
    at += insn.length;
  }
  return lines;
}

test('a program is an array, and reads back as it was written', () => {
  const code = assemble([
    ['movabs', 'r8', word('data')],
    ['cmp', mem('r8', 8), 0],
    ['je', 'out'],
    ['lock', 'inc', mem({ base: 'r8', index: 'rcx', scale: 8 })],
    ['mov', 'eax', mem32('rdi')],
    ['push', gs(16)],
    ['call', mem('r8', 8)],
    label('out'),
    ['ret'],
  ]);
  expect(listing(code.bytes)).toEqual(
    [
      'movabs r8, 0x0',
      'cmp qword [r8+0x8], 0x0',
      'je 0x23',
      'lock inc qword [r8+rcx*8]',
      'mov eax, dword [rdi]',
      'push qword gs:[0x10]',
      'call qword [r8+0x8]',
      'ret',
    ].map((line) => line.replace('0x23', `0x${code.labels.get('out')!.toString(16)}`)),
  );
});

test('named words are where the placer fills them in, and nothing else changes', () => {
  const code = assemble([
    ['movabs', 'r8', word('data')],
    ['ret'],
    align(8),
    label('table'),
    quad(word('data')),
    quad(7),
  ]);
  expect(code.words).toEqual([
    { name: 'data', offset: 2 },
    { name: 'data', offset: 16 },
  ]);
  const placed = place(code, { data: -1n });
  expect(
    [...placed].map((byte, i) => (byte === code.bytes[i] ? -1 : i)).filter((i) => i >= 0),
  ).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 18, 19, 20, 21, 22, 23]);
  expect(() => place(code, {})).toThrow('word data has no value');
  expect(() => place(code, { data: 0, dat: 0 })).toThrow('no word dat');
});

test('branches in both directions take the short form wherever it reaches, and the same bytes come out each time', () => {
  const program = (gap: number): Program => [
    label('start'),
    ['jne', 'end'],
    bytes(...Array<number>(gap).fill(0x90)),
    ['jmp', 'start'],
    label('end'),
  ];
  expect(assemble(program(124)).bytes.length).toBe(2 + 124 + 2);
  expect(assemble(program(125)).bytes.length).toBe(6 + 125 + 5);
  expect(assemble(program(126)).bytes).toEqual(assemble(program(126)).bytes);
});

test('relaxation gives branches that land on their labels, whatever lies between', () => {
  const gap = fc.array(fc.integer({ min: 0, max: 200 }), { minLength: 2, maxLength: 12 });
  fc.assert(
    fc.property(gap, fc.infiniteStream(fc.nat()), (gaps, choices) => {
      const program: Item[] = gaps.flatMap((n, i): Item[] => [
        label(`l${i}`),
        ['jmp', `l${choices.next().value! % gaps.length}`],
        bytes(...Array<number>(n).fill(0x90)),
      ]);
      const code = assemble(program);
      const starts = new Set(code.labels.values());
      for (const at of starts) {
        const insn = decode(code.bytes, at);
        if (typeof insn === 'string' || insn.operands[0]?.kind !== 'rel')
          throw new Error('no branch');
        expect(starts.has(at + insn.length + insn.operands[0].distance)).toBe(true);
      }
    }),
    { numRuns: 200 },
  );
});

test('rip-relative operands count from the end of the instruction, behind its immediate', () => {
  const code = assemble([['cmp', rip('value'), 0x12345678], ['ret'], label('value'), quad(1)]);
  const insn = decode(code.bytes);
  if (typeof insn === 'string' || insn.operands[0]?.kind !== 'mem')
    throw new Error('no memory operand');
  expect(insn.length + insn.operands[0].disp).toBe(code.labels.get('value'));
});

test('symbols outside the program are reached from where the code will lie', () => {
  const code = assemble([['call', 'target']], {
    at: -0x7f000000,
    symbols: { target: -0x7f000000 - 0x1000 },
  });
  expect(listing(code.bytes)).toEqual(['call 0xfffffffffffff000']);
});

test('nops of every length are one instruction', () => {
  for (const length of [1, 2, 3, 4, 5, 6, 7, 8, 9] as const) {
    const { bytes: code } = assemble([nop(length)]);
    expect(decode(code)).toMatchObject({ length, form: { name: 'nop' } });
    expect(code.length).toBe(length);
  }
  expect(Buffer.from(assemble([nop(5)]).bytes).toString('hex')).toBe('0f1f440000');
});

test('rules for the call chain are kept at their offsets', () => {
  const code = assemble([
    cfa({ kind: 'call', base: 'rsp', offset: 8 }),
    ['push', 'rbx'],
    cfa({ kind: 'call', base: 'rsp', offset: 16 }),
    ['ret'],
  ]);
  expect(code.cfa).toEqual([
    { offset: 0, rule: { kind: 'call', base: 'rsp', offset: 8 } },
    { offset: 1, rule: { kind: 'call', base: 'rsp', offset: 16 } },
  ]);
});

test.each<[readonly unknown[], string]>([
  [[['mvo', 'rax', 1]], 'item 0, mvo rax 1: no such instruction with these operands'],
  [[['mov', 'rax', 'ebx']], 'no such instruction with these operands'],
  [[['mov', 'rax', mem8('rbx')]], 'no such instruction with these operands'],
  [[['mov', 'rax', 0x1_0000_0000]], 'no such instruction with these operands'],
  [[['mov', 'rax', 1.5]], 'not an exact integer'],
  [[['lock', 'inc', 'rax']], 'LOCK is not allowed here'],
  [[['lock', 'mov', mem('rax'), 'rbx']], 'LOCK is not allowed here'],
  [[['mov', mem('rax'), word('x')]], 'a word stands only in movabs'],
  [[['jmp', 'lop'], label('loop')], 'label lop is not defined; did you mean loop?'],
  [[label('a'), label('a')], 'label a is defined twice'],
  [[bytes(256)], 'a byte is 0 to 255'],
  [[align(3)], 'cannot align to 3'],
])('%j is refused', (program, message) => {
  expect(() => assemble(program as Program)).toThrow(message);
});

test('wrong instructions do not compile', () => {
  const right: Instruction[] = [
    ['mov', 'rax', mem('rdx', 168)],
    ['lock', 'xadd', mem32('rax'), 'ecx'],
    ['setne', 'al'],
    ['shl', 'rax', 'cl'],
    ['mov', 'cr3', 'rax'],
  ];
  // @ts-expect-error sizes differ
  const sizes: Instruction = ['mov', 'rax', 'ebx'];
  // @ts-expect-error no such mnemonic
  const name: Instruction = ['mvo', 'rax', 'rbx'];
  // @ts-expect-error LOCK needs memory that is written
  const lock: Instruction = ['lock', 'cmp', mem('rax'), 'rbx'];
  expect([...right, sizes, name, lock]).toHaveLength(8);
});

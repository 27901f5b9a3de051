import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decode } from '#asm/decode';
import { encodeForm } from '#asm/encode';
import { FORMS, spell, type Form } from '#asm/encoding';
import { printInsn } from '#asm/print';
import { ROWS } from '#asm/table';
import { insnOf } from './operands.js';

const hexOf = (bytes: ArrayLike<number>) => Buffer.from(Array.from(bytes)).toString('hex');
const text = (bytes: ArrayLike<number>) => {
  const insn = decode(bytes);
  return typeof insn === 'string'
    ? insn
    : insn.length === bytes.length
      ? printInsn(insn)
      : `${insn.length} bytes: ${printInsn(insn)}`;
};

test.each([
  ['2e2e2e31c0', 'cs cs cs xor eax, eax'],
  ['2e2e2e2e31c0', 'cs cs cs cs xor eax, eax'],
  ['66664831c0', 'data16 data16 xor rax, rax'],
  ['67e800000000', 'addr32 call .+0x6'],
  ['67480fb93a', 'addr32 ud1 rdi, qword [rdx]'],
  ['0fb9cc', 'ud1 ecx, esp'],
  ['0f1f440000', 'nop dword [rax+rax]'],
  ['660f1f440000', 'data16 nop dword [rax+rax]'],
  ['f3480f1ec8', 'rdsspq rax'],
  ['f30f1efa', 'endbr64'],
  ['65ff342508000000', 'push qword gs:[0x8]'],
  ['f00fc10a', 'lock xadd dword [rdx], ecx'],
  ['48cf', 'iretq'],
])('%s is %s', (hex, printed) => {
  expect(text(Buffer.from(hex, 'hex'))).toBe(printed);
});

test.each([
  ['cf', 'a 32-bit IRET'],
  ['0f', ''],
  ['65c3', 'a segment without memory'],
  ['f090', 'LOCK on a register'],
  ['f04889c8', 'LOCK on MOV'],
  ['6701c0', 'an address size that changes nothing, beside ModRM'],
  ['4990', 'XCHG r8, rax'],
  ['8dc0', 'LEA of a register'],
  ['c5f877', 'VZEROUPPER'],
  ['0f20c9', 'CR1'],
])('%s is no known instruction (%s)', (hex) => {
  expect(decode(Buffer.from(hex, 'hex'))).toBe(hex === '0f' ? 'short' : 'unknown');
});

test('fifteen bytes are the most', () => {
  expect(decode(Buffer.from('2e'.repeat(13) + '31c0', 'hex'))).toMatchObject({ length: 15 });
  expect(decode(Buffer.from('2e'.repeat(14) + '31c0', 'hex'))).toBe('unknown');
});

const objdump = spawnSync('objdump', ['--version']).status === 0;

/**
 * What objdump, which shares nothing with our table, says about each chunk: its length and its
 * text.
 */
function secondOpinion(chunks: readonly number[][]): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'static-call-isa-'));
  try {
    const file = join(folder, 'code');
    // Sixteen bytes apiece, padded by nops, so that one wrong length cannot shift the others.
    writeFileSync(
      file,
      Buffer.concat(
        chunks.map((chunk) =>
          Buffer.from([...chunk, ...Array<number>(16 - chunk.length).fill(0x90)]),
        ),
      ),
    );
    const { stdout } = spawnSync(
      'objdump',
      ['-D', '-b', 'binary', '-m', 'i386:x86-64', '-M', 'intel', '-w', file],
      { encoding: 'utf8', maxBuffer: 1 << 28 },
    );
    const lines = new Map<number, string>();
    for (const [, at, bytes, said] of stdout.matchAll(
      /^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t(.*)$/gm,
    )) {
      lines.set(parseInt(at!, 16), `${bytes!.trim().split(' ').length} ${said!.trim()}`);
    }
    return chunks.map((_, i) => lines.get(16 * i) ?? 'nothing');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Both spellings brought to one: sizes, spaces, hexadecimal and unsigned 64-bit values. */
function normal(said: string): string {
  return said
    .replace(/#.*$|<.*>/g, '')
    .replace(/\b(QWORD|DWORD|WORD|BYTE) PTR |\b(qword|dword|word|byte) (?=\[|[fg]s:)/g, '')
    .replace(/\[(r\w\w?)\+riz\*1/g, '[$1')
    .replace(/\*1(?=[\]+-])/g, '')
    .replace(/:0x([0-9a-f]+)$/g, ':[0x$1]')
    .replace(/([fg]s:|ds:)(-?0x[0-9a-f]+)/g, '$1[$2]')
    .replace(/ds:\[/g, '[')
    .replace(
      /-0x([0-9a-f]+)/g,
      (_, n: string) => `+0x${BigInt.asUintN(64, -BigInt(`0x${n}`)).toString(16)}`,
    )
    .replace(/\+0x0(?=\])/g, '')
    .replace(/(0x[0-9a-f]+)/g, (n: string) => `0x${BigInt.asUintN(64, BigInt(n)).toString(16)}`)
    .replace(/,\s+/g, ',')
    .replace(/\s+/g, ' ')
    .replace(/,\+/g, ',')
    .replace(/\[\+/g, '[')
    .replace(/ \+/g, ' ')
    .trim();
}

/**
 * An immediate is printed at the operand's width there and signed here: a value with its top
 * digit's bit set counts as negative.
 */
const loosely = (said: string) =>
  said.replace(/0x([0-9a-f]+)/g, (_, digits: string) =>
    [2, 4, 8, 16].includes(digits.length)
      ? String(BigInt.asIntN(4 * digits.length, BigInt(`0x${digits}`)))
      : String(BigInt(`0x${digits}`)),
  );

/** Two names that objdump shortens, and its way to write a shift by one. */
const respelled = (said: string) =>
  said.replace(/^(push|pop)f$/, '$1fq').replace(/^((?:shl|shr|sar)\s.*),1$/, '$1,0x1');

function disagreements(forms: readonly Form[], each: number): string[] {
  const samples = forms.flatMap((form) =>
    fc.sample(insnOf(form), { numRuns: each, seed: form.id + 7 }),
  );
  const chunks = samples.map(({ form, operands, lock }) => encodeForm(form, operands, lock));
  const said = secondOpinion(chunks);
  return samples.flatMap(({ form, operands, lock }, i) => {
    const bytes = chunks[i]!;
    const ours = printInsn({ form, operands, lock, pad: [], length: bytes.length }, 16 * i);
    const a = loosely(normal(ours));
    const [length, ...words] = said[i]!.split(' ');
    const b = loosely(normal(respelled(words.join(' '))));
    return Number(length) === bytes.length && a === b
      ? []
      : [`${hexOf(bytes)}: ours ${a}, objdump ${length} ${b}`];
  });
}

test.skipIf(!objdump)('objdump reads every form as we do, in length and in words', () => {
  expect(disagreements(FORMS, 12)).toEqual([]);
});

test.skipIf(!objdump)('objdump notices one altered row', () => {
  const altered = ROWS.map((row) =>
    row[0] === 'xadd'
      ? ([row[0], row[1], row[2].replace('c0', 'b0').replace('c1', 'b1'), row[3], row[4]] as const)
      : row,
  );
  expect(
    disagreements(
      spell(altered).filter(({ key }) => key === 'xadd'),
      2,
    ),
  ).not.toEqual([]);
});

// One instruction of every form, as bytes and text, apart from the table: a row that goes missing
// or changes its bytes leaves a line here that nobody can read any more. Regenerated by UPDATE=1
// where objdump agrees.
const GOLDEN = new URL('./isa.golden.txt', import.meta.url);

test('every instruction of the list is known, and every form is in the list', () => {
  if (process.env['UPDATE'] === '1') {
    const lines = FORMS.map((form) => {
      const [sample] = fc.sample(insnOf(form), { numRuns: 1, seed: form.id + 1 });
      const bytes = encodeForm(form, sample!.operands, sample!.lock);
      return `${hexOf(bytes)}\t${text(bytes)}\n`;
    });
    writeFileSync(GOLDEN, lines.join(''));
  }
  const seen = new Set<number>();
  for (const line of readFileSync(GOLDEN, 'utf8').trimEnd().split('\n')) {
    const [hex = '', said] = line.split('\t');
    const insn = decode(Buffer.from(hex, 'hex'));
    expect(typeof insn === 'string' ? `${hex} is ${insn}` : printInsn(insn)).toBe(said);
    if (typeof insn !== 'string') seen.add(insn.form.id);
  }
  expect(
    FORMS.filter(({ id }) => !seen.has(id)).map(({ name, pattern }) => `${name} ${pattern}`),
  ).toEqual([]);
});

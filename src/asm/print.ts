// An instruction as text, in Intel's order of operands, for traces and messages. Branch targets are
// absolute where the caller says where the instruction lies.

import { hex, type Addr } from '../base/addr.js';
import type { Insn } from './encoding.js';
import { registerName, type Mem, type Operand } from './operand.js';

const NAMES = { 8: 'byte', 16: 'word', 32: 'dword', 64: 'qword' } as const;
const PADS: Readonly<Record<number, string>> = {
  0x26: 'es',
  0x2e: 'cs',
  0x36: 'ss',
  0x3e: 'ds',
  0x66: 'data16',
  0x67: 'addr32',
};

const signed = (value: number) =>
  value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;

export function printInsn(insn: Insn, at?: Addr): string {
  const words = [
    ...insn.pad.map((byte) => PADS[byte] ?? '?'),
    ...(insn.lock ? ['lock'] : []),
    insn.form.name,
  ];
  const operands = insn.operands.map((operand) => printOperand(operand, insn, at)).join(', ');
  return operands === '' ? words.join(' ') : `${words.join(' ')} ${operands}`;
}

function printOperand(operand: Operand, insn: Insn, at: Addr | undefined): string {
  switch (operand.kind) {
    case 'reg':
    case 'control':
      return registerName(operand);
    case 'imm':
      return operand.value < 0n
        ? `-0x${(-operand.value).toString(16)}`
        : `0x${operand.value.toString(16)}`;
    case 'rel':
      return at === undefined
        ? `.${operand.distance + insn.length < 0 ? '' : '+'}${signed(operand.distance + insn.length)}`
        : hex(at + insn.length + operand.distance);
    case 'mem':
      return `${insn.form.key === 'lea' ? '' : `${NAMES[operand.size]} `}${operand.segment === null ? '' : `${operand.segment}:`}[${place(operand)}]`;
  }
}

function place({ base, index, scale, disp }: Mem): string {
  const name = (number: number) => registerName({ kind: 'reg', size: 64, number, high: false });
  const parts = [
    ...(base === 'rip' ? ['rip'] : base === null ? [] : [name(base)]),
    ...(index === null ? [] : [scale === 1 ? name(index) : `${name(index)}*${scale}`]),
  ];
  if (parts.length === 0) return signed(disp);
  return disp === 0 ? parts.join('+') : `${parts.join('+')}${disp < 0 ? '' : '+'}${signed(disp)}`;
}

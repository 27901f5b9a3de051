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

const signed = (value: number | bigint) =>
  value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
/** As a summand, with its sign. */
const added = (value: number) => (value < 0 ? signed(value) : `+${signed(value)}`);

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
      return signed(operand.value);
    case 'rel': {
      const fromStart = operand.distance + insn.length;
      return at === undefined ? `.${added(fromStart)}` : hex(at + fromStart);
    }
    case 'mem': {
      const size = insn.form.key === 'lea' ? '' : `${NAMES[operand.size]} `;
      const segment = operand.segment === null ? '' : `${operand.segment}:`;
      return `${size}${segment}[${place(operand)}]`;
    }
  }
}

function place({ base, index, scale, disp }: Mem): string {
  const name = (number: number) => registerName({ kind: 'reg', size: 64, number, high: false });
  const parts: string[] = [];
  if (base !== null) parts.push(base === 'rip' ? base : name(base));
  if (index !== null) parts.push(scale === 1 ? name(index) : `${name(index)}*${scale}`);
  if (parts.length === 0) return signed(disp);
  return disp === 0 ? parts.join('+') : `${parts.join('+')}${added(disp)}`;
}

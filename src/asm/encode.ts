// From a form and its operands to bytes (SDM volume 2, chapter 2). Prefixes come in one order:
// padding, LOCK, segment, mandatory prefix, REX. Of several forms that take the same operands the
// shortest is chosen and, among equals, the first of the table, so the same program always gives
// the same bytes.

import { invariant } from '../base/invariant.js';
import { CONTROLS, type Mem, type Operand } from './operand.js';
import { FORMS, type Form, type Insn, type Kind } from './encoding.js';

const SEGMENT = { fs: 0x64, gs: 0x65 } as const;
const LOCK = 0xf0;
/** ModRM.mod by the bytes of the displacement. */
const MOD = { 0: 0, 1: 1, 4: 2 } as const;
const LOG = { 1: 0, 2: 1, 4: 2, 8: 3 } as const;

const fits8 = (value: number) => value >= -0x80 && value < 0x80;
const fits32 = (value: number) =>
  Number.isInteger(value) && value >= -0x8000_0000 && value < 0x8000_0000;

/** Whether the operand may stand where the kind says. */
export function accepts(kind: Kind, operand: Operand): boolean {
  switch (operand.kind) {
    case 'reg':
      return (
        kind.register &&
        kind.size === operand.size &&
        (kind.field !== 'fixed' || (operand.number === Number(kind.low) && !operand.high))
      );
    case 'mem':
      return kind.memory && (kind.size === null || kind.size === operand.size);
    case 'control':
      return kind.control && CONTROLS.includes(operand.number);
    case 'imm':
      return (
        (kind.field === 'imm' || (kind.field === 'fixed' && !kind.register)) &&
        operand.value >= kind.low &&
        operand.value <= kind.high
      );
    case 'rel':
      return (
        kind.field === 'rel' &&
        (kind.bytes === 1 ? fits8(operand.distance) : fits32(operand.distance))
      );
  }
}

/** The bytes of the displacement that the manual's shortest encoding needs. */
export function dispBytes(mem: Mem): 0 | 1 | 4 {
  if (typeof mem.base !== 'number') return 4;
  // rbp and r13 have no form without a displacement: that pattern means rip or none.
  if (mem.disp === 0 && (mem.base & 7) !== 5) return 0;
  return fits8(mem.disp) ? 1 : 4;
}

function pushLittle(bytes: number[], value: number | bigint, count: number): void {
  for (let i = 0n, rest = BigInt(value); i < count; i++, rest >>= 8n)
    bytes.push(Number(rest & 0xffn));
}

/** The bytes of one form; the operands must be ones that it accepts. */
export function encodeForm(
  form: Form,
  operands: readonly Operand[],
  lock = false,
  pad: readonly number[] = [],
): number[] {
  invariant(
    operands.length === form.kinds.length,
    `${form.name} takes ${form.kinds.length} operands`,
  );
  const bytes = [...pad];
  let rex = form.wide ? 0x48 : 0;
  let reg = typeof form.modrm === 'number' ? form.modrm : 0;
  let rm: Operand | undefined;
  let bare = false;
  form.kinds.forEach((kind, i) => {
    const operand = operands[i]!;
    invariant(accepts(kind, operand), `operand ${i + 1} of ${form.name} ${form.pattern}`);
    if (operand.kind === 'reg' && operand.size === 8 && kind.field !== 'fixed') {
      // Numbers 4 to 7 are ah..bh without REX and spl..dil with any.
      if (operand.high) bare = true;
      else if (operand.number >= 4) rex |= 0x40;
    }
    if (kind.field === 'rm') rm = operand;
    else if (kind.field === 'reg' && (operand.kind === 'reg' || operand.kind === 'control'))
      reg = operand.number + (operand.kind === 'reg' && operand.high ? 4 : 0);
  });
  if (lock) bytes.push(LOCK);
  if (rm?.kind === 'mem' && rm.segment !== null) bytes.push(SEGMENT[rm.segment]);
  if (form.prefix !== 0) bytes.push(form.prefix);

  if (reg >= 8) rex |= form.plus ? 0x41 : 0x44;
  const tail: number[] = [];
  if (rm?.kind === 'reg') {
    const number = rm.number + (rm.high ? 4 : 0);
    if (number >= 8) rex |= 0x41;
    tail.push(0xc0 | ((reg & 7) << 3) | (number & 7));
  } else if (rm?.kind === 'mem') {
    rex |= memory(rm, reg & 7, tail);
  }
  invariant(
    !bare || rex === 0,
    `${form.name}: ah, bh, ch and dh cannot stand in an instruction with a REX prefix`,
  );
  if (rex !== 0) bytes.push(rex);
  form.opcode.forEach((byte, i) =>
    bytes.push(form.plus && i === form.opcode.length - 1 ? byte + (reg & 7) : byte),
  );
  bytes.push(...tail);
  form.kinds.forEach((kind, i) => {
    const operand = operands[i]!;
    if (operand.kind === 'imm' && kind.field === 'imm')
      pushLittle(bytes, operand.value, kind.bytes);
    else if (operand.kind === 'rel') pushLittle(bytes, operand.distance, kind.bytes);
  });
  return bytes;
}

/** Appends ModRM, SIB and displacement; returns the REX bits that they need. */
function memory(mem: Mem, reg: number, tail: number[]): number {
  const { base, index, disp } = mem;
  invariant(fits32(disp), `a displacement of ${disp} needs more than 32 bits`);
  const modrm = (mod: number, rm: number) => (mod << 6) | (reg << 3) | rm;
  const sib = (low: number) =>
    (LOG[mem.scale] << 6) | ((index === null ? 4 : index & 7) << 3) | low;
  const rex =
    (index !== null && index >= 8 ? 0x42 : 0) | (typeof base === 'number' && base >= 8 ? 0x41 : 0);
  invariant(index !== 4, 'rsp cannot be an index');
  if (base === 'rip') {
    invariant(index === null, 'rip takes no index');
    tail.push(modrm(0, 5));
    pushLittle(tail, disp, 4);
    return rex;
  }
  // In 64-bit mode a plain disp32 is rip-relative; an absolute one takes a SIB byte without base.
  if (base === null) {
    tail.push(modrm(0, 4), sib(5));
    pushLittle(tail, disp, 4);
    return rex;
  }
  const needed = dispBytes(mem);
  const count = mem.dispBytes === undefined || mem.dispBytes < needed ? needed : mem.dispBytes;
  const mod = MOD[count];
  if (index !== null || (base & 7) === 4) tail.push(modrm(mod, 4), sib(base & 7));
  else tail.push(modrm(mod, base & 7));
  pushLittle(tail, disp, count);
  return rex;
}

/** Whether each operand may stand where the form has it. */
export const takes = (form: Form, operands: readonly Operand[]): boolean =>
  form.kinds.length === operands.length &&
  form.kinds.every((kind, i) => accepts(kind, operands[i]!));

const BY_NAME = byName(FORMS);
function byName(forms: readonly Form[]): ReadonlyMap<string, readonly Form[]> {
  const rows = new Map<string, Form[]>();
  for (const form of forms) {
    const known = rows.get(form.name);
    if (known) known.push(form);
    else rows.set(form.name, [form]);
  }
  return rows;
}

/** Every form of that name that takes these operands, in table order. */
export const candidates = (name: string, operands: readonly Operand[]): readonly Form[] =>
  (BY_NAME.get(name) ?? []).filter((form) => takes(form, operands));

/** The shortest encoding, or null where no form takes these operands. */
export function encode(name: string, operands: readonly Operand[], lock = false): number[] | null {
  let best: number[] | null = null;
  for (const form of candidates(name, operands)) {
    if (lock && !(form.lockable && operands[0]?.kind === 'mem')) continue;
    const bytes = encodeForm(form, operands, lock);
    if (best === null || bytes.length < best.length) best = bytes;
  }
  return best;
}

/** A decoded instruction back to the bytes it came from, if its prefixes stood in our order. */
export function encodeInsn(insn: Insn): number[] {
  return encodeForm(insn.form, insn.operands, insn.lock, insn.pad);
}

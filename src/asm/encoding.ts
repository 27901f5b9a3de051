// Each row of the table, spelled out: one Form for every family member and operand size, with its
// encoding taken apart into fields. Encoder and decoder are two small interpreters over these.

import { invariant } from '../base/invariant.js';
import { FAMILIES, ROWS, type RowName, type Runs } from './table.js';
import type { Operand, Size } from './operand.js';

/** Where an operand's bits are and what it may be. */
export interface Kind {
  /**
   * `reg`: ModRM.reg or the opcode; `rm`: ModRM.rm; `imm`, `rel`: bytes after ModRM; `fixed`:
   * nowhere, the form implies it.
   */
  readonly field: 'reg' | 'rm' | 'imm' | 'rel' | 'fixed';
  /** Of the register or memory operand; null where it has none. */
  readonly size: Size | null;
  readonly register: boolean;
  readonly memory: boolean;
  readonly control: boolean;
  /** Bytes in the instruction. */
  readonly bytes: number;
  /**
   * An immediate's accepted values, or the number of the register that the form implies;
   * written as the assembler takes them; the decoder yields the signed one.
   */
  readonly low: bigint;
  readonly high: bigint;
}

const kind = (field: Kind['field'], rest: Partial<Kind> = {}): Kind => ({
  field,
  size: null,
  register: false,
  memory: false,
  control: false,
  bytes: 0,
  low: 0n,
  high: 0n,
  ...rest,
});
/** `wide`: the unsigned reading is accepted too, because the operand is just as wide. */
const imm = (bytes: number, wide: boolean): Kind => {
  const bits = BigInt(8 * bytes);
  return kind('imm', {
    bytes,
    low: -(1n << (bits - 1n)),
    high: wide ? (1n << bits) - 1n : (1n << (bits - 1n)) - 1n,
  });
};

const sizes: readonly Size[] = [8, 16, 32, 64];
const KINDS: Readonly<Record<string, Kind>> = {
  ...Object.fromEntries(
    sizes.flatMap((size) => [
      [`r${size}`, kind('reg', { size, register: true })],
      [`rm${size}`, kind('rm', { size, register: true, memory: true })],
      [`R${size}`, kind('rm', { size, register: true })],
      [`m${size}`, kind('rm', { size, memory: true })],
    ]),
  ),
  m: kind('rm', { memory: true }),
  cr: kind('reg', { control: true }),
  imm8: imm(1, true),
  imm16: imm(2, true),
  imm64: imm(8, true),
  simm8: imm(1, false),
  iz32: imm(4, true),
  iz64: imm(4, false),
  rel8: kind('rel', { bytes: 1 }),
  rel32: kind('rel', { bytes: 4 }),
  one: kind('fixed', { low: 1n, high: 1n }),
  cl: kind('fixed', { size: 8, register: true, low: 1n, high: 1n }),
  eax: kind('fixed', { size: 32, register: true }),
};

export interface Form {
  /** Position in FORMS. */
  readonly id: number;
  /** Position in ROWS. */
  readonly row: number;
  /** The row's name as written, `j{cc}`: the key of its semantics. */
  readonly key: RowName;
  readonly name: string;
  /** Number of the family member; 0 without a family. */
  readonly member: number;
  readonly kinds: readonly Kind[];
  readonly pattern: string;
  /** 66, f2 or f3 that belongs to the opcode; 0 for none. */
  readonly prefix: number;
  readonly wide: boolean;
  readonly opcode: readonly number[];
  /** The low three bits of the last opcode byte are a register. */
  readonly plus: boolean;
  /** `r`, a digit, or null for no ModRM. */
  readonly modrm: 'r' | number | null;
  readonly lockable: boolean;
  readonly runs: Runs;
  readonly manual: string;
}

const PREFIXES = new Set(['66', 'f2', 'f3']);

/** All forms in table order; built anew from any rows so that tests can alter one. */
export function spell(rows: readonly (readonly [string, string, string, Runs, string])[]): Form[] {
  const forms: Form[] = [];
  rows.forEach(([key, operands, encoding, runs, manual], row) => {
    const family = /\{(\w+)\}/.exec(key)?.[1];
    const members =
      family === undefined
        ? [['', 0] as const]
        : Object.entries(FAMILIES[family as keyof typeof FAMILIES]);
    const widths = operands.includes('v') ? ['32', '64'] : [''];
    for (const width of widths) {
      for (const [member, number] of members) {
        const pattern = operands.replaceAll('v', width);
        const form = {
          id: forms.length,
          row,
          key: key as RowName,
          name: key.replace(/\{\w+\}/, member),
          member: number,
          pattern,
          runs,
          manual,
        };
        forms.push({ ...form, kinds: kindsOf(pattern), ...fieldsOf(encoding, width, number) });
      }
    }
  });
  return forms;
}

function kindsOf(pattern: string): Kind[] {
  if (pattern === '') return [];
  return pattern.split(', ').map((name) => {
    const found = KINDS[name];
    invariant(found, `the instruction table names an operand ${name}`);
    return found;
  });
}

function fieldsOf(encoding: string, width: string, member: number) {
  let prefix = 0;
  let wide = false;
  let plus = false;
  let lockable = false;
  let modrm: Form['modrm'] = null;
  const opcode: number[] = [];
  for (const token of encoding.split(' ')) {
    if (token === 'LOCK') lockable = true;
    else if (token === 'W') wide = true;
    else if (token === 'v') wide = width === '64';
    else if (token === '/r') modrm = 'r';
    else if (token.startsWith('/{')) modrm = member;
    else if (token.startsWith('/')) modrm = Number(token.slice(1));
    else if (opcode.length === 0 && PREFIXES.has(token)) prefix = parseInt(token, 16);
    else {
      const [byte = '', add = ''] = token.split('+');
      plus = add === 'r';
      let value = parseInt(byte, 16);
      if (add.startsWith('{')) value += member;
      else if (add.startsWith('8{')) value += 8 * member;
      opcode.push(value);
    }
  }
  return { prefix, wide, opcode, plus, modrm, lockable };
}

export const FORMS: readonly Form[] = spell(ROWS);

/** One instruction: decoded, or about to be encoded. */
export interface Insn {
  readonly form: Form;
  readonly operands: readonly Operand[];
  readonly lock: boolean;
  /**
   * Prefix bytes without effect, which come first: segment overrides of branches, padding of nops.
   */
  readonly pad: readonly number[];
  readonly length: number;
}

/**
 * Whether it is one locked read-modify-write: XCHG with memory always is (SDM volume 3, 9.1.2.1).
 */
export function isLocked(insn: Insn): boolean {
  return (
    insn.lock ||
    (insn.form.key === 'xchg' && insn.operands.some((operand) => operand.kind === 'mem'))
  );
}

// From bytes to one instruction, over the same forms as the encoder. What has no row is `unknown`,
// also where a real CPU would run it: a simulation must end rather than guess. `short` says that
// the bytes so far begin a known instruction, which is what a CPU that fetches piece by piece needs
// to know.

import { invariant } from '../base/invariant.js';
import { CONTROLS, type Mem, type Operand } from './operand.js';
import { dispBytes } from './encode.js';
import { FORMS, type Form, type Insn, type Kind } from './encoding.js';

/** SDM volume 2, 2.3.11: a longer instruction is #GP. */
const LONGEST = 15;

/** By the two high bits of SIB. */
const SCALES = [1, 2, 4, 8] as const;
/** Bytes of the displacement behind a base register, by ModRM.mod. */
const DISPLACEMENTS = [0, 1, 4] as const;

/**
 * Overrides of a segment whose base is zero in 64-bit mode (SDM volume 1, 3.3.7.1): es cs ss ds.
 */
const FLAT = new Set([0x26, 0x2e, 0x36, 0x3e]);

export type Decoded = Insn | 'short' | 'unknown';

interface Prefixes {
  readonly lock: boolean;
  readonly segment: 'fs' | 'gs' | null;
  /** 66, f2, f3 and 67 in order of appearance. */
  readonly others: readonly number[];
  readonly flat: readonly number[];
  readonly rex: number | null;
}

/** Makes the decoder of some forms. */
export function decoder(
  forms: readonly Form[],
): (bytes: ArrayLike<number>, at?: number) => Decoded {
  const byOpcode = new Map<string, Form[]>();
  const prefixesOfOpcodes = new Set<string>();
  for (const form of forms) {
    for (let low = 0; low < (form.plus ? 8 : 1); low++) {
      const opcode = form.opcode.map((byte, i) => byte + (i === form.opcode.length - 1 ? low : 0));
      const key = opcode.join();
      byOpcode.set(key, [...(byOpcode.get(key) ?? []), form]);
      for (let i = 1; i < opcode.length; i++) prefixesOfOpcodes.add(opcode.slice(0, i).join());
    }
  }

  return (bytes, at = 0) => {
    let i = at;
    let lock = false;
    let segment: Prefixes['segment'] = null;
    let rex: number | null = null;
    const others: number[] = [];
    const flat: number[] = [];
    for (; ; i++) {
      if (i - at >= LONGEST) return 'unknown';
      const byte = bytes[i];
      if (byte === undefined) return 'short';
      if (byte === 0xf0 && !lock) lock = true;
      else if (byte === 0x64 || byte === 0x65) {
        if (segment !== null) return 'unknown';
        segment = byte === 0x64 ? 'fs' : 'gs';
      } else if (FLAT.has(byte)) flat.push(byte);
      else if (byte === 0x66 || byte === 0x67 || byte === 0xf2 || byte === 0xf3) others.push(byte);
      else break;
    }
    // REX counts only directly before the opcode (SDM volume 2, 2.2.1).
    const lead = bytes[i];
    if (lead !== undefined && (lead & 0xf0) === 0x40) {
      rex = lead;
      i++;
    }

    // The longest opcode wins: f3 0f 1e fa is ENDBR64, though 0f 1e takes a ModRM byte elsewhere.
    const opcode: number[] = [];
    const found: [Form, number][] = [];
    let open = false;
    for (;;) {
      const byte = bytes[i + opcode.length];
      if (byte === undefined) {
        open = true;
        break;
      }
      opcode.push(byte);
      const key = opcode.join();
      for (const form of byOpcode.get(key) ?? []) found.unshift([form, i + opcode.length]);
      if (!prefixesOfOpcodes.has(key)) break;
    }
    found.sort((a, b) => b[1] - a[1] || a[0].id - b[0].id);
    const prefixes: Prefixes = { lock, segment, others, flat, rex };
    for (const [form, next] of found) {
      const insn = operandsOf(form, prefixes, bytes, at, next);
      if (insn === 'short') open = true;
      else if (insn !== 'unknown') return insn;
    }
    return open && bytes.length - at < LONGEST ? 'short' : 'unknown';
  };
}

/** `unknown` where this form is not what the bytes say. */
function operandsOf(
  form: Form,
  prefixes: Prefixes,
  bytes: ArrayLike<number>,
  at: number,
  start: number,
): Decoded {
  const rex = prefixes.rex ?? 0;
  if (((rex & 8) !== 0) !== form.wide) return 'unknown';
  const pad = padding(form, prefixes);
  if (pad === null) return 'unknown';
  const fields = fieldsOf(form, prefixes, bytes, start);
  if (typeof fields === 'string') return fields;
  const { reg, rm, used } = fields;
  if ((rex & 0xf & ~used) !== 0) return 'unknown';
  if (prefixes.lock && !(form.lockable && rm?.kind === 'mem')) return 'unknown';
  if (prefixes.segment !== null && rm?.kind !== 'mem') return 'unknown';

  let i = fields.next;
  const operands: Operand[] = [];
  for (const kind of form.kinds) {
    if (kind.field === 'rm') {
      invariant(rm, 'a form with an operand in ModRM.rm has a ModRM byte');
      operands.push(rm);
    } else if (kind.field === 'reg') {
      if (kind.control && !CONTROLS.includes(reg)) return 'unknown';
      operands.push(
        kind.control ? { kind: 'control', number: reg } : register(kind, prefixes, reg),
      );
    } else if (kind.field === 'fixed') {
      operands.push(
        kind.register
          ? register(kind, prefixes, Number(kind.low))
          : { kind: 'imm', value: kind.low },
      );
    } else {
      if (i + kind.bytes > bytes.length) return 'short';
      const value = little(bytes, i, kind.bytes);
      i += kind.bytes;
      operands.push(
        kind.field === 'rel' ? { kind: 'rel', distance: Number(value) } : { kind: 'imm', value },
      );
    }
  }
  if (i - at > LONGEST) return 'unknown';
  return { form, operands, lock: prefixes.lock, pad, length: i - at };
}

/** What the opcode's low bits, ModRM, SIB and the displacement say. */
interface Fields {
  readonly reg: number;
  readonly rm: Operand | null;
  /** REX bits that this form gives a meaning; any other is a different instruction or none. */
  readonly used: number;
  /** Where the immediate begins. */
  readonly next: number;
}

function fieldsOf(
  form: Form,
  prefixes: Prefixes,
  bytes: ArrayLike<number>,
  start: number,
): Fields | 'short' | 'unknown' {
  const rex = prefixes.rex ?? 0;
  let reg = 0;
  let used = 8;
  if (form.plus) {
    reg = (bytes[start - 1]! & 7) | (rex & 1 ? 8 : 0);
    used |= 1;
  }
  if (form.modrm === null) return { reg, rm: null, used, next: start };
  const modrm = bytes[start];
  if (modrm === undefined) return 'short';
  const digit = (modrm >> 3) & 7;
  if (typeof form.modrm === 'number') {
    if (form.modrm !== digit) return 'unknown';
  } else {
    reg = digit | (rex & 4 ? 8 : 0);
    used |= 4;
  }
  const kind = form.kinds.find(({ field }) => field === 'rm');
  invariant(kind, 'a form with a ModRM byte has an operand in ModRM.rm');
  if (modrm >> 6 === 3) {
    if (!kind.register) return 'unknown';
    const rm = register(kind, prefixes, (modrm & 7) | (rex & 1 ? 8 : 0));
    return { reg, rm, used: used | 1, next: start + 1 };
  }
  if (!kind.memory) return 'unknown';
  const read = memory(kind, prefixes, bytes, start + 1, modrm);
  if (read === 'short') return 'short';
  return { reg, rm: read.mem, used: used | read.rex, next: read.next };
}

/** Numbers 4 to 7 of eight bits are ah to bh where there is no REX. */
function register({ size }: Kind, { rex }: Prefixes, number: number): Operand {
  invariant(size !== null, 'a register operand has a size');
  const high = size === 8 && rex === null && number >= 4 && number < 8;
  return { kind: 'reg', size, number: high ? number - 4 : number, high };
}

/**
 * The prefixes that this form ignores, or null where one of the prefixes changes the instruction.
 * Flat segment overrides mean nothing; 66 means nothing beside REX.W and on a nop; 67 means nothing
 * where no memory is addressed, and UD1 and NOP address none.
 */
function padding(form: Form, { others, flat, rex }: Prefixes): number[] | null {
  const pad = [...flat];
  let needed = form.prefix;
  for (const prefix of others) {
    if (prefix === needed) needed = 0;
    else if (
      prefix === 0x66 &&
      form.prefix === 0 &&
      ((form.wide && rex !== null) || form.key === 'nop')
    )
      pad.push(prefix);
    else if (prefix === 0x67 && (form.modrm === null || form.key === 'nop' || form.key === 'ud1'))
      pad.push(prefix);
    else return null;
  }
  return needed === 0 ? pad : null;
}

function little(bytes: ArrayLike<number>, at: number, count: number): bigint {
  let value = 0n;
  for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]!);
  return BigInt.asIntN(8 * count, value);
}

function memory(
  kind: Kind,
  { segment, rex }: Prefixes,
  bytes: ArrayLike<number>,
  start: number,
  modrm: number,
): { mem: Mem; next: number; rex: number } | 'short' {
  const bits = rex ?? 0;
  let i = start;
  const mod = modrm >> 6;
  let base: Mem['base'] = modrm & 7;
  let index: number | null = null;
  let scale: Mem['scale'] = 1;
  let used = 1;
  if (base === 4) {
    const sib = bytes[i++];
    if (sib === undefined) return 'short';
    used |= 2;
    const number = ((sib >> 3) & 7) | (bits & 2 ? 8 : 0);
    if (number !== 4) {
      index = number;
      scale = SCALES[sib >> 6]!;
    }
    base = sib & 7;
    if (base === 5 && mod === 0) base = null;
  } else if (base === 5 && mod === 0) base = 'rip';
  const count = typeof base === 'number' ? DISPLACEMENTS[mod]! : 4;
  if (i + count > bytes.length) return 'short';
  const disp = Number(little(bytes, i, count));
  if (typeof base === 'number') base |= bits & 1 ? 8 : 0;
  const mem: Mem = { kind: 'mem', size: kind.size ?? 64, base, index, scale, disp, segment };
  return {
    mem: count > dispBytes(mem) ? { ...mem, dispBytes: count } : mem,
    next: i + count,
    rex: used,
  };
}

export const decode: (bytes: ArrayLike<number>, at?: number) => Decoded = decoder(FORMS);

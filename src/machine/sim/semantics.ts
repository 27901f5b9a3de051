// What each row of the instruction table does, by the row's name. The compiler refuses a row
// without an entry and an entry without a row. Values are unsigned bigints of the operand's size.
// Flags that the manual leaves undefined are cleared or kept, whichever is shorter here, and named
// beside it, so that a comparison with a real CPU can mask them and a checker could branch on them.

import { addrAt, addrFromBits, bitsFromAddr, type Addr } from '../../base/addr.js';
import { invariant } from '../../base/invariant.js';
import type { Insn } from '../../asm/encoding.js';
import type { Mem, Operand, Reg } from '../../asm/operand.js';
import { FAMILIES, type RowName } from '../../asm/table.js';
import { ARITHMETIC, FLAG, REG, SELECTOR, type Cpu, type Outcome, type Port } from './cpu.js';

/**
 * Thrown inside an instruction and caught by `execute`. It is one object and no Error, because it
 * is an ordinary outcome.
 */
export const GENERAL_PROTECTION: unique symbol = Symbol('#GP');

export interface Context {
  readonly insn: Insn;
  readonly cpu: Cpu;
  readonly port: Port;
  /** Address of the next instruction. */
  readonly next: Addr;
}

export interface Semantics {
  readonly run: (context: Context) => Outcome;
  readonly undefinedFlags?: (insn: Insn, cpu: Cpu) => number;
}

// Operands.

/**
 * Canonical addresses lie within this distance of zero (four-level paging; SDM volume 1, 3.3.7.1).
 */
const CANONICAL = 2 ** 47;

function canonical(bits: bigint): Addr {
  // A double that was rounded is far outside the range, so the comparison is right for all of them.
  const signed = Number(BigInt.asIntN(64, bits));
  if (signed >= CANONICAL || signed < -CANONICAL) throw GENERAL_PROTECTION;
  return signed;
}

/** Without the segment, as LEA wants it. */
function effective({ cpu, next }: Context, mem: Mem): bigint {
  let sum = BigInt(mem.disp);
  if (mem.base === 'rip') sum += BigInt(next);
  else if (mem.base !== null) sum += cpu.r[mem.base]!;
  if (mem.index !== null) sum += cpu.r[mem.index]! * BigInt(mem.scale);
  return BigInt.asUintN(64, sum);
}

/** Sums of a few numbers below this are exact in a double. */
const EXACT = 2 ** 49;

/** A base or an index as a number, which may have been rounded. */
function plain({ cpu, next }: Context, from: Mem['base']): number {
  if (from === null) return 0;
  return from === 'rip' ? next : addrAt(cpu.halves, 2 * from);
}

function segmentBase(cpu: Cpu, segment: Mem['segment']): Addr {
  if (segment === null) return 0;
  return segment === 'gs' ? cpu.gsBase : cpu.fsBase;
}

function address(context: Context, mem: Mem): Addr {
  const segment = segmentBase(context.cpu, mem.segment);
  // Nearly every address is the sum of small numbers; bigints, six times as slow, are for those
  // that wrap around.
  const base = plain(context, mem.base);
  const index = plain(context, mem.index) * mem.scale;
  if (base > -EXACT && base < EXACT && index > -EXACT && index < EXACT) {
    const sum = segment + base + index + mem.disp;
    if (sum >= CANONICAL || sum < -CANONICAL) throw GENERAL_PROTECTION;
    return sum;
  }
  return canonical(effective(context, mem) + BigInt(segment));
}

function readReg(cpu: Cpu, reg: Reg): bigint {
  const value = cpu.r[reg.number]!;
  return BigInt.asUintN(reg.size, reg.high ? value >> 8n : value);
}

/** A 32-bit result clears the upper half; a shorter one leaves the rest (SDM volume 1, 3.4.1.1). */
function writeReg(cpu: Cpu, reg: Reg, value: bigint): void {
  const old = cpu.r[reg.number]!;
  if (reg.size >= 32) cpu.r[reg.number] = BigInt.asUintN(reg.size, value);
  else {
    const shift = reg.high ? 8n : 0n;
    const mask = ((1n << BigInt(reg.size)) - 1n) << shift;
    cpu.r[reg.number] = (old & ~mask) | ((value << shift) & mask);
  }
}

const operand = ({ insn }: Context, i: number): Operand => insn.operands[i]!;

function memory(context: Context, i: number): Mem {
  const found = operand(context, i);
  invariant(found.kind === 'mem', 'the form has a memory operand there');
  return found;
}

const BYTES = { 8: 1, 16: 2, 32: 4, 64: 8 } as const;

/** Size in bits of the first register or memory operand. */
function width({ insn }: { insn: Insn }): 8 | 16 | 32 | 64 {
  for (const each of insn.operands)
    if (each.kind === 'reg' || each.kind === 'mem') return each.size;
  return 64;
}

function get(context: Context, i: number): bigint {
  const from = operand(context, i);
  switch (from.kind) {
    case 'reg':
      return readReg(context.cpu, from);
    case 'mem':
      return context.port.read(address(context, from), BYTES[from.size]);
    case 'imm':
      return BigInt.asUintN(width(context), from.value);
    case 'control':
      return context.cpu.cr[from.number]!;
    case 'rel':
      return bitsFromAddr(context.next + from.distance);
  }
}

function set(context: Context, i: number, value: bigint): void {
  const to = operand(context, i);
  if (to.kind === 'reg') writeReg(context.cpu, to, value);
  else if (to.kind === 'mem')
    context.port.write(address(context, to), BYTES[to.size], BigInt.asUintN(to.size, value));
  else if (to.kind === 'control') context.cpu.cr[to.number] = value;
}

function push({ cpu, port }: Context, value: bigint): void {
  const top = BigInt.asUintN(64, cpu.r[REG.rsp] - 8n);
  port.write(canonical(top), 8, value);
  cpu.r[REG.rsp] = top;
}

/** The word on top of the stack; `release` takes it away once nothing can fail any more. */
const top = ({ cpu, port }: Context): bigint => port.read(canonical(cpu.r[REG.rsp]), 8);
function release({ cpu }: Context, bytes: bigint): void {
  cpu.r[REG.rsp] = cpu.r[REG.rsp] + bytes;
}

const advance = (context: Context, outcome: Outcome = 'next'): Outcome => {
  context.cpu.rip = context.next;
  return outcome;
};

// Flags.

/** Sets `value` under `mask`. */
function setFlags(cpu: Cpu, mask: number, value: number): void {
  cpu.flags = (cpu.flags & ~mask) | (value & mask);
}

/** SF, ZF and PF of a result; PF is of its low byte. */
function resultFlags(result: bigint, bits: number): number {
  let low = Number(result & 0xffn);
  low ^= low >> 4;
  low ^= low >> 2;
  low ^= low >> 1;
  return (
    (result === 0n ? FLAG.zf : 0) |
    (result >> BigInt(bits - 1) === 1n ? FLAG.sf : 0) |
    (low & 1 ? 0 : FLAG.pf)
  );
}

interface Result {
  readonly value: bigint;
  readonly flags: number;
}

function add(a: bigint, b: bigint, carry: bigint, bits: number): Result {
  const sum = a + b + carry;
  const value = BigInt.asUintN(bits, sum);
  const sign = BigInt(bits - 1);
  const flags =
    resultFlags(value, bits) |
    (sum !== value ? FLAG.cf : 0) |
    (((a ^ value) & (b ^ value)) >> sign === 1n ? FLAG.of : 0) |
    Number((a ^ b ^ value) & 0x10n);
  return { value, flags };
}

function subtract(a: bigint, b: bigint, borrow: bigint, bits: number): Result {
  const value = BigInt.asUintN(bits, a - b - borrow);
  const sign = BigInt(bits - 1);
  const flags =
    resultFlags(value, bits) |
    (a < b + borrow ? FLAG.cf : 0) |
    (((a ^ b) & (a ^ value)) >> sign === 1n ? FLAG.of : 0) |
    Number((a ^ b ^ value) & 0x10n);
  return { value, flags };
}

const logic = (value: bigint, bits: number): Result => ({ value, flags: resultFlags(value, bits) });
const LOGIC_UNDEFINED = FLAG.af;

/** By member number: the digit of the opcode. 7 is CMP, a row of its own. */
const ALU: Readonly<Record<number, (a: bigint, b: bigint, carry: bigint, bits: number) => Result>> =
  {
    0: (a, b, _, bits) => add(a, b, 0n, bits),
    1: (a, b, _, bits) => logic(a | b, bits),
    2: add,
    3: subtract,
    4: (a, b, _, bits) => logic(a & b, bits),
    5: (a, b, _, bits) => subtract(a, b, 0n, bits),
    6: (a, b, _, bits) => logic(a ^ b, bits),
  };
const LOGICAL = new Set([1, 4, 6]);

const carry = (cpu: Cpu): bigint => (cpu.flags & FLAG.cf ? 1n : 0n);

/**
 * Whether a condition, 0 to 15 as in the opcode, holds (SDM volume 1, B.1). Bit 0 inverts; the rest
 * selects a test.
 */
export function condition(flags: number, code: number): boolean {
  const has = (flag: number) => (flags & flag) !== 0;
  const unequal = has(FLAG.sf) !== has(FLAG.of);
  const tests = [
    has(FLAG.of),
    has(FLAG.cf),
    has(FLAG.zf),
    has(FLAG.cf | FLAG.zf),
    has(FLAG.sf),
    has(FLAG.pf),
    unequal,
    has(FLAG.zf) || unequal,
  ];
  return tests[code >> 1] !== ((code & 1) === 1);
}

// Control transfer.

/** The shadow stack, where it is on, must say the same as the stack (SDM volume 1, 17.2.1). */
function call(context: Context, target: Addr, outcome: Outcome): Outcome {
  const { cpu, port, next } = context;
  const { ssp } = cpu;
  // A relative call to the next instruction, which reads RIP, leaves the shadow stack alone (CALL,
  // operation).
  const shadowed = ssp !== null && !(outcome === 'call' && target === next);
  if (shadowed) port.write(ssp - 8, 8, bitsFromAddr(next));
  push(context, bitsFromAddr(next));
  if (shadowed) cpu.ssp = ssp - 8;
  cpu.rip = target;
  return outcome;
}

function ret(context: Context, extra: bigint): Outcome {
  const { cpu, port } = context;
  const back = top(context);
  if (cpu.ssp !== null && port.read(cpu.ssp, 8) !== back) return 'control-protection';
  const target = canonical(back);
  if (cpu.ssp !== null) cpu.ssp += 8;
  release(context, 8n + extra);
  cpu.rip = target;
  return 'return';
}

/**
 * POPF and IRET at CPL 3 leave IF and IOPL alone, with IOPL 0 as in Linux (SDM volume 2, POPF,
 * table 4-16).
 */
const LOADED =
  FLAG.cf |
  FLAG.pf |
  FLAG.af |
  FLAG.zf |
  FLAG.sf |
  FLAG.tf |
  FLAG.df |
  FLAG.of |
  FLAG.nt |
  FLAG.ac |
  FLAG.id;
const loadedFlags = (cpu: Cpu): number => (cpu.user ? LOADED : LOADED | FLAG.if | FLAG.iopl);

function iret(context: Context): Outcome {
  const { cpu, port } = context;
  const frame = canonical(cpu.r[REG.rsp]);
  const word = (offset: number): bigint => port.read(frame + offset, 8);
  const rip = word(0);
  const cs = word(8);
  const flags = word(16);
  const rsp = word(24);
  const ss = word(32);
  const code = Number(cs & 0xffffn);
  const data = Number(ss & 0xffffn);
  // In 64-bit mode IRET pops SS:RSP at any privilege, so a frame whose SS was overwritten ends
  // here.
  const toKernel =
    code === SELECTOR.kernelCode && !cpu.user && (data === SELECTOR.kernelData || data === 0);
  const toUser = code === SELECTOR.userCode && data === SELECTOR.userData;
  if (!toKernel && !toUser) return 'general-protection';
  const target = canonical(rip);
  if (cpu.ssp !== null && toUser === cpu.user) {
    // Delivery pushed CS, LIP and the old SSP (SDM volume 3, 6.14, with shadow stacks; IRET,
    // operation).
    const ssp = port.read(cpu.ssp, 8);
    if (port.read(cpu.ssp + 8, 8) !== rip || port.read(cpu.ssp + 16, 8) !== cs || (ssp & 7n) !== 0n)
      return 'control-protection';
    cpu.ssp = addrFromBits(ssp);
  }
  setFlags(cpu, loadedFlags(cpu) | FLAG.rf, Number(flags & 0x3fffffn));
  cpu.user = toUser;
  cpu.r[REG.rsp] = rsp;
  cpu.rip = target;
  return 'iret';
}

// Shifts.

const shiftCount = (context: { insn: Insn; cpu: Cpu }): number =>
  countOf(context.insn.operands[1]!, context.cpu) & (width(context) === 64 ? 63 : 31);

function countOf(from: Operand, cpu: Cpu): number {
  if (from.kind === 'reg') return Number(readReg(cpu, from));
  return from.kind === 'imm' ? Number(BigInt.asUintN(8, from.value)) : 0;
}

interface Shifted {
  readonly value: bigint;
  /** Bit 0: the last bit that was shifted out. */
  readonly out: bigint;
  /** OF after a shift by one. */
  readonly overflow: boolean;
}

/** @param member the digit of the opcode: 4 SHL, 5 SHR, 7 SAR */
function shifted(member: number, a: bigint, count: bigint, bits: number): Shifted {
  const last = count === 0n ? 0n : count - 1n;
  const sign = (n: bigint): boolean => (n >> BigInt(bits - 1)) % 2n === 1n;
  switch (member) {
    case FAMILIES.shift.shl: {
      const value = BigInt.asUintN(bits, a << count);
      const out = (a << last) >> BigInt(bits - 1);
      return { value, out, overflow: sign(value) !== ((out & 1n) === 1n) };
    }
    case FAMILIES.shift.shr:
      return { value: a >> count, out: a >> last, overflow: sign(a) };
    default: {
      const signed = BigInt.asIntN(bits, a);
      const value = BigInt.asUintN(bits, signed >> count);
      return { value, out: signed >> last, overflow: false };
    }
  }
}

function shift(context: Context): Outcome {
  const bits = width(context);
  const count = BigInt(shiftCount(context));
  const { member } = context.insn.form;
  const { value, out, overflow } = shifted(member, get(context, 0), count, bits);
  // With a count of zero the operand is written all the same, which clears the upper half of a
  // 32-bit register.
  set(context, 0, value);
  if (count !== 0n)
    setFlags(
      context.cpu,
      ARITHMETIC,
      resultFlags(value, bits) | (out & 1n ? FLAG.cf : 0) | (overflow ? FLAG.of : 0),
    );
  return advance(context);
}

function undefinedByShift(insn: Insn, cpu: Cpu): number {
  const count = shiftCount({ insn, cpu });
  if (count === 0) return 0;
  const carryToo =
    insn.form.key === '{shift}' && insn.form.member !== 7 && count >= width({ insn });
  return FLAG.af | (count === 1 ? 0 : FLAG.of) | (carryToo ? FLAG.cf : 0);
}

// Bits.

/**
 * A bit number in a register reaches beyond a memory operand; an immediate one is taken modulo its
 * size.
 */
function bit(context: Context, change: ((value: bigint, mask: bigint) => bigint) | null): Outcome {
  const bits = width(context);
  const target = operand(context, 0);
  const number = operand(context, 1);
  if (target.kind === 'mem' && number.kind === 'reg') {
    const far = BigInt.asIntN(bits, get(context, 1));
    const index = far & BigInt(bits - 1);
    const place = canonical(
      bitsFromAddr(address(context, target)) + (far >> BigInt(Math.log2(bits))) * BigInt(bits / 8),
    );
    const value = context.port.read(place, BYTES[bits]);
    setFlags(context.cpu, FLAG.cf, (value >> index) & 1n ? FLAG.cf : 0);
    return advance(context);
  }
  const index = get(context, 1) & BigInt(bits - 1);
  const value = get(context, 0);
  if (change !== null) set(context, 0, change(value, 1n << index));
  setFlags(context.cpu, FLAG.cf, (value >> index) & 1n ? FLAG.cf : 0);
  return advance(context);
}
const BIT_UNDEFINED = FLAG.of | FLAG.sf | FLAG.af | FLAG.pf;

const compare = (context: Context): Outcome => {
  setFlags(
    context.cpu,
    ARITHMETIC,
    subtract(get(context, 0), get(context, 1), 0n, width(context)).flags,
  );
  return advance(context);
};

const nothing: Semantics = { run: (context) => advance(context) };
const only = (outcome: Outcome): Semantics => ({ run: (context) => advance(context, outcome) });
const copy: Semantics = {
  run: (context) => {
    const to = operand(context, 0);
    const value = get(context, 1);
    set(context, 0, value);
    // SDM volume 3, 9.3: MOV to a control register serialises, except to CR8.
    return advance(context, to.kind === 'control' && to.number !== 8 ? 'serialise' : 'next');
  },
};

export const SEMANTICS: Readonly<Record<RowName, Semantics>> = {
  // moves
  mov: copy,
  movabs: copy,
  lea: {
    run: (context) => {
      set(context, 0, effective(context, memory(context, 1)));
      return advance(context);
    },
  },
  movzx: copy,
  movsx: {
    run: (context) => {
      const from = operand(context, 1);
      invariant(from.kind === 'reg' || from.kind === 'mem', 'MOVSX has a sized source');
      set(context, 0, BigInt.asUintN(64, BigInt.asIntN(from.size, get(context, 1))));
      return advance(context);
    },
  },
  movsxd: {
    run: (context) => {
      set(context, 0, BigInt.asUintN(64, BigInt.asIntN(32, get(context, 1))));
      return advance(context);
    },
  },
  'cmov{cc}': {
    run: (context) => {
      // The source is read and the destination written whatever the condition says.
      const value = get(context, 1);
      set(
        context,
        0,
        condition(context.cpu.flags, context.insn.form.member) ? value : get(context, 0),
      );
      return advance(context);
    },
  },
  'set{cc}': {
    run: (context) => {
      set(context, 0, condition(context.cpu.flags, context.insn.form.member) ? 1n : 0n);
      return advance(context);
    },
  },
  xchg: {
    run: (context) => {
      const [a, b] = [get(context, 0), get(context, 1)];
      set(context, 0, b);
      set(context, 1, a);
      return advance(context);
    },
  },
  cmpxchg: {
    run: (context) => {
      const { cpu } = context;
      const bits = width(context);
      const accumulator: Reg = { kind: 'reg', size: bits, number: 0, high: false };
      const [old, source, expected] = [get(context, 0), get(context, 1), readReg(cpu, accumulator)];
      // The destination receives a write either way (CMPXCHG, description).
      set(context, 0, old === expected ? source : old);
      if (old !== expected) writeReg(cpu, accumulator, old);
      setFlags(cpu, ARITHMETIC, subtract(expected, old, 0n, bits).flags);
      return advance(context);
    },
  },
  xadd: {
    run: (context) => {
      const [a, b] = [get(context, 0), get(context, 1)];
      const { value, flags } = add(a, b, 0n, width(context));
      const to = operand(context, 0);
      if (to.kind === 'mem') {
        // The store first: it can fault. In registers the sum wins where both operands are the
        // same.
        set(context, 0, value);
        set(context, 1, a);
      } else {
        set(context, 1, a);
        set(context, 0, value);
      }
      setFlags(context.cpu, ARITHMETIC, flags);
      return advance(context);
    },
  },

  // arithmetic and logic
  '{alu}': {
    run: (context) => {
      const { cpu, insn } = context;
      const { value, flags } = (ALU[insn.form.member] as (typeof ALU)[number])(
        get(context, 0),
        get(context, 1),
        carry(cpu),
        width(context),
      );
      set(context, 0, value);
      setFlags(cpu, ARITHMETIC, flags);
      return advance(context);
    },
    undefinedFlags: (insn) => (LOGICAL.has(insn.form.member) ? LOGIC_UNDEFINED : 0),
  },
  cmp: { run: compare },
  test: {
    run: (context) => {
      setFlags(
        context.cpu,
        ARITHMETIC,
        logic(get(context, 0) & get(context, 1), width(context)).flags,
      );
      return advance(context);
    },
    undefinedFlags: () => LOGIC_UNDEFINED,
  },
  '{unary}': {
    run: (context) => {
      const bits = width(context);
      const a = get(context, 0);
      if (context.insn.form.name === 'not') set(context, 0, BigInt.asUintN(bits, ~a));
      else {
        const { value, flags } = subtract(0n, a, 0n, bits);
        set(context, 0, value);
        setFlags(context.cpu, ARITHMETIC, flags);
      }
      return advance(context);
    },
  },
  '{step}': {
    run: (context) => {
      const bits = width(context);
      const { value, flags } = (context.insn.form.name === 'inc' ? add : subtract)(
        get(context, 0),
        1n,
        0n,
        bits,
      );
      set(context, 0, value);
      setFlags(context.cpu, ARITHMETIC & ~FLAG.cf, flags);
      return advance(context);
    },
  },
  '{shift}': { run: shift, undefinedFlags: undefinedByShift },
  bt: { run: (context) => bit(context, null), undefinedFlags: () => BIT_UNDEFINED },
  '{bits}': {
    run: (context) =>
      bit(
        context,
        context.insn.form.name === 'bts'
          ? (value, mask) => value | mask
          : (value, mask) => value & ~mask,
      ),
    undefinedFlags: () => BIT_UNDEFINED,
  },

  // stack and control
  push: {
    run: (context) => {
      push(context, get(context, 0));
      return advance(context);
    },
  },
  pop: {
    run: (context) => {
      const { cpu } = context;
      const value = top(context);
      const to = operand(context, 0);
      // RSP moves before the address of the destination is computed (POP, description).
      const before = cpu.r[REG.rsp];
      release(context, 8n);
      if (to.kind === 'mem') {
        try {
          set(context, 0, value);
        } catch (error) {
          cpu.r[REG.rsp] = before;
          throw error;
        }
      } else set(context, 0, value);
      return advance(context);
    },
  },
  pushfq: {
    run: (context) => {
      push(context, BigInt(context.cpu.flags & ~FLAG.rf));
      return advance(context);
    },
  },
  popfq: {
    run: (context) => {
      const { cpu } = context;
      const value = Number(top(context) & 0x3fffffn);
      release(context, 8n);
      setFlags(cpu, loadedFlags(cpu) | FLAG.rf, value & ~FLAG.rf);
      return advance(context, 'popf');
    },
  },
  leave: {
    run: (context) => {
      const { cpu, port } = context;
      const frame = cpu.r[REG.rbp];
      const value = port.read(canonical(frame), 8);
      cpu.r[REG.rsp] = frame + 8n;
      cpu.r[REG.rbp] = value;
      return advance(context);
    },
  },
  lahf: {
    run: (context) => {
      writeReg(
        context.cpu,
        { kind: 'reg', size: 8, number: 0, high: true },
        BigInt((context.cpu.flags & 0xd5) | FLAG.one),
      );
      return advance(context);
    },
  },
  sahf: {
    run: (context) => {
      setFlags(
        context.cpu,
        0xd5,
        Number(readReg(context.cpu, { kind: 'reg', size: 8, number: 0, high: true })),
      );
      return advance(context);
    },
  },
  call: {
    run: (context) =>
      call(
        context,
        canonical(get(context, 0)),
        operand(context, 0).kind === 'rel' ? 'call' : 'call-indirect',
      ),
  },
  jmp: {
    run: (context) => {
      context.cpu.rip = canonical(get(context, 0));
      return operand(context, 0).kind === 'rel' ? 'jump' : 'jump-indirect';
    },
  },
  'j{cc}': {
    run: (context) => {
      if (!condition(context.cpu.flags, context.insn.form.member)) return advance(context);
      context.cpu.rip = canonical(get(context, 0));
      return 'jump';
    },
  },
  ret: {
    run: (context) =>
      ret(context, context.insn.operands.length === 0 ? 0n : BigInt.asUintN(16, get(context, 0))),
  },
  iretq: { run: iret },

  // nothing, and order
  nop: nothing,
  endbr64: nothing,
  pause: nothing,
  lfence: nothing,
  mfence: only('fence'),
  // Loads and stores of ordinary memory are ordered as it is: SFENCE drains nothing that TSO would
  // not.
  sfence: nothing,
  serialize: only('serialise'),
  cpuid: {
    run: (context) => {
      // The model's CPU answers nothing: what a handler wants of CPUID is that it serialises.
      for (const number of [0, 1, 2, 3]) context.cpu.r[number] = 0n;
      return advance(context, 'serialise');
    },
  },

  // events
  int3: only('int3'),
  ud1: { run: () => 'undefined' },
  ud2: { run: () => 'undefined' },
  syscall: only('syscall'),

  // privileged
  cli: {
    run: (context) => {
      context.cpu.flags &= ~FLAG.if;
      return advance(context, 'cli');
    },
  },
  sti: {
    run: (context) => {
      context.cpu.flags |= FLAG.if;
      return advance(context, 'sti');
    },
  },
  hlt: only('halt'),
  sysretq: {
    run: ({ cpu }) => {
      const target = canonical(cpu.r[1]);
      // RFLAGS := (R11 & 3C7FD7H) | 2 (SYSRET, operation).
      cpu.flags = Number(cpu.r[11] & 0x3c7fd7n) | FLAG.one;
      cpu.user = true;
      cpu.rip = target;
      return 'sysret';
    },
  },
  swapgs: {
    run: (context) => {
      const { cpu } = context;
      [cpu.gsBase, cpu.kernelGsBase] = [cpu.kernelGsBase, cpu.gsBase];
      return advance(context, 'swapgs');
    },
  },

  // shadow stack
  rdsspq: {
    run: (context) => {
      if (context.cpu.ssp !== null) set(context, 0, bitsFromAddr(context.cpu.ssp));
      return advance(context);
    },
  },
  incsspq: {
    run: (context) => {
      const { cpu, port } = context;
      if (cpu.ssp === null) return 'undefined';
      const count = Number(get(context, 0) & 0xffn);
      if (count > 0) {
        // It touches the first and the last word that it passes, so that it cannot leave the shadow
        // stack unseen.
        port.read(cpu.ssp, 8);
        port.read(cpu.ssp + 8 * (count - 1), 8);
      }
      cpu.ssp += 8 * count;
      return advance(context);
    },
  },
  wrssq: {
    run: (context) => {
      if (context.cpu.ssp === null || !context.cpu.wrss) return 'undefined';
      const at = address(context, memory(context, 0));
      if ((at & 7) !== 0) return 'general-protection';
      set(context, 0, get(context, 1));
      return advance(context);
    },
  },
};

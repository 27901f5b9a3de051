// Random operands of any kind in the instruction table, in the form in which the decoder yields
// them.
import fc from 'fast-check';
import type { Form, Kind } from '#asm/encoding';
import { CONTROLS, type Mem, type Operand, type Size } from '#asm/operand';
import { dispBytes } from '#asm/encode';

const gpr = fc.integer({ min: 0, max: 15 });

const reg = (size: Size): fc.Arbitrary<Operand> =>
  size === 8
    ? fc.oneof(
        gpr.map((number): Operand => ({ kind: 'reg', size, number, high: false })),
        fc
          .integer({ min: 0, max: 3 })
          .map((number): Operand => ({ kind: 'reg', size, number, high: true })),
      )
    : gpr.map((number): Operand => ({ kind: 'reg', size, number, high: false }));

const disp = fc.oneof(
  fc.constant(0),
  fc.integer({ min: -0x80, max: 0x7f }),
  fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
);

export const memory = (size: Size): fc.Arbitrary<Mem> =>
  fc
    .record({
      kind: fc.constant('mem' as const),
      size: fc.constant(size),
      base: fc.oneof({ weight: 6, arbitrary: gpr }, fc.constant('rip' as const), fc.constant(null)),
      index: fc.option(gpr.filter((n) => n !== 4)),
      scale: fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const),
      disp,
      segment: fc.option(fc.constantFrom('fs' as const, 'gs' as const), { freq: 3 }),
      long: fc.constantFrom(0 as const, 1 as const, 4 as const),
    })
    .map(({ long, ...rest }) => {
      const index = rest.base === 'rip' ? null : rest.index;
      const mem: Mem = { ...rest, index, scale: index === null ? 1 : rest.scale };
      return long > dispBytes(mem) ? { ...mem, dispBytes: long } : mem;
    });

export function operandOf(kind: Kind): fc.Arbitrary<Operand> {
  if (kind.control)
    return fc.constantFrom(...CONTROLS).map((number): Operand => ({ kind: 'control', number }));
  switch (kind.field) {
    case 'fixed':
      return fc.constant<Operand>(
        kind.register
          ? { kind: 'reg', size: kind.size as Size, number: Number(kind.low), high: false }
          : { kind: 'imm', value: 1n },
      );
    case 'imm': {
      const bits = BigInt(8 * kind.bytes);
      return fc
        .bigInt({ min: -(1n << (bits - 1n)), max: (1n << (bits - 1n)) - 1n })
        .map((value): Operand => ({ kind: 'imm', value }));
    }
    case 'rel': {
      const limit = 2 ** (8 * kind.bytes - 1);
      return fc
        .integer({ min: -limit, max: limit - 1 })
        .map((distance): Operand => ({ kind: 'rel', distance }));
    }
    default: {
      const registers = kind.register ? [reg(kind.size as Size)] : [];
      return fc.oneof(...registers, ...(kind.memory ? [memory(kind.size ?? 64)] : []));
    }
  }
}

/** One instruction of that form; those that REX makes unwritable are left out. */
export function insnOf(
  form: Form,
): fc.Arbitrary<{ form: Form; operands: Operand[]; lock: boolean }> {
  return fc
    .tuple(fc.tuple(...form.kinds.map(operandOf)), fc.boolean())
    .map(([operands, lock]) => ({
      form,
      operands: operands as Operand[],
      lock: lock && form.lockable && operands[0]?.kind === 'mem',
    }))
    .filter(({ operands }) => writable(form, operands));
}

function writable(form: Form, operands: readonly Operand[]): boolean {
  const high = operands.some((o) => o.kind === 'reg' && o.high);
  const rex =
    form.wide ||
    operands.some(
      (o) =>
        (o.kind === 'reg' && !o.high && (o.number >= 8 || (o.size === 8 && o.number >= 4))) ||
        (o.kind === 'mem' && ((typeof o.base === 'number' && o.base >= 8) || (o.index ?? 0) >= 8)),
    );
  return !(high && rex);
}

// What an instruction works on: a register, a memory operand, an immediate value, a branch
// distance. Registers are string literals where a person writes them and numbers here, for the
// encoder and the simulator. A memory operand carries the size of what it names, so that no
// instruction has to guess it.

/** The names of one width, by register number. */
export const W64 = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;
const W32 = [
  'eax',
  'ecx',
  'edx',
  'ebx',
  'esp',
  'ebp',
  'esi',
  'edi',
  'r8d',
  'r9d',
  'r10d',
  'r11d',
  'r12d',
  'r13d',
  'r14d',
  'r15d',
] as const;
const W16 = [
  'ax',
  'cx',
  'dx',
  'bx',
  'sp',
  'bp',
  'si',
  'di',
  'r8w',
  'r9w',
  'r10w',
  'r11w',
  'r12w',
  'r13w',
  'r14w',
  'r15w',
] as const;
const W8 = [
  'al',
  'cl',
  'dl',
  'bl',
  'spl',
  'bpl',
  'sil',
  'dil',
  'r8b',
  'r9b',
  'r10b',
  'r11b',
  'r12b',
  'r13b',
  'r14b',
  'r15b',
] as const;
/** Bits 8 to 15 of the first four; numbers 4 to 7 of an instruction without REX. */
const HIGH = ['ah', 'ch', 'dh', 'bh'] as const;
const CR = ['cr0', 'cr2', 'cr3', 'cr4', 'cr8'] as const;

export type R64 = (typeof W64)[number];
export type R32 = (typeof W32)[number];
export type R16 = (typeof W16)[number];
export type R8 = (typeof W8)[number] | (typeof HIGH)[number];
export type ControlRegister = (typeof CR)[number];
export type Register = R64 | R32 | R16 | R8;

export type Size = 8 | 16 | 32 | 64;

export interface Reg {
  readonly kind: 'reg';
  readonly size: Size;
  readonly number: number;
  /** One of ah, ch, dh, bh: bits 8 to 15 of register `number`. */
  readonly high: boolean;
}
export interface Control {
  readonly kind: 'control';
  readonly number: number;
}
export interface Mem<S extends Size = Size> {
  readonly kind: 'mem';
  readonly size: S;
  /** Register number, `rip` for the end of the instruction, null for none. */
  readonly base: number | 'rip' | null;
  readonly index: number | null;
  readonly scale: 1 | 2 | 4 | 8;
  readonly disp: number;
  readonly segment: 'fs' | 'gs' | null;
  /** Bytes of the displacement where a longer one than needed is wanted, as in long nops. */
  readonly dispBytes?: 0 | 1 | 4;
  /** With base rip: where it points, for the assembler to resolve. */
  readonly label?: string;
}
export interface Imm {
  readonly kind: 'imm';
  readonly value: bigint;
}
/** Distance of a branch target from the end of the instruction. */
export interface Rel {
  readonly kind: 'rel';
  readonly distance: number;
}
export type Operand = Reg | Control | Mem | Imm | Rel;

const REGISTERS: ReadonlyMap<string, Reg | Control> = new Map<string, Reg | Control>([
  ...(
    [
      [W64, 64],
      [W32, 32],
      [W16, 16],
      [W8, 8],
    ] as const
  ).flatMap(([names, size]) =>
    names.map((name, number): [string, Reg] => [name, { kind: 'reg', size, number, high: false }]),
  ),
  ...HIGH.map((name, number): [string, Reg] => [
    name,
    { kind: 'reg', size: 8, number, high: true },
  ]),
  ...CR.map((name): [string, Control] => [
    name,
    { kind: 'control', number: Number(name.slice(2)) },
  ]),
]);

/** Its number in a register file of sixteen. */
export const RSP: number = W64.indexOf('rsp');

/** The register of that name, or undefined. */
export function register(name: string): Reg | Control | undefined {
  return REGISTERS.get(name);
}

const NAMES = { 64: W64, 32: W32, 16: W16, 8: W8 } as const;
export function registerName(reg: Reg | Control): string {
  if (reg.kind === 'control') return `cr${reg.number}`;
  return (reg.high ? HIGH[reg.number] : NAMES[reg.size][reg.number]) ?? '?';
}

/** Control register numbers that exist; a MOV of any other is #UD. */
export const CONTROLS: readonly number[] = CR.map((name) => Number(name.slice(2)));

export interface Place {
  readonly base?: R64;
  readonly index?: Exclude<R64, 'rsp'>;
  readonly scale?: 1 | 2 | 4 | 8;
  readonly disp?: number;
  readonly dispBytes?: 0 | 1 | 4;
}

function place<S extends Size>(size: S, where: R64 | Place, disp = 0): Mem<S> {
  const written: Place = typeof where === 'string' ? { base: where } : where;
  const { base, index, scale = 1, disp: offset = disp, dispBytes } = written;
  const number = (name: R64 | undefined) => (name === undefined ? null : W64.indexOf(name));
  const mem: Mem<S> = {
    kind: 'mem',
    size,
    base: number(base),
    index: number(index),
    scale,
    disp: offset,
    segment: null,
  };
  return dispBytes === undefined ? mem : { ...mem, dispBytes };
}

/** Eight bytes at a base register plus displacement, or at any `Place`. */
export const mem = (where: R64 | Place, disp?: number): Mem<64> => place(64, where, disp);
export const mem32 = (where: R64 | Place, disp?: number): Mem<32> => place(32, where, disp);
export const mem16 = (where: R64 | Place, disp?: number): Mem<16> => place(16, where, disp);
export const mem8 = (where: R64 | Place, disp?: number): Mem<8> => place(8, where, disp);

/** What a label of the program names, addressed relative to the instruction. */
export const rip = (label: string, disp = 0): Mem<64> => ({
  kind: 'mem',
  size: 64,
  base: 'rip',
  index: null,
  scale: 1,
  disp,
  segment: null,
  label,
});
export const rip32 = (label: string, disp = 0): Mem<32> => ({ ...rip(label, disp), size: 32 });
export const rip8 = (label: string, disp = 0): Mem<8> => ({ ...rip(label, disp), size: 8 });

/**
 * Eight bytes of the segment: at an offset (per-CPU data of the kernel), or at any memory operand.
 */
export function gs(where: number): Mem<64>;
export function gs<S extends Size>(where: Mem<S>): Mem<S>;
export function gs(where: number | Mem): Mem {
  return { ...(typeof where === 'number' ? mem({ disp: where }) : where), segment: 'gs' };
}
export const gs32 = (offset: number): Mem<32> => gs(mem32({ disp: offset }));
export const gs8 = (offset: number): Mem<8> => gs(mem8({ disp: offset }));
export function fs<S extends Size>(where: Mem<S>): Mem<S> {
  return { ...where, segment: 'fs' };
}

// What the real CPU cannot be asked at user privilege: privileged rows, events, shadow stacks, and
// what privilege does to rows that run anywhere. Expected values are the manual's.
import { expect, test } from 'vitest';
import { assemble, mem, type Instruction } from '#asm/assembler';
import { FLAG, newCpu, SELECTOR, type Cpu, type Outcome, type Port } from '#machine/sim/cpu';
import { execute } from '#machine/sim/execute';
import { SEMANTICS } from '#machine/sim/semantics';
import { ROWS } from '#asm/table';
import { decode } from '#asm/decode';

const CODE = 0x1000;
const STACK = 0x8000;

interface Ran {
  readonly outcome: Outcome;
  readonly cpu: Cpu;
  readonly words: Map<number, bigint>;
}

function run(
  instruction: Instruction,
  {
    user = false,
    set = () => {},
    words = [],
  }: {
    user?: boolean;
    set?: (cpu: Cpu) => void;
    words?: readonly (readonly [number, bigint | number])[];
  } = {},
): Ran {
  const cpu = newCpu(user);
  cpu.rip = CODE;
  cpu.r[4] = BigInt(STACK);
  set(cpu);
  const memory = new Map(words.map(([at, value]) => [at, BigInt(value)]));
  const port: Port = {
    read: (at) => memory.get(at) ?? 0n,
    write: (at, _, value) => void memory.set(at, value),
  };
  const insn = decode(assemble([instruction]).bytes);
  if (typeof insn === 'string') throw new Error(insn);
  return { outcome: execute(insn, cpu, port), cpu, words: memory };
}

test('every row has a meaning and every meaning a row', () => {
  expect(Object.keys(SEMANTICS).sort()).toEqual(
    [...new Set<string>(ROWS.map(([name]) => name))].sort(),
  );
});

test.each<[Instruction, Outcome, number]>([
  [['int3'], 'int3', 1],
  [['ud1', 'ecx', 'esp'], 'undefined', 0],
  [['ud2'], 'undefined', 0],
  [['syscall'], 'syscall', 2],
  [['cpuid'], 'serialise', 2],
  [['serialize'], 'serialise', 3],
  [['mfence'], 'fence', 3],
  [['lfence'], 'next', 3],
  [['hlt'], 'halt', 1],
  [['swapgs'], 'swapgs', 3],
  [['cli'], 'cli', 1],
  [['sti'], 'sti', 1],
  [['mov', 'cr3', 'rax'], 'serialise', 3],
  [['mov', 'cr8', 'rax'], 'next', 4], // SDM volume 3, 9.3: not serialising
  [['mov', 'rax', 'cr3'], 'next', 3],
])('%j is %s', (instruction, outcome, advance) => {
  const ran = run(instruction);
  expect([ran.outcome, ran.cpu.rip - CODE]).toEqual([outcome, advance]);
});

test.each<[Instruction]>([
  [['cli']],
  [['sti']],
  [['hlt']],
  [['swapgs']],
  [['sysretq']],
  [['mov', 'cr3', 'rax']],
  [['mov', 'rax', 'cr0']],
])('%j is #GP at user privilege', (instruction) => {
  const { outcome, cpu } = run(instruction, { user: true });
  expect([outcome, cpu.rip]).toEqual(['general-protection', CODE]);
});

test('CLI and STI change IF, SWAPGS the base, MOV the control register', () => {
  expect(run(['cli'], { set: (cpu) => (cpu.flags |= FLAG.if) }).cpu.flags & FLAG.if).toBe(0);
  expect(run(['sti']).cpu.flags & FLAG.if).toBe(FLAG.if);
  const { cpu } = run(['swapgs'], { set: (cpu) => ([cpu.gsBase, cpu.kernelGsBase] = [1, 2]) });
  expect([cpu.gsBase, cpu.kernelGsBase]).toEqual([2, 1]);
  expect(run(['mov', 'cr4', 'rdx'], { set: (cpu) => (cpu.r[2] = 77n) }).cpu.cr[4]).toBe(77n);
  expect(run(['mov', 'rdx', 'cr4'], { set: (cpu) => (cpu.cr[4] = 78n) }).cpu.r[2]).toBe(78n);
});

test('CPUID of the model answers nothing', () => {
  expect(Array.from(run(['cpuid'], { set: (cpu) => cpu.r.fill(9n) }).cpu.r.slice(0, 6))).toEqual([
    0n,
    0n,
    0n,
    0n,
    9n,
    9n,
  ]);
});

test('POPF changes IF only where privilege allows', () => {
  const popped = (user: boolean) =>
    run(['popfq'], { user, words: [[STACK, FLAG.if | FLAG.cf | FLAG.rf]] }).cpu.flags;
  expect(popped(false)).toBe(FLAG.one | FLAG.if | FLAG.cf);
  expect(popped(true)).toBe(FLAG.one | FLAG.cf);
});

test('SYSRET goes to RCX at user privilege with the flags of R11', () => {
  const { outcome, cpu } = run(['sysretq'], {
    set: (cpu) => ([cpu.r[1], cpu.r[11]] = [0x4000n, BigInt(FLAG.if | FLAG.rf)]),
  });
  expect([outcome, cpu.rip, cpu.user, cpu.flags]).toEqual([
    'sysret',
    0x4000,
    true,
    FLAG.if | FLAG.one,
  ]);
});

const frame = (cs: number, ss: number): readonly (readonly [number, number])[] => [
  [STACK, 0x5000],
  [STACK + 8, cs],
  [STACK + 16, FLAG.if],
  [STACK + 24, 0x9000],
  [STACK + 32, ss],
];

test('IRET in the kernel takes RSP and IF from the frame, and a damaged SS is #GP', () => {
  const { outcome, cpu } = run(['iretq'], {
    words: frame(SELECTOR.kernelCode, SELECTOR.kernelData),
  });
  expect([outcome, cpu.rip, cpu.r[4], cpu.flags & FLAG.if]).toEqual([
    'iret',
    0x5000,
    0x9000n,
    FLAG.if,
  ]);
  expect(run(['iretq'], { words: frame(SELECTOR.kernelCode, 0) }).outcome).toBe('iret');
  const damaged = run(['iretq'], { words: frame(SELECTOR.kernelCode, 0x2045) });
  expect([damaged.outcome, damaged.cpu.rip, damaged.cpu.r[4]]).toEqual([
    'general-protection',
    CODE,
    BigInt(STACK),
  ]);
});

test('IRET leaves the kernel for user privilege and never the other way', () => {
  expect(run(['iretq'], { words: frame(SELECTOR.userCode, SELECTOR.userData) }).cpu.user).toBe(
    true,
  );
  expect(
    run(['iretq'], { user: true, words: frame(SELECTOR.kernelCode, SELECTOR.kernelData) }).outcome,
  ).toBe('general-protection');
});

const SSP = 0xf000;
const shadow = (cpu: Cpu) => (cpu.ssp = SSP);

test('IRET compares CS and RIP with the shadow stack and takes SSP from it', () => {
  const words = frame(SELECTOR.kernelCode, SELECTOR.kernelData);
  const good = run(['iretq'], {
    set: shadow,
    words: [...words, [SSP, SSP + 24], [SSP + 8, 0x5000], [SSP + 16, SELECTOR.kernelCode]],
  });
  expect([good.outcome, good.cpu.ssp]).toEqual(['iret', SSP + 24]);
  const changed = run(['iretq'], {
    set: shadow,
    words: [...words, [SSP, SSP + 24], [SSP + 8, 0x5001], [SSP + 16, SELECTOR.kernelCode]],
  });
  expect([changed.outcome, changed.cpu.rip, changed.cpu.ssp]).toEqual([
    'control-protection',
    CODE,
    SSP,
  ]);
});

test('CALL writes both stacks, but for a relative one to the next instruction', () => {
  const { cpu, words } = run(['call', 'rax'], {
    set: (cpu) => (shadow(cpu), (cpu.r[0] = 0x4000n)),
  });
  expect([cpu.rip, cpu.ssp, words.get(SSP - 8), words.get(STACK - 8)]).toEqual([
    0x4000,
    SSP - 8,
    BigInt(CODE + 2),
    BigInt(CODE + 2),
  ]);
  const insn = decode([0xe8, 0, 0, 0, 0]);
  if (typeof insn === 'string') throw new Error(insn);
  const next = newCpu(false);
  next.ssp = SSP;
  next.r[4] = BigInt(STACK);
  expect(execute(insn, next, { read: () => 0n, write: () => {} })).toBe('call');
  expect(next.ssp).toBe(SSP);
});

test('RET is #CP where the stacks differ, and changes nothing then', () => {
  const words = [
    [STACK, 0x5000],
    [SSP, 0x5000],
  ] as const;
  expect(run(['ret'], { set: shadow, words })).toMatchObject({
    outcome: 'return',
    cpu: { rip: 0x5000, ssp: SSP + 8 },
  });
  const wrong = run(['ret'], {
    set: shadow,
    words: [
      [STACK, 0x5000],
      [SSP, 0x6000],
    ],
  });
  expect([wrong.outcome, wrong.cpu.rip, wrong.cpu.r[4], wrong.cpu.ssp]).toEqual([
    'control-protection',
    CODE,
    BigInt(STACK),
    SSP,
  ]);
});

test('the shadow stack instructions', () => {
  expect(run(['rdsspq', 'rdx'], { set: (cpu) => (cpu.r[2] = 5n) }).cpu.r[2]).toBe(5n);
  expect(run(['rdsspq', 'rdx'], { set: shadow }).cpu.r[2]).toBe(BigInt(SSP));
  expect(run(['incsspq', 'rdx']).outcome).toBe('undefined');
  expect(
    run(['incsspq', 'rdx'], { set: (cpu) => (shadow(cpu), (cpu.r[2] = 0x102n)) }).cpu.ssp,
  ).toBe(SSP + 16);
  expect(run(['wrssq', mem('rdx'), 'rax'], { set: shadow }).outcome).toBe('undefined');
  const allowed = (at: bigint) =>
    run(['wrssq', mem('rdx'), 'rax'], {
      set: (cpu) => (shadow(cpu), (cpu.wrss = true), (cpu.r[2] = at), (cpu.r[0] = 7n)),
    });
  expect(allowed(0x6000n).words.get(0x6000)).toBe(7n);
  expect(allowed(0x6001n).outcome).toBe('general-protection');
});

test('an address that is not canonical is #GP and leaves the CPU as it was', () => {
  for (const instruction of [
    ['mov', 'rax', mem('rdx')],
    ['jmp', 'rdx'],
    ['push', mem('rdx')],
    ['ret'],
  ] as const) {
    const { outcome, cpu } = run(instruction, {
      set: (cpu) => (cpu.r[2] = 1n << 47n),
      words: [[STACK, 1n << 47n]],
    });
    expect([outcome, cpu.rip, cpu.r[4]], instruction.join(' ')).toEqual([
      'general-protection',
      CODE,
      BigInt(STACK),
    ]);
  }
});

test('the per-CPU segment is added to the address', () => {
  const { words } = run(['mov', { ...mem('rdx', 8), segment: 'gs' }, 'rax'], {
    set: (cpu) => ((cpu.gsBase = 0x7000), (cpu.r[2] = 0x10n), (cpu.r[0] = 3n)),
  });
  expect(words.get(0x7018)).toBe(3n);
});

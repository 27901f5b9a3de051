// Every way of emulating a call from #BP, run on one simulated CPU from the trap to the target and
// back. What interleavings do to them is the checker's business; here each does what its author
// meant, undisturbed.
import { expect, test } from 'vitest';
import { assemble, place, type Program } from '#asm/assembler';
import type { BreakpointHandler } from '#zoo/breakpoint';
import { ENTRY, PERCPU, POKE } from '#trap/kernel';
import { gap } from '#zoo/int3-gap';
import { levels, LEVELS } from '#zoo/int3-levels';
import { percpu } from '#zoo/int3-percpu';
import { percpuNmi } from '#zoo/int3-percpu-nmi';
import { emulationWord, type Emulation } from '#trap/registry';
import { retpoline } from '#trap/retpoline';
import { shift } from '#zoo/int3-shift';
import { skip } from '#zoo/int3-skip';
import { stub } from '#zoo/int3-stub';
import { FLAG, newCpu, SELECTOR, type Cpu, type Outcome, type Port } from '#machine/sim/cpu';
import { execute } from '#machine/sim/execute';
import { decode } from '#asm/decode';
import { printInsn } from '#asm/print';

const KERNEL = -0x7f00_0000;
const [HANDLER, TABLE, SITE, TARGET, PERCPU_AREA] = [
  KERNEL,
  KERNEL + 0x10000,
  KERNEL + 0x20000,
  KERNEL + 0x30000,
  KERNEL + 0x40000,
];
const [STACK, SHADOW, UNCLAIMED] = [-0x6f00_0000_0000, -0x5f00_0000_0000, KERNEL + 0x50000];

/** Words of memory by address; code where it was placed. */
class Box implements Port {
  readonly bytes = new Map<number, number>();
  readonly cpu: Cpu = newCpu(false);
  readonly log: string[] = [];
  load(at: number, code: ArrayLike<number>): void {
    for (let i = 0; i < code.length; i++) this.bytes.set(at + i, code[i]!);
  }
  read(at: number, size: number): bigint {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes.get(at + i) ?? 0);
    return value;
  }
  write(at: number, size: number, value: bigint): void {
    for (let i = 0; i < size; i++, value >>= 8n) this.bytes.set(at + i, Number(value & 0xffn));
  }
  word(at: number): number {
    return Number(BigInt.asIntN(64, this.read(at, 8)));
  }
  step(): Outcome {
    const { rip } = this.cpu;
    const insn = decode(Array.from({ length: 15 }, (_, i) => this.bytes.get(rip + i) ?? 0x06));
    if (typeof insn === 'string') throw new Error(`${insn} at ${rip}`);
    this.log.push(printInsn(insn, rip));
    return execute(insn, this.cpu, this);
  }
  /** Delivery of #BP through an interrupt gate without IST (SDM volume 3, 6.14). */
  trap(): void {
    const { cpu } = this;
    const old = BigInt.asIntN(64, cpu.r[4]!);
    let rsp = Math.floor(Number(old) / 16) * 16;
    for (const value of [
      BigInt(SELECTOR.kernelData),
      old,
      BigInt(cpu.flags),
      BigInt(SELECTOR.kernelCode),
      BigInt(cpu.rip),
    ]) {
      rsp -= 8;
      this.write(rsp, 8, BigInt.asUintN(64, value));
    }
    cpu.r[4] = BigInt.asUintN(64, BigInt(rsp));
    if (cpu.ssp !== null) {
      [SELECTOR.kernelCode, cpu.rip, cpu.ssp].forEach((value, i) =>
        this.write(cpu.ssp! - 8 * (i + 1), 8, BigInt.asUintN(64, BigInt(value))),
      );
      cpu.ssp -= 24;
    }
    cpu.flags &= ~FLAG.if;
    cpu.rip = HANDLER;
  }
}

interface Setting {
  readonly form: Emulation;
  readonly on: boolean;
  readonly pad: 0 | 8;
  readonly shadow?: boolean;
  readonly nmi?: boolean;
}

function box(
  handler: BreakpointHandler,
  { form, on, pad, shadow = false, nmi = false }: Setting,
): Box {
  const it = new Box();
  const code = assemble(handler.program, {
    at: HANDLER,
    symbols: { unclaimed: UNCLAIMED, table: TABLE },
  });
  it.load(HANDLER, place(code, { table: TABLE }));
  it.load(UNCLAIMED, [0x0f, 0x0b]);
  it.load(SITE, [0xcc, 0, 0, 0, 0, 0xf4]);
  it.load(TARGET, [0xc3]);
  it.write(TABLE + POKE.count, 8, 1n);
  it.write(TABLE + POKE.entries + ENTRY.site, 8, BigInt.asUintN(64, BigInt(SITE)));
  it.write(TABLE + POKE.entries + ENTRY.word, 8, BigInt(emulationWord(form, TARGET)));
  it.write(TABLE + POKE.entries + ENTRY.shape, 8, 5n);
  for (const { offset, holds } of handler.globals)
    it.write(TABLE + offset, 8, BigInt.asUintN(64, BigInt(holds === 'target' ? TARGET : SITE + 5)));
  it.write(PERCPU_AREA + PERCPU.lockdep, 8, on ? 1n : 0n);
  it.write(PERCPU_AREA + PERCPU.nmi, 8, nmi ? 1n : 0n);
  it.write(PERCPU_AREA + PERCPU.level, 8, nmi ? 2n : 0n);
  const { cpu } = it;
  for (let i = 0; i < 16; i++) cpu.r[i] = BigInt(0x1111 * (i + 1));
  cpu.r[4] = BigInt.asUintN(64, BigInt(STACK - pad));
  cpu.flags = FLAG.one | (on ? FLAG.if : 0);
  cpu.gsBase = PERCPU_AREA;
  if (shadow) {
    cpu.ssp = SHADOW;
    cpu.wrss = true;
  }
  // What lies above the call, and the address that a RET from there would meet.
  for (let i = 0; i < 8; i++) it.write(STACK - pad + 8 * i, 8, BigInt(0x100 + i));
  it.write(STACK - pad, 8, BigInt.asUintN(64, BigInt(SITE + 5)));
  if (shadow) it.write(SHADOW, 8, BigInt.asUintN(64, BigInt(SITE + 5)));
  cpu.rip = SITE;
  return it;
}

/** From the site until RIP is one of `stops`, or the CPU faults or halts. */
function run(it: Box, stops: readonly number[]): Outcome | 'stopped' {
  for (let count = 0; count < 500; count++) {
    const outcome = it.step();
    if (outcome === 'int3') it.trap();
    else if (['undefined', 'general-protection', 'control-protection', 'halt'].includes(outcome))
      return outcome;
    if (stops.includes(it.cpu.rip)) return 'stopped';
  }
  throw new Error(`runaway: ${it.log.slice(-5).join('; ')}`);
}

const WAYS: Record<string, BreakpointHandler> = {
  'gap, today': gap({ gap: 6, entry: 'today' }),
  'gap, 2019': gap({ gap: 6, entry: '2019' }),
  'shift, today': shift({ entry: 'today' }),
  'shift, 2019': shift({ entry: '2019' }),
  'percpu fixed': percpu({ entry: 'today', returns: 'fixed', clearsIf: true }),
  'percpu fixed, 2019': percpu({ entry: '2019', returns: 'fixed', clearsIf: true }),
  'percpu, IF left alone': percpu({ entry: 'today', returns: 'fixed', clearsIf: false }),
  ...Object.fromEntries(
    (['jmp', 'ret'] as const).flatMap((form) =>
      (['nowhere', 'handler', 'trampoline'] as const).map((tells) => [
        `percpu-nmi ${form}, lockdep told ${tells}`,
        percpuNmi({ entry: '2019', form, tells }),
      ]),
    ),
  ),
  levels: levels({ entry: 'today' }),
  'levels, 2019': levels({ entry: '2019', tells: true }),
};

const settings = ([true, false] as const).flatMap((on) =>
  ([0, 8] as const).flatMap((pad) =>
    [false, ...(on ? [] : [true])].map((nmi) => ({ form: 'call', on, pad, nmi }) as const),
  ),
);

test.each(
  Object.entries(WAYS).flatMap(([name, handler]) =>
    settings.map((setting) => [name, setting, handler] as const),
  ),
)('%s emulates a call, %j', (_, setting, handler) => {
  const it = box(handler, setting);
  const before = it.cpu.r.slice();
  expect(run(it, [TARGET])).toBe('stopped');
  const rsp = STACK - setting.pad - 8;
  expect(Number(BigInt.asIntN(64, it.cpu.r[4]!))).toBe(rsp);
  expect(it.word(rsp)).toBe(SITE + 5);
  for (let i = 0; i < 8; i++) expect(it.word(rsp + 8 + 8 * i)).toBe(i === 0 ? SITE + 5 : 0x100 + i);
  for (let i = 0; i < 16; i++)
    if (i !== 4 && i !== 11) expect(it.cpu.r[i], `register ${i}`).toBe(before[i]);
  expect((it.cpu.flags & FLAG.if) !== 0).toBe(setting.on);
  expect(run(it, [SITE + 5])).toBe('stopped');
  expect(Number(BigInt.asIntN(64, it.cpu.r[4]!))).toBe(STACK - setting.pad);
});

test.each(
  Object.entries({
    ...WAYS,
    stub: stub({ entry: 'today' }),
    'stub, 2019': stub({ entry: '2019' }),
  }),
)('%s: what needs no push is an edit of the frame', (_, handler) => {
  const reach = (form: Emulation, stop: number) => {
    const it = box(handler, { form, on: true, pad: 0 });
    expect(run(it, [stop])).toBe('stopped');
    return it;
  };
  expect(reach('jmp', TARGET).cpu.r[4]).toBe(BigInt.asUintN(64, BigInt(STACK)));
  expect(reach('nop', SITE + 5).cpu.r[0]).toBe(0x1111n);
  expect(reach('ret0', SITE + 5).cpu.r[0]).toBe(0n);
  expect(reach('ret', SITE + 5).cpu.r[4]).toBe(BigInt.asUintN(64, BigInt(STACK + 8)));
  const foreign = box(handler, { form: 'none', on: true, pad: 0 });
  expect(run(foreign, [])).toBe('undefined');
  expect(foreign.cpu.rip).toBe(UNCLAIMED);
});

test('the sketch as posted returns one byte too far', () => {
  const it = box(percpu({ entry: 'today', returns: 'posted', clearsIf: true }), {
    form: 'call',
    on: true,
    pad: 0,
  });
  run(it, [TARGET]);
  expect(it.word(STACK - 8)).toBe(SITE + 6);
});

test.each([
  [0, 'general-protection'],
  [8, 'stopped'],
] as const)('without the gap, and with %i bytes of padding above the frame: %s', (pad, end) => {
  // The word below the interrupted stack is the saved SS, or the padding if there is some.
  expect(run(box(gap({ gap: 0, entry: 'today' }), { form: 'call', on: true, pad }), [TARGET])).toBe(
    end,
  );
});

test('the stub of the first series calls from within itself', () => {
  const it = box(stub({ entry: 'today' }), { form: 'call', on: true, pad: 8 });
  expect(run(it, [TARGET])).toBe('stopped');
  expect(it.word(STACK - 16)).not.toBe(SITE + 5);
  expect(run(it, [SITE + 5])).toBe('stopped');
  expect(it.cpu.r[4]).toBe(BigInt.asUintN(64, BigInt(STACK - 8)));
});

test('the old handler of ftrace never reaches the target', () => {
  const it = box(skip({ entry: 'today' }), { form: 'call', on: true, pad: 0 });
  expect(run(it, [TARGET, SITE + 5])).toBe('stopped');
  expect(it.cpu.rip).toBe(SITE + 5);
});

test('lockdep in 2019: only a trampoline that says so itself leaves it right', () => {
  const told = (tells: 'nowhere' | 'handler' | 'trampoline') => {
    const it = box(percpuNmi({ entry: '2019', form: 'ret', tells }), {
      form: 'call',
      on: true,
      pad: 0,
    });
    run(it, [TARGET]);
    return it.word(PERCPU_AREA + PERCPU.lockdep);
  };
  expect([told('nowhere'), told('handler'), told('trampoline')]).toEqual([0, 0, 1]);
});

test('a supervisor shadow stack refuses a changed frame, and an emulation that mends it gets through', () => {
  const on = { form: 'call', on: true, pad: 8, shadow: true } as const;
  expect(run(box(shift({ entry: 'today' }), on), [TARGET])).toBe('control-protection');
  expect(run(box(gap({ gap: 6, entry: 'today' }), on), [TARGET])).toBe('control-protection');
  const mended = [
    shift({ entry: 'today', shadow: true }),
    gap({ gap: 6, entry: 'today', shadow: true }),
  ];
  for (const [handler, form] of mended.flatMap((handler) =>
    (['call', 'jmp', 'nop', 'ret0', 'ret'] as const).map((form) => [handler, form] as const),
  )) {
    const it = box(handler, { ...on, form });
    expect(run(it, [TARGET, SITE + 5]), form).toBe('stopped');
    if (form === 'call') expect(it.word(it.cpu.ssp!)).toBe(SITE + 5);
    if (form === 'call' || form === 'jmp') expect(run(it, [SITE + 5]), form).toBe('stopped');
    expect(it.cpu.ssp, form).toBe(form === 'ret' || form === 'jmp' ? SHADOW + 8 : SHADOW);
  }
  // The stub makes a real call, so it needs only the frame mended; a RET that no call matches
  // cannot be.
  const real = box(stub({ entry: 'today', shadow: true }), on);
  expect(run(real, [TARGET])).toBe('stopped');
  expect(run(real, [SITE + 5])).toBe('stopped');
  expect(run(box(percpu({ entry: 'today', returns: 'fixed', clearsIf: true }), on), [TARGET])).toBe(
    'control-protection',
  );
});

test('each level has its own slot and trampolines, and a level too deep is not claimed', () => {
  for (let level = 0; level <= LEVELS; level++) {
    for (const [on, tells] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      const it = box(levels({ entry: 'today', tells }), { form: 'call', on, pad: 0 });
      it.write(PERCPU_AREA + PERCPU.level, 8, BigInt(level));
      expect(run(it, [TARGET])).toBe(level < LEVELS ? 'stopped' : 'undefined');
      if (level < LEVELS)
        expect([
          it.word(STACK - 8),
          it.word(PERCPU_AREA + PERCPU.slots + 16 * level),
          (it.cpu.flags & FLAG.if) !== 0,
        ]).toEqual([SITE + 5, SITE + 5, on]);
    }
  }
});

test('a retpoline reaches its register with the stack as it was', () => {
  const program: Program = [['jmp', 'retpoline'], ...retpoline('rax')];
  const it = box(skip({ entry: 'today' }), { form: 'call', on: true, pad: 0 });
  it.load(SITE + 0x100, assemble(program).bytes);
  it.cpu.r[0] = BigInt.asUintN(64, BigInt(TARGET));
  it.cpu.rip = SITE + 0x100;
  expect(run(it, [TARGET])).toBe('stopped');
  expect(it.cpu.r[4]).toBe(BigInt.asUintN(64, BigInt(STACK)));
});

test('every handler is one program with its two marks', () => {
  for (const [name, { program, stash }] of Object.entries(WAYS)) {
    const { labels } = assemble(program, { symbols: { unclaimed: 0, table: 0 } });
    expect([labels.get('entry'), (labels.get('leave') ?? 0) > 0], name).toEqual([0, true]);
    for (const offset of stash)
      expect(offset >= PERCPU.slots && offset < PERCPU.size, name).toBe(true);
  }
});

// The variants of the SIGTRAP handler that only the checker runs: the table that is torn down, and
// the repair of the user shadow stack. Undisturbed here, on one simulated CPU.
import { expect, test } from 'vitest';
import { assemble, place, type Code } from '#asm/assembler';
import { ENTRY, POKE } from '#trap/kernel';
import { DATA, RECORD, emulationWord, encodeTable, type Emulation } from '#trap/registry';
import { retire, VERSION, type Retry } from '#zoo/int3-retire';
import { SIGTRAP_SHADOW } from '#zoo/int3';
import { UCONTEXT } from '#base/linux';
import { newCpu, type Outcome, type Port } from '#machine/sim/cpu';
import { execute } from '#machine/sim/execute';
import { decode } from '#asm/decode';

const [HANDLER, TABLE, SITE, TARGET, RESTORER] = [0x401000, 0x500000, 0x402000, 0x403000, 0x405000];
const [STACK, CONTEXT, INFO, INTERRUPTED, SSP] = [
  0x7ffc_0000_0000, 0x7ffc_0001_0000, 0x7ffc_0002_0000, 0x7ffc_0003_0000, 0x7ff7_0000_0000,
];

interface Result {
  readonly end: Outcome | 'returned';
  readonly word: (at: number) => number;
  readonly ssp: number | null;
  readonly rsp: number;
}

function run(
  code: Code,
  words: readonly (readonly [number, bigint | number])[],
  { shadow = false, each }: { shadow?: boolean; each?: (rip: number, port: Port) => void } = {},
): Result {
  const bytes = new Map<number, number>();
  const port: Port = {
    read: (at, size) =>
      Array.from({ length: size }, (_, i) => BigInt(bytes.get(at + i) ?? 0)).reduceRight(
        (word, byte) => (word << 8n) | byte,
        0n,
      ),
    write: (at, size, value) => {
      for (let i = 0; i < size; i++, value >>= 8n) bytes.set(at + i, Number(value & 0xffn));
    },
  };
  place(code, Object.fromEntries(code.words.map(({ name }) => [name, TABLE]))).forEach((byte, i) =>
    bytes.set(HANDLER + i, byte),
  );
  for (const [at, value] of [
    [STACK, RESTORER],
    [CONTEXT + UCONTEXT.rip, SITE + 1],
    [CONTEXT + UCONTEXT.rsp, INTERRUPTED],
    [INTERRUPTED, 0x1234],
    [INFO + 8, 0x80],
    ...words,
  ] as const) {
    port.write(at, 8, BigInt.asUintN(64, BigInt(value)));
  }
  const cpu = newCpu(true);
  [cpu.r[7], cpu.r[6], cpu.r[2], cpu.r[4]] = [5n, BigInt(INFO), BigInt(CONTEXT), BigInt(STACK)];
  cpu.rip = HANDLER;
  if (shadow) {
    cpu.wrss = true;
    cpu.ssp = SSP - 16;
    port.write(SSP - 16, 8, BigInt(RESTORER));
    port.write(SSP - 8, 8, BigInt(SSP) | (1n << 63n));
  }
  const result = (end: Result['end']): Result => ({
    end,
    word: (at) => Number(BigInt.asIntN(64, port.read(at, 8))),
    ssp: cpu.ssp,
    rsp: Number(cpu.r[4]),
  });
  for (let steps = 0; steps < 300; steps++) {
    if (cpu.rip === RESTORER) return result('returned');
    each?.(cpu.rip, port);
    const insn = decode(Array.from({ length: 15 }, (_, i) => bytes.get(cpu.rip + i) ?? 0x06));
    if (typeof insn === 'string') throw new Error(`${insn} at ${cpu.rip - HANDLER}`);
    const outcome = execute(insn, cpu, port);
    if (outcome === 'syscall' || outcome.endsWith('protection') || outcome === 'undefined')
      return result(outcome);
  }
  throw new Error('runs away');
}

const claimed = (form: Emulation, count = 1) =>
  [
    [TABLE + POKE.count, count],
    [TABLE + POKE.entries + ENTRY.site, SITE],
    [TABLE + POKE.entries + ENTRY.word, BigInt(emulationWord(form, TARGET))],
  ] as const;

const late = (retry: Retry) => assemble(retire({ retry }).program);

test.each<Retry>(['none', 'reread', 'versioned'])(
  'with the table in place, retry %s emulates every form',
  (retry) => {
    const handler = late(retry);
    const after = (form: Emulation) => {
      const { end, word } = run(handler, claimed(form));
      expect(end).toBe('returned');
      return [word(CONTEXT + UCONTEXT.rip), word(CONTEXT + UCONTEXT.rsp)];
    };
    expect(after('call')).toEqual([TARGET, INTERRUPTED - 8]);
    expect(after('jmp')).toEqual([TARGET, INTERRUPTED]);
    expect(after('nop')).toEqual([SITE + 5, INTERRUPTED]);
    expect(after('ret0')).toEqual([SITE + 5, INTERRUPTED]);
    expect(after('ret')).toEqual([0x1234, INTERRUPTED + 8]);
  },
);

test('a late trap finds no table: claimed by nobody, or run again where the byte says so', () => {
  const trapped = (retry: Retry, byte: number) => {
    const { end, word } = run(late(retry), [...claimed('call', 0), [SITE, byte]]);
    return [end, word(CONTEXT + UCONTEXT.rip)];
  };
  expect(trapped('none', 0xe8)).toEqual(['syscall', SITE + 1]);
  expect(trapped('reread', 0xe8)).toEqual(['returned', SITE]);
  expect(trapped('reread', 0xcc)).toEqual(['syscall', SITE + 1]);
  expect(trapped('versioned', 0xcc)).toEqual(['syscall', SITE + 1]);
});

test('the next update comes between look-up and re-reading: a version that moved makes the handler look again', () => {
  const between = (retry: Retry, moves: boolean) => {
    const code = late(retry);
    const missing = HANDLER + (code.labels.get('missing') as number);
    return run(code, [...claimed('call', 0), [SITE, 0xe8]], {
      each: (rip, port) => {
        if (rip !== missing) return;
        port.write(TABLE + POKE.count, 8, 1n);
        if (moves) port.write(TABLE + VERSION, 8, 1n);
        port.write(SITE, 1, 0xccn);
      },
    }).end;
  };
  expect(between('reread', true)).toBe('syscall');
  expect(between('versioned', true)).toBe('returned');
  // Had the version moved before the table was published, the handler could have read the new one
  // already.
  expect(between('versioned', false)).toBe('syscall');
});

const repaired = assemble(SIGTRAP_SHADOW);

const table = (form: Emulation): [number, bigint][] => {
  const record = TABLE + 0x1000;
  const at = TABLE + 0x2000;
  const slots = encodeTable(
    [{ site: SITE, word: record + RECORD.call, length: 5, condition: 0 }],
    0,
  );
  return [
    [TABLE + DATA.tables, BigInt(at)],
    [record + RECORD.call, BigInt(emulationWord(form, TARGET))],
    ...[...slots].map((word, i): [number, bigint] => [at + 8 * i, word]),
  ];
};

test('the repaired handler leaves the shadow stack as a real call would, and raises the token of an emulated return', () => {
  const call = run(repaired, table('call'), { shadow: true });
  expect(call.end).toBe('syscall');
  expect(call.rsp).toBe(STACK + 8);
  // rt_sigreturn reads the token at SSP and continues with the SSP that it names.
  expect(BigInt.asUintN(64, BigInt(call.word(call.ssp!)))).toBeGreaterThan(1n << 63n);
  expect(call.word(SSP - 8)).toBe(SITE + 5);
  expect([call.word(CONTEXT + UCONTEXT.rip), call.word(INTERRUPTED - 8)]).toEqual([
    TARGET,
    SITE + 5,
  ]);

  const ret = run(repaired, table('ret'), { shadow: true });
  expect([ret.end, ret.ssp]).toEqual(['returned', SSP - 8]);
  expect(ret.word(CONTEXT + UCONTEXT.rip)).toBe(0x1234);
});

test('without a shadow stack the repaired handler is the plain one', () => {
  const { end, word } = run(repaired, table('call'));
  expect([end, word(CONTEXT + UCONTEXT.rip), word(INTERRUPTED - 8)]).toEqual([
    'returned',
    TARGET,
    SITE + 5,
  ]);
});

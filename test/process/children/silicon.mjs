// Runs random instructions of the table on the real CPU and on the simulator and prints, as JSON,
// where they disagree. A child process of silicon.test.ts and silicon.long.ts, for an instruction
// that does something else than we think can end the process; also to be run by hand:
//
//   node test/process/children/silicon.mjs 100000 [seed] [row] [mutant]
//
// Every case is one instruction in a slot of its own, entered with all registers and the flags
// loaded from a block and left by stubs that store them back. Everything lies in the low 2 GiB, so
// that the loading code needs no register and absolute and rip-relative operands reach the scratch
// page.
import { closeSync, openSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { assemble } from '#asm/assembler';
import { mem } from '#asm/operand';
import { encodeForm } from '#asm/encode';
import { FORMS } from '#asm/encoding';
import { printInsn } from '#asm/print';
import { decode } from '#asm/decode';
import { FLAG, ARITHMETIC, newCpu } from '#machine/sim/cpu';
import { execute, undefinedFlags } from '#machine/sim/execute';
import { SEMANTICS } from '#machine/sim/semantics';

const koffi = createRequire(import.meta.url)('koffi');
const [, , countText = '1000', seedText = '1', row = '', mutant = '', progress = ''] = process.argv;
const COUNT = Number(countText);

// Addresses. The GS base lies before the scratch page, so that the segment is seen to count.
const BASE = 0x7000_0000;
const LOADER = BASE;
const BLOCK = BASE + 0x1000;
const SCRATCH = BASE + 0x2000;
const SLOTS = BASE + 0x1_0000;
const GS = SCRATCH - 0x800;
const SLOT = 256;
const BATCH = 1024;
const SCRATCH_SIZE = 4096;
const [IN, OUT, HOST_RSP, ENTRY, FLAGS_IN, FLAGS_OUT, EXIT_KIND, EXITS] = [
  0, 128, 256, 264, 272, 280, 288, 296,
];
const KINDS = ['next', 'back', 'forth', 'far'];

// Randomness: xorshift, 64 bits from two halves; the seed is printed with every disagreement.
let state = (Number(seedText) * 0x9e3779b1) | 1;
const bits32 = () => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
};
for (let i = 0; i < 8; i++) bits32();
const below = (n) => Math.floor((bits32() / 2 ** 32) * n);
const oneOf = (list) => list[below(list.length)];
const chance = (p) => bits32() < p * 2 ** 32;
const bits64 = () => (BigInt(bits32()) << 32n) | BigInt(bits32());
const u64 = (n) => BigInt.asUintN(64, n);
/** Values at the edges of every width, as often as any others. */
const value = () => {
  if (chance(0.4)) return bits64();
  const edge = 1n << BigInt(oneOf([0, 3, 4, 7, 8, 15, 16, 31, 32, 47, 63]));
  return u64(oneOf([0n, 1n, -1n, edge, edge - 1n, -edge, ~edge, edge + 1n]));
};

// Memory of this process at those addresses.
const libc = koffi.load('libc.so.6');
const mmap = libc.func(
  'int64 mmap(uint64 addr, size_t length, int prot, int flags, int fd, int64 offset)',
);
const mprotect = libc.func('int mprotect(uint64 addr, size_t length, int prot)');
const syscall = libc.func('int64 syscall(int64 number, int64 a, uint64 b)');
const [READ, WRITE, EXEC] = [1, 2, 4];
const MAP = 0x02 | 0x20 | 0x10_0000; // private, anonymous, fixed but never over something else
function map(at, length) {
  const got = Number(mmap(at, length, READ | WRITE, MAP, -1, 0));
  if (got !== at) {
    console.log(JSON.stringify({ skipped: `the address 0x${at.toString(16)} is taken` }));
    process.exit(0);
  }
  return koffi.view(BigInt(at), length);
}
const loaderBytes = new Uint8Array(map(LOADER, 0x1000));
const block = new DataView(map(BLOCK, 0x1000));
const blockWords = new BigUint64Array(block.buffer, block.byteOffset, 64);
const scratch = new Uint8Array(map(SCRATCH, SCRATCH_SIZE));
const slots = new Uint8Array(map(SLOTS, BATCH * SLOT));
const ARCH_SET_GS = 0x1001;
if (Number(syscall(158, ARCH_SET_GS, GS)) !== 0) throw new Error('arch_prctl');

const R64 = [
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
];
const at = (offset) => mem({ disp: BLOCK + offset });
const saved = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'];
const loader = assemble([
  ...saved.map((name) => ['push', name]),
  ['mov', at(HOST_RSP), 'rsp'],
  ['push', at(FLAGS_IN)],
  ['popfq'],
  ...R64.map((name, i) => ['mov', name, at(IN + 8 * i)]),
  ['jmp', at(ENTRY)],
  ...KINDS.flatMap((kind, i) => [
    { item: 'label', name: kind },
    ['mov', at(EXIT_KIND), i],
    ['jmp', 'leave'],
  ]),
  { item: 'label', name: 'leave' },
  ...R64.map((name, i) => ['mov', at(OUT + 8 * i), name]),
  ['mov', 'rsp', at(HOST_RSP)],
  ['pushfq'],
  ['pop', at(FLAGS_OUT)],
  ['push', 0x202],
  ['popfq'],
  ...saved.toReversed().map((name) => ['pop', name]),
  ['ret'],
]);
loaderBytes.set(loader.bytes);
if (mprotect(LOADER, 0x1000, READ | EXEC) !== 0) throw new Error('mprotect');
KINDS.forEach(
  (kind, i) => (blockWords[(EXITS + 8 * i) / 8] = BigInt(LOADER + loader.labels.get(kind))),
);
const enter = koffi.decode(BigInt(LOADER), koffi.proto('void enter()'));
const exitStub = (i) => assemble([['jmp', at(EXITS + 8 * i)]]).bytes;
const STUBS = KINDS.map((_, i) => exitStub(i));
const FAR = LOADER + loader.labels.get('far');

// One case.

const forms = FORMS.filter((form) => form.runs === 'user' && (row === '' || form.key === row));
if (forms.length === 0) throw new Error(`no row ${row} runs at user privilege`);

/** A flags word that does no harm: no single-stepping, no alignment checks. */
const LOADABLE = ARITHMETIC | FLAG.df | FLAG.id | FLAG.nt | FLAG.iopl | FLAG.if;
const store64 = (address, bits) =>
  new DataView(scratch.buffer, scratch.byteOffset).setBigUint64(address - SCRATCH, u64(bits), true);

function draw(form, slot) {
  const site = slot + 64 + below(16);
  const targets = { back: slot + 16, forth: slot + 160, far: FAR };
  const registers = Array.from({ length: 16 }, value);
  if (chance(0.3)) registers[below(16)] = registers[0];
  const rsp = SCRATCH + 2048 + below(64) - 32;
  registers[4] = BigInt(rsp);
  const flags = (bits32() & (ARITHMETIC | FLAG.df)) | FLAG.if | FLAG.one;
  const target = below(2048) + SCRATCH + 1024;
  const branches = form.key === 'call' || form.key === 'jmp' || form.key === 'j{cc}';
  const goal = targets[oneOf(Object.keys(targets))];

  const drawMemory = (kind) => {
    const gs = chance(0.2);
    const goalAddress = target - (gs ? GS : 0);
    const base = chance(0.1) ? null : chance(0.1) ? 'rip' : below(16);
    let index = base !== 'rip' && chance(0.5) ? below(16) : null;
    if (index === 4) index = null;
    const scale = index === null ? 1 : oneOf([1, 2, 4, 8]);
    let disp = chance(0.3) ? 0 : chance(0.5) ? below(256) - 128 : bits32() | 0;
    const small = () => BigInt(below(0x10000) - 0x8000);
    if (base === null || base === 'rip') {
      if (index !== null) registers[index] = small();
      disp = goalAddress - Number(index === null ? 0n : registers[index] * BigInt(scale));
    } else if (base === 4) {
      if (index !== null) registers[index] = small();
      disp = goalAddress - rsp - Number(index === null ? 0n : registers[index] * BigInt(scale));
    } else if (base === index) {
      registers[base] = small();
      disp = goalAddress - Number(registers[base] * BigInt(scale + 1));
    } else {
      const times = index === null ? 0n : registers[index] * BigInt(scale);
      registers[base] = BigInt(goalAddress) - BigInt(disp) - times;
    }
    return {
      kind: 'mem',
      size: kind.size ?? 64,
      base,
      index,
      scale,
      disp,
      segment: gs && kind.size !== null ? 'gs' : null,
      gs,
    };
  };

  const operands = form.kinds.map((kind) => {
    if (kind.field === 'fixed')
      return kind.register
        ? { kind: 'reg', size: kind.size, number: Number(kind.low), high: false }
        : { kind: 'imm', value: kind.low };
    if (kind.field === 'imm') return { kind: 'imm', value: BigInt.asIntN(8 * kind.bytes, value()) };
    if (kind.field === 'rel') return { kind: 'rel', distance: 0 };
    if (kind.memory && (!kind.register || chance(0.6))) return drawMemory(kind);
    const high = kind.size === 8 && chance(0.2);
    return { kind: 'reg', size: kind.size, number: high ? below(4) : below(16), high };
  });
  const memory = operands.find(({ kind }) => kind === 'mem');
  const lock = form.lockable && operands[0]?.kind === 'mem' && chance(0.5);

  // Where a value must be something so that the CPU stays in our hands.
  const first = operands[0];
  if (branches && first.kind === 'reg') {
    if (first.number === 4) return null;
    registers[first.number] = BigInt(goal);
  }
  if (branches && first.kind === 'mem') store64(target, BigInt(goal));
  if (form.key === 'bt' && memory && operands[1].kind === 'reg') {
    const { number } = operands[1];
    if (number === 4 || number === memory.base || number === memory.index) return null;
    registers[number] =
      (registers[number] & ~0xffffffffn) | BigInt.asUintN(32, BigInt(below(4000) - 2000));
    if (operands[1].size === 64) registers[number] = u64(BigInt.asIntN(32, registers[number]));
  }
  if (form.key === 'ret') store64(rsp, BigInt(goal));
  if (form.key === 'leave') registers[5] = BigInt(target);
  if (form.key === 'popfq') store64(rsp, BigInt(bits32() & LOADABLE));
  if (form.key === 'iretq') {
    [BigInt(goal), 0x33n, BigInt(bits32() & LOADABLE), value(), 0x2bn].forEach((word, i) =>
      store64(rsp + 8 * i, word),
    );
  }
  if (form.key === 'cmpxchg' && first.kind === 'reg' && first.number !== 4 && chance(0.5))
    registers[first.number] = registers[0];

  // Of a 32-bit register that differs, the SDM has the upper half cleared, and an AMD EPYC left it
  // as it was.
  if (form.key === 'cmpxchg' && first.kind === 'reg' && first.size === 32)
    registers[first.number] = BigInt.asUintN(32, registers[first.number]);

  let bytes;
  const attempt = () =>
    encodeForm(
      form,
      operands.map(({ gs: _, ...rest }) => rest),
      lock,
    );
  try {
    bytes = attempt();
    const end = site + bytes.length;
    for (const operand of operands) {
      if (operand.kind === 'mem' && operand.base === 'rip') operand.disp -= end;
      if (operand.kind === 'rel')
        operand.distance =
          (form.kinds[0].bytes === 1 ? oneOf([targets.back, targets.forth]) : goal) - end;
    }
    bytes = attempt();
  } catch (error) {
    // ah..dh beside a REX prefix, or a displacement too wide: draw again.
    if (error.name === 'InvariantError') return null;
    throw error;
  }
  if (
    operands.some(
      (operand) =>
        operand.kind === 'mem' && operand.segment === null && operand.gs && form.key !== 'lea',
    )
  )
    throw new Error('segment lost');
  return { form, site, slot, bytes, registers: registers.map(u64), flags, targets };
}

/** The other side: the same instruction, decoded from its bytes, on a copy of the scratch page. */
function simulate(test, image) {
  const view = new DataView(image.buffer, image.byteOffset);
  const cpu = newCpu(true);
  cpu.r.set(test.registers);
  cpu.rip = test.site;
  cpu.flags = test.flags;
  cpu.gsBase = GS;
  const insn = decode(test.bytes);
  if (typeof insn === 'string' || insn.length !== test.bytes.length)
    return { problem: `decodes as ${insn}` };
  const masked = undefinedFlags(insn, cpu) | FLAG.rf;
  const outside = (address, bytes) => address < SCRATCH || address + bytes > SCRATCH + SCRATCH_SIZE;
  const port = {
    read(address, bytes) {
      if (outside(address, bytes)) throw new Error(`read at 0x${address.toString(16)}`);
      let word = 0n;
      for (let i = bytes - 1; i >= 0; i--)
        word = (word << 8n) | BigInt(view.getUint8(address - SCRATCH + i));
      return word;
    },
    write(address, bytes, word) {
      if (outside(address, bytes)) throw new Error(`write at 0x${address.toString(16)}`);
      for (let i = 0; i < bytes; i++, word >>= 8n)
        view.setUint8(address - SCRATCH + i, Number(word & 0xffn));
    },
  };
  try {
    const outcome = execute(insn, cpu, port);
    return { cpu, masked, outcome, insn };
  } catch (error) {
    return { problem: error.message };
  }
}

// Mutants: the comparison must notice each of them.

const original = { ...SEMANTICS };
const MUTANTS = {
  /** Forgets everything but to go on; a row without effect gains one. */
  'no-effect': (key) => ({
    run: (context) => {
      const before = context.cpu.r.slice();
      original[key].run(context);
      context.cpu.r.set(before);
      if (['nop', 'endbr64', 'pause', 'lfence', 'mfence', 'sfence'].includes(key))
        context.cpu.r[11] += 1n;
      else if (!['mov', 'movabs', 'lea', 'movzx', 'movsx', 'movsxd'].includes(key))
        context.cpu.flags ^= FLAG.zf;
      return 'next';
    },
  }),
  'sub-carry': (key) => ({
    ...original[key],
    run: (context) => {
      const outcome = original[key].run(context);
      if (context.insn.form.name === 'sub') context.cpu.flags ^= FLAG.cf;
      return outcome;
    },
  }),
  'keeps-upper-half': (key) => ({
    ...original[key],
    run: (context) => {
      const to = context.insn.operands[0];
      const upper = to.kind === 'reg' ? context.cpu.r[to.number] & 0xffffffff00000000n : 0n;
      const outcome = original[key].run(context);
      if (to.kind === 'reg' && to.size === 32) context.cpu.r[to.number] |= upper;
      return outcome;
    },
  }),
};
if (mutant !== '') {
  if (!MUTANTS[mutant]) throw new Error(`no mutant ${mutant}`);
  for (const key of Object.keys(SEMANTICS))
    if (row === '' || row === key) SEMANTICS[key] = MUTANTS[mutant](key);
}

const log = progress === '' ? null : openSync(progress, 'w');
for (let i = 0; i < SCRATCH_SIZE; i++) scratch[i] = bits32();
const image = new Uint8Array(SCRATCH_SIZE);
const disagreements = [];
const rows = {};
let done = 0;
let problems = 0;
const hex = (n) => `0x${u64(BigInt(n)).toString(16)}`;

while (done < COUNT) {
  const size = Math.min(BATCH, COUNT - done);
  if (mprotect(SLOTS, BATCH * SLOT, READ | WRITE) !== 0) throw new Error('mprotect');
  slots.fill(0xcc);
  // First only which forms: what a case needs in memory is drawn when it is its turn.
  const cases = [];
  const seeds = [];
  for (let i = 0; i < size; i++) {
    const slot = SLOTS + i * SLOT;
    let drawn = null;
    let before = 0;
    while (drawn === null) {
      before = state;
      drawn = draw(forms[(done + i) % forms.length], slot);
    }
    cases.push(drawn);
    seeds.push(before);
    slots.set(drawn.bytes, drawn.site - SLOTS);
    slots.set(STUBS[0], drawn.site - SLOTS + drawn.bytes.length);
    slots.set(STUBS[1], drawn.targets.back - SLOTS);
    slots.set(STUBS[2], drawn.targets.forth - SLOTS);
  }
  if (mprotect(SLOTS, BATCH * SLOT, READ | EXEC) !== 0) throw new Error('mprotect');
  const after = state;
  cases.forEach((test, i) => {
    // Drawn again from the same seed, for its words in the scratch page.
    state = seeds[i];
    draw(test.form, test.slot);
    const insn = decode(test.bytes);
    const text = typeof insn === 'string' ? insn : printInsn(insn, test.site);
    if (log !== null) writeSync(log, `case ${done + i}: ${text}`.padEnd(120), 0);
    image.set(scratch);
    const sim = simulate(test, image);
    rows[test.form.key] = (rows[test.form.key] ?? 0) + 1;
    const differences = [];
    if (sim.problem !== undefined) differences.push(sim.problem);
    else {
      blockWords.set(test.registers, IN / 8);
      blockWords[FLAGS_IN / 8] = BigInt(test.flags);
      blockWords[ENTRY / 8] = BigInt(test.site);
      enter();
      for (let r = 0; r < 16; r++) {
        const real = blockWords[OUT / 8 + r];
        if (real !== sim.cpu.r[r])
          differences.push(`${R64[r]} ${hex(real)}, simulated ${hex(sim.cpu.r[r])}`);
      }
      const flags = Number(blockWords[FLAGS_OUT / 8]);
      const wrong = (flags ^ sim.cpu.flags) & ~sim.masked;
      if (wrong !== 0)
        differences.push(
          `flags ${hex(flags)}, simulated ${hex(sim.cpu.flags)} (differ in ${hex(wrong)})`,
        );
      const exit = KINDS[Number(blockWords[EXIT_KIND / 8])];
      const rip = exit === 'next' ? test.site + test.bytes.length : test.targets[exit];
      if (rip !== sim.cpu.rip) differences.push(`rip ${hex(rip)}, simulated ${hex(sim.cpu.rip)}`);
      for (let b = 0; b < SCRATCH_SIZE; b++) {
        if (scratch[b] !== image[b]) {
          differences.push(
            `memory at ${hex(SCRATCH + b)}: ${hex(scratch[b])}, simulated ${hex(image[b])}`,
          );
          break;
        }
      }
    }
    if (differences.length > 0) {
      problems++;
      if (disagreements.length < 20) {
        disagreements.push(
          `seed ${seedText}, case ${done + i}: ${text} [${Buffer.from(test.bytes).toString('hex')}], flags ${hex(test.flags)}: ${differences.join('; ')}`,
        );
      }
    }
  });
  state = after;
  done += size;
}
if (log !== null) closeSync(log);
console.log(JSON.stringify({ cases: done, rows, problems, disagreements }));

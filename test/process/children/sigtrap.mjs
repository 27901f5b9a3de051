// Runs the whole SIGTRAP handler on random contexts, on the real CPU as a plain function and on the
// simulator instruction by instruction, over equal memory, and prints where the two disagree, or
// either with what the table says. A child of silicon.test.ts; by hand: node
// test/process/children/sigtrap.mjs 10000 [seed] [mutant]
import { createRequire } from 'node:module';
import { assemble, mem, place } from '#asm/assembler';
import { DATA, EMULATE, RECORD, emulationWord, encodeTable, readWord } from '#trap/registry';
import { UCONTEXT } from '#base/linux';
import { sigtrap } from '#native/sigtrap';
import { decode } from '#asm/decode';
import { FLAG } from '#asm/flags';
import { printInsn } from '#asm/print';
import { newCpu } from '#machine/sim/cpu';
import { execute } from '#machine/sim/execute';
import { SEMANTICS } from '#machine/sim/semantics';

const koffi = createRequire(import.meta.url)('koffi');
const [, , countText = '1000', seedText = '1', mutant = ''] = process.argv;
const COUNT = Number(countText);

const CODE = 0x7100_0000;
const AREA = 0x7101_0000;
const SIZE = 0x10000;
const [BLOCK, MARKS, INFO, CONTEXT, STACK, RECORDS, TABLES, SITES] = [
  0, 0x100, 0x200, 0x400, 0x1000, 0x2000, 0x6000, 0xe000,
].map((offset) => AREA + offset);
const FAKE_STACK = 0x7200_0000;
const RETURN = 0x7300_0000;

let state = (Number(seedText) * 0x9e3779b1) | 1;
const bits32 = () => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
};
const below = (n) => Math.floor((bits32() / 2 ** 32) * n);
const chance = (p) => bits32() < p * 2 ** 32;
const oneOf = (list) => list[below(list.length)];

const libc = koffi.load('libc.so.6');
const mmap = libc.func(
  'int64 mmap(uint64 addr, size_t length, int prot, int flags, int fd, int64 offset)',
);
const mprotect = libc.func('int mprotect(uint64 addr, size_t length, int prot)');
function map(at, length) {
  if (Number(mmap(at, length, 3, 0x10_0022, -1, 0)) !== at) {
    console.log(JSON.stringify({ skipped: `the address 0x${at.toString(16)} is taken` }));
    process.exit(0);
  }
  return new Uint8Array(koffi.view(BigInt(at), length));
}
const code = map(CODE, 0x2000);
const real = map(AREA, SIZE);

const handler = place(sigtrap(), { data: BLOCK });
if (mutant === 'eight-conditions') {
  const masked = Buffer.from(handler).indexOf(Buffer.from([0x83, 0xe1, 0x0f])); // and ecx, 15
  if (masked < 0) throw new Error('the handler masks no condition');
  handler[masked + 2] = 7;
}
// The handler that was there before: notes what it was called with.
const PREVIOUS = CODE + 0x1000;
const previous = assemble([
  ['lock', 'inc', mem({ disp: MARKS })],
  ['mov', mem({ disp: MARKS + 8 }), 'rdi'],
  ['mov', mem({ disp: MARKS + 16 }), 'rsi'],
  ['mov', mem({ disp: MARKS + 24 }), 'rdx'],
  ['ret'],
]).bytes;
code.set(handler, 0);
code.set(previous, 0x1000);
if (mprotect(CODE, 0x2000, 5) !== 0) throw new Error('mprotect');
const enter = koffi.decode(
  BigInt(CODE),
  koffi.proto('void handler(uint64 signal, uint64 info, uint64 context)'),
);

const view = new DataView(real.buffer, real.byteOffset);
const put = (at, bits) => view.setBigUint64(at - AREA, BigInt.asUintN(64, BigInt(bits)), true);
const get = (bytes, at) =>
  new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at - AREA, true);

const FORMS = Object.keys(EMULATE);
let slots = [];
/** New tables now and then: none, empty, overlapping, of any length. */
function drawTables() {
  slots = [];
  let next = 0;
  let at = TABLES;
  let record = RECORDS;
  const records = Array.from({ length: 1 + below(8) }, () => {
    const here = record;
    record += RECORD.size;
    put(here + RECORD.call, emulationWord(oneOf(FORMS), CODE + below(0x1000)));
    put(here + RECORD.tail, emulationWord(oneOf(FORMS), CODE + below(0x1000)));
    put(here + RECORD.jcc, emulationWord(chance(0.8) ? 'jcc' : oneOf(FORMS), CODE + below(0x1000)));
    return here;
  });
  for (let t = below(4); t > 0; t--) {
    const sites = [
      ...new Set(Array.from({ length: below(20) }, () => SITES + 16 + below(0x400))),
    ].sort((a, b) => a - b);
    const table = sites.map((site) => {
      const kind = oneOf(['call', 'tail', 'jcc']);
      return {
        site,
        word: oneOf(records) + RECORD[kind],
        length: kind === 'jcc' ? 6 : oneOf([5, 6]),
        condition: below(16),
      };
    });
    const bytes = new Uint8Array(encodeTable(table, next).buffer);
    real.set(bytes, at - AREA);
    // A table that comes first in the list answers first.
    slots = [...table, ...slots];
    next = at;
    at += bytes.length;
  }
  put(BLOCK + DATA.tables, next);
  drawBytes();
}

/** Sixteen conditional jumps, one of each condition. */
function layConditions() {
  put(RECORDS + RECORD.jcc, emulationWord('jcc', CODE + below(0x1000)));
  slots = Array.from({ length: 16 }, (_, condition) => ({
    site: SITES + 16 + 0x20 * condition,
    word: RECORDS + RECORD.jcc,
    length: 6,
    condition,
  }));
  real.set(new Uint8Array(encodeTable(slots, 0).buffer), TABLES - AREA);
  put(BLOCK + DATA.tables, TABLES);
  drawBytes();
}

function drawBytes() {
  for (let i = 0; i < 0x500; i++)
    real[SITES - AREA + i] = oneOf([0xcc, 0xcc, 0xcd, 0x03, 0xe8, bits32() & 0xff]);
}

if (mutant === 'setcc') {
  const { run } = SEMANTICS['set{cc}'];
  SEMANTICS['set{cc}'] = {
    run: (context) => {
      context.cpu.flags ^= 0x40;
      const outcome = run(context);
      context.cpu.flags ^= 0x40;
      return outcome;
    },
  };
} else if (mutant !== '' && mutant !== 'eight-conditions') throw new Error(`no mutant ${mutant}`);

/** The same bytes on the simulator, until it returns. */
function simulate(image) {
  const stack = new Map();
  const port = {
    read(at, bytes) {
      let word = 0n;
      for (let i = bytes - 1; i >= 0; i--)
        word =
          (word << 8n) |
          BigInt(
            at >= AREA && at < AREA + SIZE
              ? image[at - AREA + i]
              : at >= CODE && at < CODE + 0x2000
                ? code[at - CODE + i]
                : (stack.get(at + i) ?? 0),
          );
      return word;
    },
    write(at, bytes, word) {
      for (let i = 0; i < bytes; i++, word >>= 8n) {
        if (at >= AREA && at < AREA + SIZE) image[at - AREA + i] = Number(word & 0xffn);
        else stack.set(at + i, Number(word & 0xffn));
      }
    },
  };

  const cpu = newCpu(true);
  cpu.r[4] = BigInt(FAKE_STACK);
  port.write(FAKE_STACK, 8, BigInt(RETURN));
  [cpu.r[7], cpu.r[6], cpu.r[2]] = [5n, BigInt(INFO), BigInt(CONTEXT)];
  cpu.rip = CODE;
  for (let steps = 0; steps < 2000; steps++) {
    const insn = decode(code, cpu.rip - CODE);
    if (typeof insn === 'string') return `${insn} at ${cpu.rip - CODE}`;
    const at = cpu.rip;
    const outcome = execute(insn, cpu, port);
    if (!['next', 'jump', 'jump-indirect', 'return'].includes(outcome))
      return `${outcome} at ${printInsn(insn, at)}`;
    if (cpu.rip === RETURN)
      return cpu.r[4] === BigInt(FAKE_STACK + 8) ? null : 'the stack is not balanced';
  }
  return 'runs away';
}

const displacementAt = (memory, site) =>
  new DataView(memory.buffer, memory.byteOffset).getInt32(site + 1 - AREA, true);

/** What the table says must come of a trap: where it goes on, and with which stack pointer. */
function expected(before) {
  const rip = Number(get(before, CONTEXT + UCONTEXT.rip));
  const rsp = Number(get(before, CONTEXT + UCONTEXT.rsp));
  const site = rip - 1;
  const slot = slots.find((each) => each.site === site);
  const breakpoint =
    new DataView(before.buffer, before.byteOffset).getInt32(INFO - AREA + 8, true) === 0x80;
  if (!breakpoint) return { rip, rsp };
  const { form, target } =
    slot === undefined ? { form: 'none', target: 0 } : readWord(Number(get(before, slot.word)));
  const end = slot === undefined ? 0 : site + slot.length;
  const flags = get(before, CONTEXT + UCONTEXT.flags);
  switch (form) {
    case 'call':
      return { rip: target, rsp: rsp - 8, pushed: end };
    case 'jmp':
      return { rip: target, rsp };
    case 'nop':
    case 'ret0':
    case 'passed':
      return { rip: end, rsp };
    // A branch goes where the displacement behind its trap leads.
    case 'taken':
      return { rip: end + displacementAt(before, site), rsp };
    case 'ret':
      return { rip: Number(get(before, rsp)), rsp: rsp + 8 };
    case 'jcc': {
      const has = (bit) => ((flags >> BigInt(bit)) & 1n) === 1n;
      const [cf, pf, zf, sf, of] = [0, 2, 6, 7, 11].map(has);
      const holds =
        [of, cf, zf, cf || zf, sf, pf, sf !== of, zf || sf !== of][slot.condition >> 1] !==
        (slot.condition % 2 === 1);
      return { rip: holds ? target : end, rsp };
    }
    default: {
      const at = (address) => before[address - AREA];
      const foreign = at(site) === 0xcc || (at(site) === 0x03 && at(site - 1) === 0xcd);
      return { rip: foreign ? rip : site, rsp };
    }
  }
}

const disagreements = [];
let problems = 0;
const forms = {};
const hex = (n) => `0x${BigInt.asUintN(64, BigInt(n)).toString(16)}`;
/** One trap: at a slot's site, or anywhere; with these flags, or any. */
function compare(name, hit, flags) {
  for (let at = CONTEXT - AREA; at < CONTEXT - AREA + 512; at++) real[at] = bits32();
  if (flags !== undefined) put(CONTEXT + UCONTEXT.flags, flags);
  put(CONTEXT + UCONTEXT.rip, (hit?.site ?? SITES + 16 + below(0x400)) + 1);
  put(CONTEXT + UCONTEXT.rsp, STACK + 0x800 + 8 * below(64));
  put(STACK + 0x800 + 8 * below(64), BigInt(bits32()));
  const ours = flags !== undefined || chance(0.9);
  view.setInt32(INFO - AREA + 8, ours ? 0x80 : oneOf([0, -6, 1, 2, 4]), true);
  put(
    BLOCK + DATA.previous,
    chance(0.8) || view.getInt32(INFO - AREA + 8, true) === 0x80 ? PREVIOUS : 1,
  );
  const before = real.slice();
  const image = real.slice();
  const problem = simulate(image);
  enter(5, INFO, CONTEXT);
  const differences = problem === null ? [] : [problem];
  if (Buffer.compare(real, image) !== 0) {
    const at = real.findIndex((byte, k) => byte !== image[k]);
    differences.push(`memory at +${hex(at)}: ${hex(real[at])}, simulated ${hex(image[at])}`);
  }
  const want = expected(before);
  const got = {
    // A made-up displacement may lead below 0.
    rip: Number(BigInt.asIntN(64, BigInt(get(real, CONTEXT + UCONTEXT.rip)))),
    rsp: Number(get(real, CONTEXT + UCONTEXT.rsp)),
  };
  if (got.rip !== want.rip || got.rsp !== want.rsp)
    differences.push(
      `went on at ${hex(got.rip)} with ${hex(got.rsp)}, not ${hex(want.rip)} with ${hex(want.rsp)}`,
    );
  if (want.pushed !== undefined && Number(get(real, want.rsp)) !== want.pushed)
    differences.push('the return address is wrong');
  const form =
    hit === null
      ? 'elsewhere'
      : readWord(Number(get(before, slots.find(({ site }) => site === hit.site).word))).form;
  forms[form] = (forms[form] ?? 0) + 1;
  if (differences.length > 0) {
    problems++;
    if (disagreements.length < 10)
      disagreements.push(`seed ${seedText}, ${name} (${form}): ${differences.join('; ')}`);
  }
}

for (let i = 0; i < COUNT; i++) {
  if (i % 50 === 0) drawTables();
  compare(`context ${i}`, slots.length > 0 && chance(0.8) ? oneOf(slots) : null);
}

// Every condition with every combination of the flags that it may read, among any other flags.
const { cf, pf, zf, sf, of } = FLAG;
const READ = [cf, pf, zf, sf, of];
layConditions();
let conditions = 0;
for (const slot of slots)
  for (let set = 0; set < 1 << READ.length; set++) {
    const other = bits32() & ~(cf | pf | zf | sf | of);
    const flags = READ.reduce((all, flag, k) => (set & (1 << k) ? all | flag : all), other) >>> 0;
    compare(`condition ${slot.condition} with flags 0x${flags.toString(16)}`, slot, flags);
    conditions++;
  }

console.log(JSON.stringify({ cases: COUNT, conditions, rows: forms, problems, disagreements }));

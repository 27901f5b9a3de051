// What a process does when it runs a protocol, written down one effect after the other: the classes
// that ship, over a Native that interprets the machine code of the run on the simulated CPU, over
// the process's own memory. So every store instruction and system call is seen where it comes, with
// its width and its lock. Prints the effects and the handler as it lies in the process. argv: JSON
// {protocol, writer, offset, old, new, way, word}.
import { SIGTRAP } from '#base/linux';
import { Runtime } from '#machine/process/runtime';
import { openNative, PROT, MAP, SYS } from '#machine/linux/native';
import { ProcessMachine } from '#machine/process/process';
import { TrapWatch } from '#machine/process/signals';
import { aliasText } from '#machine/process/alias';
import { openProcmem, ProcmemText } from '#machine/process/procmem';
import { registerBarrier } from '#machine/linux/membarrier';
import { newCpu } from '#machine/sim/cpu';
import { execute } from '#machine/sim/execute';
import { transact } from '#machine/transact';
import { Batch, KeyChanges } from '#plan/batch';
import { narrowed } from '#plan/protocol';
import { isLocked } from '#asm/encoding';
import { decode } from '#asm/decode';
import { RECORD } from '#trap/registry';
import { sigtrap } from '#native/sigtrap';

const asked = JSON.parse(process.argv[2]);
const effects = [];
const real = openNative();
const bytesAt = (at, length) => new Uint8Array(real.view(at, length));

const PAGE = 4096;
const start = real.call(
  'mmap',
  0,
  PAGE,
  PROT.read | PROT.write,
  MAP.private | MAP.anonymous,
  -1,
  0,
);
const site = start + 1024 + asked.offset;
bytesAt(start, PAGE).fill(0x90);
const { length } = asked.old;
bytesAt(site, length).set(asked.old);
real.call('mprotect', start, PAGE, PROT.read | PROT.exec);

/** Addresses in the second mapping and where they run. */
let alias = start;
let record = null;
const stored = (at, bytes, locked) => {
  const from = Math.max(at, site);
  const to = Math.min(at + bytes.length, site + length);
  const now = bytesAt(start, PAGE);
  for (let i = 0; i < bytes.length; i++) {
    const inside = at + i >= from && at + i < to;
    if (!inside && now[at + i - start] !== bytes[i])
      throw new Error(`a neighbour of the site is changed at ${at + i - site}`);
  }
  // Bytes of the window that are stored as they were are no part of the store.
  const values = [...bytes].slice(from - at, to - at);
  effects.push({ store: from - site, bytes: values, locked });
};

/**
 * Two instructions of the store loops that convert a column's double; the instruction table has no
 * floating point.
 */
const CONVERT = [
  [[0xf2, 0x48, 0x0f, 0x2c, 0x04, 0xce], (r) => r[6] + 8n * r[1]],
  [[0xf2, 0x48, 0x0f, 0x2c, 0x06], (r) => r[6]],
];

/** Where the code of a run makes its system calls. */
const SYSTEM = 0x20;

function interpret(at, argument) {
  const cpu = newCpu(true);
  const stack = new Map();
  const [TOP, RETURN] = [0x1000, 0x10];
  const port = {
    locked: false,
    read(where, size) {
      let value = 0n;
      const bytes =
        where < 0x2000
          ? Array.from({ length: size }, (_, i) => stack.get(where + i) ?? 0)
          : bytesAt(where, size);
      for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
      return value;
    },
    write(where, size, value) {
      const bytes = Array.from({ length: size }, (_, i) =>
        Number((value >> BigInt(8 * i)) & 0xffn),
      );
      if (where < 0x2000) return void bytes.forEach((byte, i) => stack.set(where + i, byte));
      if (where >= alias && where < alias + PAGE) stored(where - alias + start, bytes, port.locked);
      // Of the record the word of a call is enough: the others are published by the same
      // operations.
      if (record !== null && where === record + RECORD.call)
        effects.push({ write: value.toString(16) });
      bytesAt(where, size).set(bytes);
    },
  };
  cpu.r[4] = BigInt(TOP);
  port.write(TOP, 8, BigInt(RETURN));
  cpu.r[7] = BigInt(argument);
  cpu.rip = at;
  for (let steps = 0; steps < 10_000 && cpu.rip !== RETURN; steps++) {
    if (cpu.rip === SYSTEM) {
      const [number, ...args] = [7, 6, 2, 1, 8].map((r) => Number(BigInt.asIntN(64, cpu.r[r])));
      cpu.r[0] = BigInt(
        native.call(
          Object.keys(SYS).find((name) => SYS[name] === number),
          ...args,
        ),
      );
      cpu.rip = Number(port.read(Number(cpu.r[4]), 8));
      cpu.r[4] += 8n;
      continue;
    }
    const code = bytesAt(cpu.rip, 15);
    const convert = CONVERT.find(([bytes]) => bytes.every((byte, i) => code[i] === byte));
    if (convert) {
      cpu.r[0] = BigInt(new Float64Array(real.view(Number(convert[1](cpu.r)), 8).slice(0))[0]);
      cpu.rip += convert[0].length;
      continue;
    }
    const insn = decode(code);
    if (typeof insn === 'string') throw new Error(`no instruction at ${cpu.rip - at}`);
    port.locked = isLocked(insn);
    const outcome = execute(insn, cpu, port);
    if (!['next', 'jump', 'jump-indirect', 'call', 'call-indirect', 'return'].includes(outcome))
      throw new Error(`the code of a store ended in ${outcome}`);
  }
  return Number(BigInt.asIntN(64, cpu.r[0]));
}

let file = -1;
const native = {
  ...real,
  system: SYSTEM,
  procedure: (at) => (argument) => interpret(at, argument),
  call(name, ...args) {
    if (name === 'rt_sigaction' && args[0] === SIGTRAP) effects.push({ asked: true });
    if (name === 'membarrier' && args[0] === 32) effects.push({ sync: true });
    if (name === 'pwrite' && args[0] === file)
      stored(args[3], bytesAt(args[1], args[2]).slice(), false);
    return real.call(name, ...args);
  },
};

const runtime = new Runtime(native);
new TrapWatch(runtime).check();
registerBarrier(native);
const machine = new ProcessMachine(runtime);
if (asked.writer === 'alias') {
  const text = aliasText(runtime, start, start + PAGE);
  const words = new BigUint64Array(real.view(Number(runtime.word('regions')), 32));
  alias = Number(
    [...words].find(
      (word) => word !== 0n && Number(word) !== start && Number(word) !== start + PAGE,
    ),
  );
  machine.addText(text);
} else {
  file = openProcmem(native);
  machine.addText(new ProcmemText(native, { file }, start, start + PAGE));
}

record = runtime.allocate(RECORD.size, 64);
const batch = new Batch(1);
batch.count = 1;
batch.at[0] = site;
batch.length[0] = length;
batch.old.set(asked.old);
batch.new.set(asked.new);
const keys = KeyChanges.of([
  { record, words: { call: Number(asked.word), tail: 0, jcc: 0 }, slot: null, func: 0 },
]);
batch.way[0] = batch.ways = asked.way;
transact(
  narrowed(asked.protocol, asked.way),
  { batches: [batch], keys },
  new KeyChanges(),
  machine,
);

const { bytes } = sigtrap();
console.log(
  JSON.stringify({
    effects,
    text: [...bytesAt(site, length)],
    handler: [...bytesAt(runtime.handler, bytes.length)],
    data: runtime.data,
    installed: real.sigaction(5, null).handler === runtime.handler,
  }),
);

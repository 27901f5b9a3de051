// Performs tapes of every operation and prints what they did: in which order system calls came,
// what was written, where a tape stopped and that nothing behind it was done.
import { Ground } from '#machine/process/ground';
import { intercepted, openNative } from '#machine/process/native';
import { Tape } from '#machine/process/tape';
import { Batch } from '#plan/batch';

const plain = openNative();
const { routines } = new Ground(plain);
const words = new BigUint64Array(32);
const at = plain.addressOf(words);
const said = {};

// Far more operations than a new tape has room for, each of which counts on the one before.
const many = new Tape(plain, routines);
for (let i = 0; i < 1000; i++) {
  many.word(at + 8 * (i % 32), 2 ** 40 + i);
  many.expect(at + 8 * (i % 32), 2 ** 40 + i);
}
said.many = { stop: many.perform(), last: Number(words[999 % 32]) - 2 ** 40 };

// Every length of a copy, and no byte beside it.
const [from, to] = [new Uint8Array(64).map((_, i) => i + 1), new Uint8Array(64)];
said.copies = [];
for (let size = 0; size <= 40; size++) {
  to.fill(0xaa);
  const tape = new Tape(plain, routines);
  tape.copy(plain.addressOf(from) + 3, plain.addressOf(to) + 5, size);
  const stop = tape.perform();
  const right = to.every((byte, i) => byte === (i >= 5 && i < 5 + size ? i - 5 + 3 + 1 : 0xaa));
  if (stop !== null || !right) said.copies.push(size);
}

// System calls as the kernel makes them, and through a function of ours: same results, in the order
// of the tape.
const order = [];
const seen = intercepted(plain, (name, ...args) => {
  order.push([name, ...args]);
  return name === 'futex' ? -11 : plain.call(name, ...args);
});
said.kernel = [];
for (const native of [plain, seen]) {
  const tape = new Tape(native, routines);
  tape.mark(7);
  tape.system('gettid', process.pid);
  tape.mark(8);
  tape.system('close', 0, -1);
  tape.word(at, 5);
  said.kernel.push(tape.perform());
}
said.order = order.map(([name]) => name);

// Stops of each kind: nothing behind it is done, and it can be gone on with from there.
const batch = new Batch(2);
batch.count = 2;
const site = new Uint8Array(128);
const base = Math.ceil(plain.addressOf(site) / 64) * 64;
const memory = new Uint8Array(plain.view(base, 64));
for (const i of [0, 1]) {
  batch.at[i] = base + 8 * i;
  batch.length[i] = 5;
  batch.old.set([0xe8, 1, 1, 1, 1], 8 * i);
  batch.new.set([0x90, 2, 2, 2, 2], 8 * i);
  memory.set(batch.old.subarray(8 * i, 8 * i + 5), 8 * i);
}
memory[8] = 0xcc; // somebody's
const kinds = {
  store: (tape) => tape.store('exchange', batch, 0, 2, 0, 'new'),
  system: (tape) => tape.system('futex', 0, at, 129, 0),
  expect: (tape) => tape.expect(at, 12345),
};
said.stops = {};
for (const [kind, add] of Object.entries(kinds)) {
  const tape = new Tape(seen, routines);
  words.fill(0n);
  tape.mark(1);
  tape.word(at + 8, 1);
  tape.mark(2);
  add(tape);
  tape.mark(3);
  tape.word(at + 16, 1);
  const { operation, mark, what } = tape.perform();
  const after = [Number(words[1]), Number(words[2])];
  const rest = tape.perform(operation + 1);
  const { batch: _batch, ...told } = what;
  said.stops[kind] = { operation, mark, told, after, rest, done: Number(words[2]) };
}
said.sites = [[...memory.subarray(0, 5)], [...memory.subarray(8, 13)]];
console.log(JSON.stringify(said));

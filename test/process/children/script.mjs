// Performs scripts of every operation and prints what they did: in which order system calls came,
// what was written, where a script stopped and that nothing behind it was done.
import { Runtime } from '#machine/process/runtime';
import { intercepted, openNative } from '#machine/linux/native';
import { Script } from '#machine/process/script';
import { Batch } from '#plan/batch';

const plain = openNative();
const { routines } = new Runtime(plain);
const words = new BigUint64Array(32);
const at = plain.addressOf(words);
const said = {};

// Far more operations than a new script has room for, each of which counts on the one before.
const many = new Script(plain, routines);
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
  const script = new Script(plain, routines);
  script.copy(plain.addressOf(from) + 3, plain.addressOf(to) + 5, size);
  const stop = script.perform();
  const right = to.every((byte, i) => byte === (i >= 5 && i < 5 + size ? i - 5 + 3 + 1 : 0xaa));
  if (stop !== null || !right) said.copies.push(size);
}

// System calls as the kernel makes them, and through a function of ours: same results, in the order
// of the script.
const order = [];
const seen = intercepted(plain, (name, ...args) => {
  order.push([name, ...args]);
  return name === 'futex' ? -11 : plain.call(name, ...args);
});
said.kernel = [];
for (const native of [plain, seen]) {
  const script = new Script(native, routines);
  script.mark(7);
  script.system('gettid', process.pid);
  script.mark(8);
  script.system('close', 0, -1);
  script.word(at, 5);
  said.kernel.push(script.perform());
}
said.order = order.map(([name]) => name);

// The lock: taken by this thread, refused to a second script, given back with a call only if a thread
// waits. A descriptor that one operation obtains and others use; an error is not kept as one.
const [LOCK, WAITERS] = [at + 80, at + 84];
words.fill(0n);
const halves = new Int32Array(words.buffer);
const locks = (body) => {
  order.length = 0;
  const script = new Script(seen, routines);
  body(script);
  const stop = script.perform();
  return { what: stop?.what ?? null, calls: order.map(([name]) => name), lock: halves[20] };
};
const own = plain.call('gettid');
said.lock = {
  own,
  taken: locks((s) => s.take(LOCK)),
  again: locks((s) => s.take(LOCK)),
  given: locks((s) => s.give(LOCK)),
};
halves[21] = 1;
said.lock.woken = locks((s) => s.give(LOCK));
if (WAITERS - LOCK !== 4) throw new Error('the waiters stand behind the lock');
const path = new TextEncoder().encode('/proc/self/mem\0');
words[4] = 0x1122334455667788n;
words[5] = 0n;
said.file = locks((s) => {
  s.obtain(at + 24, 'open', plain.addressOf(path), 0);
  s.using(at + 24, 'pread', 8, at + 40, 8, at + 32);
  s.using(at + 24, 'close', 0);
}).what;
said.read = words[5] === words[4];
said.refused = locks((s) => s.obtain(at + 24, 'open', at + 512, 0)).what;
said.kept = Number(BigInt.asIntN(64, words[3]));

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
  store: (script) => script.store('exchange', batch, 0, 2, 0, 'new'),
  system: (script) => script.system('futex', 0, at, 129, 0),
  expect: (script) => script.expect(at, 12345),
};
said.stops = {};
for (const [kind, add] of Object.entries(kinds)) {
  const script = new Script(seen, routines);
  words.fill(0n);
  script.mark(1);
  script.word(at + 8, 1);
  script.mark(2);
  add(script);
  script.mark(3);
  script.word(at + 16, 1);
  const { operation, mark, what } = script.perform();
  const after = [Number(words[1]), Number(words[2])];
  const rest = script.perform(operation + 1);
  const { batch: _batch, ...told } = what;
  said.stops[kind] = { operation, mark, told, after, rest, done: Number(words[2]) };
}
said.sites = [[...memory.subarray(0, 5)], [...memory.subarray(8, 13)]];
console.log(JSON.stringify(said));

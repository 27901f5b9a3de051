// A tool makes the same updates again and again, and something comes in between. argv: pid, and the
// name of what comes. Prints one line of JSON: what the tool was told, and by which system calls it
// did what it did.
import { attachWith } from '#app/attach';
import { isFault } from '#base/fault';
import { ERRNO, SYS } from '#base/linux';
import { openNative } from '#machine/linux/native';
import { pause } from '#machine/remote/pause';
import { Target } from '#machine/remote/target';

const [, , number, what] = process.argv;
const pid = Number(number);
const real = openNative();
const SEIZE = 0x4206;
const SIGWINCH = 28;
/** At a thread that has to wait for a CPU, ms. */
const LOOKS = 20_000;
let [looks, stops] = [0, 0];
const native = {
  ...real,
  call(name, ...args) {
    if (name === 'process_vm_readv') looks++;
    if (name === 'ptrace' && args[0] === SEIZE) stops++;
    if (name === 'process_vm_writev' && what === 'the kernel writes no two places at once')
      return -ERRNO.nosys;
    return real.call(name, ...args);
  },
};
const target = new Target(pid);
const object = target.exe.slice(target.exe.lastIndexOf('/') + 1);
const app = attachWith(native, pid, { object });
const set = (to) => app.update({ route: to }).changes[0] ?? null;
const toggle = (times) => {
  for (let i = 0; i < times; i++) for (const to of ['fast', 'slow']) set(to);
};
/** Whether the thread that was borrowed sleeps in one of these calls. */
const isIn = (...calls) => calls.includes(target.thread(app.held.thread).sleepsIn?.call);
/** @param otherwise now and then: the next update may borrow another thread */
function until(holds, otherwise = () => {}) {
  for (let look = 1; !holds(); look++, pause(1)) {
    if (look === LOOKS) throw new Error('no thread sleeps as it should');
    if (look % 100 === 0) otherwise();
  }
}
/** A thread that still waits for a CPU when the next update comes is stopped once more. */
const toggleAsleep = (times) => {
  const isAsleep = () => isIn(SYS.pause);
  until(isAsleep, () => toggle(1));
  [looks, stops] = [0, 0];
  for (let i = 0; i < 2 * times; i++) {
    until(isAsleep);
    set(i % 2 === 0 ? 'fast' : 'slow');
  }
};

function other(targets) {
  const beside = attachWith(real, pid, {});
  for (const each of targets) beside.update(each);
  beside.detach();
}
const [site] = app.sites('route').filter(({ kind }) => kind !== 'trampoline');
const at = Number(site.address);
/** The word that a target's address is read from: one of those that hold it, in the program. */
const slotsOf = (address) => {
  const found = [];
  for (const { start, end, access, path } of target.maps()) {
    if (access[0] !== 'r' || !path.includes('/target-')) continue;
    const words = new BigUint64Array(target.read(start, end - start).buffer);
    for (const [i, word] of words.entries()) if (word === address) found.push(start + 8 * i);
  }
  return found;
};
const targetNow = () => {
  const bytes = new DataView(target.read(at, 5).buffer);
  return BigInt(at + 5 + bytes.getInt32(1, true));
};
const write = (where, value) =>
  target.write(where, new Uint8Array(BigUint64Array.of(value).buffer));

const between = {
  nothing: () => toggleAsleep(4),
  'the kernel writes no two places at once': () => toggleAsleep(4),
  'another tool sends the key elsewhere': () => other([{ route: 'other' }]),
  'another tool sends the key elsewhere and back': () =>
    other([{ route: 'other' }, { route: 'slow' }]),
  'another tool changes another key': () => other([{ hook: 'count' }, { hook: null }]),
  'another tool finds sites of the key in another object': () => other([]),
  'this tool sends the key elsewhere': () => void set('other'),
  'the thread goes to sleep elsewhere': () => {
    // The one that turns: while it was awake another one was borrowed.
    until(
      () => isIn(SYS.pause, SYS.poll),
      () => toggle(1),
    );
    const { thread } = app.held;
    const call = () => target.thread(thread).sleepsIn?.call;
    said.calls = [];
    for (let turn = 0; turn < 4; turn++) {
      const before = call();
      real.call('tgkill', pid, thread, SIGWINCH);
      until(() => call() !== undefined && call() !== before);
      const there = call();
      toggle(1);
      until(() => call() !== undefined);
      said.calls.push([there, call()]);
    }
  },
  'the program executes itself': () => {
    const before = target.threadIds();
    process.kill(pid, 'SIGHUP');
    // Its threads are other ones then, but for the first, and as many.
    const isNew = (ids) => ids.length === before.length && !ids.includes(before.at(-1));
    for (let look = 0; !isNew(target.threadIds()); look++, pause(1))
      if (look === LOOKS) throw new Error('the program does not execute itself');
  },
  'other code writes a site': () => target.write(at, Uint8Array.of(0xcc)),
  'a name comes to mean another function': () => {
    set('other');
    said.address = String(targetNow());
    const address = targetNow();
    set('fast');
    const fast = targetNow();
    set('slow');
    for (const slot of slotsOf(fast)) write(slot, address);
  },
};

const said = { changes: [] };
toggle(3);
[looks, stops] = [0, 0];
between[what]();
Object.assign(said, { looks, stops });
for (const to of ['fast', 'slow', 'fast', 'slow'])
  try {
    said.changes.push(set(to)?.from ?? null);
    if (to === 'fast') said.reached ??= String(targetNow());
  } catch (error) {
    if (!isFault(error)) throw error;
    said.changes.push(error.code);
  }
if (what === 'other code writes a site') target.write(at, Buffer.from(site.bytes, 'hex'));
if (target.alive) said.drifts = app.verify().map(({ kind }) => kind);
app.detach();
target.close();
console.log(JSON.stringify(said));

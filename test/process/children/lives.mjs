// Environments come and go while C updates and forks: one story by name, and what came of it. argv:
// JSON {library, what}. Whatever hangs is ended by who started this.
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { open } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { readMaps } from '#machine/linux/maps';
import { Runtime } from '#machine/process/runtime';
import { DATA, SERVER } from '#trap/registry';
import { holdAtSync } from '../inject.mjs';
import { koffi } from './soaked.mjs';

const { library, what, long } = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const lib = koffi.load(library);
const c = Object.fromEntries(
  [
    'long lives_call(long)',
    'int lives_update(int)',
    'int lives_begin(int, int)',
    'int lives_thread(int)',
    'int lives_result(int)',
    'int lives_end(int)',
    'int lives_stop(int, int)',
    'int lives_go_on()',
    'int lives_signal(int, int)',
    'int lives_handled()',
    'int lives_alarm(int)',
    'int lives_answers(int)',
    'long lives_fork(long)',
    'long lives_fork_call()',
    'int lives_fork_begin()',
    'long lives_forked()',
    'long lives_fork_end()',
    'int lives_crowd_begin(int, int, int)',
    'long lives_crowd_end(int)',
    'int lives_forbid(int, int)',
    'int lives_chroot(str)',
    'int lives_limit(int)',
  ].map((declaration) => [/lives_(\w+)\(/.exec(declaration)[1], lib.func(declaration)]),
);
const done = (result) => console.log(JSON.stringify(result));
const RUNNING = 1000;
const [SIGUSR1, SIGUSR2] = [10, 12];
const native = openNative();

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** On a loaded machine another thread may take its time. */
async function until(condition) {
  while (!condition()) await pause(5);
}
const threads = () => readdirSync('/proc/self/task').length;

/** Starts a worker, by its name in WORKERS. */
async function worker(kind) {
  const started = new Worker(new URL(import.meta.url), { workerData: { library, what, kind } });
  await new Promise((resolve, reject) => started.once('message', resolve).once('error', reject));
  return started;
}
const WORKERS = {
  opens() {
    open(library);
    parentPort.once('message', () => process.exit(0));
  },
  updates() {
    const app = open(library);
    parentPort.postMessage(0);
    for (let i = 0; ; i++) app.update({ live: i % 2 ? 'live_two' : 'live_one' });
  },
  'opens for the first time'() {
    const stopped = {
      ...native,
      createThreadKey() {
        parentPort.postMessage(0);
        for (;;);
      },
    };
    openWith(stopped, library, {});
  },
};

/** Holds the lock as another thread would: no thread has this number. */
const NOBODY = 0x3fff_ffff;
function hold(runtime) {
  const halves = new Int32Array(native.view(runtime.data, DATA.size));
  while (Atomics.compareExchange(halves, DATA.lock / 4, 0, NOBODY) !== 0);
  return {
    waiters: () => Atomics.load(halves, DATA.waiters / 4),
    release() {
      Atomics.store(halves, DATA.lock / 4, 0);
      native.call('futex', runtime.data + DATA.lock, 129, 2 ** 31 - 1);
    },
  };
}
/** A thread of C's waits in the kernel: a request that it made is on the list or taken. */
async function asleep(thread) {
  await until(() => {
    const stat = readFileSync(`/proc/self/task/${thread()}/stat`, 'latin1');
    return thread() !== 0 && stat[stat.lastIndexOf(')') + 2] === 'S';
  });
  await pause(20);
}
/** Begins an update on a thread of C's, and returns when it waits for its answer. */
async function begin(i, two) {
  c.begin(i, two);
  await until(() => c.thread(i) !== 0);
  await asleep(() => c.thread(i));
}
const ended = async (i) => {
  await until(() => c.result(i) !== RUNNING);
  return c.end(i);
};

const STORIES = {
  async 'a worker that has it open is terminated'() {
    const opened = await worker('opens');
    // Its server has answered, and sleeps again: it must come out of that by itself.
    c.update(1);
    await pause(300);
    const before = threads();
    await opened.terminate();
    done({ fewer: before - threads() });
  },
  async 'the process exits while a worker has it open'() {
    await worker('opens');
    process.exit(7);
  },
  async 'a worker opens first and exits'() {
    const first = await worker('opens');
    const app = open(library);
    const answers = [c.update(1), c.call(1)];
    const exited = new Promise((resolve) => first.once('exit', resolve));
    first.postMessage('end');
    await exited;
    answers.push(c.update(0), c.call(1));
    const serving = threads();
    app.close();
    await until(() => threads() < serving);
    done({ answers, after: c.update(1) });
  },
  async 'a worker is terminated while its server has a request'() {
    const first = await worker('opens');
    const runtime = new Runtime(native);
    const held = hold(runtime);
    // Only the worker's server is there to take them.
    for (let i = 0; i < 3; i++) await begin(i, i % 2);
    held.release();
    const before = [await ended(0), await ended(1), await ended(2)];
    const again = hold(runtime);
    for (let i = 0; i < 3; i++) await begin(i, i % 2);
    await first.terminate();
    const after = [await ended(0), await ended(1), await ended(2)];
    again.release();
    done({ before, after });
  },
  async 'of two that serve, the one with the requests is terminated'() {
    const app = open(library);
    const other = await worker('opens');
    const held = hold(new Runtime(native));
    // Each of the two takes one of the first two requests and waits for the lock.
    for (let i = 0; i < 8; i++) await begin(i, i % 2);
    await other.terminate();
    held.release();
    const answers = [];
    for (let i = 0; i < 8; i++) answers.push(await ended(i));
    done({ answers, app: app.update({ live: 'live_two' }).changes.length <= 1 });
  },
  async 'a worker is terminated in an update, then the program forks'() {
    open(library);
    let worst = 0;
    for (let i = 0; i < 6; i++) {
      const updating = await worker('updates');
      await pause(3 * Math.random());
      await updating.terminate();
      const began = performance.now();
      spawnSync('/bin/true');
      worst = Math.max(worst, performance.now() - began, c.fork(0) === 38 ? 0 : Infinity);
    }
    done({ worst, call: [c.update(0), c.call(1), c.update(1), c.call(1)] });
  },
  async 'a worker is terminated in the first open'() {
    const opening = await worker('opens for the first time');
    await opening.terminate();
    const app = open(library);
    const first = [c.update(1), c.call(1), c.fork(0)];
    app.close();
    done({ first, again: open(library).keys.live.target });
  },
  'the fixed address of earlier versions is taken'() {
    const at = native.call('mmap', 0x5ca1_1000_0000, 4096, 0, 0x100022, -1, 0);
    open(library);
    done({ taken: at === 0x5ca1_1000_0000, answers: [c.update(1), c.call(1)] });
  },
  async 'a signal handler updates'() {
    const app = open(library);
    const runtime = new Runtime(native);
    const inside = runtime.locked(() => c.update(1));
    const [slot] = [Number(runtime.word('serving'))];
    const server = new Int32Array(native.view(slot, 56))[SERVER.thread / 4];
    c.signal(server, SIGUSR2);
    await until(() => c.handled() !== RUNNING);
    const onServer = c.handled();
    // On a thread of C's that itself waits for an update, wherever it is in that.
    const end = performance.now() + 300;
    for (let i = 0; performance.now() < end; i++) {
      c.begin(0, i % 2);
      while (c.thread(0) === 0);
      c.signal(c.thread(0), SIGUSR2);
      app.update({ live: i % 2 ? 'live_two' : 'live_one' });
      c.end(0);
    }
    done({ inside, onServer, served: c.answers(0), refused: c.answers(35), call: c.call(1) });
  },
  // As where a signal handler interrupted a thread that has a mutex which the server wants.
  async 'nobody answers'() {
    const app = open(library);
    const held = hold(new Runtime(native));
    const began = performance.now();
    await begin(0, 1);
    await begin(1, 1); // stays on the list
    const answers = [await ended(0), await ended(1)];
    const seconds = (performance.now() - began) / 1000;
    held.release();
    app.update({ live: 'live_one' });
    const bad = [];
    for (let i = 0; i < 3; i++) {
      c.crowd_begin(150, 8, 1);
      bad.push(Number(c.crowd_end(150)));
    }
    done({ answers, seconds, bad });
  },
  async 'descriptors are used up'() {
    const app = open(library);
    const files = [];
    try {
      for (;;) files.push(openSync('/dev/null'));
    } catch {
      // That was the last one.
    }
    // The last look at the threads must have grown old.
    await pause(200);
    c.begin(0, 1);
    const refused = [c.update(1), await ended(0)];
    for (const file of files) closeSync(file);
    done({ refused, then: [c.update(1), c.call(1), app.verify().length] });
  },
  async 'its root is changed'() {
    open(library);
    await pause(200);
    if (c.chroot('/var/empty') !== 0 && c.chroot('/var/tmp') !== 0)
      return done({ skipped: 'chroot is refused' });
    c.begin(0, 1);
    done({ answers: [c.update(1), await ended(0)] });
  },
  async 'a filter refuses openat'() {
    open(library);
    await pause(200);
    if (c.forbid(257, 13) !== 0) return done({ skipped: 'seccomp is refused' });
    c.begin(0, 1);
    done({ answers: [c.update(1), await ended(0)] });
  },
  async 'a thread that waits for its update gets a signal'() {
    open(library);
    const held = hold(new Runtime(native));
    await begin(0, 1);
    c.signal(c.thread(0), SIGUSR1);
    await until(() => c.handled() !== RUNNING);
    native.call('futex', 0, 129, 0);
    await pause(50);
    const early = c.result(0);
    held.release();
    done({ early, answer: await ended(0), call: c.call(1) });
  },
  async 'another request comes between the look at the list and the exchange'() {
    open(library);
    const held = hold(new Runtime(native));
    await begin(0, 1); // is taken by the server, which waits for the lock
    const began = [c.stop(1, 1), await begin(2, 1), c.go_on()];
    held.release();
    done({ began, answers: [await ended(0), await ended(1), await ended(2)] });
  },
  'many threads update at once'() {
    const app = open(library);
    const bad = [];
    for (let round = 0; round < (long ? 10 : 1); round++) {
      c.crowd_begin(16, 200, 1);
      bad.push(Number(c.crowd_end(16)));
    }
    done({ bad, drift: app.verify().length });
  },
  async 'a fork comes in an update'() {
    open(library, { writer: 'alias' });
    const runtime = new Runtime(native);
    const held = hold(runtime);
    c.fork_begin();
    await until(() => held.waiters() > 0);
    await pause(50);
    const during = Number(c.forked());
    held.release();
    const after = Number(c.fork_end());
    done({ during, after, waiters: held.waiters(), then: [c.update(1), c.call(1)] });
  },
  async 'a fork comes while requests wait'() {
    open(library);
    const runtime = new Runtime(native);
    const held = hold(runtime);
    await begin(0, 1); // is taken by the server, which waits for the lock
    await begin(1, 1); // stays on the list
    const halves = new Int32Array(native.view(runtime.data, DATA.size));
    const waiting = runtime.word('requests') !== 0n;
    halves[DATA.lock / 4] = native.call('gettid');
    const child = Number(c.fork(runtime.data + DATA.requests));
    held.release();
    done({ waiting, child, answers: [await ended(0), await ended(1)] });
  },
  'forks under the writer alias'() {
    const app = open(library, { writer: 'alias' });
    const count = () => readMaps().filter((m) => m.access === 'r-xp' && m.path === '').length;
    const before = count();
    const calls = [];
    for (const target of ['live_one', 'live_two', 'live_one']) {
      app.update({ live: target });
      calls.push(Number(c.fork_call()));
    }
    const left = count() - before;
    // The copy cannot be had: the child keeps the shared text.
    c.limit(1 << 20);
    calls.push(Number(c.fork_call()));
    c.limit(0);
    app.update({ live: 'live_two' });
    calls.push(Number(c.fork_call()));
    done({ left, calls });
  },
  'threads pass a trap'() {
    const times = long ? 300_000 : 60_000;
    let traps = 0;
    const held = holdAtSync(native, 1, () => {
      c.crowd_begin(2, times, 0);
      c.crowd_end(2);
    });
    const app = openWith(held.native, library, { protocol: 'int3' });
    held.arm();
    traps = app.update({ live: 'live_two' }).traps;
    done({ traps, calls: 2 * times });
  },
};

if (isMainThread) {
  await STORIES[what]();
  process.exit(0);
} else {
  WORKERS[workerData.kind]();
  parentPort.postMessage('up');
}

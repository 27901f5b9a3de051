// One thing that a process may do to itself, by name, and what came of it. argv: JSON {library,
// what, other}.
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  openSync,
  readSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { Worker } from 'node:worker_threads';
import { isFault, open, unchecked } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { Runtime } from '#machine/process/runtime';
import { readMaps } from '#machine/linux/maps';
import { strayTraps } from '#machine/process/records';
import { TrapWatch } from '#machine/process/signals';
import { holdAtSync } from '../inject.mjs';
import { faultOf } from './fault.mjs';
import { koffi } from './soaked.mjs';

/** What is asked here is about traps. */
const TRAPS = { protocol: 'int3' };

const { library, what, other } = JSON.parse(process.argv[2]);
const lib = koffi.load(library);
const c = Object.fromEntries(
  [
    'long pass(long)',
    'int jumps(int)',
    'int thread_start(int)',
    'void thread_release()',
    'void thread_block()',
    'long thread_stop()',
    'int theirs_install()',
    'int theirs_count()',
    'int theirs_code()',
    'void trap_here()',
    'void trap_raise()',
    'void trap_ignore()',
    'int forbid(int, int)',
    'void unload(str)',
    'int limit_memory(long)',
    'long fork_pass()',
  ].map((declaration) => [/(\w+)\(/.exec(declaration)[1], lib.func(declaration)]),
);
const [PLAIN, BLOCKED, SMALL_STACK, STARVED, LATER] = [0, 1, 2, 3, 4];
const [EPERM, MEMBARRIER, PWRITE64] = [1, 324, 18];
/**
 * Gives back handles of a library until the dynamic linker has none of the two that this process
 * took.
 */
const unload = (path) => c.unload(path);
const passes = () => Number(c.pass(1));
const refusal = (body) =>
  faultOf(body, ({ code, message, cause }) => ({ code, message, cause: cause?.code ?? null }));
/** Updates for a while, so that threads are met by traps. */
/**
 * Updates for a while, and for as long as `met` is false: on a loaded machine the other thread may
 * not run once in 300 ms, and then a test that wants it to meet a trap has tested nothing.
 */
const storm = (app, { ms = 300, met = () => true, mostMs = 30_000 } = {}) => {
  const begin = performance.now();
  const going = () => {
    const gone = performance.now() - begin;
    return gone < ms || (!met() && gone < mostMs);
  };
  let updates = 0;
  for (; going(); updates++) app.update({ act: updates % 2 ? 'act_one' : 'act_two' });
  return updates;
};
const trapped = (app) => ({ met: () => app.traps > 0 });
const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const strays = () => strayTraps(new Runtime(openNative()));
const done = (answer) => console.log(JSON.stringify(answer));

const HAZARDS = {
  'a thread blocks SIGTRAP'() {
    const app = open(library, { ...TRAPS, writer: 'alias' });
    c.thread_start(BLOCKED);
    sleep(150); // the last look at the threads is as old as it may be
    const refused = refusal(() => app.update({ act: 'act_two' }));
    const after = passes();
    app.update({ act: 'act_two' }, { protocol: 'store' });
    const stored = passes();
    c.thread_stop();
    app.update({ act: 'act_one' });
    done({ refused, after, stored, then: passes() });
  },
  'a thread that was looked at blocks SIGTRAP'() {
    const app = open(library, { ...TRAPS, writer: 'alias' });
    c.thread_start(LATER);
    const looked = [];
    for (const to of ['act_two', 'act_one', 'act_two']) {
      sleep(150); // so that the next update looks again
      app.update({ act: to });
      looked.push(passes());
    }
    c.thread_block();
    sleep(150);
    const refused = refusal(() => app.update({ act: 'act_one' }));
    const again = refusal(() => app.update({ act: 'act_one' }));
    c.thread_stop();
    app.update({ act: 'act_one' });
    done({ looked, code: refused?.code, again: again?.code, then: passes() });
  },
  // `hasty` is the mistake: the looks are counted, whether the thread ran in between or not. Chance
  // may help it out once.
  'a thread that would unblock SIGTRAP waits for a CPU'() {
    const app = open(library, TRAPS);
    const passed = { patient: 0, hasty: 0 };
    for (const [how, patienceMs] of [
      ['patient', 30_000],
      ['hasty', 0],
    ]) {
      for (
        let turn = 0;
        turn < 12 && (how === 'patient' ? turn < 3 : passed.hasty === turn);
        turn++
      ) {
        c.thread_start(STARVED);
        sleep(20);
        c.thread_release();
        if (
          refusal(() => new TrapWatch(new Runtime(openNative()), undefined, patienceMs).check()) ===
          null
        )
          passed[how]++;
        c.thread_stop();
        if (how === 'hasty' && passed.hasty <= turn) passed.refused = turn + 1;
      }
    }
    app.update({ act: 'act_two' });
    done({ ...passed, after: passes() });
  },
  // What a debugger does for a breakpoint: a byte of one site, through the file of the process's
  // memory. The engine takes memory in pieces of a quarter megabyte and gets what it asks for. The
  // decoder's memory, the file and its text mapped a second time are each larger than what is left
  // when they are asked for.
  'memory runs out'() {
    const limits = [];
    const limited = (megabytes, body) => {
      limits.push(c.limit_memory(megabytes << 20));
      const answer = body();
      limits.push(c.limit_memory(-1));
      return answer;
    };
    const opened = () => open(library, { ...TRAPS, writer: 'alias' });
    const refused = [limited(100, () => refusal(() => open(other, TRAPS)))];
    open(other, TRAPS);
    for (const megabytes of [12, 48]) refused.push(limited(megabytes, () => refusal(opened)));
    const after = passes();
    const app = opened();
    c.thread_start(PLAIN);
    // A child cannot have its copy of the text, and is made nevertheless.
    const [updates, child] = limited(4, () => [storm(app), c.fork_pass()]);
    app.update({ act: 'act_two' });
    done({
      limits,
      refused,
      after,
      updates: updates > 0,
      child: Number(child),
      then: passes(),
      passed: Number(c.thread_stop()),
      drift: app.verify().length,
    });
  },
  'a breakpoint of a debugger on a site'() {
    const app = open(library, TRAPS);
    const site = Number(app.sites('act').find((s) => s.kind !== 'trampoline').address);
    const memory = openSync('/proc/self/mem', 'r+');
    const first = Buffer.alloc(1);
    readSync(memory, first, 0, 1, site);
    writeSync(memory, Buffer.of(0xcc), 0, 1, site);
    const refused = [refusal(() => app.update({ act: 'act_two' })), refusal(() => app.close())];
    const now = Buffer.alloc(1);
    readSync(memory, now, 0, 1, site);
    const drifts = app.verify().map((d) => d.kind);
    writeSync(memory, first, 0, 1, site);
    app.update({ act: 'act_two' });
    done({ codes: refused.map((r) => r?.code), stands: now[0] === 0xcc, drifts, after: passes() });
  },
  'a small alternate stack'() {
    const app = open(library, TRAPS);
    c.thread_start(SMALL_STACK);
    const updates = storm(app, trapped(app));
    done({ updates, traps: app.traps, passed: Number(c.thread_stop()) });
  },
  'a handler before ours'() {
    c.theirs_install();
    const app = open(library, TRAPS);
    c.thread_start(PLAIN);
    storm(app, trapped(app));
    const passed = Number(c.thread_stop());
    const untouched = c.theirs_count();
    c.trap_here();
    c.trap_raise();
    done({
      untouched,
      theirs: c.theirs_count(),
      code: c.theirs_code(),
      passed,
      traps: app.traps,
      strays: strays(),
    });
  },
  'a handler after ours'() {
    const app = open(library, { ...TRAPS, writer: 'alias' });
    app.update({ act: 'act_two' });
    c.theirs_install();
    const refused = refusal(() => app.update({ act: 'act_one' }));
    const after = passes();
    app.update({ act: 'act_one' }, { protocol: 'store' });
    done({ refused, after, stored: passes() });
  },
  'process.on SIGTRAP'() {
    const app = open(library, TRAPS);
    process.on('SIGTRAP', () => {});
    const refused = refusal(() => app.update({ act: 'act_two' }));
    done({ refused, after: passes() });
    process.exit(0);
  },
  'a trap of nobody': () => {
    open(library, TRAPS);
    c.trap_here();
    done('survived');
  },
  'a sent SIGTRAP': () => {
    open(library, TRAPS);
    c.trap_raise();
    done('survived');
  },
  'an ignored SIGTRAP that is sent': () => {
    c.trap_ignore();
    open(library, TRAPS);
    c.trap_raise();
    done({ foreign: strays().foreign });
  },
  'an ignored SIGTRAP and an int3': () => {
    c.trap_ignore();
    open(library, TRAPS);
    c.trap_here();
    done('survived');
  },
  'longjmp out of a target'() {
    let during = null;
    const hold = holdAtSync(openNative(), 1, () => (during = c.jumps(100)));
    const app = openWith(hold.native, library, TRAPS);
    hold.arm();
    app.update({ act: 'act_jump' });
    const after = c.jumps(100);
    done({ during, after, traps: app.traps, drift: app.verify().length });
  },
  'seccomp without membarrier, before'() {
    if (c.forbid(MEMBARRIER, EPERM) !== 0) return done({ skipped: 'seccomp is refused' });
    done({ refused: refusal(() => open(library, TRAPS)), after: passes() });
  },
  'seccomp without membarrier, later'() {
    const app = open(library, TRAPS);
    c.thread_start(PLAIN);
    if (c.forbid(MEMBARRIER, EPERM) !== 0) return done({ skipped: 'seccomp is refused' });
    const refused = refusal(() => app.update({ act: 'act_two' }));
    done({
      refused,
      after: passes(),
      passed: Number(c.thread_stop()),
      target: app.keys.act.target,
      drift: app.verify().length,
    });
  },
  'seccomp without pwrite, later'() {
    const app = open(library, TRAPS);
    c.thread_start(PLAIN);
    if (c.forbid(PWRITE64, EPERM) !== 0) return done({ skipped: 'seccomp is refused' });
    const refused = refusal(() => app.update({ act: 'act_two' }));
    done({
      refused,
      after: passes(),
      passed: Number(c.thread_stop()),
      target: app.keys.act.target,
      drift: app.verify().length,
    });
  },
  'the process ends in the middle of an update'() {
    const hold = holdAtSync(openNative(), 1, () => {
      done({ ended: true });
      process.exit(0);
    });
    const app = openWith(hold.native, library, TRAPS);
    c.thread_start(PLAIN);
    hold.arm();
    app.update({ act: 'act_two' });
  },
  async 'a worker is terminated in the middle of an update'() {
    const app = open(library, TRAPS);
    c.thread_start(PLAIN);
    const code = `
      import { parentPort, workerData } from 'node:worker_threads';
      const [{ openWith }, { openNative }, { holdAtSync }] = await Promise.all(workerData.modules.map((m) => import(m)));
      const hold = holdAtSync(openNative(), 1, () => { parentPort.postMessage('held'); for (;;); });
      const app = openWith(hold.native, workerData.library, { protocol: 'int3' });
      hold.arm();
      app.update({ act: 'act_two' });`;
    const modules = ['#app/open', '#machine/linux/native', '../inject.mjs'].map((m) =>
      import.meta.resolve(m),
    );
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
      workerData: { modules, library },
    });
    await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
    await worker.terminate();
    // The trap stands and the lock is held; calls are emulated to what the worker wanted.
    const during = passes();
    app.update({ act: 'act_one' });
    const after = [passes(), app.verify().length];
    app.update({ act: 'act_two' });
    done({ during, after, then: [passes(), app.verify().length], passed: Number(c.thread_stop()) });
  },
  'the same object opened twice'() {
    const [a, b] = [open(library, TRAPS), open(library, TRAPS)];
    a.update({ act: 'act_two' });
    const seen = [b.keys.act.target, passes()];
    b.update({ act: 'act_one' });
    const back = [a.keys.act.target, passes(), a.verify().length, b.verify().length];
    a.close();
    b.update({ act: 'act_two' });
    const open_ = [b.keys.act.target, passes()];
    b.close();
    done({ seen, back, open: open_, closed: passes() });
  },
  // Whatever handles others give back: what a runtime has to do with stays mapped.
  'a library is unloaded by whoever loaded it'() {
    const mapped = (path) => readMaps().some((m) => m.path === path && m.access[2] === 'x');
    const copies = ['sites', 'target', 'never'].map((name) =>
      library.replace(/\.so$/, `-${name}.so`),
    );
    for (const copy of copies) copyFileSync(library, copy);
    const native = openNative();
    const [sites, target, never] = copies.map((path) => ({
      path,
      pass: native.symbol(native.load(path), 'pass'),
    }));
    const pass = (x) => native.invoke(sites.pass, x);
    const app = open(sites.path, TRAPS);
    const theirs = target.pass;
    app.update({ act: unchecked(BigInt(theirs)) });
    // `never` shows that this is what unloads: of the others the runtime has handles of its own.
    for (const { path } of [never, target, sites]) unload(path);
    const left = [never, target, sites].map(({ path }) => mapped(path));
    const passed = Number(pass(1));
    app.update({ act: 'act_two' });
    const then = [Number(pass(1)), app.verify().length];
    app.close();
    done({ left, passed, then, closed: Number(pass(1)) });
  },
  async 'two copies of the library'() {
    const own = library.replace(/[^/]*$/, 'other');
    mkdirSync(own);
    const root = new URL('../../../', import.meta.url).pathname;
    cpSync(`${root}dist`, `${own}/dist`, { recursive: true });
    copyFileSync(`${root}package.json`, `${own}/package.json`);
    symlinkSync(`${root}node_modules`, `${own}/node_modules`);
    const other = await import(`${own}/dist/index.js`);
    const [a, b] = [open(library, TRAPS), other.open(library, { ...TRAPS, writer: 'alias' })];
    a.update({ act: 'act_two' });
    const seen = [b.keys.act.target, passes()];
    c.thread_start(PLAIN);
    for (let n = 0; n < 50; n++) (n % 2 ? a : b).update({ act: n % 3 ? 'act_one' : 'act_two' });
    const passed = Number(c.thread_stop());
    b.update({ act: 'act_one' });
    const back = [a.keys.act.target, passes(), a.verify().length, b.verify().length];
    const refused = (() => {
      try {
        other.open('/nowhere.so');
      } catch (error) {
        return isFault(error) && error.code;
      }
    })();
    const runtimes = readMaps().filter(
      (m) => m.path.startsWith('/memfd:static-call ') && m.offset === 0,
    ).length;
    a.close();
    b.update({ act: 'act_two' });
    const open_ = passes();
    b.close();
    done({
      different: other.open !== open,
      seen,
      passed: passed > 0,
      back,
      refused,
      runtimes,
      open: open_,
      closed: passes(),
    });
  },
  'two objects that are copies'() {
    const copy = library.replace(/\.so$/, '-copy.so');
    copyFileSync(library, copy);
    const other = koffi.load(copy).func('long pass(long)');
    const [a, b] = [open(library, TRAPS), open(copy, TRAPS)];
    a.update({ act: 'act_two' });
    const first = [passes(), Number(other(1))];
    b.update({ act: 'act_two' });
    a.update({ act: 'act_one' });
    done({ first, second: [passes(), Number(other(1))] });
  },
  async 'workers that open the same object'() {
    const app = open(library, TRAPS);
    c.thread_start(PLAIN);
    const code = `
      import { workerData, parentPort } from 'node:worker_threads';
      const { open } = await import(workerData.index);
      const app = open(workerData.library, { protocol: 'int3' });
      for (let n = 0; n < 200; n++) app.update({ act: n % 2 ? 'act_one' : 'act_two' });
      const drift = app.verify().length;
      app.close();
      parentPort.postMessage(drift);`;
    const index = import.meta.resolve('#index');
    const workers = [0, 1, 2].map(
      () =>
        new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
          workerData: { index, library },
        }),
    );
    const ended = workers.map(
      (w) => new Promise((resolve, reject) => w.on('message', resolve).on('error', reject)),
    );
    const updates = storm(app);
    const drifts = await Promise.all(ended);
    done({
      updates,
      drifts,
      passed: Number(c.thread_stop()),
      drift: app.verify().length,
      users: passes(),
    });
  },
};
await HAZARDS[what]();

// What a process takes from itself after `open`, by name, and what updates are told then. argv: JSON
// {library, what, options}.
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isFault, open, unchecked } from '#index';
import { koffi } from './soaked.mjs';

const { library, what, options } = JSON.parse(process.argv[2]);
const lib = koffi.load(library);
const c = Object.fromEntries(
  [
    'long pass(long)',
    'int forbid(int, int)',
    'int landlock()',
    'int new_root(str)',
    'int not_dumpable()',
    'int close_all(str)',
    'int alarm_every(int, int)',
    'int alarms()',
    'int block_all()',
    'void end_thread()',
  ].map((declaration) => [/(\w+)\(/.exec(declaration)[1], lib.func(declaration)]),
);
const passes = () => Number(c.pass(1));
const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const [GETDENTS64, OPENAT, EACCES] = [217, 257, 13];
const NOBODY = 65534;

/** What is told, or null; what is no Fault is told as such. */
function told(body) {
  try {
    body();
    return null;
  } catch (error) {
    if (!isFault(error)) return { raw: `${error.name}: ${error.message}` };
    const { code, message, hint, at } = error;
    return { code, message, hint, at };
  }
}
/** Everything that may be refused, and that nothing is changed by a refusal. */
function asked(app, before) {
  sleep(120); // the last look at the threads is as old as it may be
  const update = told(() => app.update({ act: 'act_two' }));
  const passed = passes();
  const undo = told(() => before.undo());
  const named = told(() => app.update({ act: unchecked('undeclared') }));
  const close = told(() => app.close());
  return { update, undo, unchecked: named, close, passed, last: passes() };
}
const done = (answer) => {
  console.log(JSON.stringify(answer));
  process.exit(0);
};

/** Takes it away; what it returns gives it back. A string says why it cannot be tried here. */
const LOSSES = {
  'descriptors are used up'() {
    const files = [];
    try {
      for (;;) files.push(openSync('/dev/null'));
    } catch {
      return () => files.forEach((file) => closeSync(file));
    }
  },
  'another root without /proc'() {
    const empty = mkdtempSync(`${tmpdir()}/root-`);
    const refused = c.new_root(empty);
    if (refused) rmdirSync(empty);
    return refused ? 'chroot is refused' : null;
  },
  'seccomp refuses openat': () => (c.forbid(OPENAT, EACCES) ? 'seccomp is refused' : null),
  'seccomp refuses getdents64': () => (c.forbid(GETDENTS64, EACCES) ? 'seccomp is refused' : null),
  'Landlock refuses to read': () => (c.landlock() ? 'Landlock is refused' : null),
  'credentials are given up'() {
    if (process.getuid() !== 0) return 'is not root';
    process.setgid(NOBODY);
    process.setuid(NOBODY);
    return null;
  },
  'it is not dumpable any more': () => (c.not_dumpable() ? 'prctl is refused' : null),
};

if (what in LOSSES) {
  const app = open(library, options);
  app.update({ act: 'act_two' });
  const before = app.update({ act: 'act_one' });
  const back = LOSSES[what]();
  if (typeof back === 'string') done({ skipped: back });
  const got = asked(app, before);
  if (!back) done(got);
  back();
  app.update({ act: 'act_two' });
  done({ ...got, then: passes() });
}

const OTHERS = {
  'without /proc, an update that reads nothing of it'() {
    const app = open(library, { protocol: 'store', writer: 'alias' });
    const skipped = LOSSES['another root without /proc']();
    if (skipped) return { skipped };
    sleep(120);
    const refused = told(() => app.update({ act: 'act_two' }));
    const passed = passes();
    return { refused, passed, closed: told(() => app.close()), last: passes() };
  },
  'every descriptor is closed and its number belongs to another file'() {
    const app = open(library, options);
    const other = `${mkdtempSync(`${tmpdir()}/other-`)}/file`;
    c.close_all(other);
    app.update({ act: 'act_two' });
    return { passed: passes(), written: readFileSync(other).length, drift: app.verify().length };
  },
  'a signal handler that blocks every signal while it runs'() {
    const app = open(library, options);
    c.alarm_every(200, 1);
    sleep(120);
    const refused = told(() => app.update({ act: 'act_two' }));
    const passed = passes();
    const end = performance.now() + 300;
    for (let n = 0; performance.now() < end; n++)
      app.update({ act: n % 2 ? 'act_one' : 'act_two' }, { protocol: 'store' });
    return { refused, passed, ticks: c.alarms() };
  },
  'a signal handler with an empty mask'() {
    const app = open(library, options);
    c.alarm_every(200, 0);
    sleep(120);
    let updates = 0;
    for (const end = performance.now() + 300; performance.now() < end; updates++)
      app.update({ act: updates % 2 ? 'act_one' : 'act_two' });
    return { updates, ticks: c.alarms() };
  },
  "Node's own signal handlers"() {
    for (const name of ['SIGTERM', 'SIGUSR2', 'SIGCHLD', 'SIGWINCH']) process.on(name, () => {});
    spawnSync('/bin/true');
    const app = open(library, options);
    app.update({ act: 'act_two' });
    const caught = /^SigCgt:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1];
    return { passed: passes(), caught };
  },
  'a thread that blocks every signal by a raw system call'() {
    const app = open(library, options);
    c.block_all();
    sleep(120);
    const refused = told(() => app.update({ act: 'act_two' }));
    const passed = passes();
    c.end_thread();
    app.update({ act: 'act_two' });
    return { refused, passed, after: passes() };
  },
};
done(OTHERS[what]());

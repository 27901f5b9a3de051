// Attaches to a process and does what it is told, one word after the other; prints a line of JSON
// at its end. argv: pid, JSON {do: [...], kill, object, refuse, watches}. `kill` is the step at
// which this process is killed, by its number or its name; `refuse` is the number of the ptrace or
// wait4 call that is refused, of those that may be: a thread that is stopped and whose registers
// were exchanged is put back and let go, or it has ended. `watches` counts how often a thread that
// sleeps in pause() waited in what it was sent to.
import { readdirSync } from 'node:fs';
import { attachWith } from '#app/attach';
import { isFault } from '#base/fault';
import { SYS } from '#base/linux';
import { readProcOrNone as readOrNone } from '#machine/linux/proc';
import { Target } from '#machine/remote/target';
import { pause } from '#machine/remote/pause';
import { openNative } from '#machine/linux/native';

const [, , pid, text] = process.argv;
const asked = { do: [], ...JSON.parse(text ?? '{}') };
const steps = [];
/** How long a thread is looked at that has to sleep again, ms. */
const PATIENCE_MS = 20_000;
const task = (id, file) => readOrNone(`/proc/${pid}/task/${id}/${file}`);
const callOf = (id) => task(id, 'syscall').split(' ')[0];
/** How often a thread has given its CPU away because it had to wait. */
const waitsOf = (id) => Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(task(id, 'status'))?.[1]);
const PAUSE = String(SYS.pause);
const tasks = () => readdirSync(`/proc/${pid}/task`);
const sleeps = (id) => /\) S /.test(task(id, 'stat')) && callOf(id) === PAUSE;
function until(holds) {
  const began = performance.now();
  for (; !holds(); pause(1))
    if (performance.now() - began > PATIENCE_MS) throw new Error('no thread sleeps in pause()');
}
/** The thread that stands, the system call that it was taken from, and how often it had waited. */
function standing() {
  const id = tasks().find((each) => /\) t /.test(task(each, 'stat')));
  return { id, call: callOf(id), waits: waitsOf(id) };
}
/** How often it waited in what it was sent to; once more it waits in pause(), where it was. */
function waitedInside({ id, waits }) {
  until(() => sleeps(id));
  return waitsOf(id) - waits - 1;
}
let sent = null;
const watching = {
  'let go': () => until(() => tasks().some(sleeps)),
  'run framed': () => void (sent = standing()),
  // A thread of another call need not wait behind it, or waits again in another one.
  'run done': () =>
    void (said.waited = sent.call === PAUSE ? said.waited + waitedInside(sent) : NaN),
};
const at = (step) => {
  if (asked.watches) watching[step]?.();
  const number = steps.push(step) - 1;
  if (asked.kill === number || asked.kill === step) process.kill(process.pid, 'SIGKILL');
  if (asked.stopAt === steps.length - 1) process.kill(Number(pid), asked.signal);
};
const real = openNative();
let calls = 0;
/** What a tool rehearses with, which the kernel refuses by itself. */
const NO_THREAD = 2 ** 22 + 1;
const [DETACH, SET_REGISTERS, SET_MASK] = [17, 0x4205, 0x420b];
const mayBeRefused = (name, request) => {
  const last = steps.at(-1) ?? '';
  if (name !== 'ptrace') return name === 'wait4' && !last.endsWith(' masked');
  const entered = last.endsWith(' made') || last === 'mask back';
  return request !== DETACH && !(entered && [SET_REGISTERS, SET_MASK].includes(request));
};
const native = {
  ...real,
  call(name, ...args) {
    if (args.includes(NO_THREAD) || !mayBeRefused(name, args[0])) return real.call(name, ...args);
    if (calls === asked.refuse) return (calls++, -1);
    const result = real.call(name, ...args);
    // How often it is asked whether a thread has stopped is the scheduler's affair.
    if (name !== 'wait4' || result !== 0) calls++;
    return result;
  },
};

const said = { updates: 0, unchanged: 0, drifts: [], waited: 0 };
const actions = {
  update: (app, targets) => {
    const { changes } = app.update(targets);
    said.changes = changes;
  },
  loop: (app, { ms, targets }) => {
    for (const end = performance.now() + ms; performance.now() < end;) {
      const { changes } = app.update({ route: targets[said.updates % targets.length] });
      said.updates++;
      if (changes.length === 0) said.unchanged++;
    }
  },
  verify: (app) => void (said.drifts = app.verify().map(({ kind, key }) => `${key} ${kind}`)),
  keys: (app) => {
    said.keys = Object.fromEntries(Object.values(app.keys).map((key) => [key.name, key.target]));
  },
  // A signal by which the target's first thread comes to wait where nothing can stop it.
  block: () => {
    process.kill(Number(pid), 'SIGUSR1');
    while (new Target(Number(pid)).standing().state !== 'D') pause(5);
  },
  trace: (app, key) => void app.trace(key),
  close: (app) => app.close(),
};

if (asked.watches) until(() => tasks().some(sleeps));
try {
  const app = attachWith(native, Number(pid), asked.options ?? {}, at);
  said.objects = app.objects.length;
  for (const [name, argument] of asked.do) {
    actions[name](app, argument);
  }
  said.held = app.held;
  app.detach();
} catch (error) {
  if (!isFault(error)) throw error;
  said.fault = error.code;
  said.message = error.message;
}
console.log(JSON.stringify({ ...said, steps, calls }));

// Attaches to a process and does what it is told, one word after the other; prints a line of JSON
// at its end. argv: pid, JSON {do: [...], kill, object, refuse, watches}. `kill` is the step at which this
// process is killed, by its number or its name; `refuse` is the number of the ptrace or wait4 call
// that is refused, of those that may be: a thread that is stopped and whose registers were
// exchanged is put back and let go, or it has ended.
import { readdirSync } from 'node:fs';
import { attachWith } from '#app/attach';
import { isFault } from '#base/fault';
import { readProcOrNone as readOrNone } from '#machine/linux/proc';
import { Target } from '#machine/remote/target';
import { pause } from '#machine/remote/pause';
import { openNative } from '#machine/linux/native';

const [, , pid, text] = process.argv;
const asked = { do: [], ...JSON.parse(text ?? '{}') };
const steps = [];
const first = asked.watches ? readdirSync(`/proc/${pid}/task`) : [];
/** Whether one of the threads that were there waits in the kernel to be registered. */
const waits = () =>
  first.some((id) => readOrNone(`/proc/${pid}/task/${id}/syscall`).startsWith('324 0x40 '));
/** Whether the one that was let go has come back. */
const isBack = () =>
  first.some((id) => / t /.test(readOrNone(`/proc/${pid}/task/${id}/stat`).replace(/.*\)/, '')));
const at = (step) => {
  // On a busy machine the thread runs late.
  if (asked.watches && step === 'run let go')
    for (let look = 0; look < 100 && !isBack(); look++, pause(1)) said.registering ||= waits();
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

const said = { updates: 0, unchanged: 0, drifts: [], registering: false };
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

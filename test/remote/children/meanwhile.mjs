// A program does something of its own at a step of the tool that changes it: it ends, executes,
// forks, drops root, closes every descriptor, is stopped, installs a handler of SIGTRAP or blocks
// it. argv: the program, JSON {action, names, every}: names of steps (the first of that name), or
// every so many of all of them. Prints one line of JSON: for each step what the tool answered, and
// what was wrong, if anything was.
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attachWith } from '#app/attach';
import { look } from '#app/look';
import { isFault } from '#base/fault';
import { openNative } from '#machine/linux/native';

const [, , program, text] = process.argv;
const asked = JSON.parse(text);
const native = openNative();
const cell = new Int32Array(new SharedArrayBuffer(4));
const pause = (ms) => Atomics.wait(cell, 0, 0, ms);
const PATIENCE_MS = 60_000;

function until(found, what) {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; pause(1)) {
    const value = found();
    if (value) return value;
  }
  throw new Error(`${what}: not in ${PATIENCE_MS} ms`);
}

/** A program and the two FIFOs by which it is talked to, without an event loop. */
class Fixture {
  constructor(folder) {
    this.own = join(folder, 'own');
    const paths = ['commands', 'answers'].map((name) => join(folder, name));
    for (const path of paths) if (!existsSync(path)) spawnSync('mkfifo', [path]);
    const flags = constants.O_RDWR | constants.O_NONBLOCK;
    [this.commands, this.answers] = paths.map((path) => openSync(path, flags));
    this.said = '';
    this.child = spawn(program, [...paths, this.own], { stdio: ['ignore', 'ignore', 'inherit'] });
    this.pid = this.child.pid;
    this.ended = new Promise((done) => this.child.once('exit', (status, by) => done(status ?? by)));
    this.line();
  }
  say(command) {
    writeSync(this.commands, command);
  }
  /** What it answers, or null. */
  heard() {
    const bytes = Buffer.alloc(4096);
    try {
      this.said += bytes.toString('utf8', 0, readSync(this.answers, bytes, 0, 4096, null));
    } catch {
      // Nothing yet.
    }
    const end = this.said.indexOf('\n');
    if (end < 0) return null;
    const line = this.said.slice(0, end);
    this.said = this.said.slice(end + 1);
    return line;
  }
  line() {
    return until(() => this.heard(), `an answer of process ${this.pid}`);
  }
  field(name, task = this.pid) {
    try {
      const status = readFileSync(`/proc/${this.pid}/task/${task}/status`, 'utf8');
      return new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? 'Z';
    } catch {
      return 'Z';
    }
  }
  get tasks() {
    try {
      return readdirSync(`/proc/${this.pid}/task`);
    } catch {
      return [];
    }
  }
  /** Whether no thread of the program as it was runs any more. */
  get isOver() {
    const [first, ...others] = this.tasks;
    return first === undefined || others.every((task) => this.field('State', task) === 'Z');
  }
  state() {
    return JSON.stringify({
      masks: this.tasks.map((task) => this.field('SigBlk', task)),
      files: readdirSync(`/proc/${this.pid}/fd`).length,
    });
  }
  /**
   * The answer is waited for only as long as it may come: a thread that is stopped may be in its
   * way.
   */
  begin(command) {
    this.say(command);
    const end = performance.now() + 40;
    while (performance.now() < end && !this.isOver) if (this.heard() ?? !pause(1)) return true;
    return false;
  }
  /** Its exit status or signal. */
  over() {
    const late = new Promise((done) => setTimeout(done, PATIENCE_MS, 'still there').unref());
    return Promise.race([this.ended, late]);
  }
  end() {
    this.child.kill('SIGKILL');
    closeSync(this.commands);
    closeSync(this.answers);
    rmSync(this.own, { force: true });
  }
}

/**
 * What the program does, what the tool may answer besides success, and what the program is then.
 */
const ACTIONS = {
  exit: { command: 'e', faults: ['target-gone', 'no-such-process'], after: 'ended' },
  exec: { command: 'x', faults: ['target-gone'], after: 'new' },
  fork: { command: 'f', faults: [], after: 'same' },
  vfork: { command: 'v', faults: [], after: 'same' },
  'drop root': { command: 'u', faults: ['call-refused'], after: 'unreachable' },
  'close all': { command: 'c', faults: [], after: 'same' },
  stop: { signal: 'SIGSTOP', faults: ['target-stopped'], after: 'same' },
  handler: { command: 'h', faults: ['handler-replaced'], after: 'handled' },
  block: { command: 'b', faults: ['trap-blocked'], after: 'blocked' },
};
const action = ACTIONS[asked.action];

/** Stops it, and has it go on in a while: a run that was begun waits for that. */
function stop(fixture) {
  process.kill(fixture.pid, action.signal);
  spawn('sh', ['-c', `sleep 0.05; kill -CONT ${fixture.pid}`], { stdio: 'ignore' });
}

function attached(pid, to, at) {
  let app = null;
  try {
    app = attachWith(native, pid, {}, at);
    app.update({ route: to });
    const drifts = app.verify();
    return drifts.length === 0 ? 'done' : `drifts: ${JSON.stringify(drifts)}`;
  } catch (error) {
    if (!isFault(error)) throw error;
    return error.code;
  } finally {
    app?.detach();
  }
}

/** Afterwards it must be whole, and the next tool must find it so. */
function checkAlive(fixture, { before, outcome, wrongs }) {
  const report = () => {
    fixture.say('r');
    for (;;) {
      const line = fixture.line();
      if (line.startsWith('{')) return JSON.parse(line);
    }
  };
  const check = (good, what) => void (good || wrongs.push(what));
  const alive = report();
  check(alive.wrong === 0 && alive.calls > 0, `report ${JSON.stringify(alive)}`);
  if (action.after === 'blocked') fixture.say('B');
  const again = attached(fixture.pid, 'other');
  const replaced = action.after === 'handled' && again === 'handler-replaced';
  // It may not open its own memory any more, because it is not dumpable.
  const closed = action.after === 'unreachable' && again === 'call-refused';
  check(again === 'done' || replaced || closed, `the next tool: ${again}`);
  const { wrong, route } = report();
  const changed = again !== 'done' || route === 7;
  check(wrong === 0 && changed, `after the next tool: ${wrong} wrong, route ${route}`);
  if (before !== null) {
    // A thread that was let go has its mask again as soon as it has had a CPU.
    const same = () => fixture.state() === before;
    if (asked.action !== 'close all') until(same, `${before} instead of ${fixture.state()}`);
  }
  // The scratch of a tool that could not come back is taken away by a later process, not by this
  // one.
  const left = outcome === 'target-stopped' ? 1 : 0;
  check(look(fixture.pid).tools <= left, 'a scratch is left behind');
  check(!existsSync(fixture.own) || statSync(fixture.own).size === 0, 'its own file was written');
}

async function once(folder, step) {
  const wrongs = [];
  const fixture = new Fixture(folder);
  try {
    const before = ['same', 'unreachable'].includes(action.after) ? fixture.state() : null;
    let steps = 0;
    const at = () => {
      if (steps++ !== step) return;
      if (action.signal) stop(fixture);
      else fixture.begin(action.command);
    };
    const outcome = attached(fixture.pid, 'fast', at);
    if (outcome !== 'done' && !action.faults.includes(outcome)) wrongs.push(`answered ${outcome}`);
    if (action.after === 'ended') {
      const status = await fixture.over();
      if (status !== 0) wrongs.push(`it ended with ${status}`);
    } else checkAlive(fixture, { before, outcome, wrongs });
    return { outcome, wrongs };
  } finally {
    fixture.end();
    await fixture.over();
  }
}

const folder = mkdtempSync(join(tmpdir(), 'static-call-meanwhile-'));
try {
  const names = [];
  const first = new Fixture(folder);
  const plain = attached(first.pid, 'fast', (name) => names.push(name));
  first.end();
  await first.over();
  if (plain !== 'done') throw new Error(`without anything: ${plain}`);
  const wanted =
    asked.names?.map((name) => names.indexOf(name)) ??
    [...names.keys()].filter((step) => step % asked.every === 0);
  const outcomes = [];
  const wrongs = [];
  for (const step of wanted) {
    const one = await once(folder, step);
    outcomes.push(one.outcome);
    wrongs.push(...one.wrongs.map((what) => `${step} ${names[step]}: ${what}`));
  }
  console.log(JSON.stringify({ steps: names.length, outcomes, wrongs }));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

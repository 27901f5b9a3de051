#!/usr/bin/env node
// attach beside Frida, on the same C program in one run: how long it takes to attach, how long a
// thread that calls all the time stands still meanwhile, what a call through the changed place
// costs, how long a change takes, what the tool takes of the program's memory, and what of it stays
// when it is gone. Each figure is the median of some programs, which the two tools take in turn.
// Frida's tool is a Python package: `python3 -m venv FOLDER; FOLDER/bin/pip install frida`, then
//
//   node scripts/frida.mjs --python FOLDER/bin/python [--rounds N] [--write]
//
// Without it the rows of Frida are named as missing. --write keeps the run as docs/frida.json and
// makes the table of docs/attach.md and the README's row from it.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { inReadme, table, written } from './frida/table.mjs';

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    rounds: { type: 'string', default: '5' },
    write: { type: 'boolean', default: false },
  },
});
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'static-call-frida-'));
const program = join(folder, 'program');
const children = new Set();
/** How long a tool may take to answer, ms: Frida's, on a loaded machine. */
const PATIENCE_MS = 120_000;
const CHANGES = 100;
/** Calls that are timed, and those that a function in JavaScript sees. */
const CALLS = { many: 5_000_000, few: 20_000 };

/** A child that answers each line by a line. */
class Talker {
  constructor([command, ...rest]) {
    this.child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdin.on('error', () => {});
    children.add(this.child);
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }
  async answer() {
    const late = after(PATIENCE_MS, null, { ref: false });
    const line = await Promise.race([this.lines.next(), late]);
    if (line === null) throw new Error(`no answer in ${PATIENCE_MS} ms`);
    if (line.done) throw new Error(`a child ended: ${this.child.spawnargs.join(' ')}`);
    return line.value;
  }
  async ask(line) {
    this.child.stdin.write(`${line}\n`);
    return this.answer();
  }
  async kill() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, 'exit');
      this.child.kill('SIGKILL');
      await ended;
    }
    children.delete(this.child);
  }
}

/** A tool, told what to do: nanoseconds of each thing. */
class Tool extends Talker {
  async do(what) {
    const { ns, error } = JSON.parse(await this.ask(what));
    if (error !== undefined) throw new Error(`${what}: ${error}`);
    return ns;
  }
}

const TOOLS = {
  attach: (pid) => new Tool([process.execPath, here('frida/attach.mjs'), `${pid}`]),
  frida: (pid, functions) =>
    new Tool([flags.python, here('frida/tool.py'), `${pid}`, ...functions]),
};

/** What a process has. */
function sizeOf(pid) {
  const read = (name) => readFileSync(`/proc/${pid}/${name}`, 'utf8');
  const status = read('status');
  return {
    kb: Number(/VmRSS:\s+(\d+)/.exec(status)[1]),
    mappings: read('maps').split('\n').length - 1,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: Number(/Threads:\s+(\d+)/.exec(status)[1]),
  };
}
const grown = (before, now) =>
  Object.fromEntries(Object.entries(now).map(([name, value]) => [name, value - before[name]]));

/** A program that runs, and what is asked of it. */
async function begin(...words) {
  const talker = new Talker([program, ...words]);
  const functions = (await talker.answer()).split(' ');
  const { pid } = talker.child;
  return {
    pid,
    functions,
    longest: async () => Number((await talker.ask('longest')).split(' ')[0]),
    wrong: async () => Number((await talker.ask('longest')).split(' ')[1]),
    call: async (n) => Number(await talker.ask(`calls ${n}`)),
    size: () => sizeOf(pid),
    lives: () => talker.child.exitCode === null && talker.child.signalCode === null,
    end: () => talker.kill(),
  };
}

/** One program from its start to its end, with one tool. */
async function whole(name, add) {
  const target = await begin();
  add('call', await target.call(CALLS.many));
  const before = target.size();
  const tool = TOOLS[name](target.pid, target.functions);
  const { version } = JSON.parse(await tool.answer());
  await target.longest();
  await after(200);
  add('pauseWithout', await target.longest());
  add('attach', await tool.do('attach'));
  add('pauseAttach', await target.longest());
  const changes = [];
  for (let n = 1; n < CHANGES; n++) changes.push(await tool.do('change'));
  add('change', median(changes));
  add('pauseChange', await target.longest());
  add('callChanged', await target.call(CALLS.many));
  add('with', grown(before, target.size()));
  await tool.do('change');
  if (name === 'frida') {
    await tool.do('quick');
    add('callQuick', await target.call(CALLS.many));
    await tool.do('slow');
    await tool.do('listen');
    add('callSeen', await target.call(CALLS.few));
    await tool.do('ignore');
  }
  await tool.do('detach');
  await tool.kill();
  await after(500);
  add('after', grown(before, target.size()));
  add('wrong', await target.wrong());
  await target.end();
  return version;
}

/** One program, with a thread that calls through the place while it is changed. */
async function through(name, add) {
  const target = await begin('through');
  const tool = TOOLS[name](target.pid, target.functions);
  await tool.answer();
  await tool.do('attach');
  let done = 0;
  try {
    for (; done < CHANGES; done++) await tool.do('change');
    await after(100);
  } catch (error) {
    // The program may have died of it; anything else is an error of the tool.
    await after(1000);
    if (target.lives()) throw error;
  }
  add('survived', target.lives() ? 1 : 0);
  add('survivedChanges', done);
  if (target.lives()) add('wrongThrough', await target.wrong());
  await tool.kill();
  await target.end();
}

/** One program, whose tool is killed. */
async function killed(name, add) {
  const target = await begin();
  const before = target.size();
  const tool = TOOLS[name](target.pid, target.functions);
  await tool.answer();
  await tool.do('attach');
  await tool.do('change');
  await tool.kill();
  await after(1000);
  add('afterKill', grown(before, target.size()));
  await target.end();
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
function medianOf(values) {
  const [first] = values;
  if (typeof first !== 'object') return median(values);
  return Object.fromEntries(
    Object.keys(first).map((name) => [name, median(values.map((value) => value[name]))]),
  );
}

async function measure(names) {
  const samples = Object.fromEntries(names.map((name) => [name, {}]));
  const versions = {};
  for (let n = 0; n < Number(flags.rounds); n++)
    for (const name of names) {
      const add = (what, value) => void (samples[name][what] ??= []).push(value);
      versions[name] = await whole(name, add);
      await through(name, add);
      await killed(name, add);
    }
  return Object.fromEntries(
    names.map((name) => [
      name,
      {
        version: versions[name],
        ...Object.fromEntries(
          Object.entries(samples[name]).map(([what, values]) => [what, medianOf(values)]),
        ),
        survived: samples[name].survived.reduce((sum, one) => sum + one, 0),
      },
    ]),
  );
}

function missing() {
  const { status } = spawnSync(flags.python, ['-c', 'import frida'], { stdio: 'ignore' });
  return status === 0 ? null : `${flags.python} has no module frida`;
}

async function run() {
  const [source, include] = [here('frida/program.c'), here('../include')];
  const words = ['-O2', '-I', include, source, '-o', program, '-pthread'];
  const { status, stderr } = spawnSync('gcc', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    kernel: release(),
    load: loadavg()[0],
    date: new Date().toISOString(),
  };
  const why = missing();
  const tools = await measure(why === null ? ['attach', 'frida'] : ['attach']);
  return { machine, rounds: Number(flags.rounds), tools, missing: why };
}

try {
  const result = await run();
  console.log(table(result));
  if (flags.write) {
    writeFileSync(here('../docs/frida.json'), `${JSON.stringify(result, null, 2)}\n`);
    const rewrite = (page, by) =>
      writeFileSync(here(page), by(readFileSync(here(page), 'utf8'), result));
    rewrite('../docs/attach.md', written);
    rewrite('../README.md', inReadme);
  }
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}

#!/usr/bin/env node
// attach beside Frida, on the same C program in one run: how long it takes to attach, how long a
// thread that calls all the time stands still meanwhile, what a call through the changed place costs,
// how long a change takes, what the tool takes of the program's memory, and what of it stays when it
// is gone. Each figure is the median of some programs that were started anew. Frida's tool is a
// Python package: `python3 -m venv FOLDER; FOLDER/bin/pip install frida`, then
//
//   node scripts/frida.mjs --python FOLDER/bin/python [--rounds N] [-o docs/frida.json]
//
// Without it the rows of Frida are named as missing.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    rounds: { type: 'string', default: '5' },
    output: { type: 'string', short: 'o' },
  },
});
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'static-call-frida-'));
const program = join(folder, 'program');
const children = new Set();
/** How long a tool may take to answer, ms: Frida's, on a loaded machine. */
const PATIENCE_MS = 120_000;
const CHANGES = 100;
const CALLS = { many: 5_000_000, few: 20_000 };

/** A child that answers each line by a line. */
class Talker {
  constructor(words) {
    const [command, ...rest] = words;
    this.child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdin.on('error', () => {});
    children.add(this.child);
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }
  async answer() {
    const late = after(PATIENCE_MS, null, { ref: false });
    const line = await Promise.race([this.lines.next(), late]);
    if (line === null) throw new Error(`no answer in ${PATIENCE_MS} ms`);
    if (line.done) throw new Error('it has ended');
    return line.value;
  }
  async ask(line) {
    this.child.stdin.write(`${line}\n`);
    return this.answer();
  }
  async kill() {
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
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

/** One program from its start to its end, with one tool. */
async function round(name, samples) {
  const target = new Talker([program]);
  const functions = (await target.answer()).split(' ');
  const pid = target.child.pid;
  const longest = async () => Number((await target.ask('longest')).split(' ')[0]);
  const call = async (n) => Number(await target.ask(`calls ${n}`));
  const add = (what, value) => (samples[what] ??= []).push(value);
  add('call', await call(CALLS.many));
  const before = sizeOf(pid);
  const tool = TOOLS[name](pid, functions);
  samples.version = JSON.parse(await tool.answer()).version;
  await longest();
  await after(200);
  add('pauseWithout', await longest());
  add('attach', await tool.do('attach'));
  add('pauseAttach', await longest());
  add('change', await tool.do('change'));
  add('pauseChange', await longest());
  add('callChanged', await call(CALLS.many));
  add('with', grown(before, sizeOf(pid)));
  for (let n = 1; n < CHANGES; n++) add('change', await tool.do('change'));
  if (name === 'frida') {
    await tool.do('listen');
    add('callSeen', await call(CALLS.few));
    await tool.do('ignore');
  }
  await tool.do('change');
  await tool.do('detach');
  await tool.kill();
  await after(500);
  add('after', grown(before, sizeOf(pid)));
  const killed = TOOLS[name](pid, functions);
  await killed.answer();
  await killed.do('attach');
  await killed.do('change');
  await killed.kill();
  await after(1000);
  add('afterKill', grown(before, sizeOf(pid)));
  const [, wrong] = (await target.ask('longest')).split(' ');
  add('wrong', Number(wrong));
  await target.kill();
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
function medianOf(values) {
  if (typeof values === 'string') return values;
  const [first] = values;
  if (typeof first !== 'object') return median(values);
  return Object.fromEntries(
    Object.keys(first).map((name) => [name, median(values.map((value) => value[name]))]),
  );
}

function missing() {
  const { status } = spawnSync(flags.python, ['-c', 'import frida'], { stdio: 'ignore' });
  return status === 0 ? null : `${flags.python} has no module frida`;
}

const us = (ns) =>
  ns >= 1e5 ? `${(ns / 1e6).toFixed(ns < 1e7 ? 2 : 0)} ms` : `${(ns / 1e3).toFixed(0)} us`;
const each = (ns) => (ns >= 1e3 ? us(ns) : `${ns.toFixed(1)} ns`);
const left = ({ kb, mappings, descriptors, threads }) =>
  `${(kb / 1024).toFixed(1)} MB, ${mappings} mappings, ${descriptors} descriptors, ${threads} threads`;
const ROWS = [
  ['time to attach', (r) => us(r.attach)],
  ['longest pause of a thread that calls all the time, meanwhile', (r) => us(r.pauseAttach)],
  ['the same while nothing happens', (r) => us(r.pauseWithout)],
  ['a change, as the tool sees it', (r) => us(r.change)],
  ['longest pause during the first change', (r) => us(r.pauseChange)],
  ['a call before', (r) => each(r.call)],
  ['a call through the changed place', (r) => each(r.callChanged)],
  [
    'a call that a function of the tool sees',
    (r) => (r.callSeen ? each(r.callSeen) : 'it has none'),
  ],
  ['in the program while the tool is attached', (r) => left(r.with)],
  ['what remains when it has detached', (r) => left(r.after)],
  ['what remains when it was killed', (r) => left(r.afterKill)],
  ['wrong results', (r) => String(r.wrong)],
];

function show({ tools, missing: why }) {
  const names = Object.keys(tools);
  const title = { attach: '`attach`', frida: `Frida ${tools.frida?.version ?? ''}` };
  console.log(`| | ${names.map((name) => title[name]).join(' | ')} |`);
  console.log(`|---|${'---|'.repeat(names.length)}`);
  for (const [what, cell] of ROWS)
    console.log(`| ${what} | ${names.map((name) => cell(tools[name])).join(' | ')} |`);
  if (why !== null) console.log(`\nFrida is missing: ${why}`);
}

try {
  const words = [
    '-O2',
    '-I',
    here('../include'),
    here('frida/program.c'),
    '-o',
    program,
    '-pthread',
  ];
  const { status, stderr } = spawnSync('gcc', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const why = missing();
  const samples = { attach: {}, ...(why === null && { frida: {} }) };
  for (let n = 0; n < Number(flags.rounds); n++)
    for (const name of Object.keys(samples)) await round(name, samples[name]);
  const tools = Object.fromEntries(
    Object.entries(samples).map(([name, all]) => [
      name,
      Object.fromEntries(Object.entries(all).map(([what, values]) => [what, medianOf(values)])),
    ]),
  );
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    kernel: release(),
    load: loadavg()[0],
    date: new Date().toISOString(),
  };
  const result = { machine, rounds: Number(flags.rounds), tools, missing: why };
  show(result);
  if (flags.output !== undefined)
    writeFileSync(flags.output, `${JSON.stringify(result, null, 1)}\n`);
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}

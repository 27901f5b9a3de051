#!/usr/bin/env node
// Writers that want one key at once: two operators, and an operator beside a thread of the program
// that calls static_call_update(). Every update that was answered must have been: the process
// counts its changes, and the count must be the sum of what the writers were told; what each
// operator saw before its changes and after them must join to one chain. Status 1 if an update was
// lost or mixed.
//
//   node scripts/contend.mjs [--seconds N]
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { attach } from '../dist/index.js';
import { PAGE } from '../dist/base/addr.js';
import { findRuntime } from '../dist/machine/remote/runtime.js';
import { Target } from '../dist/machine/remote/target.js';
import { DATA } from '../dist/trap/registry.js';

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    operator: { type: 'string' },
    targets: { type: 'string', default: '' },
  },
});
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * An operator: retargets the key until its input ends, and prints what it changed from what to
 * what.
 */
function operate(pid, targets) {
  const app = attach(pid);
  process.stdout.write('ready\n');
  const pairs = {};
  let [updates, busy, ended] = [0, 0, false];
  process.stdin.on('end', () => (ended = true)).resume();
  const some = () => {
    for (const end = performance.now() + 100; performance.now() < end;) {
      try {
        const { changes } = app.update({ route: targets[updates++ % targets.length] });
        for (const { from, to } of changes)
          pairs[`${from} ${to}`] = (pairs[`${from} ${to}`] ?? 0) + 1;
      } catch (fault) {
        // Nothing was changed: the others came in between again and again.
        if (fault.code !== 'busy') throw fault;
        busy++;
      }
    }
    if (!ended) return void setImmediate(some);
    app.detach();
    console.log(JSON.stringify({ updates, busy, pairs }));
  };
  process.stdin.once('data', some);
}

class Talk {
  constructor(words) {
    const [program, ...rest] = words;
    this.child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.pid = this.child.pid;
    // Listened for from the start: a program that ends while its last line is read ends once.
    this.exited = once(this.child, 'exit');
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }
  async line() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error('it ended');
    return value;
  }
  say(line) {
    this.child.stdin.write(line);
  }
  end() {
    this.child.stdin.end();
  }
}

function epochOf(pid) {
  const target = new Target(pid);
  try {
    return Number(target.word(findRuntime(target, target.maps()) + PAGE + DATA.epoch));
  } finally {
    target.close();
  }
}
const startOperator = async (pid, ...targets) => {
  const words = [process.execPath, here('contend.mjs'), '--operator', `${pid}`];
  const operator = new Talk([...words, '--targets', targets.join(',')]);
  await operator.line();
  return operator;
};
const after = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/**
 * What went into each target less what went out of it: 1 for the last, -1 for the first, else 0.
 */
function isChain(pairs, first, last) {
  const balance = new Map();
  const add = (name, by) => balance.set(name, (balance.get(name) ?? 0) + by);
  for (const [pair, count] of pairs) {
    const [from, to] = pair.split(' ');
    add(from, -count);
    add(to, count);
  }
  add(first, 1);
  add(last, -1);
  return [...balance.values()].every((count) => count === 0);
}

async function part(title, program, args, operators) {
  const own = new Talk([program, ...args]);
  await own.line();
  const tools = [];
  for (const targets of operators) tools.push(await startOperator(own.pid, ...targets));
  const first = 'three';
  const before = epochOf(own.pid);
  const began = performance.now();
  own.say('\n');
  for (const tool of tools) tool.say('\n');
  await after(Number(flags.seconds));
  for (const tool of tools) tool.end();
  const told = [];
  for (const tool of tools) told.push(JSON.parse(await tool.line()));
  if (args.length > 0) own.say('\n');
  const { updates, refused } = JSON.parse(await own.line());
  const changed = epochOf(own.pid) - before;
  const pairs = told.flatMap((one) => Object.entries(one.pairs));
  const byTools = pairs.reduce((sum, [, count]) => sum + count, 0);
  const app = attach(own.pid);
  const mixed = app.verify().length;
  const last = app.keys.route.target;
  app.detach();
  own.end();
  const { calls, wrong } = JSON.parse(await own.line());
  await own.exited;
  const lost = byTools + updates - changed;
  const chain = args.length > 0 || isChain(pairs, first, last);
  const busy = told.reduce((sum, one) => sum + one.busy, 0);
  const good =
    byTools > 0 && lost === 0 && chain && mixed === 0 && wrong === 0 && refused === 0 && calls > 0;
  const seconds = Math.round((performance.now() - began) / 1000);
  console.log(
    `${title}: ${seconds} s, ${told.map((one) => one.updates).join(' + ')} updates from outside, ` +
      `${updates} from inside, ${changed} changes counted by the process: lost ${lost}, ` +
      `${chain ? 'one chain' : 'NO CHAIN'}, mixed ${mixed}, refused ${refused}, busy ${busy}; ` +
      `${calls} calls, ${wrong} wrong${good ? '' : ' - NOT AS IT SHOULD BE'}`,
  );
  return good;
}

async function contend() {
  const folder = mkdtempSync(join(tmpdir(), 'static-call-contend-'));
  try {
    const build = (output, ...words) => {
      const cli = [here('../bin/static-call'), 'cc', ...words, '--', 'gcc', '-O2'];
      const rest = [here('contend/program.c'), '-o', join(folder, output), '-pthread'];
      const done = spawnSync(process.execPath, [...cli, ...rest], { encoding: 'utf8' });
      if (done.status !== 0) throw new Error(done.stderr);
      return join(folder, output);
    };
    const plain = build('plain');
    const own = build('own', '--runtime');
    const two = await part(
      'two operators',
      plain,
      [],
      [
        ['three', 'five'],
        ['seven', 'nine'],
      ],
    );
    const one = await part('an operator and the program', own, ['own'], [['three', 'five']]);
    process.exitCode = two && one ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (flags.operator === undefined) await contend();
else operate(Number(flags.operator), flags.targets.split(','));

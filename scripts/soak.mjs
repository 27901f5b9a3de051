#!/usr/bin/env node
// The long run by hand: four native threads pass every form of site while every protocol and writer retargets their keys,
// through storms of threads, signals, forks, small stacks and libraries. Prints what came of it and ends with 1 if
// anything was wrong. A crash of the program is the worst of results and is told as one.
//
//   npm run soak -- [--seconds N] [--threads N] [--seed N] [--json]
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const programs = join(root, 'test/process/programs');

function options() {
  try {
    const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, threads: { type: 'string', default: '4' }, seed: { type: 'string', default: '1' }, json: { type: 'boolean', default: false } } });
    const [seconds, threads, seed] = [values.seconds, values.threads, values.seed].map(Number);
    if (!(seconds > 0) || !Number.isInteger(threads) || threads < 1 || threads > 64 || !Number.isInteger(seed)) throw new Error('--seconds, --threads (1 to 64) and --seed are numbers');
    return { seconds, threads, seed, json: values.json };
  } catch (error) {
    console.error(`soak: ${error.message}`);
    process.exit(2);
  }
}
const { seconds, threads, seed, json } = options();
const folder = mkdtempSync(join(tmpdir(), 'static-call-soak-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

function compile(name) {
  const output = join(folder, name.replace('.c', '.so'));
  const done = spawnSync(process.env.CC ?? 'gcc', ['-O2', '-shared', '-fPIC', '-pthread', `-I${join(root, 'include')}`, join(programs, name), '-o', output], { encoding: 'utf8' });
  if (done.status !== 0) {
    console.error(`soak: ${name} was not compiled: ${done.error?.message ?? done.stderr}`);
    process.exit(4);
  }
  return output;
}
const [program, guest] = [compile('soak.c'), compile('far.c')];
const libraries = [0, 1, 2, 3].map((i) => join(folder, `soak-${i}.so`));
for (const copy of libraries) copyFileSync(program, copy);

const child = spawnSync(process.execPath, [join(root, 'test/process/children/storms.mjs'), JSON.stringify({ libraries, guest, seconds, threads, seed, quiet: json || !process.stderr.isTTY })], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 26 });
if (child.status !== 0) {
  console.error(`soak: the program ended with status ${child.status}, signal ${child.signal}`);
  process.exit(1);
}
const got = JSON.parse(child.stdout);
const bad = { 'wrong results': got.wrong, 'lost calls': got.lost, 'storms that failed': got.failed, 'sites off their key': got.drift, 'bytes not put back': got.differs, 'foreign traps': got.foreign };
if (json) console.log(JSON.stringify({ schema: 'static-call/soak@1', ...got }));
else {
  const grown = (unit, digits = 1) => `${got.settled[unit].toFixed(digits)} -> ${got.last[unit].toFixed(digits)}`;
  const rows = {
    seconds: got.seconds.toFixed(0),
    threads,
    calls: got.calls,
    updates: got.updates,
    traps: Object.values(got.traps).reduce((a, b) => a + b),
    'orphan traps': got.orphans,
    'threads made': got.gusts.threads,
    signals: got.gusts.signals + got.gusts.stacks,
    forks: got.gusts.forks,
    'libraries loaded': got.gusts.libraries,
    ...bad,
    'heap, MB': grown('heapMB'),
    'resident, MB': grown('residentMB'),
    mappings: `${grown('mappings', 0)}, of them ours ${grown('ours', 0)}`,
  };
  for (const [name, value] of Object.entries(rows)) console.log(`${name.padEnd(22)}${value}`);
}
process.exitCode = Object.values(bad).some((n) => n !== 0) || got.last.ours !== got.settled.ours ? 1 : 0;

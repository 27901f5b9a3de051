#!/usr/bin/env node
// The long run by hand: four native threads pass every form of site while every protocol and writer
// retargets their keys, through storms of threads, signals, forks, small stacks and libraries.
// Prints what came of it and ends with 1 if anything was wrong. A crash of the program is the worst
// of results and is told as one.
//
//   npm run soak -- [--seconds N] [--threads N] [--seed N] [--json]
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { judgeSoak, NOTHING } from './judge-soak.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const programs = join(root, 'test/process/programs');

function options() {
  try {
    const { values } = parseArgs({
      options: {
        seconds: { type: 'string', default: '60' },
        threads: { type: 'string', default: '4' },
        seed: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
      },
    });
    const [seconds, threads, seed] = [values.seconds, values.threads, values.seed].map(Number);
    if (
      !(seconds > 0) ||
      !Number.isInteger(threads) ||
      threads < 1 ||
      threads > 64 ||
      !Number.isInteger(seed)
    )
      throw new Error('--seconds, --threads (1 to 64) and --seed are numbers');
    return { seconds, threads, seed, json: values.json };
  } catch (error) {
    console.error(`soak: ${error.message}`);
    process.exit(2);
  }
}
const { seconds, threads, seed, json } = options();
const folder = mkdtempSync(join(tmpdir(), 'static-call-soak-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

function compile(name, flags = []) {
  const output = join(folder, `${name.replace('.c', '')}${flags.length}.so`);
  const done = spawnSync(
    process.env.CC ?? 'gcc',
    [
      '-O2',
      '-shared',
      '-fPIC',
      '-pthread',
      `-I${join(root, 'include')}`,
      ...flags,
      join(programs, name),
      '-o',
      output,
    ],
    { encoding: 'utf8' },
  );
  if (done.status !== 0) {
    console.error(`soak: ${name} was not compiled: ${done.error?.message ?? done.stderr}`);
    process.exit(4);
  }
  return output;
}
// Each protocol has a program with calls of five bytes and one with calls of six.
const six = [
  '-fno-plt',
  ...['work', 'hook', 'filter'].map((key) => `-DSTATIC_CALL_EXPORTED_${key}=1`),
];
const [five, guest] = [compile('soak.c'), compile('far.c')];
const sixes = compile('soak.c', six);
const libraries = [five, sixes, sixes, five, sixes, five].map((program, i) => {
  const copy = join(folder, `soak-${i}.so`);
  copyFileSync(program, copy);
  return copy;
});

const child = spawnSync(
  process.execPath,
  [
    join(root, 'test/process/children/storms.mjs'),
    JSON.stringify({
      libraries,
      guest,
      seconds,
      threads,
      seed,
      quiet: json || !process.stderr.isTTY,
    }),
  ],
  { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 26 },
);
if (child.status !== 0) {
  console.error(`soak: the program ended with status ${child.status}, signal ${child.signal}`);
  process.exit(1);
}
const got = JSON.parse(child.stdout);
const faults = judgeSoak(got);
if (json) console.log(JSON.stringify({ schema: 'static-call/soak@1', ...got, faults }));
else {
  const grown = (unit, digits = 1) =>
    `${got.settled[unit].toFixed(digits)} -> ${got.last[unit].toFixed(digits)}`;
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
    ...Object.fromEntries(Object.entries(NOTHING).map(([name, field]) => [name, got[field]])),
    'heap, MB': grown('heapMB'),
    'resident, MB': grown('residentMB'),
    mappings: `${grown('mappings', 0)}, of them ours ${grown('ours', 0)}`,
  };
  for (const [name, value] of Object.entries(rows)) console.log(`${name.padEnd(22)}${value}`);
}
for (const fault of faults) console.error(`soak: ${fault}`);
process.exitCode = faults.length > 0 ? 1 : 0;

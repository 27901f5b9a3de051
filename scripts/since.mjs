#!/usr/bin/env node
// Holds one revision of the project against another on this machine, by one program that measures
// both: records of `static-call bench` compare only while the benchmark itself stays the same. A
// round starts a process of each side and asks the two in turn for a few samples of each row, so
// that a slow moment of the machine is slow for both; what counts is the median of each round. OLD
// and NEW are revisions, which are cloned and built, or folders that are built. Status 1 if a row
// is slower beyond noise, and no decision says why (scripts/since/judge.mjs); 2 if nothing could be
// measured.
//
//   node scripts/since.mjs OLD [NEW] [--rounds N] [--checks N] [--rows WORD]
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isWorse, judge, median, table } from './since/judge.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '8' },
    checks: { type: 'string', default: '2' },
    rows: { type: 'string', default: '' },
  },
});
const [OLD, NEW = here('..')] = positionals;

const SIZES = [1, 10, 100, 1000, 10_000];
const WAYS = [
  { protocol: 'int3', writer: 'alias' },
  { protocol: 'int3', writer: 'procmem' },
  { protocol: 'store', writer: 'alias' },
];
/** Samples for each question, asked in turn so many times a round. */
const TURNS = 3;
const timesOf = (sites) => (sites >= 10_000 ? 4 : 20);
const WARM_MS = 50;
const CALLS = 2_000_000;

const ROWS = [
  ...WAYS.flatMap(({ protocol, writer }) =>
    SIZES.map((sites) => ({
      name: `update, ${protocol}, ${writer}, sites: ${sites}`,
      ask: { ask: 'update', sites, protocol, writer, times: timesOf(sites) },
    })),
  ),
  { name: 'open, sites: 10000', ask: { ask: 'open', sites: 10_000, writer: 'alias', times: 2 } },
  // The direct call is the control: no revision has a part in it.
  ...['direct', 'site', 'empty'].map((way) => ({
    name: `call, ${way}`,
    ask: { ask: 'call', way, calls: CALLS, times: 3 },
  })),
].map(({ name, ask }) => ({ name, ask: { name, ...ask } }));

/** What tells two rows of a matrix apart, in the reports of every revision. */
const IDENTITY = (
  'protocol variant environment contexts fetch chunk store cpus tasks passes updates site ' +
  'dropSync tso entry patcher shadowStack'
).split(' ');

function run(program, words, cwd, fits = (status) => status === 0) {
  const done = spawnSync(program, words, { cwd, stdio: ['ignore', 'pipe', 2], maxBuffer: 2 ** 28 });
  if (!fits(done.status))
    throw new Error(`${program} ${words.join(' ')}: ${done.error ?? 'failed'}`);
  return String(done.stdout);
}

/** A folder with the revision, built; a word that names a built folder is that one. */
function built(word, into) {
  if (existsSync(join(word, 'dist/index.js'))) return resolve(word);
  const commit = run('git', ['rev-parse', '--verify', `${word}^{commit}`], here('..')).trim();
  run('git', ['clone', '--quiet', '--shared', '--no-checkout', here('..'), into]);
  run('git', ['checkout', '--quiet', '--detach', commit], into);
  run(process.execPath, ['scripts/setup.mjs'], into);
  return into;
}

/** The programs, by the header of each side. */
function compile(folder, objects) {
  mkdirSync(objects);
  for (const sites of SIZES) {
    const words = ['-O2', '-shared', '-fPIC', `-DSITES=${sites}`, '-I', join(folder, 'include')];
    const files = [here('since/program.c'), '-o', join(objects, `${sites}.so`)];
    run('gcc', [...words, ...files, '-pthread']);
  }
}

async function start({ folder, objects }) {
  const child = fork(here('since/measure.mjs'), [folder, objects, String(WARM_MS)]);
  const ended = once(child, 'exit').then(([status, signal]) => {
    throw new Error(`the process that measures ${folder} ended: ${signal ?? status}`);
  });
  ended.catch(() => {});
  const answer = async () => (await Promise.race([once(child, 'message'), ended]))[0];
  await answer();
  const ask = (question) => (child.send(question), answer());
  return { ask, end: () => child.kill() };
}

/** The two sides with a process each, of which each turn asks the other one first. */
async function both(sides, body) {
  const children = [];
  try {
    for (const side of sides) children.push(await start(side));
    let turn = 0;
    await body(async (question) => {
      const answers = [];
      for (const i of turn++ % 2 === 0 ? [0, 1] : [1, 0])
        answers[i] = await children[i].ask(question);
      return answers;
    });
  } finally {
    for (const child of children) child.end();
  }
}

/** One figure for each side. */
async function round(sides, rows, add) {
  await both(sides, async (ask) => {
    const samples = new Map(rows.map(({ name }) => [name, [[], []]]));
    for (let turn = 0; turn < TURNS; turn++)
      for (const row of rows)
        (await ask(row.ask)).forEach((some, i) => samples.get(row.name)[i].push(...some));
    for (const [name, pair] of samples) add(name, pair.map(median));
  });
}

/** Seconds that a side's `check --matrix` searched for each row, by its own report, and took. */
function matrix({ folder }) {
  const words = [join(folder, 'bin/static-call'), 'check', '--matrix', '--json'];
  const from = performance.now();
  // Some protocols of the matrix are there because they fail: status 1.
  const said = run(process.execPath, words, folder, (status) => status === 0 || status === 1);
  const whole = (performance.now() - from) / 1000;
  const { runs } = JSON.parse(said);
  const seconds = new Map();
  for (const row of runs) {
    const key = JSON.stringify(IDENTITY.map((field) => row[field]));
    // A form that several offsets have is a row for each of them.
    if (!seconds.has(key)) seconds.set(key, row.seconds);
  }
  return { seconds, whole, rows: runs.length };
}

/** One figure for each side: what both have is compared, and either may have rows besides. */
function checked(sides, k, add) {
  const found = [];
  for (const i of k % 2 === 0 ? [0, 1] : [1, 0]) found[i] = matrix(sides[i]);
  const [old, now] = found;
  const same = [...old.seconds.keys()].filter((key) => now.seconds.has(key));
  if (same.length === 0) throw new Error('the two matrices have no row in common');
  add(
    `check --matrix, ${same.length} rows that both have, seconds`,
    found.map(({ seconds }) => same.reduce((sum, key) => sum + seconds.get(key), 0)),
  );
  if (old.rows === now.rows && same.length === now.seconds.size)
    add(
      'check --matrix, the whole command, seconds',
      found.map(({ whole }) => whole),
    );
  else
    console.error(
      found.map(({ rows, whole }) => `${rows} rows in ${whole.toFixed(1)} s`).join('; then '),
    );
}

async function since(folder) {
  const sides = [OLD, NEW].map((word, i) => {
    const side = {
      folder: built(word, join(folder, `${i}`)),
      objects: join(folder, `objects${i}`),
    };
    compile(side.folder, side.objects);
    return side;
  });
  const found = new Map();
  const add = (name, pair) => {
    if (!found.has(name)) found.set(name, [[], []]);
    pair.forEach((value, i) => found.get(name)[i].push(value));
  };
  const rows = ROWS.filter(({ name }) => name.includes(flags.rows));
  for (let k = 0; rows.length > 0 && k < Number(flags.rounds); k++) await round(sides, rows, add);
  const checks = 'check'.includes(flags.rows) ? Number(flags.checks) : 0;
  for (let k = 0; k < checks; k++) checked(sides, k, add);
  const judged = [...found].map(([name, [before, after]]) => judge(name, before, after));
  process.stdout.write(table(judged));
  process.exitCode = judged.length === 0 || judged.some(isWorse) ? 1 : 0;
}

if (OLD === undefined) {
  console.error('node scripts/since.mjs OLD [NEW] [--rounds N] [--checks N] [--rows WORD]');
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'static-call-since-'));
try {
  await since(folder);
} catch (error) {
  console.error(error);
  process.exitCode = 2;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

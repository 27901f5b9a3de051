// Judges the tests by mistakes: each row of a table puts one mistake into a private copy of what
// ships, and the test that the row names must fail there. A row whose test passes is a survivor:
// the test does not notice what it was written for.

import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

/**
 * What a test reads. Without `src` the setup of the tests has nothing to build, so that the mistake
 * stays where it was put.
 */
const COPIED = [
  'bench',
  'bin',
  'dist',
  'docs',
  'engine',
  'examples',
  'include',
  'package.json',
  'schemas',
  'scripts',
  'share',
  'test',
  'tsconfig.json',
  'vitest.config.ts',
  'vitest.long.config.ts',
];

/**
 * @typedef {object} Mutant
 * @property {string} name what the mistake is, as a phrase
 * @property {string} file below the root: `dist/app/open.js`, `include/static_call.h`
 * @property {[from: string, to: string][]} edits each `from` is in the file exactly once
 * @property {{file: string, name?: string}} test a vitest file, and a part of the test's full name
 * @property {boolean} [long] the test belongs to the long run
 * @property {boolean} [hang] a test that does not end has noticed the mistake
 *
 * @typedef {object} Outcome
 * @property {Mutant} mutant
 * @property {'noticed' | 'survived' | 'impossible' | 'unfit' | 'hung'} verdict `impossible`: the
 *   mistake cannot be made any more; `unfit`: its test does not pass without it
 * @property {string} why
 */

/** @typedef {{copied?: readonly string[], jobs?: number, timeoutMs?: number}} Options */

/**
 * Where a test that does not end is no sign of the mistake, it is given so many times as long:
 * beside a run that takes both CPUs for itself, tests of nine seconds were not done after 180.
 */
const PATIENCE = 4;

/**
 * @param {string} root the checkout, built
 * @param {readonly Mutant[]} table
 * @param {(outcome: Outcome) => void} [told] called as each is judged
 * @param {Options} [options]
 * @returns {Promise<Outcome[]>} in the order of the table
 */
export async function judge(root, table, told = () => {}, options = {}) {
  const { copied = COPIED, jobs = 2, timeoutMs = 180_000 } = options;
  const rooms = Array.from({ length: Math.min(jobs, table.length) }, () => room(root, copied));
  const clear = () => {
    for (const path of rooms) rmSync(path, { recursive: true, force: true });
  };
  process.once('exit', clear);
  try {
    // The copies are alike, so whether a test passes without a mistake is asked once.
    const sound = new Map();
    const fits = (tree, { test, long }) => {
      const id = JSON.stringify([test, long]);
      if (!sound.has(id)) sound.set(id, run(tree, test, long, PATIENCE * timeoutMs));
      return sound.get(id);
    };
    const outcomes = [];
    let next = 0;
    await Promise.all(
      rooms.map(async (tree) => {
        for (let row = next++; row < table.length; row = next++) {
          const mutant = table[row];
          const outcome = { mutant, ...(await judgeOne(tree, mutant, fits, timeoutMs)) };
          outcomes[row] = outcome;
          told(outcome);
        }
      }),
    );
    return outcomes;
  } finally {
    process.off('exit', clear);
    clear();
  }
}

async function judgeOne(tree, mutant, fits, timeoutMs) {
  const path = join(tree, mutant.file);
  const before = readFileSync(path, 'utf8');
  let after = before;
  for (const [from, to] of mutant.edits) {
    const places = after.split(from).length - 1;
    if (places !== 1)
      return {
        verdict: 'impossible',
        why: `${mutant.file} has ${places} places that read: ${from}`,
      };
    after = after.replace(from, () => to);
  }
  const sound = await fits(tree, mutant);
  if (sound.ended !== 'passed') return { verdict: 'unfit', why: sound.said };
  writeFileSync(path, after);
  try {
    // A file that is no program any more would make every test fail.
    const words = /\.m?js$/.test(path) ? ['--check', path] : builds(mutant) ? ENGINE : null;
    if (words !== null) {
      const made = await spawned(process.execPath, words, tree, timeoutMs);
      if (made.status !== 0) return { verdict: 'impossible', why: made.said };
    }
    const limitMs = mutant.hang ? timeoutMs : PATIENCE * timeoutMs;
    const { ended, said } = await run(tree, mutant.test, mutant.long, limitMs);
    switch (ended) {
      case 'passed':
        return { verdict: 'survived', why: `${mutant.test.file} passes` };
      case 'failed':
        return { verdict: 'noticed', why: said };
      case 'empty':
        return { verdict: 'unfit', why: said };
      default:
        return { verdict: mutant.hang ? 'noticed' : 'hung', why: `no end in ${limitMs} ms` };
    }
  } finally {
    writeFileSync(path, before);
    if (builds(mutant)) await spawned(process.execPath, ENGINE, tree, timeoutMs);
  }
}

/** What ships of the engine is compiled. */
const ENGINE = ['scripts/engine.mjs'];
const builds = ({ file }) => file.startsWith('engine/');

function room(root, copied) {
  const tree = mkdtempSync(join(tmpdir(), 'static-call-mutant-'));
  for (const name of copied) cpSync(join(root, name), join(tree, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
  return tree;
}

/** One test by vitest: `empty` where no test has the name, for then nothing was asked. */
async function run(tree, { file, name }, long, timeoutMs) {
  const report = join(tree, `report-${basename(file)}.json`);
  rmSync(report, { force: true });
  const { status, said } = await spawned(
    process.execPath,
    [
      join(tree, 'node_modules/vitest/vitest.mjs'),
      'run',
      file,
      ...(name === undefined ? [] : ['-t', name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')]),
      ...(long ? ['--config', 'vitest.long.config.ts'] : []),
      '--reporter=json',
      `--outputFile=${report}`,
    ],
    tree,
    timeoutMs,
  );
  if (status === null) return { ended: 'hung', said };
  // A crash of the runner itself leaves no report, and has noticed something.
  const { numPassedTests, numFailedTests, testResults } = read(report);
  if (status === 0)
    return { ended: numPassedTests > 0 ? 'passed' : 'empty', said: `${file} ran no test` };
  const failures = testResults.flatMap((one) => [
    one.message,
    ...one.assertionResults.flatMap(({ failureMessages }) => failureMessages),
  ]);
  return {
    ended: 'failed',
    said: `${numFailedTests} failed: ${failures.filter(Boolean)[0] ?? said}`,
  };
}

function read(report) {
  try {
    return JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    return { numPassedTests: 0, numFailedTests: 0, testResults: [] };
  }
}

/** In a group of its own, so that what a hung test has started ends with it. A null status: killed. */
function spawned(command, words, cwd, timeoutMs) {
  // This may itself run under vitest, whose variables would reach the inner one.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(VITEST|TEST$|NODE_ENV$|DEV$|PROD$|MODE$)/.test(name),
    ),
  );
  return new Promise((done, failed) => {
    const child = spawn(command, words, {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    let hung = false;
    const kill = () => {
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It ended meanwhile.
      }
    };
    const timer = setTimeout(() => {
      hung = true;
      kill();
    }, timeoutMs);
    process.once('exit', kill);
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (said += text));
    child.on('error', failed);
    child.on('close', (status) => {
      clearTimeout(timer);
      process.off('exit', kill);
      done({ status: hung ? null : (status ?? 1), said });
    });
  });
}

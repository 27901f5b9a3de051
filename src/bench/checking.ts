// Group 6: how fast the checker searches, beside SPIN on the same protocol. The two do not search
// the same thing: SPIN's model is three chunks and no machine code; ours executes the bytes, the
// handler's too. But without reductions their graphs are of one size, four million moves and a bit,
// so that the CPU time of both says what a move costs.

import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { configure } from '../check/configuration.js';
import { run } from '../check/search/run.js';
import { PROPOSALS, type Proposal } from '../zoo/index.js';
import { Fault } from '../base/fault.js';
import { noiseOf, present, Samples, type Row, type Table } from './result.js';
import { SOURCES, versionOf, type Environment, type Workshop } from './tools.js';

/** States that a search may visit, so that a sample ends. */
const MOST = 300_000;

export interface CheckingOptions {
  readonly workshop: Workshop;
  readonly env: Environment;
  /** Milliseconds. */
  readonly budget: number;
  readonly signal: AbortSignal;
}

/** How many states each search found, in words. */
type Found = Map<string, string>;

export function measureChecking({ workshop, env, budget, signal }: CheckingOptions): Table {
  const samples = new Samples();
  const found: Found = new Map();
  const proposal = PROPOSALS.find((s) => s.name === 'int3' && s.environment === 'user');
  if (!proposal) throw new Fault('unknown-protocol', 'the checker has no int3');
  // Plain and reduced: one shows the engine, the other what a user waits for.
  const plain = configure({ environment: 'user', reduce: 'none' });
  const reduced = configure({ environment: 'user' });
  const spin =
    versionOf('spin', { ...env }) ?? (spawnSync('spin', ['-V'], { env }).error ? null : 'spin');
  const [verifier, everyVerifier] = [[], ['-DNOREDUCE']].map((flags) =>
    spin === null ? null : buildVerifier(workshop, env, flags),
  );
  const threadsHere = [['one-thread', 1] as const, ['two-threads', 2] as const].filter(
    ([, threads]) => threads <= availableParallelism(),
  );
  // V8 compiles the engine beside its first search, in CPU time that a sample would contain.
  everyMove(proposal, signal);
  const end = performance.now() + budget;
  for (let round = 0; round < 2 || (performance.now() < end && !signal.aborted); round++) {
    for (const [name, configuration] of Object.entries({ plain, reduced, copy: reduced })) {
      const { states, transitions, seconds, exhaustive } = run(proposal, configuration, {
        states: MOST,
        seconds: 10,
        signal,
      });
      add(samples, name, { states, transitions, seconds });
      found.set(name, `${states.toLocaleString('en-US')} states${exhaustive ? '' : ', not all'}`);
    }
    const every = everyMove(proposal, signal);
    add(samples, 'every', every);
    found.set('every', movesOf(every));
    for (const [name, threads] of threadsHere) {
      const large = largeSearch(proposal, threads, signal);
      add(samples, name, large);
      found.set(name, `${large.transitions.toLocaleString('en-US')} moves`);
    }
    const theirs = verifier ? runVerifier(verifier, env) : null;
    if (theirs) {
      add(samples, 'spin', theirs);
      found.set('spin', `${theirs.states.toLocaleString('en-US')} states`);
    }
    const theirEvery = everyVerifier ? runVerifier(everyVerifier, env) : null;
    if (theirEvery) {
      add(samples, 'spin-every', { ...theirEvery, seconds: theirEvery.cpuSeconds });
      found.set('spin-every', movesOf(theirEvery));
    }
  }
  return checkingTable(samples, found);
}

interface Searched {
  readonly states: number;
  readonly transitions: number;
  readonly seconds: number;
}

const movesOf = ({ transitions }: Searched): string =>
  `${transitions.toLocaleString('en-US')} moves, CPU time`;

/** A search with every move of two CPUs and one update, in CPU time, its tables included. */
function everyMove(proposal: Proposal, signal: AbortSignal): Searched {
  const configuration = configure({ environment: 'user', reduce: 'macro', updates: 1 });
  const before = process.cpuUsage();
  const { states, transitions } = run(proposal, configuration, {
    states: Infinity,
    seconds: 60,
    signal,
  });
  const { user, system } = process.cpuUsage(before);
  return { states, transitions, seconds: (user + system) / 1e6 };
}

/** A search that is worth several threads, by the clock. */
function largeSearch(proposal: Proposal, threads: number, signal: AbortSignal): Searched {
  const configuration = configure({ environment: 'user', reduce: 'macro', passes: 1 });
  return run(proposal, configuration, { states: Infinity, seconds: 60, signal, threads });
}

function add(samples: Samples, name: string, { states, transitions, seconds }: Searched): void {
  samples.add(`${name}/states`, states / seconds);
  samples.add(`${name}/transitions`, transitions / seconds);
  samples.add(`${name}/time`, seconds * 1e9);
}

/**
 * What SPIN's search prints of itself; null where it found nothing, or in no time that it tells.
 */
function runVerifier(
  verifier: string,
  env: Environment,
): (Searched & { readonly cpuSeconds: number }) | null {
  // `times` prints last what the children took: 0m1.2s 0m0.1s.
  const timed = ['-c', '"$0" -m200000 -w22; times', verifier];
  const { stdout } = spawnSync('sh', timed, { encoding: 'utf8', env });
  const said = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? 'NaN');
  const searched = {
    states: said(/(\d+) states, stored/),
    transitions: said(/(\d+) transitions/),
    seconds: said(/elapsed time ([\d.]+) seconds/),
    cpuSeconds:
      60 * (said(/(\d+)m[\d.]+s \d+m[\d.]+s\s*$/) + said(/(\d+)m[\d.]+s\s*$/)) +
      said(/m([\d.]+)s \d+m[\d.]+s\s*$/) +
      said(/m([\d.]+)s\s*$/),
  };
  return searched.states > 0 && searched.seconds > 0 ? searched : null;
}

function checkingTable(samples: Samples, found: Found): Table {
  const spin = found.has('spin');
  const rows = (name: string, words: string, ours: boolean, to = 'spin'): (Row | null)[] => [
    samples.row(`${name}/time`, `${words}: ${found.get(name)}`),
    ...['states', 'transitions'].map((of) =>
      samples.row(`${name}/${of}`, `${words}: ${of}`, {
        unit: 'per second',
        ...(found.has(to) ? { to: `${to}/${of}` } : {}),
        ours,
      }),
    ),
  ];
  return {
    group: 'check',
    title: 'Checking int3 in a process, two CPUs, two updates',
    about:
      'Our states are of machine code, bytes and a handler; those of SPIN are of a model of the ' +
      'same three steps in three chunks (bench/int3.pml).',
    noise: noiseOf(samples, [['reduced/time', 'copy/time']]),
    rows: present([
      ...rows('plain', 'without reductions', true),
      ...rows('reduced', 'as check runs it', true),
      ...rows('spin', 'SPIN', false),
      ...rows('every', 'every move of one update', true, 'spin-every'),
      ...rows('spin-every', 'SPIN, every move', false, 'spin-every'),
      ...rows('one-thread', 'every move of two updates, one thread', true, 'one-thread'),
      ...rows('two-threads', 'every move of two updates, two threads', true, 'one-thread'),
    ]),
    missing: [
      ...(spin ? [] : [{ what: 'SPIN', why: 'Debian package spin, and a C compiler' }]),
      ...(availableParallelism() > 1 ? [] : [{ what: 'two threads', why: 'a second CPU' }]),
    ],
  };
}

/** SPIN writes a C program that searches; it is compiled as its manual says. */
function buildVerifier(
  { folder, compiler }: Workshop,
  env: Environment,
  flags: readonly string[],
): string | null {
  copyFileSync(join(SOURCES, 'int3.pml'), join(folder, 'int3.pml'));
  const model = spawnSync('spin', ['-a', 'int3.pml'], { cwd: folder, env });
  if (model.status !== 0) return null;
  const name = ['pan', ...flags].join('');
  const [command, ...words] = [...compiler, '-O2', '-w', '-DSAFETY', ...flags, 'pan.c', '-o', name];
  return spawnSync(command!, words, { cwd: folder, env }).status === 0 ? join(folder, name) : null;
}

// Group 6: how fast the checker searches, beside SPIN on the same protocol. The two do not search
// the same thing: SPIN's model is three chunks and no machine code; ours executes the bytes, the
// handler's too.

import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { configure } from '../check/configuration.js';
import { run } from '../check/search/run.js';
import { PROPOSALS } from '../zoo/index.js';
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
  const verifier = spin === null ? null : buildVerifier(workshop, env);
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
    const theirs = verifier === null ? null : runVerifier(verifier, env);
    if (theirs) {
      add(samples, 'spin', theirs);
      found.set('spin', `${theirs.states.toLocaleString('en-US')} states`);
    }
  }
  return checkingTable(samples, found);
}

interface Searched {
  readonly states: number;
  readonly transitions: number;
  readonly seconds: number;
}

function add(samples: Samples, name: string, { states, transitions, seconds }: Searched): void {
  samples.add(`${name}/states`, states / seconds);
  samples.add(`${name}/transitions`, transitions / seconds);
  samples.add(`${name}/time`, seconds * 1e9);
}

/**
 * What SPIN's search prints of itself; null where it found nothing, or in no time that it tells.
 */
function runVerifier(verifier: string, env: Environment): Searched | null {
  const { stdout } = spawnSync(verifier, ['-m200000', '-w22'], { encoding: 'utf8', env });
  const said = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? 'NaN');
  const searched = {
    states: said(/(\d+) states, stored/),
    transitions: said(/(\d+) transitions/),
    seconds: said(/elapsed time ([\d.]+) seconds/),
  };
  return searched.states > 0 && searched.seconds > 0 ? searched : null;
}

function checkingTable(samples: Samples, found: Found): Table {
  const spin = found.has('spin');
  const rate = (name: string, of: string, words: string, ours: boolean): Row | null =>
    samples.row(`${name}/${of}`, `${words}: ${of}`, {
      unit: 'per second',
      ...(spin ? { to: `spin/${of}` } : {}),
      ours,
    });
  const rows = (name: string, words: string, ours: boolean): (Row | null)[] => [
    samples.row(`${name}/time`, `${words}: ${found.get(name)}`),
    rate(name, 'states', words, ours),
    rate(name, 'transitions', words, ours),
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
    ]),
    missing: spin ? [] : [{ what: 'SPIN', why: 'Debian package spin, and a C compiler' }],
  };
}

/** SPIN writes a C program that searches; it is compiled as its manual says. */
function buildVerifier({ folder, compiler }: Workshop, env: Environment): string | null {
  copyFileSync(join(SOURCES, 'int3.pml'), join(folder, 'int3.pml'));
  const model = spawnSync('spin', ['-a', 'int3.pml'], { cwd: folder, env });
  if (model.status !== 0) return null;
  const [command, ...words] = [...compiler, '-O2', '-w', '-DSAFETY', 'pan.c', '-o', 'pan'];
  return spawnSync(command!, words, { cwd: folder, env }).status === 0 ? join(folder, 'pan') : null;
}

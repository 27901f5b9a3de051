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

export function measureChecking({
  workshop,
  env,
  budget,
  signal,
}: {
  readonly workshop: Workshop;
  readonly env: Environment;
  readonly budget: number;
  readonly signal: AbortSignal;
}): Table {
  const samples = new Samples();
  const proposal = PROPOSALS.find((s) => s.name === 'int3' && s.environment === 'user');
  if (!proposal) throw new Fault('unknown-protocol', 'the checker has no int3');
  // Plain and reduced: one shows the engine, the other what a user waits for.
  const [plain, reduced] = [
    configure({ environment: 'user', reduce: 'none' }),
    configure({ environment: 'user' }),
  ];
  const searches = { plain, reduced, copy: reduced };
  const spin =
    versionOf('spin', { ...env }) ?? (spawnSync('spin', ['-V'], { env }).error ? null : 'spin');
  const verifier = spin === null ? null : buildVerifier(workshop, env);
  const found: Record<string, string> = {};
  const end = performance.now() + budget;
  for (let round = 0; round < 2 || (performance.now() < end && !signal.aborted); round++) {
    for (const [name, configuration] of Object.entries(searches)) {
      const { states, transitions, seconds, exhaustive } = run(proposal, configuration, {
        states: MOST,
        seconds: 10,
        signal,
      });
      samples.add(`${name}/states`, states / seconds);
      samples.add(`${name}/transitions`, transitions / seconds);
      samples.add(`${name}/time`, seconds * 1e9);
      found[name] = `${states.toLocaleString('en-US')} states${exhaustive ? '' : ', not all'}`;
    }
    if (verifier) {
      const said = spawnSync(verifier, ['-m200000', '-w22'], { encoding: 'utf8', env }).stdout;
      const [states, transitions, seconds] = [
        /(\d+) states, stored/,
        /(\d+) transitions/,
        /elapsed time ([\d.]+) seconds/,
      ].map((pattern) => Number(pattern.exec(said)?.[1] ?? 'NaN'));
      if (states! > 0 && seconds! > 0) {
        samples.add('spin/states', states! / seconds!);
        samples.add('spin/transitions', transitions! / seconds!);
        samples.add('spin/time', seconds! * 1e9);
        found['spin'] = `${states!.toLocaleString('en-US')} states`;
      }
    }
  }
  const rate = (id: string, name: string, ours: boolean): Row | null =>
    samples.row(id, name, {
      unit: 'per second',
      ...(samples.of(`spin/${id.split('/')[1]}`).length > 0
        ? { to: `spin/${id.split('/')[1]}` }
        : {}),
      ours,
    });
  const rows = (name: string, words: string, ours: boolean): (Row | null)[] => [
    samples.row(`${name}/time`, `${words}: ${found[name]}`),
    rate(`${name}/states`, `${words}: states`, ours),
    rate(`${name}/transitions`, `${words}: transitions`, ours),
  ];
  return {
    group: 'check',
    title: 'Checking int3 in a process, two CPUs, two updates',
    about:
      'Our states are of machine code, bytes and a handler; those of SPIN are of a model of the same three steps in three chunks (bench/int3.pml).',
    noise: noiseOf(samples, [['reduced/time', 'copy/time']]),
    rows: present([
      ...rows('plain', 'without reductions', true),
      ...rows('reduced', 'as check runs it', true),
      ...(verifier ? rows('spin', 'SPIN', false) : []),
    ]),
    missing: verifier ? [] : [{ what: 'SPIN', why: 'Debian package spin, and a C compiler' }],
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

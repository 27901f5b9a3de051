// Another checker searches the same tables: SPIN puts the CPUs together, keeps the set of states
// and judges the moves by itself, and its counts are those of our search.

import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { promela } from '#check/ask/promela';
import { BOUNDS_ANY, configure, type Configuration } from '#check/configuration';
import { run } from '#check/search/run';
import { findProposal } from '#zoo/index';
import { Folder, gcc, must } from '../build.js';

const spin = spawnSync('spin', ['-V']).error === undefined;
const LIMITS = { states: 2_000_000, seconds: 600 };

function settings(name: string, given: Partial<Configuration>) {
  const [protocol = name, variant = ''] = name.split('/');
  const proposal = findProposal(protocol, variant, given.environment);
  const { environment } = proposal;
  return { proposal, configuration: configure({ environment, reduce: 'macro', ...given }) };
}
function modelOf(name: string, given: Partial<Configuration>) {
  const { proposal, configuration } = settings(name, given);
  return promela(proposal, configuration, LIMITS.states);
}

interface Counted {
  readonly states: number;
  readonly transitions: number;
  readonly errors: number;
}

/** What SPIN says of one part of a model, with further words for SPIN. */
function searched(text: string, part: number, ...words: readonly string[]) {
  using folder = new Folder();
  folder.write('model.pml', text);
  must('spin', ['-a', `-DPART=${part}`, ...words, 'model.pml'], folder.path);
  const flags = ['-O1', '-w', '-DSAFETY', '-DNOREDUCE'];
  must('gcc', [...flags, '-o', 'pan', 'pan.c'], folder.path);
  const { stdout } = spawnSync('./pan', ['-m2000000', '-w22'], {
    cwd: folder.path,
    encoding: 'utf8',
  });
  const said = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? 'NaN');
  const counted: Counted = {
    states: said(/(\d+) states, stored/),
    transitions: said(/(\d+) transitions/),
    errors: said(/errors: (\d+)/),
  };
  return { counted, stdout };
}

describe.skipIf(!spin || !gcc)('SPIN (skipped without spin or gcc)', () => {
  it.for<[string, Partial<Configuration>]>([
    // Any sequence of updates and passes, of two CPUs.
    ['int3-gap', { ...BOUNDS_ANY, cpus: 2 }],
    // Two threads with signals, within bounds.
    ['int3', { environment: 'user', updates: 1 }],
    ['store', { environment: 'user', chunk: 'qword', ...BOUNDS_ANY }],
    // CPUs that write what the other one reads.
    ['int3-gap/counted', { contexts: ['task'], passes: 1, updates: 1 }],
    // Single steps.
    ['int3-gap', { contexts: ['task'], passes: 1, updates: 1, reduce: 'none' }],
  ])('counts the states and transitions of %s that our search does', ([name, given]) => {
    const { proposal, configuration } = settings(name, given);
    const { text, parts } = promela(proposal, configuration, LIMITS.states);
    const found = parts.map((_, part) => searched(text, part).counted);
    expect(found).toEqual(parts.map((part) => ({ ...part, errors: 0 })));
    const ours = run(proposal, configuration, LIMITS);
    const sum = (what: keyof Counted): number => found.reduce((all, each) => all + each[what], 0);
    expect([sum('states'), sum('transitions')]).toEqual([ours.states, ours.transitions]);
  });

  it('finds a broken promise, and none where it is not judged', () => {
    const { text } = modelOf('naive', { contexts: ['task'], passes: 1, updates: 1 });
    const { counted, stdout } = searched(text, 0);
    expect(counted.errors).toBe(1);
    expect(stdout).toMatch(/assertion violated/);
    expect(searched(text, 0, '-DJUDGED=0').counted.errors).toBe(0);
  });

  it('finds a state in which nothing moves, and a move into what our search never met', () => {
    const { text } = modelOf('int3-gap', { contexts: ['task'], passes: 1, updates: 1 });
    // The patcher never answers: its first row has no move.
    const row = /PATCHING_0\[\] = \{\s+(\d+), (\d+), (\d+),((?: -?\d+,){4})/;
    const [all = '', one, two, words, move = ''] = row.exec(text) ?? [];
    expect(words).toBe('4');
    const still = text.replace(all, `PATCHING_0[] = {\n ${one}, ${two}, 0,`);
    expect(searched(still, 0).stdout).toMatch(/assertion violated 0/);
    const [, to] = move.split(',');
    const astray = text.replace(all, all.replace(move, move.replace(`${to},`, ' 99999,')));
    expect(searched(astray, 0).stdout).toMatch(/no row for \d+ 99999|no row for 99999/);
  });
});

describe('a model for SPIN', () => {
  it('is refused, with the reason, for what is no such table', () => {
    const of = (name: string, given: Partial<Configuration>) => () => modelOf(name, given);
    expect(of('int3-gap', { contexts: ['task', 'preempt'] })).toThrow(/a switch of tasks/);
    expect(of('int3-gap', { patcher: 'task' })).toThrow(/the patcher is one of the tasks/);
    expect(of('int3-gap', { reduce: 'por' })).toThrow(/SPIN takes every move/);
    const coupled = { ...BOUNDS_ANY, contexts: ['task'] } as const;
    expect(of('int3-gap/counted', coupled)).toThrow(/its handlers write what other CPUs read/);
    const { proposal, configuration } = settings('int3-gap', {});
    expect(() => promela(proposal, configuration, 100)).toThrow(/more than 100 states/);
  });
});

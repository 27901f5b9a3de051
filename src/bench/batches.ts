// What several keys in one update cost: a small key beside a large one, which the merge of their
// edits must not make dear, and as many keys as a program may have.

import { setImmediate } from 'node:timers/promises';
import { openWith } from '../app/open.js';
import type { Program } from '../app/program.js';
import type { Keys } from '../app/types.js';
import type { Native } from '../machine/linux/native.js';
import { keysSource } from './programs.js';
import { median, noiseOf, present, Samples, type Table } from './result.js';
import type { Workshop } from './tools.js';

export interface BatchesOptions {
  /** What the updates go through. */
  readonly through: Native;
  readonly workshop: Workshop;
  /** Sites of the large key, and keys of the program that has many. */
  readonly large: number;
  readonly keys: number;
  /** Bytes from one site to the next. */
  readonly apart: number;
  /** Milliseconds. */
  readonly budget: number;
  readonly signal: AbortSignal;
}

const SMALL = 3;
/** Rounds of updates before anything counts. */
const WARM = 20;

const TARGETS = ['many_a', 'many_b'] as const;

/** Alternates the targets of some keys, so that each update changes every site. */
function toggled(app: Program<Keys>, names: readonly string[]): () => void {
  const wanted = TARGETS.map((to) => Object.fromEntries(names.map((name) => [name, to])));
  let next = 1;
  return () => {
    app.update(wanted[next]!);
    next = 1 - next;
  };
}

const nameOf = ([name]: readonly [string, number]): string => name;

export async function measureBatches({
  through,
  workshop,
  large,
  keys,
  apart,
  budget,
  signal,
}: BatchesOptions): Promise<Table> {
  const open = (name: string, source: string): Program<Keys> =>
    // The sites are assembler text, and to optimize ten thousand keys' records takes 30 s.
    openWith(through, workshop.shared(name, workshop.write(`${name}.c`, source), '-O0'), {
      writer: 'alias',
    });
  const half = Math.ceil(large / 2);
  const beside = [
    ['large', half],
    ['small', SMALL],
    ['large', large - half],
  ] as const;
  const many = Array.from({ length: keys }, (_, i) => [`key${i}`, 1] as const);
  using two = closing(open('beside', keysSource(beside, apart)));
  using all = closing(open('keys', keysSource(many, apart)));
  const samples = new Samples();
  type Bodies = readonly (readonly [id: string, body: () => void])[];
  const sites: Bodies = [
    ['batch/large', toggled(two.app, ['large'])],
    ['batch/both', toggled(two.app, ['large', 'small'])],
    ['batch/small', toggled(two.app, ['small'])],
    ['batch/largecopy', toggled(two.app, ['large'])],
  ];
  const own: Bodies = [['batch/keys', toggled(all.app, many.map(nameOf))]];
  // Twice each: there and back, so that every body finds its keys where it left them.
  const take = (bodies: Bodies, into: Samples): void => {
    for (const [id, body] of bodies) for (let k = 0; k < 2; k++) into.time(id, body);
  };
  const round = (into: Samples): void => {
    take(own, into);
    // So many keys leave nothing of the others in the caches, and the first would pay for it.
    take(sites, new Samples());
    take(sites, into);
  };
  for (let k = 0, end = performance.now() + budget / 4; k < WARM && performance.now() < end; k++)
    round(new Samples());
  const end = performance.now() + budget;
  for (let k = 0; k < 1 || (performance.now() < end && !signal.aborted); k++) {
    round(samples);
    await setImmediate();
  }
  const number = (n: number): string => n.toLocaleString('en-US');
  return {
    group: 'update',
    title: 'An update of several keys, no thread running',
    about: `auto, the writer alias, sites ${apart} bytes apart; the small key lies in the large one.`,
    noise: noiseOf(samples, [['batch/large', 'batch/largecopy']]),
    rows: present([
      samples.row('batch/large', `a key of ${number(large)} sites alone`),
      samples.row('batch/both', `the same and a key of ${SMALL} sites`, {
        to: 'batch/large',
        ours: true,
      }),
      samples.row('batch/small', `the key of ${SMALL} sites alone`),
      samples.row('batch/keys', `${number(keys)} keys of one site`, {
        more: { 'ns a key': median(samples.of('batch/keys')) / keys },
      }),
    ]),
    missing: [],
  };
}

const closing = (app: Program<Keys>): { readonly app: Program<Keys> } & Disposable => ({
  app,
  [Symbol.dispose]: () => app.close(),
});

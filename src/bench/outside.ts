// What an update costs that comes from outside, by a thread that another process has borrowed, and
// one that a C program makes itself. The same program in each case, the same sites, one thread that
// runs elsewhere in it. Held against: the same update by Node inside of a process, and the bare
// synchronisations.

import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { attachWith } from '../app/attach.js';
import { openWith } from '../app/open.js';
import type { App, Keys } from '../app/types.js';
import { Fault, isFault } from '../base/fault.js';
import { SYS } from '../base/linux.js';
import type { Native } from '../machine/linux/native.js';
import { Target } from '../machine/remote/target.js';
import type { Driver } from './driver.js';
import { outsideSource } from './programs.js';
import { noiseOf, present, Samples, type Missing, type Table } from './result.js';
import { SOURCES, type Workshop } from './tools.js';
import { APART } from './updates.js';

export interface OutsideOptions {
  readonly native: Native;
  readonly driver: Driver;
  readonly workshop: Workshop;
  /** Sites of the key that has many. */
  readonly sites: number;
  readonly cpus: number;
  /** Milliseconds. */
  readonly budget: number;
  readonly signal: AbortSignal;
}

const TARGETS = ['many_a', 'many_b'] as const;
/** Samples of the small key at a time, and rounds before anything counts. */
const AT_ONCE = 8;
const WARM = 5;
/** Programs that are attached to for the first time. */
const FIRST = 12;
/** A thread that another program keeps from its CPU is waited for: looks of the driver's, ms. */
const LOOKS = 20;
const PATIENCE_MS = 2000;

/** A program of bench/outside.c that runs. */
class Running implements Disposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #target: Target | null = null;
  #passes = 0;
  /** What its sleeping thread may be made to run, and the word that it sets then. */
  #bare = { code: 0, word: 0 };

  constructor(program: string, cpu: number) {
    this.#child = spawn(program, [String(cpu)], { stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdin, stdout } = this.#child;
    if (stdin === null || stdout === null)
      throw new Fault('not-loaded', 'a measured program has no pipes', { at: program });
    // A program that has ended reads nothing more; its answer is missing then.
    stdin.on('error', () => {});
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  async ready(): Promise<this> {
    const [, passes = 0, code = 0, word = 0] = (await this.#answer()).split(' ').map(Number);
    this.#passes = passes;
    this.#bare = { code, word };
    this.#target = new Target(this.pid);
    return this;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @throws Fault `not-supported` where the program has ended: its thread did not run */
  async #answer(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Fault('not-supported', STALLED);
    return value;
  }

  async ask(line: string): Promise<readonly number[]> {
    this.#child.stdin?.write(`${line}\n`);
    const words = (await this.#answer()).trim().split(' ');
    return words.filter((word) => word !== '').map(Number);
  }

  /** The floor of what an update from outside takes, ns. @throws Fault `not-supported` */
  borrowed(driver: Driver, thread: number): number {
    // It has told that its update is done before it is back where it slept.
    const end = performance.now() + PATIENCE_MS;
    while (this.#target?.thread(thread).sleepsIn?.call !== SYS.pause)
      if (performance.now() > end) throw new Fault('not-supported', STALLED);
    const ns = driver.borrow(thread, this.#bare.code, this.#bare.word);
    if (ns < 0) throw new Fault('not-supported', 'ptrace by the benchmark is refused');
    return ns;
  }

  /** Returns when its thread has just made a pass. @throws Fault `not-supported` */
  moving(): void {
    const passes = (): bigint => this.#target?.word(this.#passes) ?? 0n;
    const end = performance.now() + PATIENCE_MS;
    for (const seen = passes(); passes() === seen;)
      if (performance.now() > end) throw new Fault('not-supported', STALLED);
  }

  [Symbol.dispose](): void {
    this.#target?.close();
    this.#child.kill('SIGKILL');
  }
}
const STALLED = 'a thread that should run was not on a CPU just before a sample';

const toggle = (app: Pick<App<Keys>, 'update'>, key: string): (() => void) => {
  let next = 0;
  return () => void app.update({ [key]: TARGETS[(next ^= 1)] }, { protocol: 'int3' });
};

/** One round of all subjects, one after the other; the threads of the others sleep. */
interface Subjects {
  readonly driver: Driver;
  readonly inside: App<Keys>;
  readonly outside: ReturnType<typeof attachWith>;
  readonly plain: Running;
  readonly own: Running;
}

function rounds({ driver, inside, outside, plain, own }: Subjects) {
  const small = { inside: toggle(inside, 'one'), outside: toggle(outside, 'one') };
  const large = { inside: toggle(inside, 'many'), outside: toggle(outside, 'many') };
  const fromInside = (samples: Samples): void => {
    driver.run(driver.elsewhere(), 1, APART);
    const sample = (id: string, body: () => void): void => {
      for (let looks = 0; !driver.moving(); looks++)
        if (looks === LOOKS) throw new Fault('not-supported', STALLED);
      samples.time(id, body);
    };
    for (let k = 0; k < AT_ONCE; k++)
      for (const id of ['inside/1', 'inside/1copy']) sample(id, small.inside);
    sample('inside/many', large.inside);
    driver.park();
  };
  const fromOutside = async (samples: Samples): Promise<void> => {
    await plain.ask('run');
    const sample = (id: string, body: () => void): void => {
      plain.moving();
      samples.time(id, body);
      samples.add(id.replace('outside', 'held'), outside.held?.ns ?? NaN);
    };
    for (let k = 0; k < AT_ONCE; k++) sample('outside/1', small.outside);
    for (let k = 0; k < AT_ONCE; k++) {
      plain.moving();
      samples.add('borrowed', plain.borrowed(driver, outside.held?.thread ?? 0));
    }
    sample('outside/many', large.outside);
    await plain.ask('park');
  };
  const fromC = async (samples: Samples): Promise<void> => {
    await own.ask('run');
    for (const way of ['three', 'two'] as const) {
      const all = await own.ask(`${way} one ${AT_ONCE}`);
      const names = [`${way}`, `${way}copy`, `c/${way}`, `${way}/written`];
      for (const [i, ns] of all.entries()) samples.add(names[i % names.length] ?? '', ns);
    }
    for (const ns of await own.ask('plain many 1')) samples.add('c/many', ns);
    await own.ask('park');
  };
  return async (samples: Samples): Promise<void> => {
    fromInside(samples);
    await fromOutside(samples);
    await fromC(samples);
  };
}

/** The first attach to a program, by a tool that has attached to others before. */
async function firstAttaches(
  { native, cpus, signal }: OutsideOptions,
  program: string,
  samples: Samples,
): Promise<void> {
  for (let n = 0; n < FIRST && !signal.aborted; n++) {
    using running = await new Running(program, cpus - 1).ready();
    await running.ask('run');
    running.moving();
    let longest = 0;
    samples.time('first', () => {
      const app = attachWith(native, running.pid, {}, (_, held) => {
        longest = Math.max(longest, held?.ns ?? 0);
      });
      app.detach();
    });
    samples.add('first/held', longest);
  }
}

/** @throws Fault `compile-failed`, and what `open` and `attach` throw */
async function measure(options: OutsideOptions, samples: Samples): Promise<void> {
  const { native, driver, workshop, sites, cpus, budget, signal } = options;
  const main = join(SOURCES, 'outside.c');
  const source = workshop.write('outside-sites.c', outsideSource(sites, APART));
  const few = workshop.write('outside-few.c', outsideSource(1, APART));
  const small = workshop.program('outside-small', [few, main], 'plain');
  using plain = await new Running(
    workshop.program('outside-plain', [source, main], 'plain'),
    cpus - 1,
  ).ready();
  using own = await new Running(
    workshop.program('outside-own', [source, main], 'runtime'),
    cpus - 1,
  ).ready();
  using inside = openWith(native, workshop.shared('outside-inside', source), { writer: 'procmem' });
  using outside = attachWith(native, plain.pid, {});
  driver.start(1, cpus);
  try {
    const round = rounds({ driver, inside, outside, plain, own });
    for (let k = 0; k < WARM; k++) await round(new Samples());
    const end = performance.now() + budget;
    for (let k = 0; k < 1 || (performance.now() < end && !signal.aborted); k++)
      await round(samples);
  } finally {
    driver.end();
  }
  await firstAttaches(options, small, samples);
}

export async function measureOutside(options: OutsideOptions): Promise<Table> {
  const { sites, cpus } = options;
  const samples = new Samples();
  const missing: Missing[] = [];
  const what = 'updates from outside';
  if (cpus < 2) missing.push({ what, why: 'needs a second CPU' });
  else
    try {
      await measure(options, samples);
    } catch (error) {
      if (!isFault(error)) throw error;
      missing.push({ what, why: error.message });
    }
  const many = sites.toLocaleString('en-US');
  const ours = true;
  return {
    group: 'outside',
    title: 'An update from outside, and by a C program: one thread running, elsewhere in it',
    about:
      `Sites ${APART} bytes apart. From outside and by Node inside: int3, the writer procmem. A ` +
      'thread that sleeps in pause() is borrowed; held is from the request to stop it until it ' +
      'goes its own way.',
    noise: noiseOf(samples, [
      ['inside/1', 'inside/1copy'],
      ['three', 'threecopy'],
      ['two', 'twocopy'],
    ]),
    rows: present([
      samples.row('inside/1', '1 site, by Node in the process'),
      samples.row('outside/1', '1 site, from outside', { to: 'inside/1', ours }),
      samples.row('held/1', 'a thread held for it'),
      samples.row('borrowed', 'its bare steps by a thread that ptrace borrows, and nothing else', {
        to: 'inside/1',
      }),
      samples.row('inside/many', `${many} sites, by Node in the process`),
      samples.row('outside/many', `${many} sites, from outside`, { to: 'inside/many', ours }),
      samples.row('held/many', 'a thread held for it'),
      samples.row('three', 'three bare membarriers, by the C program'),
      samples.row('three/written', 'three bare membarriers and six bare writes, by the C program', {
        to: 'three',
      }),
      samples.row('c/three', '1 site, by the C program', { to: 'three', ours }),
      samples.row('two', 'two bare membarriers, by the C program'),
      samples.row('two/written', 'two bare membarriers and four bare writes, by the C program', {
        to: 'two',
      }),
      samples.row('c/two', '1 site that was off, by the C program', { to: 'two', ours }),
      samples.row('c/many', `${many} sites, by the C program`, { to: 'inside/many', ours }),
      samples.row('first', 'a first attach and detach, the tool warm'),
      samples.row('first/held', 'the longest that one thread is held for it'),
    ]),
    missing,
  };
}

// Groups 2 to 4: what an update costs, the pause that a running thread sees, and the traps. A round
// visits every program (a key of so many sites, under one writer) and takes a sample of each
// protocol between two of the bare operations it is held against. Before each sample of a "running"
// row every hot thread must have moved: a thread that is not on a CPU needs no interrupt, and
// everything looks fifty times cheaper than it is.

import { copyFileSync, readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { openWith } from '../app/open.js';
import type { Program } from '../app/program.js';
import type { Keys } from '../app/types.js';
import type { ProtocolName } from '../plan/protocols/index.js';
import type { Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { intercepted, type Native } from '../machine/linux/native.js';
import type { WriterName } from '../machine/process/text.js';
import type { Driver } from './driver.js';
import { sitesSource } from './programs.js';
import { median, noiseOf, present, Samples, type Missing, type Row, type Table } from './result.js';
import type { Workshop } from './tools.js';
import { XRAY_MISSING, type Xray } from './xray.js';

/** Bytes from one site to the next. */
export const APART = 32;

export interface UpdatesOptions {
  /** What the driver and the compiler are loaded with. */
  readonly native: Native;
  /** What the updates go through: the same, unless a test slows it. */
  readonly through: Native;
  readonly driver: Driver;
  readonly workshop: Workshop;
  readonly xray: Xray | null;
  readonly cpus: number;
  /** Numbers of sites. */
  readonly sizes: readonly number[];
  /** Milliseconds for each number of threads. */
  readonly budget: number;
  readonly signal: AbortSignal;
}

interface Subject {
  readonly sites: number;
  readonly writer: WriterName;
  readonly app: Program<Keys>;
  readonly at: number;
  readonly changes: readonly ChangeName[];
  /** Its site lies over the end of a quadword. */
  readonly crosses: boolean;
  /** Visited in every n-th round. */
  readonly every: number;
  next: Function;
  /** The first update after opening, ns: the engine has compiled nothing yet. */
  readonly firstNs: number;
}

type Function = 'many_a' | 'many_b';

/** One thing that an update does, with the synchronisations that it cannot do without. */
interface Change {
  readonly protocol: ProtocolName;
  readonly says: string;
  readonly syncs: (subject: Pick<Subject, 'writer' | 'crosses'>) => number;
  /** What the key has before, where that is not what the last change left. */
  readonly first?: null;
  /** Samples one after the other, where one undoes the other. */
  readonly times?: 2;
  readonly to: (subject: Subject) => Function | null;
}

/** The other function than the last one; every byte of the two displacements may differ. */
const other = (subject: Subject): Function =>
  (subject.next = subject.next === 'many_a' ? 'many_b' : 'many_a');

const CHANGES = {
  int3: { protocol: 'int3', says: 'int3', syncs: () => 3, to: other },
  store: { protocol: 'store', says: 'store', syncs: () => 1, to: other },
  auto: {
    protocol: 'auto',
    says: 'auto',
    syncs: ({ writer, crosses }) => (crosses || writer === 'procmem' ? 3 : 1),
    to: other,
  },
  hook: {
    protocol: 'auto',
    says: 'auto, off and on again',
    syncs: () => 1,
    times: 2,
    to: ({ app, next }) => (app.keys['many']?.target === null ? next : null),
  },
  elsewhere: {
    protocol: 'auto',
    says: 'auto, off to another target',
    // One store under alias, where the site lies in a quadword.
    syncs: ({ writer, crosses }) => (crosses || writer === 'procmem' ? 2 : 1),
    first: null,
    to: other,
  },
} as const satisfies Readonly<Record<string, Change>>;
type ChangeName = keyof typeof CHANGES;
const CHANGE_NAMES = Object.keys(CHANGES) as readonly ChangeName[];
const changeOf = (name: ChangeName): Change => CHANGES[name];
/**
 * The bare synchronisations of a change: of that one, because samples go together by their number.
 */
const floorOf = (subject: Subject, name: ChangeName): string => rowId(subject, `${name}/bare`);
const saysOf = (s: Subject, name: ChangeName): string =>
  `${sitesOf(s.sites)}${s.crosses ? ' over the end of a quadword' : ''}, ` +
  `${changeOf(name).says}, ${s.writer}`;

/**
 * What is measured under each writer; store through /proc/self/mem is refused unless its assumption
 * is accepted.
 */
const WRITERS: Readonly<Record<WriterName, readonly ChangeName[]>> = {
  alias: CHANGE_NAMES,
  procmem: CHANGE_NAMES.filter((name) => name !== 'store'),
};
/** Of a site over the end of a quadword, which `store` leaves to its trampoline. */
const CROSSING: readonly ChangeName[] = ['auto', 'hook', 'elsewhere'];
/** Updates of each protocol before anything counts, and how long they may take. */
const WARM = 300;
const WARM_MS = 50;
/** Beyond this the procmem writer is not measured: it makes three system calls for each site. */
const PROCMEM_MOST = 10_000;

/**
 * The many-site programs cost seconds a round; ten thousand sites under procmem, which makes system
 * calls for each, cost more than a hundred thousand under alias.
 */
function everyOf(sites: number, writer: WriterName): number {
  if (sites >= 1_000_000) return 25;
  return sites >= (writer === 'procmem' ? 10_000 : 100_000) ? SELDOM : 1;
}
const SELDOM = 5;
/** XRay's samples of the rounds in which a program is visited. */
const xrayOf = (every: number): string => (every === 1 ? 'xray' : `xray/${every}`);

function openSubjects({ native, through, workshop, sizes }: UpdatesOptions): Subject[] {
  const shapes = sizes.map((sites) => ({ sites, crosses: false }));
  return [...shapes, { sites: 1, crosses: true }].flatMap(({ sites, crosses }) => {
    const name = `sites${sites}${crosses ? '-crossing' : ''}`;
    const source = workshop.write(`${name}.c`, sitesSource(sites, APART, crosses ? 5 : 0));
    const built = workshop.shared(name, source);
    return (Object.keys(WRITERS) as WriterName[]).flatMap((writer): Subject[] => {
      if (writer === 'procmem' && sites > PROCMEM_MOST) return [];
      // A copy each: one object is one text, which has one writer.
      const path = built.replace(/\.so$/, `-${writer}.so`);
      copyFileSync(built, path);
      const at = native.symbol(native.load(path), 'many_sites');
      if (at === 0)
        throw new Fault('not-loaded', 'the measured program has no many_sites', { at: path });
      const app = openWith(through, path, { writer });
      const from = performance.now();
      app.update({ many: 'many_b' });
      const firstNs = (performance.now() - from) * 1e6;
      const subject: Subject = {
        sites,
        writer,
        app,
        at,
        changes: crosses ? CROSSING : WRITERS[writer],
        crosses,
        every: everyOf(sites, writer),
        next: 'many_b',
        firstNs,
      };
      // The figures are those of a program that has been running: what is not compiled yet is a row
      // of its own.
      const end = performance.now() + WARM_MS;
      for (let k = 0; k < 2 || (k < WARM && performance.now() < end); k++)
        for (const change of subject.changes) prepared(subject, change)();
      return [subject];
    });
  });
}

/**
 * What comes before an update is not part of the sample: nor what the key has before, nor the
 * question where it shall go.
 */
function prepared(subject: Subject, name: ChangeName): () => { readonly traps: number } {
  const { first, protocol, to } = changeOf(name);
  const { app } = subject;
  if (first === null) app.update({ many: null }, { protocol });
  const targets = { many: to(subject) };
  const options = { protocol };
  return () => app.update(targets, options);
}

/** Function-call interrupts so far, of all CPUs; null where that cannot be read. */
export function functionCallInterrupts(): number | null {
  try {
    const line = readFileSync('/proc/interrupts', 'latin1')
      .split('\n')
      .find((l) => l.trimStart().startsWith('CAL:'));
    return line ? (line.match(/\d+/g) ?? []).reduce((sum, n) => sum + Number(n), 0) : null;
  } catch {
    return null;
  }
}

/**
 * What runs meanwhile. `beside`: a thread of the process that is on a CPU and elsewhere in the
 * program. `through`: one that does nothing but call through the sites, so that it meets every trap
 * there is. `two`: two of these.
 */
const LOADS = {
  idle: { threads: 0, name: 'no thread running' },
  beside: { threads: 1, name: 'one thread running, elsewhere in the program' },
  through: { threads: 1, name: 'one thread calling through the sites all the time' },
  two: { threads: 2, name: 'two threads calling through the sites all the time' },
} as const;
type Load = keyof typeof LOADS;
/**
 * A thread that another program keeps from its CPU is waited for, so many times the driver's
 * patience.
 */
const LOOKS = 5;
/** Updates between two readings of /proc/interrupts. */
const COUNTED = 20;

/** What was taken while `threads` threads ran: samples, and the pauses of the same samples. */
interface Section {
  readonly samples: Samples;
  readonly pauses: Samples;
  readonly interrupts: ReadonlyMap<string, number>;
  readonly missing: readonly Missing[];
}

const rowId = (s: Pick<Subject, 'sites' | 'writer' | 'crosses'>, what: string): string =>
  `${s.sites}${s.crosses ? '+5' : ''}/${s.writer}/${what}`;

/** One site under procmem, which costs its writes: two before each synchronisation. */
const isSmallest = ({ sites, writer, crosses }: Subject): boolean =>
  sites === 1 && writer === 'procmem' && !crosses;
const written = (subject: Subject, name: ChangeName): string => rowId(subject, `${name}/written`);
const WRITTEN = [
  ['hook', 'one bare membarrier and two bare writes of text'],
  ['elsewhere', 'two bare membarriers and four bare writes of text'],
  ['int3', 'three bare membarriers and six bare writes of text'],
] as const;
/**
 * How often a visit makes each change. A program that retargets one site has it in its caches; one
 * that comes after a million sites has nothing, and is a row of its own. Of one site the 99th
 * percentile counts, so there are hundreds of samples, few of which come after other programs.
 */
function turnsOf({ sites }: Subject, threads: number): number {
  if (sites > 1000 || threads > 1) return 2;
  return sites === 1 ? 32 : 8;
}
const firstOf = (subject: Subject, name: ChangeName): string => rowId(subject, `${name}/first`);
/** From here on an update of one byte at each site costs its stores. */
const STORES_LEAST = 10_000;
/** How long a thread may take to run through all of them twice. */
const THROUGH_MS = 1000;
const stored = (sites: number): string => `stored${sites}`;

/** A thread that should run was kept from its CPU. */
const STALLED = 'a thread that should run was not on a CPU just before a sample';

/** Takes the samples of one load. */
class Sampler {
  readonly samples = new Samples();
  readonly pauses = new Samples();
  readonly interrupts = new Map<string, number>();
  stalled = false;
  readonly #driver: Driver;
  readonly #load: Load;
  readonly #threads: number;

  constructor(driver: Driver, load: Load) {
    this.#driver = driver;
    this.#load = load;
    this.#threads = LOADS[load].threads;
  }

  /** @param also another row that it is a sample of */
  #sample(id: string, body: () => number | void, also?: string): void {
    const driver = this.#driver;
    const running = this.#threads > 0;
    for (let looks = 0; running && !this.stalled && !driver.moving(); looks++)
      this.stalled = looks === LOOKS;
    if (this.stalled) return;
    driver.longest();
    const from = performance.now();
    const told = body();
    const ns = (performance.now() - from) * 1e6;
    const own = told ?? ns;
    if (own < 0) throw new Fault('no-membarrier', `the bare operation ${id} is refused`);
    this.samples.add(id, own);
    if (also !== undefined) this.samples.add(also, own);
    if (!running) return;
    // The last gap ends with a pass, which may still be under way.
    driver.moving();
    this.pauses.add(id, driver.longest() || ns);
  }

  #runAt({ at, sites }: Subject): void {
    const driver = this.#driver;
    if (this.#load === 'beside') driver.run(driver.elsewhere(), 1, APART);
    else driver.run(at, sites, APART);
  }

  /**
   * @param small an update of one site, made first where a visit takes few samples: the look at the
   * threads' masks is then as old as it is for a program that updates often. Without it every other
   * sample of ten thousand sites would be one of that look.
   */
  visit(subject: Subject, small: Subject): void {
    this.#runAt(subject);
    if (subject.sites > 1000) prepared(small, 'int3')();
    for (let k = 0; k < turnsOf(subject, this.#threads); k++) {
      for (const change of subject.changes)
        for (let n = 0; n < (changeOf(change).times ?? 1); n++)
          this.#change(subject, change, k + n === 0);
    }
    this.#driver.park();
  }

  /** @param isFirst after other programs, so that it finds nothing in the caches */
  #change(subject: Subject, change: ChangeName, isFirst: boolean): void {
    const syncs = changeOf(change).syncs(subject);
    const update = prepared(subject, change);
    const bare = floorOf(subject, change);
    for (const id of [bare, `${bare}copy`]) this.#sample(id, () => this.#driver.barrier(syncs));
    if (isSmallest(subject))
      this.#sample(written(subject, change), () => this.#driver.written(syncs));
    let traps = 0;
    const body = (): void => void (traps = update().traps);
    this.#sample(rowId(subject, change), body, isFirst ? firstOf(subject, change) : undefined);
    // Outside: to find the row costs as much as a hook does beside its synchronisation.
    this.samples.add(rowId(subject, `${change}/traps`), traps);
  }

  /** The stores of a hook alone, into functions that the threads have run through. */
  stores(returns: Addr, sites: number): void {
    const driver = this.#driver;
    driver.run(returns, sites, APART);
    for (let k = 0; k < 2; k++) {
      const [all, end] = [driver.passes() + 2 * sites, performance.now() + THROUGH_MS];
      while (this.#threads > 0 && driver.passes() < all && performance.now() < end);
      this.#sample(stored(sites), () => driver.stores(sites));
    }
    driver.park();
  }

  peers(beside: Subject): void {
    const driver = this.#driver;
    this.#runAt(beside);
    for (let k = 0; k < 2; k++) {
      this.#sample('sync1', () => driver.barrier(1));
      this.#sample('sync3', () => driver.barrier(3));
      this.#sample('mprotect', () => driver.mprotect());
      this.#sample('swap', () => driver.swap());
      if (this.#threads === 0) continue;
      this.#sample('stop', () => driver.stop());
      this.#sample('nothing', () => {
        for (const until = performance.now() + 0.05; performance.now() < until;);
      });
    }
    driver.park();
  }

  count(subject: Subject): void {
    this.#runAt(subject);
    for (const change of subject.changes) {
      let sum: number | null = 0;
      for (let k = 0; k < COUNTED; k++) {
        const update = prepared(subject, change);
        const before = functionCallInterrupts();
        update();
        const after = functionCallInterrupts();
        sum = before === null || after === null || sum === null ? null : sum + after - before;
      }
      if (sum !== null) this.interrupts.set(rowId(subject, change), sum / COUNTED);
    }
    this.#driver.park();
  }
}

async function section(
  { driver, xray, cpus, budget, signal, returns }: UpdatesOptions & { readonly returns: Addr },
  subjects: readonly Subject[],
  load: Load,
): Promise<Section> {
  const { threads, name } = LOADS[load];
  const refused = (why: string): Section => ({
    samples: new Samples(),
    pauses: new Samples(),
    interrupts: new Map(),
    missing: [{ what: `rows with ${name}`, why }],
  });
  if (threads > 0 && cpus < 2) return refused('needs a second CPU');
  const sampler = new Sampler(driver, load);
  // Two threads on one CPU take turns, and to see both move takes some milliseconds: fewer programs
  // then.
  const visited =
    threads === 2 ? subjects.filter((s) => s.sites === 1 || s.sites === 10_000) : subjects;
  driver.start(threads, cpus);
  try {
    const end = performance.now() + budget;
    for (let round = 0; round < 1 || (performance.now() < end && !signal.aborted); round++) {
      for (const subject of visited) {
        if (round % subject.every !== 0) continue;
        sampler.visit(subject, subjects[0] ?? subject);
        const isStored = load === 'idle' || load === 'through';
        if (
          isStored &&
          returns !== 0 &&
          subject.writer === 'alias' &&
          subject.sites >= STORES_LEAST
        )
          sampler.stores(returns, subject.sites);
      }
      for (const subject of subjects.slice(0, 1)) sampler.peers(subject);
      // XRay's own thread takes the CPU for its samples; ours sleep.
      if (xray && (load === 'idle' || load === 'through'))
        for (const id of ['xray', 'xraycopy'])
          for (const ns of await xray.patch(load === 'through')) {
            sampler.samples.add(id, ns);
            if (id === 'xray' && round % SELDOM === 0) sampler.samples.add(xrayOf(SELDOM), ns);
          }
      if (sampler.stalled) return refused(STALLED);
      // For a signal, which is delivered between two turns of the loop.
      await setImmediate();
    }
    for (const subject of visited) if (subject.sites <= 10_000) sampler.count(subject);
  } finally {
    driver.end();
  }
  const { samples, pauses, interrupts } = sampler;
  return { samples, pauses, interrupts, missing: [] };
}

const number = (n: number): string => n.toLocaleString('en-US');
const sitesOf = (n: number): string => (n === 1 ? '1 site' : `${number(n)} sites`);
const PEERS = {
  sync1: 'one bare membarrier',
  sync3: 'three bare membarriers',
  mprotect: 'mprotect, one store, mprotect back',
  swap: 'a page copied, changed and swapped in',
  stop: 'every thread stopped by a signal, one store',
} as const;

/** Bare synchronisations and a second sample of them, right after. */
const floors = (subjects: readonly Subject[]): (readonly [string, string])[] =>
  subjects.flatMap((s) =>
    s.changes.map((change) => [floorOf(s, change), `${floorOf(s, change)}copy`] as const),
  );

/** What updates are held against. */
function bareRows(samples: Samples, subjects: readonly Subject[]): (Row | null)[] {
  const to = 'sync1';
  const sizes = [...new Set(subjects.map(({ sites }) => sites))];
  return [
    ...Object.entries(PEERS).map(([id, name]) => samples.row(id, name, { to })),
    ...subjects
      .filter(isSmallest)
      .flatMap((subject) =>
        WRITTEN.map(([change, name]) =>
          samples.row(written(subject, change), name, { to: floorOf(subject, change) }),
        ),
      ),
    ...sizes.map((sites) => {
      const name = `a byte stored at each of ${number(sites)} functions, one membarrier`;
      return samples.row(stored(sites), name);
    }),
  ];
}

/** One table: every key and protocol against the synchronisations it cannot do without. */
function updateTable(
  load: Load,
  { samples, interrupts, missing }: Section,
  subjects: readonly Subject[],
  xray: Xray | null,
  cpus: number,
): Table {
  const rows: (Row | null)[] = [];
  for (const subject of subjects) {
    for (const change of subject.changes) {
      const floor = floorOf(subject, change);
      const id = rowId(subject, change);
      const counted = interrupts.get(id);
      const [own, bare] = [samples.of(id), samples.of(floor)];
      rows.push(
        samples.row(id, saysOf(subject, change), {
          to: floor,
          ours: true,
          ...(counted === undefined ? {} : { interrupts: counted }),
          ...(subject.sites >= 1000 && own.length > 0
            ? {
                more: {
                  'ns a site beyond the bare ones':
                    Math.max(0, median(own) - median(bare)) / subject.sites,
                },
              }
            : {}),
        }),
      );
    }
  }
  for (const subject of subjects.filter(isSmallest))
    rows.push(
      samples.row(
        firstOf(subject, 'hook'),
        `${saysOf(subject, 'hook')}, the first after other programs`,
      ),
    );
  rows.push(...bareRows(samples, subjects));
  const [one] = subjects;
  if (load === 'idle' && one) {
    const first = new Samples();
    first.add('first', one.firstNs);
    rows.push(first.row('first', 'the very first update after opening, 1 site, once'));
  }
  if (xray)
    rows.push(
      samples.row('xray', `XRay, ${number(xray.functions)} functions of two sleds`, {
        to: 'sync1',
      }),
    );
  return {
    group: 'update',
    title: `An update: ${LOADS[load].name}`,
    about:
      `Sites ${APART} bytes apart. The ratio of ours is to the bare membarriers that the ` +
      'change needs (int3 three, store one, auto one to three), of the others to one; it is taken ' +
      'within a round. ' +
      "The look at every thread's signal mask, which traps need at most every 100 ms, is in p99.",
    noise: noiseOf(samples, floors(subjects)),
    rows: present(rows),
    ...(LOADS[load].threads < cpus
      ? {}
      : {
          unheld: 'threads share a CPU, and which of them an update meets is up to the scheduler',
        }),
    missing: [...missing, ...(xray || load === 'beside' || load === 'two' ? [] : [XRAY_MISSING])],
  };
}

/** Ten thousand of each, in the same rounds. */
function xrayTable({ samples }: Section, subjects: readonly Subject[], xray: Xray): Table | null {
  const same = subjects.filter((s) => s.sites === xray.functions);
  const rows = present([
    samples.row('xray', `XRay, ${number(xray.functions)} functions of two sleds`),
    ...same.flatMap((s) =>
      s.changes.map((change) =>
        samples.row(rowId(s, change), saysOf(s, change), {
          to: xrayOf(s.every),
          ours: true,
        }),
      ),
    ),
  ]);
  return rows.length < 2
    ? null
    : {
        group: 'update',
        title:
          'Against XRay: one thread calling through the sites, ' +
          'or through the instrumented functions',
        about: 'All functions patched or unpatched, all sites retargeted, in the same rounds.',
        noise: noiseOf(samples, [['xray', 'xraycopy']]),
        rows,
        missing: [],
      };
}

function pauseTable({ pauses, missing }: Section, subjects: readonly Subject[]): Table {
  return {
    group: 'pause',
    title: 'The pause: the longest gap between two passes of the running thread, while',
    about:
      'The thread calls through one site after the other; each sample is the longest time from ' +
      'one pass to the next during one update.',
    noise: noiseOf(pauses, floors(subjects)),
    rows: present([
      pauses.row('nothing', 'nothing happens for 50 us'),
      ...subjects.flatMap((s) =>
        s.changes.map((change) =>
          pauses.row(rowId(s, change), saysOf(s, change), {
            to: floorOf(s, change),
            ours: true,
          }),
        ),
      ),
      ...Object.entries(PEERS).map(([id, name]) => pauses.row(id, name, { to: 'sync1' })),
    ]),
    missing,
  };
}

/**
 * Calls emulated while an update is held open, after its traps are planted and before anything else
 * is written.
 */
function trapTable(
  { through, driver, workshop, budget, signal }: UpdatesOptions,
  running: Section,
  subjects: readonly Subject[],
): Table {
  const source = workshop.write('held.c', sitesSource(1, APART));
  const path = workshop.shared('held', source);
  const samples = new Samples();
  let held: (() => void) | null = null;
  const native = intercepted(through, (name, ...args) => {
    if (name === 'membarrier' && held) {
      const body = held;
      held = null;
      body();
    }
    return through.call(name, ...args);
  });
  const app = openWith(native, path, { writer: 'alias', protocol: 'int3' });
  try {
    const at = native.symbol(native.load(path), 'many_sites');
    const end = performance.now() + budget / 4;
    for (let round = 0; round < 20 || (performance.now() < end && !signal.aborted); round++) {
      held = () => {
        samples.add('emulated', driver.call(at, 50) / 50);
        for (const id of ['getpid', 'getpidcopy']) samples.add(id, driver.getpid(50) / 50);
      };
      app.update({ many: round % 2 === 0 ? 'many_b' : 'many_a' });
      samples.add('call', driver.call(at, 1000) / 1000);
    }
  } finally {
    app.close();
  }
  return {
    group: 'trap',
    title: 'The trap: a call that meets it is emulated',
    about:
      'An update is held open while the caller runs through its site; how many calls are ' +
      'emulated while an ordinary update runs, with one thread that does nothing but call.',
    noise: noiseOf(samples, [['getpid', 'getpidcopy']]),
    rows: present([
      samples.row('getpid', 'a system call that does nothing'),
      samples.row('emulated', 'an emulated call', { to: 'getpid', ours: true }),
      samples.row('call', 'the same call, patched', { to: 'getpid' }),
      ...subjects.flatMap((s) =>
        s.changes.map((change) =>
          running.samples.row(
            rowId(s, `${change}/traps`),
            `calls emulated during an update of ${saysOf(s, change)}`,
            { unit: 'count' },
          ),
        ),
      ),
    ]),
    missing: running.missing,
  };
}

export type UpdateGroup = 'update' | 'pause' | 'trap';

/** @param only the groups that are wanted, of the three */
export async function measureUpdates(
  options: UpdatesOptions,
  only: ReadonlySet<UpdateGroup>,
): Promise<Table[]> {
  const subjects = openSubjects(options);
  const returns = options.driver.returns(Math.max(...options.sizes), APART);
  const all = { ...options, returns };
  try {
    const running = await section(all, subjects, 'through');
    const tables: (Table | null)[] = [];
    if (only.has('update')) {
      const { xray, cpus } = options;
      for (const load of ['idle', 'beside'] as const)
        tables.push(
          updateTable(
            load,
            await section(all, subjects, load),
            subjects,
            load === 'idle' ? xray : null,
            cpus,
          ),
        );
      tables.push(updateTable('through', running, subjects, xray, cpus));
      tables.push(updateTable('two', await section(all, subjects, 'two'), subjects, null, cpus));
      if (xray) tables.push(xrayTable(running, subjects, xray));
    }
    if (only.has('pause')) tables.push(pauseTable(running, subjects));
    if (only.has('trap')) tables.push(trapTable(options, running, subjects));
    return present(tables);
  } finally {
    for (const { app } of subjects) app.close();
  }
}

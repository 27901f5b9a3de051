// The transition relation. A state is [patcher, environment, cpu...], all ids of interned parts:
//
//   patcher      program counter and store buffer
//   environment  shared data, which targets are current and which replaced, how many NMIs and #MCs are left
//   cpu          core image, view of the text, windows of its passes, request it has not answered, bytes fetched so far
//
// CPUs meet only in the environment and in what the patcher does to all of them (a broadcast), so
// the moves of a CPU depend on (cpu, environment) and are computed once for each such pair.

import { invariant, unreachable } from '../../base/invariant.js';
import type { Note, TextStore } from './context.js';
import { Core, type Grain, type Input, type Outcome } from './core.js';
import type { Event } from './events.js';
import type { Write } from './space.js';
import { ValueTable, WordTable } from './intern.js';
import type { Op } from './patcher.js';
import type { Fixture } from './fixture.js';
import { TARGETS } from './options.js';
import type { Node } from './node.js';
import { bad as broken, endsPath, type Bad } from './promises.js';
import { Text, type Chunk, type FetchLevel, type Partial } from './text.js';

/** A move of one CPU. `cpu` is -1 where the path ends in a violation. */
export interface Move {
  readonly cpu: number;
  readonly environment: number;
  /** What its store to text is for every CPU, itself included; -1 for none. */
  readonly broadcast: number;
  readonly bad: readonly Bad[];
  readonly unknown: string | null;
  /** A pass over a site ends with it. */
  readonly passed: boolean;
  /** The target whose first instruction it runs; -1 for none. */
  readonly entered: number;
  readonly label: MoveLabel;
}
export type MoveLabel =
  | {
      readonly kind: 'run';
      readonly stop: string;
      readonly at: number;
      readonly bytes: readonly number[] | null;
      readonly value: bigint | null;
    }
  | { readonly kind: 'event'; readonly event: Event }
  | { readonly kind: 'flush' };

/** A move of the patcher; `broadcast` changes every CPU. */
export interface PatcherMove {
  readonly patcher: number;
  readonly environment: number;
  readonly broadcast: number;
  /** Only when no CPU has an unanswered request. */
  readonly answered: boolean;
  readonly op: Op;
  readonly flush: boolean;
  /** Into the store buffer: nobody sees it, it takes nothing away and forbids nothing. */
  readonly silent: boolean;
}

/** The moves of a CPU in one environment, and those in others. */
interface Known {
  readonly environment: number;
  readonly moves: readonly Move[];
  readonly next: Known | undefined;
}

interface Env {
  readonly data: readonly string[];
  readonly current: number;
  readonly replaced: number;
  /** Published by an update that has not returned. */
  readonly underway: number;
  /** The updaters' own lock. */
  readonly locked: boolean;
  readonly nmis: number;
  readonly mcs: number;
  readonly dbs: number;
}

/** What the patcher does to all CPUs, its own among them where it has one. */
type Broadcast =
  | { readonly kind: 'commit'; readonly store: TextStore }
  | { readonly kind: 'request'; readonly what: number }
  | { readonly kind: 'barrier' | 'self' | 'pass' }
  | { readonly kind: 'current'; readonly mask: number }
  | { readonly kind: 'release'; readonly serialise: boolean };

/** What a CPU has been asked for and not answered. */
export const REQUEST = {
  none: 0,
  ipi: 1,
  stop: 2,
  /** A task that is on no CPU. */ off: 3,
} as const;

/**
 * One pass's window, packed: targets current since its first fetch, those allowed, those replaced
 * when its call began.
 */
const WINDOW = { since: 0, allowed: 8, replaced: 16, begun: 1 << 24, live: 1 << 25 } as const;

export interface ModelOptions {
  /** The updates are made by updaters of their own, at the same time. */
  readonly together?: boolean;
  readonly fetch: FetchLevel;
  readonly chunk: Chunk;
  readonly grain: Grain;
  /**
   * The patcher is a task on one of the CPUs, where what interrupts that CPU interrupts it; else it
   * is beside them.
   */
  readonly hosted?: boolean;
  readonly nmis: number;
  readonly mcs: number;
  readonly dbs: number;
}

const NODE = 0;
const VIEW = 1;
const REQ = 2;
const PARTIAL = 3;
const WINDOWS = 4;

export class Model {
  readonly fixture: Fixture;
  readonly ops: readonly Op[];
  readonly options: ModelOptions;
  readonly core: Core;
  readonly text: Text;
  /** Some CPU wrote shared data: CPUs are then not independent of each other. */
  cpusWrite = false;
  readonly #cpus = new WordTable();
  /** By CPU, what the search asks of each in every state: its image, and what it was asked for. */
  readonly #nodeOf: Node[] = [];
  readonly #requestOf: number[] = [];
  readonly #patchers = new WordTable();
  readonly #patcherDone: boolean[] = [];
  readonly #patcherBuffers: boolean[] = [];
  /** Program counter, retries and store buffer of one updater. */
  readonly #updaters = new WordTable();
  /** Which operations are whose. */
  readonly #ranges: readonly { readonly from: number; readonly to: number }[];
  readonly #envs = new ValueTable<Env>();
  readonly #partials = new ValueTable<Partial>();
  readonly #broadcasts = new ValueTable<Broadcast>();
  /** By CPU, a list by environment: most have one, and a Map for each took a tenth of a search. */
  readonly #moves: (Known | undefined)[] = [];
  readonly #outcomes: (Map<string, Outcome> | undefined)[] = [];
  readonly #events: (Map<Event, Outcome | null> | undefined)[] = [];
  readonly #broadcasted: Int32Array<ArrayBuffer>[] = [];
  readonly #patcherMoves = new Map<number, readonly PatcherMove[]>();
  readonly #scratch = new Uint32Array(32);

  constructor(fixture: Fixture, ops: readonly Op[], options: ModelOptions) {
    this.fixture = fixture;
    this.ops = ops;
    this.options = options;
    // One updater after the other, or both at once: each update is then an updater's own.
    const second = ops.findIndex(({ update }) => update === 2);
    this.#ranges =
      options.together && second > 0
        ? [
            { from: 0, to: second },
            { from: second, to: ops.length },
          ]
        : [{ from: 0, to: ops.length }];
    this.core = new Core(fixture, options.grain);
    const bytes = fixture.sites.flatMap((site) =>
      (site.contents[0] as readonly number[]).map((value, i) => ({ at: site.at + i, value })),
    );
    const written = new Set(
      ops.flatMap((op) => (op.op === 'store' ? op.bytes.map((_, i) => op.at + i) : [])),
    );
    this.text = new Text(
      options.fetch,
      options.chunk,
      bytes.filter(({ at }) => written.has(at)),
      fixture.rules,
    );
    this.#partials.intern([]);
  }

  get hosted(): boolean {
    return this.options.hosted ?? false;
  }

  get parts(): {
    readonly images: number;
    readonly cpus: number;
    readonly environments: number;
    readonly instructions: number;
  } {
    return {
      images: this.core.nodes,
      cpus: this.#cpus.count,
      environments: this.#envs.count,
      instructions: this.core.steps,
    };
  }

  // ----------------------------------------------------------------------------------------------
  // states

  /** `waiting` tasks more than CPUs; they come last. */
  initial(cpus: number, waiting: number): Int32Array {
    const { core, fixture } = this;
    const node = core.start('task');
    const env = this.#envs.intern({
      data: fixture.shared.initial.map(String),
      current: 1 << (fixture.sequence[0] as number),
      replaced: 0,
      underway: 0,
      locked: false,
      nmis: this.options.nmis,
      mcs: this.options.mcs,
      dbs: this.options.dbs,
    });
    const cpu = this.#cpu(node, this.text.initial(), REQUEST.none, 0, []);
    const host = this.options.hosted ? this.#host() : null;
    const task = this.#cpu(node, 0, REQUEST.off, 0, []);
    const patcher = this.#patchers.intern(
      Uint32Array.from(this.#ranges, ({ from }) =>
        this.#updaters.intern(Uint32Array.from([from, 0])),
      ),
    );
    const running = Array.from({ length: cpus }, () => cpu);
    if (host !== null) running[0] = host;
    return Int32Array.from([
      patcher,
      env,
      ...running,
      ...Array.from({ length: waiting }, () => task),
    ]);
  }

  /** A CPU whose task is the patcher. */
  #host(): number {
    invariant(!Number.isNaN(this.fixture.patcher), 'the program has a task that patches');
    return this.#cpu(this.core.start('patcher'), this.text.initial(), REQUEST.none, 0, []);
  }

  #cpu(
    node: number,
    view: number,
    request: number,
    partial: number,
    windows: readonly number[],
  ): number {
    let length = windows.length;
    while (length > 0 && windows[length - 1] === 0) length--;
    const words = this.#scratch;
    words[NODE] = node;
    words[VIEW] = view;
    words[REQ] = request;
    words[PARTIAL] = partial;
    for (let i = 0; i < length; i++) words[WINDOWS + i] = windows[i] as number;
    const id = this.#cpus.intern(words, WINDOWS + length);
    if (id === this.#nodeOf.length) {
      this.#nodeOf.push(this.core.node(node));
      this.#requestOf.push(request);
    }
    return id;
  }

  nodeOf(cpu: number): Node {
    return this.#nodeOf[cpu] as Node;
  }
  viewOf(cpu: number): number {
    return this.#cpus.get(cpu)[VIEW] as number;
  }
  requestOf(cpu: number): number {
    return this.#requestOf[cpu] as number;
  }
  /**
   * The next step touches what only interrupts of this CPU can see, no task can be switched in, and
   * it answers no request before or after: with IF set, whether the patcher's request comes before
   * an interrupt or a CLI can be told.
   */
  isLocal(cpu: number): boolean {
    const node = this.nodeOf(cpu);
    return (
      node.stop === 'local' && !node.waiting && !node.interruptible && !this.fixture.events.preempt
    );
  }
  /** Nothing is left to do there but to be interrupted. */
  isDone(cpu: number): boolean {
    const { done, stop } = this.nodeOf(cpu);
    return done || stop === 'patcher';
  }
  /** Stores that no other CPU sees yet. */
  patcherBuffers(patcher: number): boolean {
    return (this.#patcherBuffers[patcher] ??= [...this.#patchers.get(patcher)].some(
      (updater) => this.#updaters.get(updater).length > 2,
    ));
  }
  patcherDone(patcher: number): boolean {
    return (this.#patcherDone[patcher] ??= [...this.#patchers.get(patcher)].every((updater, k) => {
      const [pc, , ...buffer] = this.#updaters.get(updater);
      return pc === this.#ranges[k]?.to && buffer.length === 0;
    }));
  }

  // ----------------------------------------------------------------------------------------------
  // a CPU

  moves(cpu: number, environment: number): readonly Move[] {
    const known = this.#moves[cpu];
    for (let at = known; at !== undefined; at = at.next)
      if (at.environment === environment) return at.moves;
    const moves = this.#compute(cpu, environment);
    this.#moves[cpu] = { environment, moves, next: known };
    return moves;
  }

  #compute(cpu: number, environment: number): readonly Move[] {
    const words = this.#cpus.get(cpu);
    const id = words[NODE]!;
    const view = words[VIEW]!;
    const request = words[REQ]!;
    const partial = words[PARTIAL]!;
    const windows: number[] = [];
    for (let i = WINDOWS; i < words.length; i++) windows.push(words[i]!);
    const node = this.core.node(id);
    const env = this.#envs.get(environment);
    const { rules } = this.fixture;
    const moves: Move[] = [];
    const add = (
      outcome: Outcome,
      label: MoveLabel,
      change: {
        view?: number;
        request?: number;
        partial?: number;
        env?: Env;
        environment?: number;
        strict?: boolean;
      } = {},
    ) => {
      moves.push(
        this.#apply(outcome, label, {
          cpu: {
            view: change.view ?? view,
            request: change.request ?? request,
            partial: change.partial ?? 0,
            windows,
          },
          env: change.env ?? env,
          environment: change.environment ?? environment,
          strict: change.strict ?? false,
        }),
      );
    };
    const run = (input: Input, key: string, change: { view?: number; strict?: boolean } = {}) =>
      add(
        this.#advance(id, input, key),
        {
          kind: 'run',
          stop: node.stop,
          at: node.stop === 'fetch' ? node.rip : node.at,
          bytes: input.bytes ?? null,
          value: input.value ?? null,
        },
        change,
      );

    if (node.stop === 'dead') return moves;
    if (!node.done && !node.waiting) {
      switch (node.stop) {
        case 'fetch':
          this.#fetch(node, view, partial, run, (next) => {
            moves.push({
              cpu: this.#cpu(id, view, request, next, windows),
              environment,
              broadcast: -1,
              bad: [],
              unknown: null,
              passed: false,
              entered: -1,
              label: { kind: 'run', stop: 'piece', at: node.rip, bytes: null, value: null },
            });
          });
          break;
        case 'load': {
          const value = BigInt(env.data[node.at] as string);
          run({ value }, `v${value}`);
          break;
        }
        case 'text': {
          let value = 0n;
          for (let i = node.length - 1; i >= 0; i--)
            value = (value << 8n) | BigInt(this.memory(view, node.at + i));
          run({ value }, `v${value}`);
          break;
        }
        case 'patcher':
          break;
        default: {
          // Cut at every instruction, a stop does not yet know what its instruction will ask for.
          const next = this.#advance(id, {}, '').next;
          const asks = next < 0 ? node : this.core.node(next);
          if (
            (asks.stop === 'load' || asks.stop === 'text') &&
            node.stop === 'step' &&
            asks.rip === node.rip
          )
            return this.#compute(this.#cpu(next, view, request, partial, windows), environment);
          run({}, '');
        }
      }
    }
    // What comes between a fetch and its retirement throws the fetch away and so might as well have
    // come before it; what comes before the last jump into a target might as well come after it.
    const between = !this.options.grain.plain && (node.stop === 'retire' || node.stop === 'enter');
    // A look at the table does not depend on what an interrupt of the kernel leaves behind, nor the
    // interrupt on it: it might as well have come at the last step before that the two share. (A
    // signal shares the mask; and a handler that writes may write what the interrupted one is about
    // to look at.)
    const deaf =
      !this.options.grain.plain &&
      this.fixture.environment === 'kernel' &&
      !this.fixture.handlersWrite &&
      (node.stop === 'load' || node.stop === 'text');
    if (!node.done && !between && !deaf) {
      const { events } = this.fixture;
      const event = (name: Event, left: number) => {
        const outcome = this.#deliver(id, name);
        if (outcome !== null)
          add(
            outcome,
            { kind: 'event', event: name },
            { env: this.#envs.get(left), environment: left },
          );
      };
      if (events.irq && node.interruptible && !node.inside.has('irq')) event('irq', environment);
      if (events.nmi && !node.nmiBlocked && env.nmis > 0)
        event('nmi', this.#spent(environment, 'nmis'));
      if (events.mc && env.mcs > 0) event('mc', this.#spent(environment, 'mcs'));
      if (events.db && env.dbs > 0) event('db', this.#spent(environment, 'dbs'));
      if (events.signal) event('signal', environment);
    }
    if (request === REQUEST.ipi && !between && (node.interruptible || !rules.ipiMasked)) {
      const outcome = this.#deliver(id, 'ipi');
      if (outcome !== null)
        add(
          outcome,
          { kind: 'event', event: 'ipi' },
          { request: REQUEST.none, partial: rules.discard ? 0 : partial },
        );
    }
    if (node.unserialised && !between) {
      const outcome = this.#deliver(id, 'serialise');
      if (outcome !== null) add(outcome, { kind: 'event', event: 'serialise' });
    }
    if (request === REQUEST.stop && !between && node.interruptible) {
      const outcome = this.#deliver(id, 'stop');
      if (outcome !== null)
        add(outcome, { kind: 'event', event: 'stop' }, { request: REQUEST.none });
    }
    if (node.buffered > 0) {
      const outcome = this.core.flush(id);
      add(outcome, { kind: 'flush' });
    }
    return moves;
  }

  readonly #left = new Map<string, number>();
  /** The environment with one event of a bounded kind fewer. */
  #spent(environment: number, what: 'nmis' | 'mcs' | 'dbs'): number {
    const key = `${environment}${what}`;
    let id = this.#left.get(key);
    if (id === undefined) {
      const env = this.#envs.get(environment);
      this.#left.set(key, (id = this.#envs.intern({ ...env, [what]: env[what] - 1 })));
    }
    return id;
  }

  readonly #swaps = new Map<number, { readonly cpu: number; readonly task: number } | null>();
  /**
   * The task on a CPU gives way to one that waits; the switch serialises (a return to it is an
   * IRET).
   */
  swap(cpu: number, task: number): { readonly cpu: number; readonly task: number } | null {
    const key = cpu * 0x1000000 + task;
    let swapped = this.#swaps.get(key);
    if (swapped !== undefined) return swapped;
    const [node, view, request, , ...windows] = this.#cpus.get(cpu) as unknown as [
      number,
      number,
      number,
      number,
      ...number[],
    ];
    const [other, , , , ...others] = this.#cpus.get(task) as unknown as [
      number,
      number,
      number,
      number,
      ...number[],
    ];
    const nodes = this.core.swap(node, other);
    swapped =
      nodes === null
        ? null
        : {
            cpu: this.#cpu(
              nodes.on,
              this.fixture.rules.serialising.has('switch') ? this.text.serialise(view) : view,
              request,
              0,
              others,
            ),
            task: this.#cpu(nodes.off, 0, REQUEST.off, 0, windows),
          };
    this.#swaps.set(key, swapped);
    return swapped;
  }

  /** A byte of code as memory holds it. */
  memory(view: number, at: number): number {
    return this.text.isPatchable(at)
      ? this.text.newest(view, at)
      : (this.fixture.byte(at) as number);
  }

  #fetch(
    node: Node,
    view: number,
    partial: number,
    run: (input: Input, key: string, change?: { view?: number; strict?: boolean }) => void,
    piece: (partial: number) => void,
  ): void {
    const { text } = this;
    const at = node.rip;
    const fixed = (where: number) => this.fixture.byte(where) as number;
    if (text.level === 'F1' || text.level === 'F1d' || text.level === 'F1a') {
      const known = this.#partials.get(partial);
      const got: Partial =
        known.length > 0
          ? known
          : Array.from({ length: node.length }, (_, i) =>
              text.isPatchable(at + i) ? null : fixed(at + i),
            );
      const ways = got.includes(null) ? text.piece(view, at, got) : [got];
      for (const way of ways) {
        if (way.includes(null)) piece(this.#partials.intern(way));
        else run({ bytes: way as readonly number[] }, `b${way.join()}`);
      }
      return;
    }
    for (const { bytes, view: after, strict } of text.fetch(view, at, node.length, fixed, (bytes) =>
      this.core.lengthOf(bytes),
    ))
      run({ bytes }, `b${bytes.join()}`, { view: after, strict });
  }

  #advance(id: number, input: Input, key: string): Outcome {
    const row = (this.#outcomes[id] ??= new Map<string, Outcome>());
    let outcome = row.get(key);
    if (outcome === undefined) row.set(key, (outcome = this.core.advance(id, input)));
    return outcome;
  }
  #deliver(id: number, event: Event): Outcome | null {
    const row = (this.#events[id] ??= new Map<Event, Outcome | null>());
    let outcome = row.get(event);
    if (outcome === undefined) row.set(event, (outcome = this.core.deliver(id, event)));
    return outcome;
  }

  /** An outcome of the core, put into time: windows, view, shared data. */
  #apply(
    outcome: Outcome,
    label: MoveLabel,
    before: {
      cpu: { view: number; request: number; partial: number; windows: readonly number[] };
      env: Env;
      environment: number;
      strict: boolean;
    },
  ): Move {
    let { view } = before.cpu;
    let { env } = before;
    let windows: readonly number[] = before.cpu.windows;
    let bad: readonly Bad[] = outcome.bad;
    // Most outcomes carry no note: nothing is copied for those.
    if (outcome.notes.length > 0 || before.strict) {
      const after = { windows: [...windows], bad: [...bad] };
      if (before.strict)
        after.bad.push(
          broken(
            'changed-bytes-executed',
            'bytes that changed since this CPU serialised are executed',
          ),
        );
      for (const note of outcome.notes)
        view = this.#note(note, view, after.windows, env, after.bad);
      ({ windows, bad } = after);
    }
    if (outcome.writes.length + outcome.stores.length > 0) this.cpusWrite = true;
    invariant(outcome.stores.length <= 1, 'an instruction stores to text once');
    const [store] = outcome.stores;
    if (outcome.writes.length > 0) env = { ...env, data: written(env.data, outcome.writes) };
    const dead = outcome.next < 0 || bad.some(endsPath);
    return {
      cpu: dead
        ? -1
        : this.#cpu(outcome.next, view, before.cpu.request, before.cpu.partial, windows),
      environment: env === before.env ? before.environment : this.#envs.intern(env),
      broadcast: store === undefined ? -1 : this.#broadcasts.intern({ kind: 'commit', store }),
      bad,
      unknown: outcome.unknown,
      passed: outcome.notes.some(({ note }) => note === 'close'),
      entered: outcome.notes.reduce(
        (target, note) => (note.note === 'enter' ? note.target : target),
        -1,
      ),
      label,
    };
  }

  #note(note: Note, view: number, windows: number[], env: Env, bad: Bad[]): number {
    const { level } = note;
    const window = windows[level] ?? 0;
    switch (note.note) {
      case 'serialise':
        return this.text.serialise(view);
      case 'open':
        while (windows.length <= level) windows.push(0);
        windows[level] = WINDOW.live | (env.current << WINDOW.since);
        break;
      case 'begin':
        windows[level] = begun(window, env);
        break;
      case 'enter': {
        const now = (window & WINDOW.begun) !== 0 ? window : begun(window, env);
        windows[level] = now;
        this.#judge(note.target, now, bad);
        if ((env.replaced & (1 << note.target)) !== 0)
          bad.push(
            broken(
              'entry-after-update',
              `${TARGETS[note.target]} is entered after the update that replaced it has returned`,
            ),
          );
        break;
      }
      case 'close': {
        const now = (window & WINDOW.begun) !== 0 ? window : begun(window, env);
        windows[level] = 0;
        if (note.ran !== 'target') this.#judge(TARGETS.indexOf(note.ran), now, bad);
        break;
      }
    }
    return view;
  }

  #judge(target: number, window: number, bad: Bad[]): void {
    const name =
      TARGETS[target] === 'null'
        ? 'nothing'
        : TARGETS[target] === 'ret0'
          ? '"return 0"'
          : (TARGETS[target] as string);
    if (((window >> WINDOW.allowed) & (1 << target)) === 0)
      bad.push(
        broken(
          'target-not-current',
          `the pass runs ${name}, which was not current at any instant since its first fetch`,
        ),
      );
    if (((window >> WINDOW.replaced) & (1 << target)) !== 0)
      bad.push(
        broken(
          'call-after-update',
          `a call begins after the update that replaced ${name} has returned, and runs it`,
        ),
      );
  }

  // ----------------------------------------------------------------------------------------------
  // the patcher

  patcherMoves(patcher: number, environment: number): readonly PatcherMove[] {
    const key = patcher * 0x10000 + environment;
    let moves = this.#patcherMoves.get(key);
    if (moves === undefined)
      this.#patcherMoves.set(key, (moves = this.#patcherCompute(patcher, environment)));
    return moves;
  }

  #patcherCompute(patcher: number, environment: number): readonly PatcherMove[] {
    return [...this.#patchers.get(patcher)].flatMap((updater, k) =>
      this.#updaterMoves(updater, k, patcher, environment),
    );
  }

  /** The moves of the kth updater; the others stay where they are. */
  #updaterMoves(
    updater: number,
    k: number,
    patcher: number,
    environment: number,
  ): readonly PatcherMove[] {
    const [pc, retries, ...buffer] = this.#updaters.get(updater) as unknown as [
      number,
      number,
      ...number[],
    ];
    const at = (next: number, left: readonly number[], again: number = retries): number =>
      this.#patchers.intern(
        this.#patchers
          .get(patcher)
          .with(k, this.#updaters.intern(Uint32Array.from([next, again, ...left]))),
      );
    const env = this.#envs.get(environment);
    const moves: PatcherMove[] = [];
    const first = buffer[0];
    // TSO: stores reach memory in order, each at any time (SDM volume 3, 9.2.2).
    for (const oldest of this.fixture.rules.storesInOrder ? buffer.slice(0, 1) : buffer) {
      const op = this.ops[oldest] as Op & { op: 'store' | 'write' };
      moves.push({
        patcher: at(
          pc,
          buffer.filter((each) => each !== oldest),
        ),
        ...this.#commit(op, env),
        answered: false,
        op,
        flush: true,
        silent: false,
      });
    }
    const op = pc === this.#ranges[k]?.to ? undefined : this.ops[pc];
    if (op === undefined) return moves;
    const go = (change: { env?: Env; broadcast?: Broadcast; answered?: boolean } = {}) =>
      moves.push({
        patcher: at(pc + 1, buffer),
        environment: change.env === undefined ? environment : this.#envs.intern(change.env),
        broadcast: change.broadcast === undefined ? -1 : this.#broadcasts.intern(change.broadcast),
        answered: change.answered ?? false,
        op,
        flush: false,
        silent: false,
      });
    // Every way of reaching other CPUs goes through the kernel, and drains the sender's stores
    // first.
    const drained = first === undefined || !this.fixture.rules.draining.has('sync');
    switch (op.op) {
      case 'store':
      case 'write':
        if (this.fixture.tso && !(op.op === 'store' && op.locked))
          moves.push({
            patcher: at(pc + 1, [...buffer, pc]),
            environment,
            broadcast: -1,
            answered: false,
            op,
            flush: false,
            silent: true,
          });
        // A LOCKed store waits for the buffer to drain and reaches memory at once.
        else if (first === undefined)
          moves.push({
            patcher: at(pc + 1, []),
            ...this.#commit(op, env),
            answered: false,
            op,
            flush: false,
            silent: false,
          });
        break;
      case 'current':
        moves.push({
          patcher: at(pc + 1, buffer),
          environment: this.#envs.intern({
            ...env,
            current: env.current | (1 << op.target),
            replaced: env.replaced & ~(1 << op.target),
            underway: env.underway | (1 << op.target),
          }),
          broadcast: this.#broadcasts.intern({ kind: 'current', mask: 1 << op.target }),
          answered: false,
          op,
          flush: false,
          silent: false,
        });
        break;
      case 'return': {
        // What another updater has published and not finished stays current.
        const underway = env.underway & ~(1 << op.target);
        const now = (1 << op.target) | underway;
        moves.push({
          patcher: at(pc + 1, buffer, 0),
          environment: this.#envs.intern({
            ...env,
            current: now,
            replaced: (env.replaced | env.current) & ~now,
            underway,
          }),
          broadcast: -1,
          answered: false,
          op,
          flush: false,
          silent: false,
        });
        break;
      }
      case 'await':
        if (this.#word(op.word, env, buffer) === BigInt(op.is)) go();
        break;
      case 'retry': {
        // Four bits count for each retry of an update; a new update begins without any.
        const tried = (retries >>> (4 * op.slot)) & 15;
        const next =
          this.#word(op.word, env, buffer) === BigInt(op.is)
            ? pc + 1
            : tried < op.times
              ? op.to
              : (this.#ranges[k] as { to: number }).to;
        const again = next === op.to ? retries + (1 << (4 * op.slot)) : retries;
        moves.push({
          patcher: at(next, buffer, again),
          environment,
          broadcast: -1,
          answered: false,
          op,
          flush: false,
          silent: false,
        });
        break;
      }
      case 'count':
      case 'exchange': {
        // LOCKed, so the buffer is empty first.
        if (first !== undefined) break;
        const value = BigInt(env.data[op.word] as string);
        const changed =
          op.op === 'count'
            ? value + BigInt(op.by)
            : value === BigInt(op.from)
              ? BigInt(op.to)
              : value;
        go({
          env: {
            ...env,
            data: written(env.data, [{ word: op.word, value: BigInt.asUintN(64, changed) }]),
          },
        });
        break;
      }
      case 'lock':
        if (drained && !env.locked) go({ env: { ...env, locked: true } });
        break;
      case 'unlock':
        if (drained) go({ env: { ...env, locked: false } });
        break;
      case 'send':
        if (drained) go({ broadcast: { kind: 'request', what: REQUEST.ipi } });
        break;
      case 'stop':
        if (drained) go({ broadcast: { kind: 'request', what: REQUEST.stop } });
        break;
      case 'wait':
      case 'stopped':
        if (drained) go({ answered: true });
        break;
      case 'barrier':
      case 'self':
      case 'pass':
        if (drained) go({ broadcast: { kind: op.op } });
        break;
      case 'release':
        if (drained) go({ broadcast: { kind: 'release', serialise: op.serialise } });
        break;
      default:
        unreachable(op);
    }
    return moves;
  }

  /** A word of the shared data as its updater sees it, through the store buffer. */
  #word(word: number, env: Env, buffer: readonly number[]): bigint {
    for (const number of buffer.toReversed()) {
      const op = this.ops[number] as Op;
      if (op.op === 'write' && op.write.word === word) return op.write.value;
    }
    return BigInt(env.data[word] as string);
  }

  #commit(
    op: Op & { op: 'store' | 'write' },
    env: Env,
  ): { environment: number; broadcast: number } {
    if (op.op === 'write')
      return {
        environment: this.#envs.intern({ ...env, data: written(env.data, [op.write]) }),
        broadcast: -1,
      };
    return {
      environment: this.#envs.intern(env),
      broadcast: this.#broadcasts.intern({ kind: 'commit', store: { at: op.at, bytes: op.bytes } }),
    };
  }

  /** What a CPU's move stores to text, if anything. */
  storeOf({ broadcast }: Move): TextStore | null {
    const what = broadcast < 0 ? null : this.#broadcasts.get(broadcast);
    return what?.kind === 'commit' ? what.store : null;
  }

  /** A CPU after what the patcher did to all of them. */
  broadcast(id: number, cpu: number): number {
    let row = this.#broadcasted[id];
    if (row === undefined || cpu >= row.length) {
      const larger = new Int32Array(Math.max(1024, 2 * cpu)).fill(-1);
      if (row !== undefined) larger.set(row);
      this.#broadcasted[id] = row = larger;
    }
    const known = row[cpu] as number;
    if (known >= 0) return known;
    const after = this.#broadcast(id, cpu);
    return (row[cpu] = after);
  }

  #broadcast(id: number, cpu: number): number {
    const what = this.#broadcasts.get(id);
    const [node, view, request, partial, ...windows] = this.#cpus.get(cpu) as unknown as [
      number,
      number,
      number,
      number,
      ...number[],
    ];
    // A task on no CPU serialises at its switch-in; only the time that passes concerns it.
    if (request === REQUEST.off && what.kind !== 'current') return cpu;
    const own = this.core.node(node).patching;
    const { serialising } = this.fixture.rules;
    const delivered = (event: Event, serialises: boolean): number => {
      const outcome = this.#deliver(node, event);
      invariant(outcome !== null, `a CPU takes ${event} wherever it is`);
      return this.#cpu(
        outcome.next,
        serialises ? this.text.serialise(view) : view,
        request,
        0,
        windows,
      );
    };
    switch (what.kind) {
      case 'commit':
        return this.#cpu(
          node,
          this.text.commit(
            view,
            id,
            what.store.bytes.map((value, i) => ({ at: what.store.at + i, value })),
          ),
          request,
          partial,
          windows,
        );
      case 'request':
        // Nobody asks himself: the sender serialises by a step of its own, and stops by turning
        // interrupts off.
        if (!own) return this.#cpu(node, view, what.what, partial, windows);
        return what.what === REQUEST.stop ? delivered('stop', false) : cpu;
      case 'barrier':
        return delivered('ipi', serialising.has(own ? 'caller' : 'barrier'));
      case 'self':
        return own ? delivered('ipi', serialising.has('caller')) : cpu;
      case 'pass':
        return own ? delivered('pass', false) : cpu;
      case 'current':
        return this.#cpu(
          node,
          view,
          request,
          partial,
          windows.map((window) =>
            (window & WINDOW.live) !== 0 ? window | (what.mask << WINDOW.since) : window,
          ),
        );
      case 'release':
        return delivered(what.serialise ? 'release-serialise' : 'release', what.serialise);
    }
  }
}

function begun(window: number, env: Env): number {
  return (
    (window & (0xff << WINDOW.since)) |
    WINDOW.live |
    WINDOW.begun |
    ((window & 0xff) << WINDOW.allowed) |
    ((env.replaced & 0xff) << WINDOW.replaced)
  );
}

function written(data: readonly string[], writes: readonly Write[]): string[] {
  const after = [...data];
  for (const { word, value } of writes) after[word] = String(value);
  return after;
}

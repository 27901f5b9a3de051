// The transition relation. A state is [patcher, environment, cpu...], all ids of interned parts:
//
//   patcher      program counters and store buffers (updaters.ts)
//   environment  shared data, which targets are current and which replaced, how many events are
//                left (environment.ts)
//   cpu          core image, view of the text, request it has not answered, bytes fetched, windows
//                of its passes (cpus.ts)
//
// CPUs meet only in the environment and in what the patcher does to all of them (broadcast.ts). So
// the moves of a CPU depend on (cpu, environment) and are computed once for each such pair.

import { invariant } from '../../base/invariant.js';
import { Broadcasts } from './broadcast.js';
import type { TextStore } from './context.js';
import { Core, type Grain } from './core.js';
import { CPU, Cpus, REQUEST } from './cpus.js';
import { Environments, type Env } from './environment.js';
import type { Fixture } from './fixture.js';
import type { Move, MoveTable } from './move-table.js';
import { CpuMoves } from './moves.js';
import type { Node } from './node.js';
import { Outcomes } from './outcomes.js';
import type { Op } from './patcher.js';
import type { Breach } from './promises.js';
import { setOf } from './sites.js';
import { Text } from './text.js';
import type { Chunk, FetchLevel } from './settings.js';
import { Updaters, type PatcherMove } from './updaters.js';
import { WATCH_ALL, type Watch } from './window.js';

export { CPU, REQUEST } from './cpus.js';
export type { Move } from './move-table.js';
export type { Action, ActionLabel } from './outcomes.js';
export type { PatcherMove } from './updaters.js';

export interface ModelOptions {
  /** The updates are made by updaters of their own, at the same time. */
  readonly together?: boolean;
  readonly fetch: FetchLevel;
  readonly chunk: Chunk;
  readonly grain: Grain;
  /**
   * The patcher is a task on one of the CPUs, where what interrupts that CPU interrupts it.
   * Otherwise it is beside them.
   */
  readonly hosted?: boolean;
  /** How many there are of each; Infinity where nothing counts them. */
  readonly nmis: number;
  readonly mcs: number;
  readonly dbs: number;
  /** What passes may run is watched of these alone. */
  readonly watch?: Watch;
}

/** A task and a CPU after the task was switched in. */
interface Swapped {
  readonly cpu: number;
  readonly task: number;
}

export class Model {
  readonly fixture: Fixture;
  readonly ops: readonly Op[];
  readonly options: ModelOptions;
  readonly core: Core;
  readonly text: Text;
  readonly #cpus: Cpus;
  readonly #environments: Environments;
  readonly #outcomes: Outcomes;
  readonly #broadcasts: Broadcasts;
  readonly #updaters: Updaters;
  readonly #moves: CpuMoves;
  readonly #swaps = new Map<number, Swapped | null>();

  /** @param like a model of the same program, whose cores are interned in common */
  constructor(fixture: Fixture, ops: readonly Op[], options: ModelOptions, like?: Model) {
    const { watch = WATCH_ALL } = options;
    this.fixture = fixture;
    this.ops = ops;
    this.options = options;
    this.core = like?.core ?? new Core(fixture, options.grain);
    this.#environments = new Environments(watch.targets);
    this.text = new Text(options.fetch, options.chunk, writtenText(fixture, ops), fixture.rules);
    this.#cpus = new Cpus((id) => this.core.node(id));
    const outcomes = like === undefined ? new Outcomes(this.core) : like.#outcomes;
    this.#outcomes = outcomes;
    this.#broadcasts = new Broadcasts(fixture, this.#cpus, this.text, outcomes);
    this.#updaters = new Updaters(
      fixture,
      ops,
      options.together ?? false,
      this.#environments,
      this.#broadcasts,
    );
    this.#moves = new CpuMoves(
      this.core,
      this.text,
      this.#cpus,
      this.#environments,
      this.#broadcasts,
      outcomes,
      watch,
    );
  }

  /** The same program and machine, of which less is watched. */
  watching(watch: Watch): Model {
    return new Model(this.fixture, this.ops, { ...this.options, watch }, this);
  }
  /** Depths of nesting at which some pass begins. */
  get levels(): ReadonlySet<number> {
    return this.#moves.levels;
  }

  get hosted(): boolean {
    return this.options.hosted ?? false;
  }
  /** Some CPU wrote shared data or text: CPUs are then not independent of each other. */
  get cpusWrite(): boolean {
    return this.#moves.cpusWrite;
  }
  /**
   * Every way in which some move breaks a promise, also those that a search reports under another.
   */
  get breaches(): ReadonlySet<Breach> {
    return this.#moves.table.breaches;
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
      environments: this.#environments.count,
      instructions: this.core.steps,
    };
  }

  /** `waiting` tasks more than CPUs; they come last. */
  initial(cpus: number, waiting: number): Int32Array {
    const { fixture, options } = this;
    const environment = this.#environments.intern({
      data: fixture.shared.initial.map(String),
      current: fixture.sites.reduce((set, { targets }) => set | setOf(...targets.slice(0, 1)), 0),
      replaced: 0,
      underway: 0,
      locked: false,
      nmis: options.nmis,
      mcs: options.mcs,
      dbs: options.dbs,
    });
    const node = this.core.start('task');
    const { stances } = this.#cpus;
    const idle = { view: this.text.initial(), request: REQUEST.none, partial: 0, windows: [] };
    const stance = stances.intern(idle);
    const running = new Array<number>(cpus).fill(this.#cpus.intern(node, stance));
    if (this.hosted) {
      invariant(!Number.isNaN(fixture.patcher), 'the program has a task that patches');
      running[0] = this.#cpus.intern(this.core.start('patcher'), stance);
    }
    const off = stances.intern({ ...idle, view: 0, request: REQUEST.off });
    const task = this.#cpus.intern(node, off);
    const tasks = new Array<number>(waiting).fill(task);
    return Int32Array.from([this.#updaters.initial(), environment, ...running, ...tasks]);
  }

  nodeOf(cpu: number): Node {
    return this.#cpus.nodeOf(cpu);
  }
  requestOf(cpu: number): number {
    return this.#cpus.seenBy(cpu).request;
  }
  /** The view of the text that a CPU has. */
  viewOf(cpu: number): number {
    return this.#cpus.seenBy(cpu).view;
  }
  /** The values that a byte of code may still be fetched with by a CPU, the newest last. */
  versions(cpu: number, at: number): readonly number[] {
    const view = this.viewOf(cpu);
    return this.text.isPatchable(at) ? this.text.versions(view, at) : [this.memory(view, at)];
  }
  /** What the CPUs and the patcher share. */
  sharedOf(environment: number): Env {
    return this.#environments.get(environment);
  }
  /** A byte of code as memory holds it. */
  memory(view: number, at: number): number {
    return this.#moves.memory(view, at);
  }

  /** Bits of `CPU`. */
  bitsOf(cpu: number): number {
    return this.#cpus.bitsOf(cpu);
  }
  /** Nothing is left to do there but to be interrupted. */
  isDone(cpu: number): boolean {
    return (this.#cpus.bitsOf(cpu) & CPU.done) !== 0;
  }

  /** The row of `table` that has the moves of a CPU in an environment. */
  moves(cpu: number, environment: number): number {
    return this.#moves.of(cpu, environment);
  }
  get table(): MoveTable {
    return this.#moves.table;
  }

  /**
   * The task on a CPU gives way to one that waits; the switch serialises (a return to it is an
   * IRET).
   */
  swap(cpu: number, task: number): Swapped | null {
    const key = cpu * 0x1000000 + task;
    let swapped = this.#swaps.get(key);
    if (swapped === undefined) this.#swaps.set(key, (swapped = this.#swap(cpu, task)));
    return swapped;
  }

  #swap(cpu: number, task: number): Swapped | null {
    const nodes = this.core.swap(this.#cpus.imageOf(cpu), this.#cpus.imageOf(task));
    if (nodes === null) return null;
    const { stances } = this.#cpus;
    const [leaves, comes] = [this.#cpus.seenBy(cpu), this.#cpus.seenBy(task)];
    const serialises = this.fixture.rules.serialising.has('switch');
    const on = {
      view: serialises ? this.text.serialise(leaves.view) : leaves.view,
      request: leaves.request,
      partial: 0,
      windows: comes.windows,
    };
    const off = { view: 0, request: REQUEST.off, partial: 0, windows: leaves.windows };
    return {
      cpu: this.#cpus.intern(nodes.on, stances.intern(on)),
      task: this.#cpus.intern(nodes.off, stances.intern(off)),
    };
  }

  patcherMoves(patcher: number, environment: number): readonly PatcherMove[] {
    return this.#updaters.moves(patcher, environment);
  }
  /** Stores that no other CPU sees yet. */
  patcherBuffers(patcher: number): boolean {
    return this.#updaters.isBuffering(patcher);
  }
  /** How many stores the patcher buffers at most, where something has to bound them. */
  get bufferMax(): number {
    return this.#updaters.bufferMax;
  }
  patcherDone(patcher: number): boolean {
    return this.#updaters.isDone(patcher);
  }

  /** A CPU after what a move does to all of them. */
  broadcast(id: number, cpu: number): number {
    return this.#broadcasts.after(id, cpu);
  }
  /** What a CPU's move stores to text, if anything. */
  storeOf({ broadcast }: Move): TextStore | null {
    return this.#broadcasts.storeOf(broadcast);
  }
}

/** The bytes of sites and fresh code that some operation writes, as they are at the start. */
function writtenText(
  { sites }: Fixture,
  ops: readonly Op[],
): readonly { readonly at: number; readonly value: number }[] {
  const written = new Set(
    ops.flatMap((op) => (op.op === 'store' ? op.bytes.map((_, i) => op.at + i) : [])),
  );
  return sites
    .flatMap((site) => (site.fresh === null ? [site] : [site, site.fresh]))
    .flatMap(({ at, contents: [bytes = []] }) => bytes.map((value, i) => ({ at: at + i, value })))
    .filter(({ at }) => written.has(at));
}

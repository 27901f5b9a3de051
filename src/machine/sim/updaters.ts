// What the patcher may do next: the operations of its steps, one after the other, and the stores in
// its buffer. Usually one updater makes all updates; where two make them at the same time, each has
// a program counter and a store buffer of its own.

import { unreachable } from '../../base/invariant.js';
import { NO_BROADCAST, type Broadcast, type Broadcasts } from './broadcast.js';
import { REQUEST } from './cpus.js';
import {
  published,
  returned,
  wordOf,
  written,
  type Env,
  type Environments,
} from './environment.js';
import type { Fixture } from './fixture.js';
import { WordTable } from './intern.js';
import type { Op } from './patcher.js';
import { bufferMax, inAnyOrder, inTurn, type Segments } from './segments.js';

/** A move of the patcher; `broadcast` changes every CPU. */
export interface PatcherMove {
  readonly patcher: number;
  readonly environment: number;
  readonly broadcast: number;
  /** Only when no CPU has an unanswered request. */
  readonly answered: boolean;
  readonly op: Op;
  /** A store leaves the buffer. */
  readonly flush: boolean;
  /** Into the store buffer: no CPU sees it. */
  readonly silent: boolean;
  /** An endless patcher begins another update, which it need not. */
  readonly begins: boolean;
  /** Silent, and it takes nothing away and forbids nothing: it may be taken alone. */
  readonly alone: boolean;
}

/** One updater: its program counter, what it has retried, and its store buffer. */
interface Updater {
  readonly pc: number;
  /** Four bits for each `retry` of an update. */
  readonly retries: number;
  /** Numbers of the operations whose stores have not reached memory, the oldest first. */
  readonly buffer: readonly number[];
}

/** What an operation does; what it leaves out stays as it is, and the next operation follows. */
interface Effect extends Partial<Updater> {
  readonly env?: Env;
  readonly broadcast?: Broadcast;
  readonly answered?: boolean;
  readonly silent?: boolean;
}

type StoreOp = Op & { op: 'store' | 'write' };
type RetryOp = Op & { op: 'retry' };
type LockedOp = Op & { op: 'count' | 'exchange' };

export class Updaters {
  readonly #fixture: Fixture;
  readonly #ops: readonly Op[];
  readonly #environments: Environments;
  readonly #broadcasts: Broadcasts;
  /** Which operations are whose, and in which order. */
  readonly #segments: readonly Segments[];
  /** How many stores are buffered at once; Infinity where the updates themselves see to that. */
  readonly bufferMax: number;
  /** A patcher is one id for each updater. */
  readonly #patchers = new WordTable();
  readonly #updaters = new WordTable();
  readonly #done: boolean[] = [];
  readonly #buffering: boolean[] = [];
  /** By patcher and environment. */
  readonly #moves: (readonly PatcherMove[])[][] = [];

  /** @param together each update is made by an updater of its own, at the same time */
  constructor(
    fixture: Fixture,
    ops: readonly Op[],
    together: boolean,
    environments: Environments,
    broadcasts: Broadcasts,
  ) {
    this.#fixture = fixture;
    this.#ops = ops;
    this.#environments = environments;
    this.#broadcasts = broadcasts;
    this.#segments = segmentsOf(fixture, ops, together);
    this.bufferMax = fixture.nodes === null || !fixture.tso ? Infinity : bufferMax(ops);
  }

  /** All updaters at their first operation. */
  initial(): number {
    return this.#patchers.intern(
      Uint32Array.from(this.#segments, ({ initial }) =>
        this.#intern({ pc: initial, retries: 0, buffer: [] }),
      ),
    );
  }

  #intern({ pc, retries, buffer }: Updater): number {
    return this.#updaters.intern(Uint32Array.from([pc, retries, ...buffer]));
  }
  #updater(id: number): Updater {
    const words = this.#updaters.get(id);
    return { pc: words[0]!, retries: words[1]!, buffer: [...words.subarray(2)] };
  }
  #all(patcher: number): readonly Updater[] {
    return Array.from(this.#patchers.get(patcher), (id) => this.#updater(id));
  }
  #end(k: number): number {
    return this.#segments[k]!.end;
  }

  isDone(patcher: number): boolean {
    return (this.#done[patcher] ??= this.#all(patcher).every(
      ({ pc, buffer }, k) => pc === this.#end(k) && buffer.length === 0,
    ));
  }
  /** Stores that no other CPU sees yet. */
  isBuffering(patcher: number): boolean {
    return (this.#buffering[patcher] ??= this.#all(patcher).some(
      ({ buffer }) => buffer.length > 0,
    ));
  }

  moves(patcher: number, environment: number): readonly PatcherMove[] {
    const row = (this.#moves[patcher] ??= []);
    return (row[environment] ??= this.#all(patcher).flatMap((_, k) =>
      this.#movesOf(k, patcher, environment),
    ));
  }

  /** The moves of the kth updater; the others stay where they are. */
  #movesOf(k: number, patcher: number, environment: number): readonly PatcherMove[] {
    const updater = this.#all(patcher)[k]!;
    const segments = this.#segments[k]!;
    const next = segments.from(updater.pc);
    const env = this.#environments.get(environment);
    const move = (op: Op, flush: boolean, effect: Effect): PatcherMove => {
      const { pc = updater.pc, retries = updater.retries, buffer = updater.buffer } = effect;
      const silent = effect.silent ?? false;
      const id = this.#intern({ pc, retries, buffer });
      return {
        patcher: this.#patchers.intern(this.#patchers.get(patcher).with(k, id)),
        environment: effect.env === undefined ? environment : this.#environments.intern(effect.env),
        broadcast:
          effect.broadcast === undefined ? NO_BROADCAST : this.#broadcasts.intern(effect.broadcast),
        answered: effect.answered ?? false,
        op,
        flush,
        silent,
        begins: !flush && segments.isIdle(updater.pc),
        alone: silent && next.length === 1,
      };
    };
    const { buffer } = updater;
    // TSO: stores reach memory in order, each at any time (SDM volume 3, 9.2.2).
    const ready = this.#fixture.rules.storesInOrder ? buffer.slice(0, 1) : buffer;
    const flushes = ready.map((oldest) => {
      const op = this.#ops[oldest]! as StoreOp;
      const left = buffer.filter((each) => each !== oldest);
      return move(op, true, { ...commit(op, env), buffer: left });
    });
    const steps = next.flatMap((pc) => {
      const op = this.#ops[pc]!;
      const effect = this.#effect(op, { ...updater, pc }, env, segments.end);
      return effect === null ? [] : [move(op, false, { pc: segments.after(pc), ...effect })];
    });
    return [...flushes, ...steps];
  }

  /** What an operation does now; null where it has to wait. */
  #effect(op: Op, updater: Updater, env: Env, end: number): Effect | null {
    switch (op.op) {
      case 'store':
      case 'write':
        return this.#store(op, updater, env);
      case 'current':
        return {
          env: published(env, op.target),
          broadcast: { kind: 'current', mask: (1 << op.target) & this.#environments.targets },
        };
      case 'return':
        return this.#fixture.options.eventually
          ? { retries: 0 }
          : { env: returned(env, op.target, op.own), retries: 0 };
      case 'await':
        return this.#word(op.word, env, updater) === BigInt(op.is) ? {} : null;
      case 'retry':
        return this.#retry(op, updater, env, end);
      case 'count':
      case 'exchange':
        // LOCKed, so the buffer is empty first.
        return updater.buffer.length > 0 ? null : { env: changed(op, env) };
      case 'lock':
      case 'unlock':
      case 'ask':
      case 'send':
      case 'stop':
      case 'wait':
      case 'stopped':
      case 'barrier':
      case 'self':
      case 'pass':
      case 'release':
        // Each of these goes through the kernel, which drains the sender's stores first.
        return updater.buffer.length > 0 && this.#fixture.rules.draining.has('sync')
          ? null
          : reach(op, env);
      default:
        return unreachable(op);
    }
  }

  /** A LOCKed store waits for the buffer to drain and reaches memory at once. */
  #store(op: StoreOp, { pc, buffer }: Updater, env: Env): Effect | null {
    const buffered = this.#fixture.tso && !(op.op === 'store' && op.locked);
    if (buffered)
      return buffer.length < this.bufferMax ? { buffer: [...buffer, pc], silent: true } : null;
    return buffer.length > 0 ? null : commit(op, env);
  }

  #retry(op: RetryOp, updater: Updater, env: Env, end: number): Effect {
    if (this.#word(op.word, env, updater) === BigInt(op.is)) return {};
    const shift = 4 * op.slot;
    const tried = (updater.retries >>> shift) & 15;
    return tried < op.times ? { pc: op.to, retries: updater.retries + (1 << shift) } : { pc: end };
  }

  /** A word of the shared data as its updater sees it, through the store buffer. */
  #word(word: number, env: Env, { buffer }: Updater): bigint {
    for (const number of buffer.toReversed()) {
      const op = this.#ops[number]!;
      if (op.op === 'write' && op.write.word === word) return op.write.value;
    }
    return wordOf(env, word);
  }
}

function segmentsOf(
  { nodes }: Fixture,
  ops: readonly Op[],
  together: boolean,
): readonly Segments[] {
  if (nodes !== null) return [inAnyOrder(ops, nodes)];
  const second = ops.findIndex(({ update }) => update === 2);
  return together && second > 0
    ? [inTurn(0, second), inTurn(second, ops.length)]
    : [inTurn(0, ops.length)];
}

/** The store reaches memory. */
const commit = (op: StoreOp, env: Env): Effect =>
  op.op === 'write'
    ? { env: written(env, [op.write]) }
    : { broadcast: { kind: 'commit', store: { at: op.at, bytes: op.bytes } } };

function changed(op: LockedOp, env: Env): Env {
  const value = wordOf(env, op.word);
  const counted = op.op === 'count' ? value + BigInt(op.by) : exchanged(op, value);
  return written(env, [{ word: op.word, value: BigInt.asUintN(64, counted) }]);
}
const exchanged = (op: Op & { op: 'exchange' }, value: bigint): bigint =>
  value === BigInt(op.from) ? BigInt(op.to) : value;

type ReachOp = Exclude<
  Op,
  StoreOp | RetryOp | LockedOp | { op: 'current' } | { op: 'return' } | { op: 'await' }
>;

/** What reaches other CPUs or updaters through the kernel. */
function reach(op: ReachOp, env: Env): Effect | null {
  switch (op.op) {
    case 'lock':
      return env.locked ? null : { env: { ...env, locked: true } };
    case 'unlock':
      return { env: { ...env, locked: false } };
    case 'send':
      return { broadcast: { kind: 'request', what: REQUEST.ipi } };
    case 'ask':
      return { broadcast: { kind: 'request', what: REQUEST[op.what] } };
    case 'stop':
      return { broadcast: { kind: 'request', what: REQUEST.stop } };
    case 'wait':
    case 'stopped':
      return { answered: true };
    case 'barrier':
    case 'self':
    case 'pass':
      return { broadcast: { kind: op.op } };
    case 'release':
      return { broadcast: { kind: 'release', serialise: op.serialise } };
    default:
      return unreachable(op);
  }
}

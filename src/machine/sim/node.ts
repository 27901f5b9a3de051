// What the search needs to know about a CPU without loading it: where it stands, and what may
// happen to it there.

import type { Addr } from '../../base/addr.js';
import { CONTEXTS, type ContextKind } from './context.js';
import type { State } from './state.js';

/** Why a macro-step ended where it did, that is, what the next one must do first. */
export const STOPS = [
  'fetch',
  'retire',
  'load',
  'text',
  'store',
  'local',
  'enter',
  'step',
  'patcher',
  'done',
] as const;
export type StopKind = (typeof STOPS)[number];

export interface Stop {
  readonly kind: StopKind;
  /** Address of a fetch or of text read as data; number of a shared word. */
  readonly at: number;
  /** Of what is fetched or read. */
  readonly length: number;
}

export const stopAt = (kind: StopKind, at: number = 0, length: number = 0): Stop => ({
  kind,
  at,
  length,
});

export interface Node {
  readonly id: number;
  readonly stop: StopKind;
  readonly at: number;
  readonly length: number;
  readonly interruptible: boolean;
  /** No handler of a trap runs or is about to, so that a signal of the patcher's is taken. */
  readonly signalled: boolean;
  /** No pass over a site is under way. */
  readonly outside: boolean;
  /** Has acknowledged and has yet to serialise. */
  readonly unserialised: boolean;
  readonly done: boolean;
  /**
   * The task is the patcher, whatever interrupts it; its steps are taken while it stands at
   * `patcher`.
   */
  readonly patching: boolean;
  /** Held by a stop request: only an event that cannot be masked, of a kernel, runs here. */
  readonly waiting: boolean;
  /** The kinds of context that are nested here: bounds on nesting. */
  readonly inside: ReadonlySet<ContextKind>;
  readonly nmiBlocked: boolean;
  readonly nmiLevel: number;
  readonly buffered: number;
  readonly depth: number;
  readonly rip: Addr;
  readonly context: ContextKind;
}

/** Whether an IPI or a maskable interrupt is accepted; in a process, whether membarrier waits. */
function isInterruptible(state: State): boolean {
  const { environment, rules } = state.fixture;
  if (environment === 'kernel') return state.on && !state.is('shadow') && !state.is('stopped');
  return rules.barrierPassesHandlers || !isHandling(state);
}

const isHandling = (state: State): boolean =>
  state.is('trapped') || state.contexts.some(({ kind }) => kind === 'trap');

const bitOf = (kind: ContextKind): number => 1 << CONTEXTS.indexOf(kind);
/** Every set of kinds, by its bits: a set for each node would take more than all else of a node. */
const INSIDE: readonly ReadonlySet<ContextKind>[] = Array.from(
  { length: 1 << CONTEXTS.length },
  (_, bits) => new Set(CONTEXTS.filter((kind) => (bits & bitOf(kind)) !== 0)),
);

export const nodeOf = (id: number, state: State, { kind, at, length }: Stop): Node => ({
  id,
  stop: kind,
  at,
  length,
  interruptible: isInterruptible(state),
  signalled: !isHandling(state),
  outside: state.emulated < 0,
  unserialised: state.is('unserialised'),
  patching: state.is('patching'),
  waiting: state.stands,
  done: state.is('done'),
  inside: INSIDE[state.contexts.reduce((set, { kind: inner }) => set | bitOf(inner), 0)]!,
  nmiBlocked: state.is('nmiBlocked'),
  nmiLevel: state.nmiLevel,
  buffered: state.buffer.length,
  depth: state.contexts.length,
  rip: state.rip,
  context: state.top.kind,
});

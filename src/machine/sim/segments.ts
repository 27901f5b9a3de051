// Which operation an updater comes to after another one. A counted updater makes all of its
// operations in turn and is done. An endless one stands idle between two updates, in a state of the
// sites (tour.ts), and goes on with any segment that begins there.

import type { Op } from './patcher.js';

/** What a program counter says: an operation's number, or a number behind them all. */
export interface Segments {
  readonly initial: number;
  /** Where an updater stands that makes no more updates. */
  readonly end: number;
  /** It stands between two updates, and need not begin another one. */
  isIdle(pc: number): boolean;
  /** Where it stands behind an operation. */
  after(op: number): number;
  /** The operations that it may go on with from a program counter; none at the end. */
  from(pc: number): readonly number[];
}

/** What drains the buffer of the updater that does it. */
const DRAINS: ReadonlySet<Op['op']> = new Set<Op['op']>([
  'count',
  'exchange',
  'lock',
  'unlock',
  'send',
  'stop',
  'barrier',
  'release',
]);
const drains = (op: Op): boolean => DRAINS.has(op.op) || (op.op === 'store' && op.locked);

/**
 * How many stores an endless updater may buffer: any number where each update drains the buffer,
 * else those of two updates, because it would grow for ever.
 */
export function bufferMax(ops: readonly Op[]): number {
  const updates = [...new Set(ops.map(({ update }) => update))].map((update) =>
    ops.filter((op) => op.update === update),
  );
  if (updates.every((each) => each.some(drains))) return Infinity;
  const stores = updates.map((each) => each.filter(({ op }) => op === 'store' || op === 'write'));
  return 2 * Math.max(...stores.map(({ length }) => length));
}

/** The operations from one to another, one after the other. */
export function inTurn(from: number, to: number): Segments {
  return {
    initial: from,
    end: to,
    isIdle: () => false,
    after: (op) => op + 1,
    from: (pc) => (pc === to ? [] : [pc]),
  };
}

/**
 * Segments of operations in any sequence, each behind one that leads to where it begins.
 * @param nodes the state of the sites before the first update and after each
 */
export function inAnyOrder(ops: readonly Op[], nodes: readonly number[]): Segments {
  const idle = (node: number | undefined): number => ops.length + (node ?? 0);
  const begins = new Map<number, number[]>();
  const after = ops.map(({ update }, i) => {
    if (ops[i - 1]?.update !== update) {
      const before = idle(nodes[update - 1]);
      begins.set(before, [...(begins.get(before) ?? []), i]);
    }
    return ops[i + 1]?.update === update ? i + 1 : idle(nodes[update]);
  });
  return {
    initial: idle(nodes[0]),
    end: idle(Math.max(...nodes) + 1),
    isIdle: (pc) => pc >= ops.length,
    after: (op) => after[op] ?? 0,
    from: (pc) => (pc < ops.length ? [pc] : (begins.get(pc) ?? [])),
  };
}

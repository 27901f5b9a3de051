// What the tables of moves alone say about running forever, so that the edges between states, which
// are more than the states, need not be kept where nothing is wrong.
//
// A cycle of states is a walk of each part of the machine back to where it was. So where
//
//   no patcher comes back by its moves, a cycle has no move of the patcher;
//   no environment comes back by the moves of CPUs, a cycle changes no environment;
//   no CPU comes back by its moves in one environment, none of them moves,
//
// there is no cycle. The last one supposes that no move of a CPU that keeps its environment stores
// to text, which would move the others. Reductions only leave moves out, and a cycle of sorted
// states is one of states with every CPU under its own number, a few times around.
//
// This is looked at twice. Without the moves that end a pass or an update: then nothing goes on
// forever without one, and there is no livelock. Without the moves that nothing forces
// (interrupts): then a run by the other moves comes to a state that has none, and where each such
// state is an end there is no deadlock. Where the tables do have a cycle, as those of a handler
// that waits, it may be one of parts that never meet, and the edges decide.

import type { MoveTable } from '../../machine/sim/move-table.js';
import type { PatcherMove } from '../../machine/sim/model.js';
import { LANE, NO_LANE, PROGRESS } from './graph.js';
import { patcherLane, type CpuLanes } from './lasso.js';

/** The rows of moves that a walk has met. */
export interface Rows {
  readonly table: MoveTable;
  readonly lanes: CpuLanes;
  readonly patchers: readonly PatcherRow[];
}
export interface PatcherRow {
  readonly patcher: number;
  readonly moves: readonly PatcherMove[];
}

/** Whether moves of a kind are looked at. */
type Counts = (kind: number) => boolean;

const isForced: Counts = (kind) => (kind & LANE) !== NO_LANE;
const isNoProgress: Counts = (kind) => (kind & PROGRESS) === 0;

/**
 * Neither by moves that are bound to be made nor by moves that end nothing does the machine
 * ever come back to a state.
 */
export const neverReturns = (rows: Rows): boolean =>
  [isForced, isNoProgress].every(
    (counts) => patchersAdvance(rows, counts) && cpusAdvance(rows, counts),
  );

function patchersAdvance({ patchers }: Rows, counts: Counts): boolean {
  const graph = new Digraph();
  for (const { patcher, moves } of patchers)
    for (const move of moves) if (counts(patcherLane(move))) graph.add(patcher, move.patcher);
  return graph.isAcyclic();
}

/**
 * A row is an image of a core, a stance and an environment, and there are far fewer of each than
 * there are rows: where no image comes back, and no stance while an image stays, no row does. Only
 * where one of them does are the rows themselves looked at.
 */
function cpusAdvance(rows: Rows, counts: Counts): boolean {
  const { table, lanes } = rows;
  const { cpus } = table;
  const [environments, images, stances] = [new Digraph(), new Digraph(), new Digraph()];
  /** By action, the image whose edge it was last. */
  const taken: number[] = [];
  for (let row = 0; row < table.rows; row++) {
    const environment = table.at(row);
    const [image, stance] = [cpus.imageOf(table.of(row)), cpus.stanceOf(table.of(row))];
    for (let move = table.first(row); move < table.end(row); move++) {
      const cpu = table.cpu(move);
      if (cpu < 0 || !counts(lanes.of(table, move, 0))) continue;
      const after = table.environment(move);
      if (after !== environment) {
        environments.add(environment, after);
        continue;
      }
      if (table.broadcast(move) >= 0) return false;
      const action = table.actionId(move);
      if (taken[action] === image) continue;
      const next = cpus.imageOf(cpu);
      if (next === image) stances.add(stance, cpus.stanceOf(cpu));
      else {
        images.add(image, next);
        taken[action] = image;
      }
    }
  }
  if (!environments.isAcyclic()) return false;
  return (images.isAcyclic() && stances.isAcyclic()) || rowsAdvance(rows, counts);
}

/** Whether no CPU comes back by moves that keep their environment. */
function rowsAdvance({ table, lanes }: Rows, counts: Counts): boolean {
  const rows = new Digraph();
  for (let row = 0; row < table.rows; row++) {
    const environment = table.at(row);
    for (let move = table.first(row); move < table.end(row); move++) {
      const cpu = table.cpu(move);
      if (cpu < 0 || !counts(lanes.of(table, move, 0))) continue;
      const next = table.environment(move) === environment ? table.find(cpu, environment) : NONE;
      if (next >= 0) rows.add(row, next);
    }
  }
  return rows.isAcyclic();
}

/** Nodes are small numbers. */
class Digraph {
  /** By node: its last edge, and how many lead to it. */
  readonly #last: number[] = [];
  readonly #into: number[] = [];
  /** By edge: the one that was added before from the same node. */
  readonly #earlier: number[] = [];
  readonly #to: number[] = [];

  add(from: number, to: number): void {
    this.#know(Math.max(from, to));
    // The same edge comes many times in a row.
    if (this.#to[this.#last[from]!] === to) return;
    this.#earlier.push(this.#last[from]!);
    this.#last[from] = this.#to.push(to) - 1;
    this.#into[to]!++;
  }
  #know(node: number): void {
    while (this.#last.length <= node) {
      this.#last.push(NONE);
      this.#into.push(0);
    }
  }

  /** Takes nodes away that no edge leads to, with their edges, until none is left (Kahn 1962). */
  isAcyclic(): boolean {
    const into = [...this.#into];
    const free = [...into.keys()].filter((node) => into[node] === 0);
    let taken = 0;
    for (let node = free.pop(); node !== undefined; node = free.pop()) {
      taken++;
      for (let edge = this.#last[node]!; edge !== NONE; edge = this.#earlier[edge]!) {
        const to = this.#to[edge]!;
        if (--into[to]! === 0) free.push(to);
      }
    }
    return taken === into.length;
  }
}
const NONE = -1;

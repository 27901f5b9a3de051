// Breadth-first search of the product of the parts, as src/check/search/expand.ts and
// src/check/search/walk.ts say it: the same moves in the same order, so that every state has the
// same number. `expand` there is the reference; this is what V8 makes no objects for.
//
// A second run over the same states writes the edges between them, where they are asked for.

import {
  board,
  deskOf,
  giveUp,
  handOver,
  isGivenUp,
  me,
  orderOf,
  pieceAt,
  takePiece,
} from './board';
import { broken } from './host';
import { take } from './memory';
import {
  begin,
  besideOf,
  emptyBuckets,
  found,
  intern,
  isCrowded,
  known,
  leave,
  next,
  noneWaits,
  partOf,
  read,
  readAhead,
  setPart,
  state,
  wait,
  waiting,
  waitOnce,
} from './states';
import {
  afterOf,
  ALONE,
  ANSWERED,
  ASKED,
  askNothing,
  bitsOfCpu,
  bitsOfPatcher,
  BUFFERS,
  DONE,
  FINISHED,
  forgetUnknown,
  isUnknown,
  KIND,
  LOCAL,
  Move,
  PATCHES,
  PATCHING,
  Row,
  rowOfCpu,
  rowOfPatcher,
  UNTOLD,
} from './tables';

/** Where the numbers of a state are. */
const PATCHER: u32 = 0;
const ENVIRONMENT: u32 = 1;
const CPUS: u32 = 2;

/** The lane of a move for which no fairness is assumed (src/check/search/graph.ts). */
const LANE: u32 = 0x1f;
const NO_LANE: u32 = 31;

// What is searched.
let cpus: u32 = 0;
let sorted: bool = false;
let partial: bool = false;
let localFirst: bool = false;
let hosted: bool = false;

/** The state that is expanded. */
let at: u32 = 0;
export let transitions: u32 = 0;
/** Moves after which the machine cannot go on. */
export let overs: u32 = 0;
/** States where the program has ended, or a path does. */
export let ends: u32 = 0;
/** States that are no ends and have no move but those that nothing forces (engine.ts). */
export let idle: u32 = 0;

// Of the state that is expanded.
let isOver: bool = false;
let isForced: bool = false;

/** The state that lies in `next` is the initial one. */
export function start(
  cpuCount: u32,
  isSorted: bool,
  isPartial: bool,
  takesLocal: bool,
  isHosted: bool,
): void {
  cpus = cpuCount;
  sorted = isSorted;
  partial = isPartial;
  localFirst = takesLocal;
  hosted = isHosted;
  begin(CPUS + cpus);
  transitions = 1;
  sort();
  wait(-1);
  lookUp();
}

/** Expands states in turn, at most so many. @returns the first that is left */
export function advance(most: u32, limit: u32): u32 {
  for (let left = most; left > 0; left--) {
    if (at === found() || found() + waiting > limit) lookUp();
    if (at === found() || found() > limit || halted) break;
    expandOne();
    at++;
  }
  lookUp();
  return at;
}
function expandOne(): void {
  moves = 0;
  isOver = false;
  isForced = false;
  read(at, state);
  const ended = expand();
  if (ended || isOver) ends++;
  else if (!isForced) idle++;
}

/** The machine met what it does not know: the search ends with the state that is expanded. */
let halted: bool = false;
export function halt(): void {
  halted = true;
}

// The edges, once every state has been expanded: by state where its edges begin, where each leads,
// and its kind.

export let firsts: usize = 0;
export let targets: usize = 0;
export let kinds: usize = 0;
export let ended: usize = 0;
let edges: u32 = 0;
let isWriting: bool = false;

/** Expands every state again, and writes the edges. */
export function graph(): void {
  const count = found();
  const all = transitions - 1 + overs;
  firsts = take((<usize>count + 1) << 2);
  targets = take((<usize>all) << 2);
  kinds = take(all);
  ended = take((<usize>ends) << 2);
  isWriting = true;
  let end = ended;
  for (at = 0; at < count; at++) {
    store<u32>(firsts + ((<usize>at) << 2), edges + waiting);
    isOver = false;
    read(at, state);
    if (expand() || isOver) {
      store<u32>(end, at);
      end += 4;
    }
  }
  lookUp();
  store<u32>(firsts + ((<usize>count) << 2), edges);
  isWriting = false;
}

// What threads that search together do (together.ts).

/** The states that are found are left to their owners, by this thread or as one that was late. */
let isShared: bool = false;
let leaver: u32 = 0;

const SORTED: u32 = 1;
const PARTIAL: u32 = 2;
const LOCAL_FIRST: u32 = 4;
const HOSTED: u32 = 8;

/** What is searched, for the other threads. */
export function postSearch(): void {
  board.cpus = cpus;
  board.flags =
    (sorted ? SORTED : 0) |
    (partial ? PARTIAL : 0) |
    (localFirst ? LOCAL_FIRST : 0) |
    (hosted ? HOSTED : 0);
}
export function readSearch(): void {
  cpus = board.cpus;
  sorted = (board.flags & SORTED) !== 0;
  partial = (board.flags & PARTIAL) !== 0;
  localFirst = (board.flags & LOCAL_FIRST) !== 0;
  hosted = (board.flags & HOSTED) !== 0;
}

/** Moves of the state that is expanded, so far. */
let moves: u32 = 0;
/** Expands piece after piece of the batch; some states wait for the main thread. */
export function expandShare(): void {
  askNothing(true);
  const queued = startShare(me);
  deskOf(me).lateCount = 0;
  for (let piece = takePiece(); piece !== null && !isGivenUp(); piece = takePiece()) {
    expandAll(piece.from, piece.until);
    handOver(piece);
  }
  askNothing(false);
  endShare(me, queued);
}
function expandAll(from: u32, until: u32): void {
  const desk = deskOf(me);
  for (at = from; at < until && !isGivenUp(); at++) {
    const over = overs;
    const moved = transitions;
    const ended = ends;
    const idled = idle;
    expandOne();
    if (!isUnknown) continue;
    forgetUnknown();
    // What it led to so far comes again, and is in the same place of the order.
    overs = over;
    transitions = moved;
    ends = ended;
    idle = idled;
    store<u32>(desk.late + ((<usize>desk.lateCount) << 2), at);
    desk.lateCount++;
  }
}
/** Expands the states that wait for the main thread, which is this one, in turn. */
export function expandLate(): void {
  const queued = startShare(board.hands);
  for (let hand: u32 = 0; hand < board.hands; hand++) deskOf(hand).lateCount = 0;
  for (let i: u32 = 0; i < board.pieces; i++) {
    const piece = pieceAt(i);
    const desk = deskOf(piece.hand);
    for (; desk.lateCount < piece.lateEnd && !isGivenUp(); desk.lateCount++) {
      at = load<u32>(desk.late + ((<usize>desk.lateCount) << 2));
      expandOne();
    }
  }
  endShare(board.hands, queued);
}
function startShare(hand: u32): u32 {
  emptyBuckets(hand);
  isShared = true;
  leaver = hand;
  const desk = deskOf(hand);
  desk.transitions = transitions;
  desk.overs = overs;
  desk.ends = ends;
  desk.idle = idle;
  return at;
}
/** What was counted goes to the desk: nothing counts of a batch that is given up. */
function endShare(hand: u32, queued: u32): void {
  const desk = deskOf(hand);
  const moved = desk.transitions;
  const over = desk.overs;
  const ended = desk.ends;
  const idled = desk.idle;
  desk.transitions = transitions - moved;
  desk.overs = overs - over;
  desk.ends = ends - ended;
  desk.idle = idle - idled;
  transitions = moved;
  overs = over;
  ends = ended;
  idle = idled;
  isShared = false;
  at = queued;
}
/** Takes a batch for expanded, up to a state. */
export function passed(until: u32): void {
  for (let hand: u32 = 0; hand <= board.hands; hand++) {
    const desk = deskOf(hand);
    transitions += desk.transitions;
    overs += desk.overs;
    ends += desk.ends;
    idle += desk.idle;
  }
  at = until;
}
/** Where the next batch begins. */
export function expanded(): u32 {
  return at;
}

function edge(target: i32, kind: u32): void {
  store<i32>(targets + ((<usize>edges) << 2), target);
  store<u8>(kinds + edges, <u8>kind);
  edges++;
}

/** Every move of the state, or only some where the others lead to nothing else. */
function expand(): bool {
  const patcher = partOf(state, PATCHER);
  const environment = partOf(state, ENVIRONMENT);
  const row = rowOfPatcher(patcher, environment);
  const host = hosted ? cpuWith(PATCHING) : -1;
  if (partial && host < 0 && takenAlone(row)) return false;
  // The stores of a patcher that is a task are those of its CPU, and an event drains them.
  const busy = host >= 0 && (bitsOfPatcher(patcher) & BUFFERS) !== 0 ? host : -1;
  const alone = localFirst ? cpuWith(LOCAL) : -1;
  if (alone >= 0) {
    if (alone !== busy) cpuMoves(alone, environment);
    return false;
  }
  let some: u32 = 0;
  let every: u32 = DONE;
  for (let i: u32 = 0; i < cpus; i++) {
    const bits = bitsOfCpu(partOf(state, CPUS + i));
    some |= bits;
    every &= bits;
    if (<i32>i !== busy) cpuMoves(i, environment);
  }
  if (host < 0 || (bitsOfCpu(partOf(state, CPUS + host)) & PATCHES) !== 0)
    patcherMoves(row, (some & ASKED) !== 0);
  return every !== 0 && (bitsOfPatcher(patcher) & FINISHED) !== 0;
}

/** The first CPU with a bit; -1 for none. */
function cpuWith(bit: u32): i32 {
  for (let i: u32 = 0; i < cpus; i++)
    if ((bitsOfCpu(partOf(state, CPUS + i)) & bit) !== 0) return i;
  return -1;
}

/** Takes the patcher's move that may be taken alone, if there is one. */
function takenAlone(row: Row): bool {
  for (let each = row.moves, end = row.end; each < end; each += offsetof<Move>()) {
    const move = changetype<Move>(each);
    if ((move.kind & ALONE) === 0) continue;
    copy();
    setPart(next, PATCHER, move.to);
    visit(move.kind & KIND);
    return true;
  }
  return false;
}

function patcherMoves(row: Row, asked: bool): void {
  for (let each = row.moves, end = row.end; each < end; each += offsetof<Move>()) {
    const move = changetype<Move>(each);
    if (asked && (move.kind & ANSWERED) !== 0) continue;
    copy();
    setPart(next, PATCHER, move.to);
    setPart(next, ENVIRONMENT, move.environment);
    if (move.broadcast >= 0) broadcast(move.broadcast);
    visit(move.kind & KIND);
  }
}

function cpuMoves(who: u32, environment: u32): void {
  const row = rowOfCpu(partOf(state, CPUS + who), environment);
  let number = row.first;
  for (let each = row.moves, end = row.end; each < end; each += offsetof<Move>(), number++) {
    const move = changetype<Move>(each);
    if ((move.kind & UNTOLD) !== 0) tell(move, number);
    let kind = move.kind & KIND;
    if ((kind & LANE) !== NO_LANE) kind += who;
    if (move.to < 0) {
      over(kind);
      continue;
    }
    copy();
    setPart(next, CPUS + who, move.to);
    setPart(next, ENVIRONMENT, move.environment);
    if (move.broadcast >= 0) broadcast(move.broadcast);
    visit(kind);
  }
}

/** It is told where its row is made, which is for a state that waited for the main thread. */
function tell(move: Move, number: u32): void {
  move.kind &= ~UNTOLD;
  broken(at, number);
  if (!isShared || !halted) return;
  // One thread ends with this state, and not with the batch.
  move.kind |= UNTOLD;
  halted = false;
  giveUp();
}

function copy(): void {
  for (let i: u32 = 0; i < CPUS + cpus; i++) setPart(next, i, partOf(state, i));
}
function broadcast(what: u32): void {
  for (let i: u32 = CPUS; i < CPUS + cpus; i++) setPart(next, i, afterOf(what, partOf(next, i)));
}

function visit(kind: u32): void {
  if ((kind & LANE) !== NO_LANE) isForced = true;
  sort();
  if (isShared) {
    transitions++;
    // What is not known may have made it another state than the move leads to.
    if (isUnknown) return;
    if (!leave(leaver, orderOf(at) | moves++)) giveUp();
    return;
  }
  if (isCrowded()) lookUp();
  if (isWriting) {
    wait(kind);
    return;
  }
  transitions++;
  waitOnce(at);
}
function over(kind: u32): void {
  isOver = true;
  if (isWriting) {
    lookUp();
    edge(-1, kind);
  } else overs++;
}
/** The states that wait are kept, or the edges that lead to them. */
function lookUp(): void {
  readAhead();
  for (let i: u32 = 0; i < waiting; i++) {
    if (isWriting) edge(known(i), besideOf(i));
    else intern(i);
  }
  noneWaits();
}

/** Equal CPUs in one order, where that is asked for. */
function sort(): void {
  if (!sorted) return;
  for (let i: u32 = CPUS + 1; i < CPUS + cpus; i++) {
    const part = partOf(next, i);
    let j = i;
    for (; j > CPUS && partOf(next, j - 1) > part; j--) setPart(next, j, partOf(next, j - 1));
    setPart(next, j, part);
  }
}

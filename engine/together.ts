// A search on several threads, which gives every state the number that one thread gives it. The
// main thread takes a batch off the queue and cuts it into pieces, and each thread expands one
// piece after the other. States with something that the tables do not have yet wait for the main
// thread, which then expands them in turn. Then each thread keeps what it owns of what all have
// found, and numbers what its pieces led to (states.ts). Between two of these phases all wait for
// each other, because each phase reads what the one before wrote.
//
// What only one thread can do, as to pack states anew, is rare: the batch is given up, and one
// thread does it again.

import {
  awaitBell,
  awaitOther,
  Board,
  board,
  cut,
  Desk,
  deskOf,
  filled,
  isGivenUp,
  me,
  MOST_HANDS,
  ring,
  sitDown,
} from './board';
import { lost } from './host';
import {
  advance,
  expanded,
  expandLate,
  expandShare,
  passed,
  postSearch,
  readSearch,
} from './search';
import {
  divide,
  double,
  forget,
  found,
  furnish,
  givePages,
  grownBy,
  hasRoomFor,
  keepNew,
  makeRoom,
  numberNew,
  post,
  readPost,
  regrow,
  unpackAt,
} from './states';

const EXPAND: u32 = 0;
const REGROW: u32 = 1;
const KEEP: u32 = 2;
const NUMBER: u32 = 3;
const GIVE: u32 = 4;
const GO: u32 = 5;

/** More moves than a state has, as a rule: so near to the limit, one thread finds where it ends. */
const MOVES: u32 = 64;
/** States of a batch for each thread. */
const SHARE: u32 = 1 << 14;

/** Makes room for so many threads, the main one among them. Power of two. */
export function hire(hands: u32): void {
  board.hands = min(hands, MOST_HANDS);
  for (let hand: u32 = 0; hand <= board.hands; hand++) furnish(deskOf(hand), SHARE * board.hands);
  postSearch();
}

/** Whether the others have come. */
export function areReady(): bool {
  for (let hand: u32 = 1; hand < board.hands; hand++)
    if (atomic.load<u32>(readyOf(hand)) === 0) return false;
  return true;
}
function readyOf(hand: u32): usize {
  return changetype<usize>(deskOf(hand)) + offsetof<Desk>('isReady');
}
/** @param room states that the table will hold before it is made anew */
export function begin(room: u32): void {
  divide(board.hands, room);
}
export function dismiss(): void {
  call(GO);
}

/** What a thread that helps does, until it is dismissed. */
export function help(hand: u32): void {
  sitDown(hand);
  const phase = changetype<usize>(board) + offsetof<Board>('phase');
  let known: u32 = 0;
  readSearch();
  unpackAt(deskOf(hand));
  atomic.store<u32>(readyOf(hand), 1);
  for (;;) {
    awaitOther(phase, known);
    known = atomic.load<u32>(phase);
    if (board.task === GO) return;
    readPost();
    share(board.task);
    atomic.sub<u32>(changetype<usize>(board) + offsetof<Board>('busy'), 1);
    ring();
  }
}

/** Instead of `help`, where that has thrown. */
export function fail(hand: u32): void {
  atomic.store<u32>(lostOf(hand), 1);
  ring();
}
function lostOf(hand: u32): usize {
  return changetype<usize>(deskOf(hand)) + offsetof<Desk>('isLost');
}
function isWhole(): bool {
  for (let hand: u32 = 1; hand < board.hands; hand++)
    if (atomic.load<u32>(lostOf(hand)) !== 0) return false;
  return true;
}

/** Batches that one thread does after one was given up: twice as many each time. */
let alone: u32 = 0;
let patience: u32 = 1;

/**
 * Expands a batch.
 * @param most states that one thread expands where it does so alone
 * @param least states that are worth the others' time
 * @returns the first that is left
 */
export function advanceTogether(most: u32, limit: u32, least: u32): u32 {
  const room = limit > found() ? (limit - found()) / MOVES : 0;
  const size = min(min(found() - expanded(), room), SHARE * board.hands);
  if (size < least) return advance(most, limit);
  if (alone > 0) {
    alone--;
    return advance(most, limit);
  }
  if (batch(size, limit)) {
    patience = 1;
    return expanded();
  }
  forget();
  alone = patience;
  patience = min(patience << 1, 1 << 6);
  return advance(most, limit);
}

/** @returns false where it was given up */
function batch(size: u32, limit: u32): bool {
  const first = expanded();
  cut(first, size);
  for (let hand: u32 = 0; hand < board.hands; hand++) deskOf(hand).freshCount = 0;
  board.givenUp = 0;
  inAll(EXPAND);
  if (!isGivenUp()) expandLate();
  const most = left();
  if (isGivenUp() || found() + most > limit) return false;
  if (!hasRoomFor(most)) {
    double();
    inAll(GIVE);
    inAll(REGROW);
  }
  inAll(KEEP);
  let fresh: u32 = 0;
  for (let hand: u32 = 0; hand < board.hands; hand++) fresh += deskOf(hand).freshCount;
  makeRoom(fresh);
  inAll(NUMBER);
  grownBy(fresh);
  passed(first + size);
  return true;
}
/** How many states are in all buckets. */
function left(): u32 {
  let sum: u32 = 0;
  for (let hand: u32 = 0; hand <= board.hands; hand++)
    for (let owner: u32 = 0; owner < board.hands; owner++) sum += filled(hand, owner);
  return sum;
}

function share(task: u32): void {
  if (task === EXPAND) expandShare();
  else if (task === GIVE) givePages(me, board.hands);
  else if (task === REGROW) regrow(me);
  else if (task === NUMBER) numberNew();
  else keepNew();
}

/** Every thread does its share of a phase. */
function inAll(task: u32): void {
  const busy = changetype<usize>(board) + offsetof<Board>('busy');
  const bell = changetype<usize>(board) + offsetof<Board>('bell');
  post();
  atomic.store<u32>(busy, board.hands - 1);
  call(task);
  share(task);
  for (;;) {
    const heard = atomic.load<u32>(bell);
    if (atomic.load<u32>(busy) === 0) return;
    if (!isWhole()) lost();
    awaitBell(heard);
  }
}
function call(task: u32): void {
  const phase = changetype<usize>(board) + offsetof<Board>('phase');
  board.task = task;
  atomic.add<u32>(phase, 1);
  atomic.notify(phase, -1);
}

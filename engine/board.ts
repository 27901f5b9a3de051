// What the threads of one search have in common beside the states and the tables: the memory is
// shared, and each thread has an instance of this module, whose globals are its own. So what all
// have to know is on the board, and what one leaves to the others is on its desk.
//
// Only the main thread, which has desk 0, asks TypeScript and takes memory.

import { take } from './memory';

/** At most so many threads. */
export const MOST_HANDS: u32 = 8;

@unmanaged
export class Board {
  /** Grows by one when a phase begins; the threads that help wait for it. */
  phase: u32;
  /** What is done in this phase (together.ts). */
  task: u32;
  /** Threads that have not finished it. */
  busy: u32;
  /** Grows when a thread has finished; the main thread waits for it. */
  bell: u32;
  /** Only one thread can do this batch, and nothing of what was done is kept. */
  givenUp: u32;
  hands: u32;
  /** States of the batch are shared out in so many pieces of so many states. */
  pieces: u32;
  pieceSize: u32;
  /** The first piece that no thread has taken. */
  untaken: u32;
  // What is searched (search.ts).
  cpus: u32;
  flags: u32;
  // The states and their table (states.ts).
  width: u32;
  wide: u32;
  layout: u32;
  count: u32;
  mask: u32;
  slots: usize;
  former: usize;
}

/** States of a batch that one thread expands, and numbers what they lead to. */
@unmanaged
export class Piece {
  from: u32;
  until: u32;
  /** The thread that took it. */
  hand: u32;
  /** Where its states that wait for the main thread end in that thread's list. */
  lateEnd: u32;
}
/** Where its entries end in each bucket of the thread lies behind a piece. */
const PIECE: usize = 64;
/** So many for each thread, so that the last one is not waited for long. */
export const PIECES: u32 = 16;

@unmanaged
export class Desk {
  isReady: u32;
  /** It has ended by a mistake of ours. */
  isLost: u32;
  /** States that it took and that wait for the main thread. */
  late: usize;
  lateCount: u32;
  // What it counted meanwhile.
  transitions: u32;
  overs: u32;
  ends: u32;
  idle: u32;
  /** Memory that only it uses while it expands. */
  own: usize;
  /** For each owner, what it found for that one. */
  buckets: usize;
  /** What it keeps that was not visited before. */
  fresh: usize;
  freshCount: u32;
}
/** How full its buckets are lies behind a desk. No two threads write to one line of a cache. */
const COUNTS: usize = 128;
const DESK: usize = 2 * COUNTS;

/** The same address in every instance, because each takes the same when it begins. */
export const board = changetype<Board>(take(offsetof<Board>()));
const desks: usize = (take(<usize>(MOST_HANDS + 2) * DESK) + DESK - 1) & ~(DESK - 1);
const pieces: usize = (take(<usize>(MOST_HANDS * PIECES + 1) * PIECE) + PIECE - 1) & ~(PIECE - 1);

/** Whose instance this is. */
export let me: u32 = 0;
export function sitDown(at: u32): void {
  me = at;
}
/** The desk behind those of all threads is that of states that wait for the main thread. */
export function deskOf(hand: u32): Desk {
  return changetype<Desk>(desks + <usize>hand * DESK);
}
/** How many entries a thread has left for an owner. */
export function filled(hand: u32, owner: u32): u32 {
  return load<u32>(placeOf(hand, owner));
}
export function fill(hand: u32, owner: u32, count: u32): void {
  store<u32>(placeOf(hand, owner), count);
}
function placeOf(hand: u32, owner: u32): usize {
  return changetype<usize>(deskOf(hand)) + COUNTS + ((<usize>owner) << 2);
}

export function pieceAt(i: u32): Piece {
  return changetype<Piece>(pieces + <usize>i * PIECE);
}
/** Cuts a batch into pieces that no thread has taken. */
export function cut(first: u32, size: u32): void {
  const most = board.hands * PIECES;
  board.pieceSize = (size + most - 1) / most;
  board.pieces = (size + board.pieceSize - 1) / board.pieceSize;
  for (let i: u32 = 0; i < board.pieces; i++) {
    const piece = pieceAt(i);
    piece.from = first + i * board.pieceSize;
    piece.until = first + min(size, (i + 1) * board.pieceSize);
  }
  board.untaken = 0;
}
/** Of the moves of a state. */
const MOVE_BITS: u32 = 12;
/** Before the order of what a state of the batch leads to. */
export function orderOf(id: u32): u32 {
  return (id - pieceAt(0).from) << MOVE_BITS;
}
/** The state of the batch that leads to what has an order. */
export function parentBy(order: u32): u32 {
  return pieceAt(0).from + (order >> MOVE_BITS);
}
/** The next piece, which this thread takes; null where all are taken. */
export function takePiece(): Piece | null {
  const i = atomic.add<u32>(changetype<usize>(board) + offsetof<Board>('untaken'), 1);
  return i < board.pieces ? pieceAt(i) : null;
}
/** Where a piece's entries for an owner end in the bucket of the thread that took it. */
export function endOf(piece: Piece, owner: u32): u32 {
  return load<u32>(changetype<usize>(piece) + offsetof<Piece>() + ((<usize>owner) << 2));
}
/** This thread has expanded a piece. */
export function handOver(piece: Piece): void {
  piece.hand = me;
  piece.lateEnd = deskOf(me).lateCount;
  const ends = changetype<usize>(piece) + offsetof<Piece>();
  for (let owner: u32 = 0; owner < board.hands; owner++)
    store<u32>(ends + ((<usize>owner) << 2), filled(me, owner));
}

/** One thread has to do the batch, and nothing of what was done is kept. */
export function giveUp(): void {
  atomic.store<u32>(changetype<usize>(board) + offsetof<Board>('givenUp'), 1);
}
export function isGivenUp(): bool {
  return atomic.load<u32>(changetype<usize>(board) + offsetof<Board>('givenUp')) !== 0;
}

/** Looks so many times before it sleeps, because phases are short, and to wake up takes long. */
const LOOKS: u32 = 100_000;
/** A sleep that ends by itself, so that a missed bell costs a millisecond and no more. */
const SLEEP_NS: i64 = 1_000_000;

/** Waits until a word is another one. */
export function awaitOther(word: usize, known: u32): void {
  for (let i: u32 = 0; i < LOOKS; i++) if (atomic.load<u32>(word) !== known) return;
  while (atomic.load<u32>(word) === known) atomic.wait<i32>(word, <i32>known, SLEEP_NS);
}
/** The same, but returns after a while in any case. */
export function awaitBell(known: u32): void {
  const word = changetype<usize>(board) + offsetof<Board>('bell');
  for (let i: u32 = 0; i < LOOKS; i++) if (atomic.load<u32>(word) !== known) return;
  atomic.wait<i32>(word, <i32>known, SLEEP_NS);
}
export function ring(): void {
  const word = changetype<usize>(board) + offsetof<Board>('bell');
  atomic.add<u32>(word, 1);
  atomic.notify(word, 1);
}

// The states that were visited. A state is the numbers of its parts: patcher, environment, CPUs. It
// is packed as in src/check/search/table.ts: two numbers in a word while they are small. A record
// is these words and the number of the state before it. Records lie in the order in which states
// were found, which is the queue of a breadth-first search.

import { board, Desk, deskOf, endOf, fill, filled, me, orderOf, parentBy, pieceAt } from './board';
import { exhausted } from './host';
import { outgrown, take, takeOld } from './memory';

/** Patcher and environment. */
const HEADS: u32 = 2;
const HALF: u32 = 0x10000;

const STATE: usize = 64;
/** The state that is expanded, and the one that a move leads to: sixteen numbers at most. */
export let state: usize = take(STATE);
export let next: usize = take(STATE);
/** For `find` and `widen`. */
const packed: usize = take(STATE);
const unpacked: usize = take(STATE);

export function partOf(at: usize, i: u32): u32 {
  return load<u32>(at + ((<usize>i) << 2));
}
export function setPart(at: usize, i: u32, part: u32): void {
  store<u32>(at + ((<usize>i) << 2), part);
}

let width: u32 = 0;
let wideHeads: bool = false;
let wideCpus: bool = false;
/** Bytes of a packed state; its parent is behind them. */
let size: usize = 0;
let count: u32 = 0;

const CHUNK_BITS: u32 = 12;
const CHUNK: u32 = 1 << CHUNK_BITS;
/** Chunks of records: 268 million states. */
const CHUNKS: usize = 1 << 16;
const chunks: usize = take(CHUNKS << 2);

/**
 * Open addressing, at most three quarters full, by lines of a cache: a hash names a line, whose
 * slots are filled from the first on, and what finds it full goes to the next line. A slot holds
 * one more than a state's number, in as many low bits as the table's size needs, and the bits of
 * the hash above them, so that hardly any other record is compared.
 */
let mask: u32 = (1 << 12) - 1;
const LINE: u32 = 16;
const LINE_BYTES: usize = (<usize>LINE) << 2;
let slots: usize = takeSlots(mask + 1);
function takeSlots(length: u32): usize {
  return (take(((<usize>length) << 2) + LINE_BYTES) + LINE_BYTES - 1) & ~(LINE_BYTES - 1);
}

/**
 * Threads that search together have a part of the table each, so that none waits for another one:
 * every so many lines, because a line that two CPUs write moves between them.
 */
let parts: u32 = 1;
/** Whose a hash is. It stays so when the table grows. */
export function ownerOf(hash: u32): u32 {
  return (hash / LINE) & (parts - 1);
}
/** The first slot of the line that a hash names. */
function lineOf(hash: u32): u32 {
  return hash & mask & ~(LINE - 1);
}
/** The next slot of the same owner. */
function stepped(i: u32): u32 {
  return (i + ((i & (LINE - 1)) === LINE - 1 ? 1 + (parts - 1) * LINE : 1)) & mask;
}

export function begin(numbers: u32): void {
  width = numbers;
  layOut();
}
function layOut(): void {
  const cpus = width - HEADS;
  const words = (wideHeads ? HEADS : 1) + (wideCpus ? cpus : (cpus + 1) >> 1);
  size = (<usize>words) << 2;
}

export function found(): u32 {
  return count;
}
function recordAt(id: u32): usize {
  const chunk = load<usize>(chunks + ((<usize>(id >> CHUNK_BITS)) << 2));
  return chunk + <usize>(id & (CHUNK - 1)) * (size + 4);
}
/** Of the records and of the slots. */
export function bytes(): f64 {
  const all = ((count + CHUNK - 1) >> CHUNK_BITS) << CHUNK_BITS;
  return <f64>all * (size + 4) + 4 * (<f64>mask + 1);
}

/** Unpacks a state. */
export function read(id: u32, into: usize): void {
  unpack(recordAt(id), into, wideHeads, wideCpus);
}
export function parentOf(id: u32): i32 {
  return load<i32>(recordAt(id) + size);
}

function unpack(from: usize, into: usize, heads: bool, cpus: bool): void {
  let at = from;
  const first = load<u32>(at);
  at += 4;
  if (heads) {
    setPart(into, 0, first);
    setPart(into, 1, load<u32>(at));
    at += 4;
  } else {
    setPart(into, 0, first & (HALF - 1));
    setPart(into, 1, first >> 16);
  }
  for (let i = HEADS; i < width; at += 4) {
    const word = load<u32>(at);
    if (cpus) setPart(into, i++, word);
    else {
      setPart(into, i++, word & (HALF - 1));
      if (i < width) setPart(into, i++, word >> 16);
    }
  }
}

/** Whether a number of the state in `next` has no room in half a word where others have. */
function isTooWide(): bool {
  if (!wideHeads && (partOf(next, 0) | partOf(next, 1)) >= HALF) return true;
  if (wideCpus) return false;
  let all: u32 = 0;
  for (let i = HEADS; i < width; i++) all |= partOf(next, i);
  return all >= HALF;
}

/** Packs a state, and hashes it as it goes. The hash's low bits choose the slot: mixed last. */
function pack(from: usize, into: usize): u32 {
  let at = into;
  let hash: u32 = 0;
  if (wideHeads) {
    store<u32>(at, partOf(from, 0));
    hash = mixed(hash, partOf(from, 0));
    at += 4;
  }
  const head = wideHeads ? partOf(from, 1) : partOf(from, 0) | (partOf(from, 1) << 16);
  store<u32>(at, head);
  hash = mixed(hash, head);
  at += 4;
  for (let i = HEADS; i < width; at += 4) {
    let word = partOf(from, i++);
    if (!wideCpus && i < width) word |= partOf(from, i++) << 16;
    store<u32>(at, word);
    hash = mixed(hash, word);
  }
  return hash;
}
function mixed(hash: u32, word: u32): u32 {
  const product = (hash ^ word) * 0x9e3779b1;
  return product ^ (product >> 15);
}

// Most of a search is waiting for memory: a lookup reads a slot and a record that no cache holds.
// So states wait until there are some, and the places of all are read before the first is needed:
// then the CPU waits for many at once.

/** What goes with a state that waits, its hash, and its words behind these. */
@unmanaged
class Waiting {
  beside: u32;
  hash: u32;
}
const ROOM: usize = 72;
const MOST: u32 = 128;
let queue: usize = take(<usize>MOST * ROOM);
export let waiting: u32 = 0;

function waitingAt(i: u32): Waiting {
  return changetype<Waiting>(queue + <usize>i * ROOM);
}
function wordsOf(each: Waiting): usize {
  return changetype<usize>(each) + offsetof<Waiting>();
}

/** Whether the state in `next` has to wait until none waits before it. */
export function isCrowded(): bool {
  return waiting === MOST || isTooWide();
}
/** @param beside the number of its parent, or the kind of its edge */
export function wait(beside: u32): void {
  if (isTooWide()) widen();
  const each = waitingAt(waiting++);
  each.beside = beside;
  each.hash = pack(next, wordsOf(each));
}
/** Leaves out a state that is known to have waited before, and so has a number or gets one. */
export function waitOnce(beside: u32): void {
  wait(beside);
  if (isRecent(waitingAt(waiting - 1))) waiting--;
}
export function besideOf(i: u32): u32 {
  return waitingAt(i).beside;
}
export function noneWaits(): void {
  waiting = 0;
}

// The moves of two CPUs commute, and both orders are close together in the queue: most moves lead
// to a state that waited shortly before. These fit in the second cache, and the table in none.

const RECENT: u32 = 1 << 14;
/** By hash, the last state that waited: under which layout, and its words. */
let recent: usize = take(<usize>RECENT * 68);
/** Grows when states are packed anew: no state that was packed before equals one packed since. */
let layout: u32 = 1;

/** Whether the state is the last one that waited with such a hash. From now on it is. */
function isRecent(each: Waiting): bool {
  const words = wordsOf(each);
  const place = recent + <usize>(each.hash & (RECENT - 1)) * (size + 4);
  let same = load<u32>(place) === layout;
  for (let i: usize = 0; i < size; i += 4)
    same = same && load<u32>(place + 4 + i) === load<u32>(words + i);
  if (same) return true;
  store<u32>(place, layout);
  copyWords(words, place + 4);
  return false;
}

/** Without it a compiler would leave out the reads. */
export let readings: u32 = 0;
/** Of each that waits, or of each entry of a block: the first slot that may be its own. */
let places: usize = take((<usize>MOST) << 2);
function placeOf(i: u32): u32 {
  return load<u32>(places + ((<usize>i) << 2));
}
export function readAhead(): void {
  if (!hasRoomFor(waiting)) grow();
  let sum: u32 = 0;
  for (let i: u32 = 0; i < waiting; i++) sum ^= load<u32>(slotAt(lineOf(waitingAt(i).hash)));
  for (let i: u32 = 0; i < waiting; i++) sum ^= approach(i, waitingAt(i).hash);
  readings = sum;
}
/** Finds the first slot that may be the one of a hash, and reads its record. */
function approach(i: u32, hash: u32): u32 {
  const place = likely(lineOf(hash), hash);
  store<u32>(places + ((<usize>i) << 2), place);
  const id = (load<u32>(slotAt(place)) & mask) - 1;
  // One that is new in this batch has no record yet, and a free slot has none.
  return id < count ? load<u32>(recordAt(id)) : 0;
}

/** Keeps a state that waits: one that was not visited yet gets the next number. */
export function intern(i: u32): void {
  const each = waitingAt(i);
  const slot = slotFrom(placeOf(i), each.hash, wordsOf(each));
  if (load<u32>(slot) !== 0) return;
  const id = count++;
  store<u32>(slot, (each.hash & ~mask) | count);
  if ((id & (CHUNK - 1)) === 0) another(id >> CHUNK_BITS);
  write(id, wordsOf(each), each.beside);
}
/** The number of a state that waits and was visited. */
export function known(i: u32): u32 {
  const each = waitingAt(i);
  return (load<u32>(slotFrom(placeOf(i), each.hash, wordsOf(each))) & mask) - 1;
}
/** -1 for a state, in `next`, that was not visited. */
export function find(): i32 {
  if (isTooWide()) return -1;
  const hash = pack(next, packed);
  return (load<u32>(slotFrom(lineOf(hash), hash, packed)) & mask) - 1;
}

function slotAt(i: u32): usize {
  return slots + ((<usize>i) << 2);
}
/** The first slot from one on that is free, or may be the one of a hash. */
function likely(from: u32, hash: u32): u32 {
  const above = hash & ~mask;
  let i = from;
  for (let entry = load<u32>(slotAt(i)); entry !== 0; entry = load<u32>(slotAt(i))) {
    if ((entry & ~mask) === above) break;
    i = stepped(i);
  }
  return i;
}
/** Where a packed state is in the table, from a slot on, or the free slot where it belongs. */
function slotFrom(from: u32, hash: u32, words: usize): usize {
  let i = likely(from, hash);
  for (let entry = load<u32>(slotAt(i)); entry !== 0; entry = load<u32>(slotAt(i))) {
    if (isAt((entry & mask) - 1, words)) break;
    i = likely(stepped(i), hash);
  }
  return slotAt(i);
}
function isAt(id: u32, words: usize): bool {
  const record = id < count ? recordAt(id) : wordsOfFresh(id - count);
  for (let i: usize = 0; i < size; i += 4)
    if (load<u32>(record + i) !== load<u32>(words + i)) return false;
  return true;
}

function write(id: u32, words: usize, parent: u32): void {
  const record = recordAt(id);
  for (let i: usize = 0; i < size; i += 4) store<u32>(record + i, load<u32>(words + i));
  store<u32>(record + size, parent);
}
function another(chunk: usize): void {
  if (chunk >= CHUNKS) exhausted();
  store<usize>(chunks + (chunk << 2), takeOld(<usize>CHUNK * (size + 4)));
}

/** A table twice as long. The outgrown one is where the next states go. */
function grow(): void {
  double();
  givePages(0, 1);
  for (let owner: u32 = 0; owner < parts; owner++) regrow(owner);
}
/** A table of any length, for states that were packed or shared out anew. */
function rehash(length: u32): void {
  const old = slots;
  const oldBytes = (<usize>mask + 1) << 2;
  renew(length);
  givePages(0, 1);
  for (let from: u32 = 0; from < count; from += MOST) refill(from, min(count, from + MOST));
  outgrown(old, oldBytes);
}
function renew(length: u32): void {
  mask = length - 1;
  slots = takeSlots(length);
}
/** What `regrow` fills the new table from, until more memory is taken. */
let former: usize = 0;
/** An empty table, twice as long. */
export function double(): void {
  former = slots;
  renew(2 * (mask + 1));
  outgrown(former, (<usize>mask + 1) << 1);
}
/**
 * Has the pages of a new table given: this thread's of so many threads. A page that is read before
 * it is written is given twice, and the second time every CPU is told.
 */
export function givePages(thread: u32, threads: u32): void {
  const end = slots + ((<usize>mask + 1) << 2);
  const step = (<usize>threads) << 12;
  for (let at = slots + ((<usize>thread) << 12); at < end; at += step) store<u32>(at, 0);
}
/**
 * Fills an owner's part of the table that is twice as long. A line becomes two, and the first bit
 * of the hash in a slot says which, so no record is read. Both tables are gone through from the
 * front to the end, where a slot for each hash would be looked for in memory that no cache holds.
 * Only behind a full line there may be what belongs to another line.
 */
export function regrow(owner: u32): void {
  const length = (mask + 1) >> 1;
  let wasFull = isFull(length - (parts - owner) * LINE);
  for (let line = owner * LINE; line < length; line += parts * LINE) {
    if (wasFull) moveByHash(line);
    else moveByBit(line, length);
    wasFull = isFull(line);
  }
}
function formerAt(i: u32): u32 {
  return load<u32>(former + ((<usize>i) << 2));
}
function isFull(line: u32): bool {
  return formerAt(line + LINE - 1) !== 0;
}
function moveByBit(line: u32, length: u32): void {
  for (let i = line; i < line + LINE; i++) {
    const entry = formerAt(i);
    if (entry === 0) return;
    put(line + (entry & length), entry & ~length);
  }
}
function moveByHash(line: u32): void {
  for (let i = line; i < line + LINE; i++) {
    const number = formerAt(i) & (mask >> 1);
    if (number === 0) return;
    const hash = hashOf(number - 1);
    put(lineOf(hash), (hash & ~mask) | number);
  }
}
function put(from: u32, entry: u32): void {
  let i = from;
  while (load<u32>(slotAt(i)) !== 0) i = stepped(i);
  store<u32>(slotAt(i), entry);
}
function hashOf(id: u32): u32 {
  const record = recordAt(id);
  let hash: u32 = 0;
  for (let i: usize = 0; i < size; i += 4) hash = mixed(hash, load<u32>(record + i));
  return hash;
}
/** Puts some states, at most `MOST`, into a new table. */
function refill(from: u32, end: u32): void {
  let sum: u32 = 0;
  let place = hashes;
  for (let id = from; id < end; id++) {
    const hash = hashOf(id);
    store<u32>(place, hash);
    place += 4;
    sum ^= load<u32>(slotAt(lineOf(hash)));
  }
  readings = sum;
  for (let id = from; id < end; id++) {
    const hash = load<u32>(hashes + ((<usize>(id - from)) << 2));
    put(lineOf(hash), (hash & ~mask) | (id + 1));
  }
}

/** Packs every state anew, so that the one in `next` can be kept too. */
function widen(): void {
  const heads = wideHeads;
  const cpus = wideCpus;
  const before = size + 4;
  layout++;
  wideHeads = heads || (partOf(next, 0) | partOf(next, 1)) >= HALF;
  for (let i = HEADS; i < width; i++) wideCpus = wideCpus || partOf(next, i) >= HALF;
  layOut();
  for (let id: u32 = 0; id < count;) {
    const place = chunks + ((<usize>(id >> CHUNK_BITS)) << 2);
    let old = load<usize>(place);
    store<usize>(place, take(<usize>CHUNK * (size + 4)));
    const end = min(count, id + CHUNK);
    for (; id < end; id++, old += before) {
      unpack(old, unpacked, heads, cpus);
      pack(unpacked, packed);
      write(id, packed, load<u32>(old + before - 4));
    }
  }
  rehash(mask + 1);
}
const hashes: usize = take((<usize>MOST) << 2);

// Threads that search together (together.ts). While they expand states of a batch, each leaves what
// it finds in buckets, one for each owner of a part of the table. Then each owner keeps what is new
// in its buckets, which still have no numbers: the owners' new states are numbered in the order in
// which one thread would have found them.

/** What was found, in a bucket. Its words follow. */
@unmanaged
class Entry {
  /** Ascends in the order in which one thread would have found them. */
  order: u32;
  hash: u32;
}
/** What is new. */
@unmanaged
class Fresh {
  /** Of its entry, which lies elsewhere. */
  order: u32;
  entry: Entry;
  /** Where it is in the table. */
  slot: usize;
}
/** Of all buckets of a thread. One that finds more gives the batch up. */
const ENTRIES: u32 = 1 << 17;
function bucketMost(): u32 {
  return ENTRIES / board.hands;
}
function entryMost(): usize {
  return offsetof<Entry>() + ((<usize>width) << 2);
}

/** Memory of a thread that helps: its states, what waits, places, what it found last. */
const OWN: usize = 2 * STATE + <usize>MOST * (ROOM + 4) + <usize>RECENT * 68;

/** Only the main thread takes memory. */
export function furnish(desk: Desk, states: u32): void {
  desk.own = take(OWN);
  desk.late = take((<usize>states) << 2);
  desk.buckets = take(entryMost() * ENTRIES);
  // From each thread a bucket, and one of those states that waited.
  desk.fresh = take(2 * offsetof<Fresh>() * ENTRIES);
}
/** A thread that helps works in memory of its own. */
export function unpackAt(desk: Desk): void {
  state = desk.own;
  next = state + STATE;
  queue = next + STATE;
  places = queue + <usize>MOST * ROOM;
  recent = places + ((<usize>MOST) << 2);
}

/** What the main thread knows of states and their table, for the others. */
export function post(): void {
  board.width = width;
  board.wide = (wideHeads ? 1 : 0) | (wideCpus ? 2 : 0);
  board.layout = layout;
  board.count = count;
  board.mask = mask;
  board.slots = slots;
  board.former = former;
}
export function readPost(): void {
  width = board.width;
  wideHeads = (board.wide & 1) !== 0;
  wideCpus = (board.wide & 2) !== 0;
  layout = board.layout;
  count = board.count;
  mask = board.mask;
  slots = board.slots;
  former = board.former;
  parts = board.hands;
  layOut();
}
/** From now on the table has so many owners, and room for so many states. */
export function divide(hands: u32, room: u32): void {
  parts = hands;
  let length = mask + 1;
  while (length - (length >> 2) < room) length *= 2;
  rehash(length);
}
/** No state waited before: what was found last was not kept. */
export function forget(): void {
  layout++;
}

function entryAt(entries: usize, i: u32): Entry {
  return changetype<Entry>(entries + <usize>i * (offsetof<Entry>() + size));
}
function wordsBehind(entry: Entry): usize {
  return changetype<usize>(entry) + offsetof<Entry>();
}
function copyWords(from: usize, to: usize): void {
  for (let i: usize = 0; i < size; i += 4) store<u32>(to + i, load<u32>(from + i));
}
function bucketOf(hand: u32, owner: u32): usize {
  return deskOf(hand).buckets + <usize>owner * bucketMost() * entryMost();
}

export function emptyBuckets(hand: u32): void {
  for (let owner: u32 = 0; owner < parts; owner++) fill(hand, owner, 0);
}
/** Leaves the state in `next` to its owner. @returns false where there is no room for it */
export function leave(hand: u32, order: u32): bool {
  if (isTooWide()) return false;
  const each = waitingAt(0);
  each.hash = pack(next, wordsOf(each));
  // What waited for the main thread comes before what that has found already.
  if (hand === me && isRecent(each)) return true;
  const owner = ownerOf(each.hash);
  const at = filled(hand, owner);
  if (at === bucketMost()) return false;
  const entry = entryAt(bucketOf(hand, owner), at);
  entry.order = order;
  entry.hash = each.hash;
  copyWords(wordsOf(each), wordsBehind(entry));
  fill(hand, owner, at + 1);
  return true;
}

/** Whether so many more would not make the table too full. */
export function hasRoomFor(more: u32): bool {
  return count + more <= mask - (mask >> 2);
}
/** Of the owner whose instance this is. */
let freshAt: usize = 0;
function wordsOfFresh(i: u32): usize {
  return wordsBehind(freshOf(freshAt, i).entry);
}
/** Keeps what is new in this owner's buckets, piece by piece, and late states where they belong. */
export function keepNew(): void {
  const desk = deskOf(me);
  freshAt = desk.fresh;
  const hands = board.hands;
  for (let hand: u32 = 0; hand <= hands; hand++) setNext(hand, 0);
  for (let i: u32 = 0; i < board.pieces; i++) {
    const piece = pieceAt(i);
    keepFrom(piece.hand, endOf(piece, me), desk);
  }
  keepLate(U32.MAX_VALUE, desk);
}
/** Up to the end of a piece. */
function keepFrom(hand: u32, end: u32, desk: Desk): void {
  const bucket = bucketOf(hand, me);
  for (let first = nextOf(hand); first < end; first += MOST) {
    const last = min(end, first + MOST);
    readAheadOf(bucket, first, last);
    for (let i = first; i < last; i++) {
      const entry = entryAt(bucket, i);
      keepLate(entry.order, desk);
      keepIfNew(entry, placeOf(i - first), desk);
    }
  }
  setNext(hand, end);
}
/** Those states that waited for the main thread, up to an order. */
function keepLate(order: u32, desk: Desk): void {
  const hand = board.hands;
  const late = bucketOf(hand, me);
  const all = filled(hand, me);
  for (let i = nextOf(hand); i < all && entryAt(late, i).order < order; i++) {
    const entry = entryAt(late, i);
    keepIfNew(entry, lineOf(entry.hash), desk);
    setNext(hand, i + 1);
  }
}
function readAheadOf(bucket: usize, first: u32, end: u32): void {
  let sum: u32 = 0;
  for (let i = first; i < end; i++) sum ^= load<u32>(slotAt(lineOf(entryAt(bucket, i).hash)));
  for (let i = first; i < end; i++) sum ^= approach(i - first, entryAt(bucket, i).hash);
  readings = sum;
}
/** @param place a slot before which it is not */
function keepIfNew(entry: Entry, place: u32, desk: Desk): void {
  const slot = slotFrom(place, entry.hash, wordsBehind(entry));
  if (load<u32>(slot) !== 0) return;
  const fresh = freshOf(freshAt, desk.freshCount++);
  store<u32>(slot, (entry.hash & ~mask) | (count + desk.freshCount));
  fresh.order = entry.order;
  fresh.entry = entry;
  fresh.slot = slot;
}
function freshOf(all: usize, i: u32): Fresh {
  return changetype<Fresh>(all + <usize>i * offsetof<Fresh>());
}

/** Chunks for so many more. Only the main thread takes memory. */
export function makeRoom(more: u32): void {
  const chunked = (count + CHUNK - 1) >> CHUNK_BITS;
  for (let chunk = chunked; chunk << CHUNK_BITS < count + more; chunk++) another(chunk);
}
export function grownBy(more: u32): void {
  count += more;
}

/**
 * Numbers the new states of all owners that this thread's pieces led to, so that the records that
 * it writes lie beside each other.
 */
export function numberNew(): void {
  for (let i: u32 = 0; i < board.pieces; i++) {
    const piece = pieceAt(i);
    if (piece.hand === me) numberOf(orderOf(piece.from), orderOf(piece.until));
  }
}
/** Numbers the new states whose order lies between two. */
function numberOf(from: u32, end: u32): void {
  let id = count;
  for (let owner: u32 = 0; owner < parts; owner++) {
    const earlier = newBefore(deskOf(owner), from);
    setNext(owner, earlier);
    id += earlier;
  }
  for (;;) {
    // The owner whose next new state comes first, up to the next one of another owner.
    let first = end;
    let second = end;
    let owner: u32 = 0;
    for (let each: u32 = 0; each < parts; each++) {
      const order = orderOfNew(each, nextOf(each));
      if (order < first) {
        second = first;
        first = order;
        owner = each;
      } else if (order < second) second = order;
    }
    if (first === end) return;
    const all = deskOf(owner).fresh;
    let i = nextOf(owner);
    do number(freshOf(all, i), id++);
    while (orderOfNew(owner, ++i) < second);
    setNext(owner, i);
  }
}
function number(fresh: Fresh, id: u32): void {
  const entry = fresh.entry;
  write(id, wordsBehind(entry), parentBy(fresh.order));
  store<u32>(fresh.slot, (entry.hash & ~mask) | (id + 1));
}
function orderOfNew(owner: u32, i: u32): u32 {
  const desk = deskOf(owner);
  return i < desk.freshCount ? freshOf(desk.fresh, i).order : U32.MAX_VALUE;
}
/** How many new states of an owner come before an order. */
function newBefore(desk: Desk, order: u32): u32 {
  let low: u32 = 0;
  let high = desk.freshCount;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (freshOf(desk.fresh, middle).order < order) low = middle + 1;
    else high = middle;
  }
  return low;
}
/** Of each owner or bucket, how far this thread has come in it. */
function nextOf(which: u32): u32 {
  return filled(me, board.hands + which);
}
function setNext(which: u32, next: u32): void {
  fill(me, board.hands + which, next);
}

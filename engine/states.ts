// The states that were visited. A state is the numbers of its parts: patcher, environment, CPUs. It
// is packed as in src/check/search/table.ts: two numbers in a word while they are small. A record
// is these words and the number of the state before it. Records lie in the order in which states
// were found, which is the queue of a breadth-first search.

import { exhausted } from './host';
import { outgrown, take, takeOld } from './memory';

/** Patcher and environment. */
const HEADS: u32 = 2;
const HALF: u32 = 0x10000;

/** The state that is expanded, and the one that a move leads to: sixteen numbers at most. */
export const state: usize = memory.data(64);
export const next: usize = memory.data(64);
/** For `find` and `widen`. */
const packed: usize = memory.data(64);

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
 * Open addressing, at most three quarters full. A slot holds one more than a state's number, in as
 * many low bits as the table's size needs, and bits of the hash above them, so that hardly any
 * other record is compared.
 */
let mask: u32 = (1 << 12) - 1;
let slots: usize = take((<usize>mask + 1) << 2);

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
const queue: usize = take(<usize>MOST * ROOM);
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
// to a state that waited shortly before. These few fit in the first cache, and the table in none.

const RECENT: u32 = 1 << 11;
/** By hash, the last state that waited: under which layout, and its words. */
const recent: usize = take(<usize>RECENT * 68);
/** Grows when states are packed anew: no state that was packed before equals one packed since. */
let layout: u32 = 1;

/** Whether the state is the last one that waited with such a hash. From now on it is. */
function isRecent(each: Waiting): bool {
  const words = wordsOf(each);
  const place = recent + <usize>(each.hash & (RECENT - 1)) * (size + 4);
  let same = load<u32>(place) === layout;
  store<u32>(place, layout);
  for (let i: usize = 0; i < size; i += 4) {
    const word = load<u32>(words + i);
    same = same && load<u32>(place + 4 + i) === word;
    store<u32>(place + 4 + i, word);
  }
  return same;
}

/** Without it a compiler would leave out the reads. */
export let readings: u32 = 0;
export function readAhead(): void {
  let sum: u32 = 0;
  for (let i: u32 = 0; i < waiting; i++) sum ^= load<u32>(slotAt(waitingAt(i).hash & mask));
  for (let i: u32 = 0; i < waiting; i++) {
    const hash = waitingAt(i).hash;
    const entry = load<u32>(slotAt(hash & mask));
    // The record of another state is not compared.
    if (entry !== 0 && ((entry ^ hash) & ~mask) === 0)
      sum ^= load<u32>(recordAt((entry & mask) - 1));
  }
  readings = sum;
}

/** Keeps a state that waits: one that was not visited yet gets the next number. */
export function intern(i: u32): void {
  const each = waitingAt(i);
  const slot = slotOf(each.hash, wordsOf(each));
  if (load<u32>(slot) !== 0) return;
  const id = count++;
  store<u32>(slot, (each.hash & ~mask) | count);
  if ((id & (CHUNK - 1)) === 0) another(id >> CHUNK_BITS);
  write(id, wordsOf(each), each.beside);
  if (count > mask - (mask >> 2)) rehash(2 * (mask + 1));
}
/** The number of a state that waits and was visited. */
export function known(i: u32): u32 {
  const each = waitingAt(i);
  return (load<u32>(slotOf(each.hash, wordsOf(each))) & mask) - 1;
}
/** -1 for a state, in `next`, that was not visited. */
export function find(): i32 {
  if (isTooWide()) return -1;
  const hash = pack(next, packed);
  return (load<u32>(slotOf(hash, packed)) & mask) - 1;
}

function slotAt(i: u32): usize {
  return slots + ((<usize>i) << 2);
}
/** Where a packed state is in the table, or the free slot where it belongs. */
function slotOf(hash: u32, words: usize): usize {
  const above = hash & ~mask;
  let slot = slotAt(hash & mask);
  const end = slotAt(mask + 1);
  for (let entry = load<u32>(slot); entry !== 0; entry = load<u32>(slot)) {
    if ((entry & ~mask) === above && isAt((entry & mask) - 1, words)) break;
    slot += 4;
    if (slot === end) slot = slots;
  }
  return slot;
}
function isAt(id: u32, words: usize): bool {
  const record = recordAt(id);
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

/** The outgrown table is where the next states go. */
function rehash(length: u32): void {
  const old = slots;
  const oldBytes = (<usize>mask + 1) << 2;
  mask = length - 1;
  slots = take((<usize>length) << 2);
  for (let from: u32 = 0; from < count; from += MOST) {
    const end = min(count, from + MOST);
    let sum: u32 = 0;
    for (let id = from; id < end; id++) {
      const record = recordAt(id);
      let hash: u32 = 0;
      for (let i: usize = 0; i < size; i += 4) hash = mixed(hash, load<u32>(record + i));
      store<u32>(hashes + ((<usize>(id - from)) << 2), hash);
      sum ^= load<u32>(slotAt(hash & mask));
    }
    readings = sum;
    for (let id = from; id < end; id++) {
      const hash = load<u32>(hashes + ((<usize>(id - from)) << 2));
      let i = hash & mask;
      while (load<u32>(slotAt(i)) !== 0) i = (i + 1) & mask;
      store<u32>(slotAt(i), (hash & ~mask) | (id + 1));
    }
  }
  outgrown(old, oldBytes);
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
const unpacked: usize = memory.data(64);
const hashes: usize = take((<usize>MOST) << 2);

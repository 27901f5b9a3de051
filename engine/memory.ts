// Linear memory. Nothing is given back, because an instance ends with its search; but a table of
// slots that was outgrown is where the next states go.

import { exhausted } from './host';

const PAGE: usize = 1 << 16;
let free: usize = (__heap_base + 7) & ~7;
/** An outgrown region, and where it ends. */
let spare: usize = 0;
let spareEnd: usize = 0;

/** A region of zeros. */
export function take(bytes: usize): usize {
  const at = free;
  free = (at + bytes + 7) & ~7;
  const pages = <i32>((free + PAGE - 1) / PAGE) - memory.size();
  // A quarter more than is there, so that growing is rare; else what is needed.
  if (pages > 0 && memory.grow(max(pages, memory.size() >> 2)) < 0 && memory.grow(pages) < 0)
    exhausted();
  return at;
}

/** A region of anything: of an outgrown one, where it fits. */
export function takeOld(bytes: usize): usize {
  if (spare + bytes > spareEnd) return take(bytes);
  const at = spare;
  spare += bytes;
  return at;
}
export function outgrown(at: usize, bytes: usize): void {
  spare = at;
  spareEnd = at + bytes;
}

const CHUNK_BITS: u32 = 12;
const CHUNK: u32 = 1 << CHUNK_BITS;
/** Of a directory: sixteen million records. */
const CHUNKS: u32 = 1 << 12;

/** A table of records by number, zero at first, in chunks that never move. */
export function directory(): usize {
  return take((<usize>CHUNKS) << 2);
}
export function recordOf<T>(table: usize, number: u32): T {
  const place = table + ((<usize>(number >> CHUNK_BITS)) << 2);
  let chunk = load<usize>(place);
  if (chunk === 0) {
    if (number >> CHUNK_BITS >= CHUNKS) exhausted();
    chunk = take(CHUNK * offsetof<T>());
    store<usize>(place, chunk);
  }
  return changetype<T>(chunk + (number & (CHUNK - 1)) * offsetof<T>());
}
/** Where it is; 0 where there is no such chunk yet. */
export function placeOf<T>(table: usize, number: u32): usize {
  const chunk = load<usize>(table + ((<usize>(number >> CHUNK_BITS)) << 2));
  return chunk === 0 ? 0 : chunk + (number & (CHUNK - 1)) * offsetof<T>();
}

// How far the two CPUs are apart: how long one word takes there and back. CPUs that share a cache
// hand a line to each other within 100 ns; others of the same machine need several times as long. A
// host may move the CPUs of a virtual machine, so that what was near is far a minute later.

import { label, mem, word, type Program } from '../../asm/assembler.js';
import { BLOCK } from './layout.js';
import { leave, pinned, save, untilStopped } from './reader.js';

/** Answers every odd number by the next even one. */
export const PONG: Program = [
  ...pinned,
  label('loop'),
  ['mov', 'rax', mem('rbx', BLOCK.ball)],
  ['test', 'eax', 1],
  ['je', 'even'],
  ['inc', 'rax'],
  ['mov', mem('rbx', BLOCK.ball), 'rax'],
  label('even'),
  ...untilStopped,
];

/** rdi: how often there and back. */
export const PING: Program = [
  ...save,
  ['movabs', 'rbx', word('block')],
  ['mov', 'rax', mem('rbx', BLOCK.ball)],
  label('throw'),
  ['inc', 'rax'],
  ['mov', mem('rbx', BLOCK.ball), 'rax'],
  label('wait'),
  ['cmp', mem('rbx', BLOCK.ball), 'rax'],
  ['je', 'wait'],
  ['inc', 'rax'],
  ['dec', 'rdi'],
  ['jne', 'throw'],
  ...leave,
];

const BATCH = 50;
const BATCHES = 50;
/** Where another program has one of the CPUs, a word may be on its way for milliseconds. */
const PATIENCE_MS = 200;

/**
 * Nanoseconds there and back, of the quickest batch: the others were interrupted.
 * @param ping throws the word so many times
 */
export function distanceOf(ping: (times: number) => void): number {
  ping(1);
  const begun = performance.now();
  let least = Infinity;
  for (let i = 0; i < BATCHES && performance.now() - begun < PATIENCE_MS; i++) {
    const from = performance.now();
    ping(BATCH);
    least = Math.min(least, performance.now() - from);
  }
  return Math.round((1e6 * least) / BATCH);
}

// A thread that helps with one search: it is in WebAssembly until it is dismissed (crew.ts).

import { workerData } from 'node:worker_threads';
import { joined, type Host, type Memory } from './instance.js';

/** What it begins with. */
export interface HandData {
  readonly module: object;
  readonly memory: Memory;
  /** Its number; the thread that searches is 0. */
  readonly hand: number;
}

const refuse = (): never => {
  throw new Error('only the thread that searches asks for what is not known yet');
};
const HOST: Host = {
  movesOf: refuse,
  patcherMovesOf: refuse,
  after: refuse,
  bitsOf: refuse,
  patcherBitsOf: refuse,
  broken: refuse,
  exhausted: refuse,
  lost: refuse,
};
const { module, memory, hand } = workerData as HandData;
const engine = joined(module, HOST, memory);
try {
  engine.help(hand);
} catch (error) {
  // The thread that searches waits for this one, and hears of it there.
  engine.fail(hand);
  throw error;
}

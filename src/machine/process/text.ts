// A stretch of text as its writers see it: one interface, two ways (procmem.ts, alias.ts). Text is
// never writable at the address where it runs.

import type { Addr } from '../../base/addr.js';
import type { StoreLoop } from '../../native/stores.js';
import type { Batch } from '../../plan/batch.js';
import type { Step } from '../../plan/protocol.js';
import { waysOf } from '../../plan/ways.js';
import type { Script } from './script.js';

export type WriterName = 'procmem' | 'alias';
export type StoreStep = Extract<Step, { do: 'store' }>;

/** A stretch of executable pages. */
export interface Text {
  readonly writer: WriterName;
  readonly start: Addr;
  readonly end: Addr;
  /** What stands there now. */
  read(at: Addr, length: number): Uint8Array;
  /** Writes down a store step for edits [from, to), all inside this text. */
  store(script: Script, step: StoreStep, batch: Batch, from: number, to: number): void;
}

/** A text of this process, readable in place. */
export interface OwnText extends Text {
  /** The bytes where they run. */
  readonly bytes: Uint8Array;
}

/** The column that a step stores from; the trap byte is in neither. */
export const sourceOf = (step: StoreStep): 'old' | 'new' => (step.bytes === 'old' ? 'old' : 'new');

/**
 * The machine code that performs a store step. `one` of more than a byte is exchanged: that is one
 * store too, and notices more.
 */
export function loopOf(step: StoreStep): StoreLoop {
  if (step.part === 'first') return step.bytes === 'trap' ? 'trap' : 'first';
  if (step.part === 'opcode' || step.part === 'displacement' || step.part === 'byte')
    return step.part;
  if (step.as !== 'bytes') return 'exchange';
  return step.part === 'rest' ? 'rest' : 'whole';
}

/** The ways whose sites a step stores at, as bits; 0 for all sites. */
export const waysAt = ({ ways }: StoreStep): number => (ways === undefined ? 0 : waysOf(ways));

// Updates that C code made, for the journals of the programs whose keys they changed. The thread
// that serves C is another environment than the program's, so they are written to the runtime's
// memory: a ring of the last ones, and the number of all so far.

import type { Addr } from '../../base/addr.js';
import { WAYS, type Way, type WayCounts } from '../../plan/ways.js';
import type { SharedData } from './shared-data.js';

/** As many as a journal keeps. */
const ENTRIES = 1024;
/** Words of an entry; the number of all so far stands before the first. */
const ENTRY = {
  number: 0,
  record: 1,
  from: 2,
  to: 3,
  inline: 4,
  trampoline: 5,
  traps: 6,
  ns: 7,
  byte: 8,
  store: 9,
  behind: 10,
  trap: 11,
  size: 12,
} as const;

export interface CUpdate {
  /** Address of the key's record. */
  readonly record: Addr;
  /** The record's `call` words before and after. */
  readonly from: number;
  readonly to: number;
  readonly inline: number;
  readonly trampoline: number;
  readonly traps: number;
  readonly ns: number;
  readonly ways: WayCounts;
}

export class CUpdates {
  readonly #shared: SharedData;
  #words: Float64Array | null = null;

  constructor(shared: SharedData) {
    this.#shared = shared;
  }

  /** null where C has updated nothing yet. */
  #ring(): Float64Array | null {
    const at = Number(this.#shared.word('journal'));
    if (at === 0) return null;
    return (this.#words ??= new Float64Array(
      this.#shared.native.view(at, 8 * (1 + ENTRIES * ENTRY.size)),
    ));
  }

  /** How many there were so far. */
  get count(): number {
    return this.#ring()?.[0] ?? 0;
  }

  /** Call it with the lock held. @throws Fault `no-memory` */
  append(update: CUpdate): void {
    if (this.#shared.word('journal') === 0n) {
      const at = this.#shared.allocate(8 * (1 + ENTRIES * ENTRY.size), 8);
      this.#shared.setWord('journal', BigInt(at));
    }
    const ring = this.#ring();
    if (!ring) return;
    const number = this.count;
    const base = 1 + (number % ENTRIES) * ENTRY.size;
    ring[base + ENTRY.number] = number;
    for (const name of FIELDS) ring[base + ENTRY[name]] = update[name];
    for (const way of WAYS) ring[base + ENTRY[way]] = update.ways[way];
    ring[0] = number + 1;
  }

  /** From the given number on, as far as they are still kept. Call it with the lock held. */
  *since(number: number): Generator<CUpdate> {
    const ring = this.#ring();
    if (!ring) return;
    for (let n = Math.max(number, this.count - ENTRIES); n < this.count; n++) {
      const base = 1 + (n % ENTRIES) * ENTRY.size;
      const field = (name: (typeof FIELDS)[number] | Way): number => ring[base + ENTRY[name]]!;
      yield {
        record: field('record'),
        from: field('from'),
        to: field('to'),
        inline: field('inline'),
        trampoline: field('trampoline'),
        traps: field('traps'),
        ns: field('ns'),
        ways: {
          byte: field('byte'),
          store: field('store'),
          behind: field('behind'),
          trap: field('trap'),
        },
      };
    }
  }
}

const FIELDS = [
  'record',
  'from',
  'to',
  'inline',
  'trampoline',
  'traps',
  'ns',
] as const satisfies readonly (keyof CUpdate)[];

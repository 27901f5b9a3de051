// Views of the process's own memory, by whole pages: a view for each key costs more to make, and
// more cache misses to use, than what is read through it.

import { PAGE, type Addr } from '../../base/addr.js';
import type { Memory } from '../linux/native.js';

/** A few pages that follow each other, and where they begin. */
export class Window {
  readonly start: Addr;
  readonly bytes: Uint8Array;
  /** Signed, because any of these is a small integer to the engine, and needs no allocation. */
  readonly halves: Int32Array;
  readonly doubles: Float64Array;

  constructor(start: Addr, memory: ArrayBuffer) {
    this.start = start;
    this.bytes = new Uint8Array(memory);
    this.halves = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
  }

  /** A word of no more bits than a double has, in two loads. */
  word(at: Addr): number {
    const half = (at - this.start) / 4;
    return (this.halves[half]! >>> 0) + this.halves[half + 1]! * 2 ** 32;
  }
}

export class Windows {
  readonly #memory: Pick<Memory, 'view'>;
  /** By the first page, and by how many there are. */
  readonly #known: Map<Addr, Window>[] = [];
  /** The last one that was asked for: what is read together mostly lies together. */
  #last: { readonly from: Addr; readonly end: Addr; readonly window: Window } | null = null;

  constructor(memory: Pick<Memory, 'view'>) {
    this.#memory = memory;
  }

  /** What holds these bytes. They are mapped, so their pages are. */
  of(at: Addr, size: number): Window {
    const last = this.#last;
    if (last && at >= last.from && at + size <= last.end) return last.window;
    const from = Math.floor(at / PAGE) * PAGE;
    const pages = Math.ceil((at + size - from) / PAGE);
    const known = (this.#known[pages] ??= new Map<Addr, Window>());
    let window = known.get(from);
    if (!window) {
      window = new Window(from, this.#memory.view(from, pages * PAGE));
      known.set(from, window);
    }
    this.#last = { from, end: from + pages * PAGE, window };
    return window;
  }
}

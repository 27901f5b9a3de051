// The updates of the keys of another process that were made, so that one that is asked for again is
// made without being drawn. One that is asked for once is not kept, because most are.

import type { Again } from '../machine/remote/again.js';
import type { Protocol } from '../plan/protocol.js';

/** What a caller wrote. */
export interface Asked {
  readonly wanted: unknown;
  readonly protocol: Protocol;
  readonly require: 'inline' | undefined;
}

interface Made<W> {
  readonly asked: Asked;
  readonly what: W;
}

/** Updates of one key that are remembered: from four targets to each of these, say. */
const REMEMBERED = 16;
/** Runs of all keys that are kept, of ten kilobytes each. */
const RUNS = 256;

export class Repeats<K extends object, W extends { readonly again: Again | null }> {
  readonly #known = new Map<K, Made<W>[]>();
  #runs = 0;

  /** What was done; null where the key is elsewhere now, or others have changed something. */
  find(key: K, asked: Asked): W | null {
    for (const made of this.#known.get(key) ?? [])
      if (isSame(made.asked, asked) && made.what.again?.isCurrent) return made.what;
    return null;
  }

  wasAsked(key: K, asked: Asked): boolean {
    return this.#known.get(key)?.some((made) => isSame(made.asked, asked)) ?? false;
  }

  remember(key: K, asked: Asked, what: W): void {
    if (what.again !== null && ++this.#runs > RUNS) this.forget();
    const all = this.#known.get(key) ?? [];
    // What cannot be made again said only that it was asked for.
    const others = all.filter((made) => made.what.again !== null || !isSame(made.asked, asked));
    this.#known.set(key, [{ asked, what }, ...others].slice(0, REMEMBERED));
  }

  forget(): void {
    this.#known.clear();
    this.#runs = 0;
  }
}

const isSame = (a: Asked, b: Asked): boolean =>
  a.wanted === b.wanted && a.protocol === b.protocol && a.require === b.require;

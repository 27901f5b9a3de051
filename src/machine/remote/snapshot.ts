// What the tool knows of a target's memory: copies, each read once, until the epoch says that they are
// outdated. Code that was written for memory in place works on them; what it changed is found by
// comparison, and written by the run that publishes it.

import { invariant } from '../../base/invariant.js';
import type { Addr } from '../../base/addr.js';
import type { Target } from './target.js';

interface Copy {
  readonly at: Addr;
  readonly buffer: ArrayBuffer;
  readonly was: Uint8Array;
}

interface Word {
  readonly at: Addr;
  readonly value: number;
}

export class Snapshot {
  readonly #target: Target;
  readonly #copies = new Map<string, Copy>();
  /** Records whose lists were held against what a runtime can have. */
  readonly checked = new Set<Addr>();
  /** Another one each time that all is forgotten. */
  generation = 0;
  /** Memory that is given out: what lies there is known to nothing in the target yet. */
  #room = { start: 0, next: 0, end: 0 };

  constructor(target: Target) {
    this.#target = target;
  }

  /** Memory of the target that is given out from here on. */
  giveOut(start: Addr, size: number): void {
    this.#room = { start, next: start, end: start + size };
  }

  allocate(size: number, align: number): Addr {
    const at = Math.ceil(this.#room.next / align) * align;
    invariant(at + size <= this.#room.end, 'as much was mapped as is given out');
    this.#room.next = at + size;
    return at;
  }

  view(at: Addr, length: number): ArrayBuffer {
    const key = `${at} ${length}`;
    const known = this.#copies.get(key);
    if (known) return known.buffer;
    const was = this.#target.read(at, length);
    const buffer = was.slice().buffer;
    this.#copies.set(key, { at, buffer, was });
    return buffer;
  }

  /** What was changed in a copy stands in the target too. */
  accept(at: Addr, length: number): void {
    const copy = this.#copies.get(`${at} ${length}`);
    copy?.was.set(new Uint8Array(copy.buffer));
  }

  forget(): void {
    this.#copies.clear();
    this.generation++;
    this.checked.clear();
    this.#room = { start: 0, next: 0, end: 0 };
  }

  /** Writes what lies in memory that was given out. @returns what else differs from what was read */
  settle(): Word[] {
    const words: Word[] = [];
    for (const { at, buffer, was } of this.#copies.values()) {
      const now = new Uint8Array(buffer);
      if (Buffer.compare(now, was) === 0) continue;
      if (at >= this.#room.start && at < this.#room.end) this.#target.write(at, now);
      else words.push(...changedWords(at, new BigUint64Array(buffer), was));
    }
    return words;
  }
}

function changedWords(at: Addr, now: BigUint64Array, was: Uint8Array): Word[] {
  const before = new BigUint64Array(was.buffer, 0, now.length);
  return [...now.entries()]
    .filter(([i, value]) => value !== before[i])
    .map(([i, value]) => ({ at: at + 8 * i, value: Number(value) }));
}

// The part of a state that one CPU has: the image of its core, and its stance towards the rest of
// the machine. Most of what a CPU does depends on one of the two alone. There are a few hundred
// stances, so what becomes of one is looked up, while CPUs are met by the million.

import { PairTable } from './intern.js';
import type { Node } from './node.js';
import { Stances, type Stance } from './stances.js';

/** What a CPU has been asked for and has not answered. */
export const REQUEST = {
  none: 0,
  ipi: 1,
  stop: 2,
  /** It is no CPU but a task that is on none. */
  off: 3,
  /** A signal to the thread, which its trap handler holds back. */
  signal: 4,
  /** To serialise outside the text that is patched. */
  progress: 5,
  /** To be outside the text that is patched. */
  grace: 6,
  /** As by an IPI, or where the CPU is in the handler of a trap, whose IRET serialises. */
  acknowledge: 7,
} as const;

/** What the search asks of every CPU in every state, as bits of one number. */
export const CPU = {
  /** It has yet to answer a request. */
  asked: 1,
  /** Nothing is left to do there but to be interrupted. */
  done: 2,
  /**
   * The next step touches what only interrupts of this CPU can see, and the CPU answers no request
   * before or after: with IF set, it can be told whether the patcher's request comes before an
   * interrupt or a CLI.
   */
  local: 4,
  /** Its task is the patcher, and stands where the patcher's steps are taken. */
  patching: 8,
  patches: 16,
} as const;

function bitsOf({ done, stop, waiting, interruptible, patching }: Node, request: number): number {
  const answers = interruptible || request === REQUEST.acknowledge;
  return (
    (request === REQUEST.none ? 0 : CPU.asked) |
    (done || stop === 'patcher' ? CPU.done : 0) |
    (stop === 'local' && !waiting && !answers ? CPU.local : 0) |
    (patching ? CPU.patching : 0) |
    (stop === 'patcher' ? CPU.patches : 0)
  );
}

/** A CPU is an image of its core and a stance. */
export class Cpus {
  readonly stances = new Stances();
  readonly #table = new PairTable();
  readonly #node: (id: number) => Node;
  #bits = new Uint8Array(1 << 8);

  /** @param node describes the image of a core */
  constructor(node: (id: number) => Node) {
    this.#node = node;
  }

  get count(): number {
    return this.#table.count;
  }

  intern(image: number, stance: number): number {
    const before = this.#table.count;
    const id = this.#table.intern(image, stance);
    if (id === before) this.#describe(id, image, stance);
    return id;
  }

  #describe(id: number, image: number, stance: number): void {
    if (id >= this.#bits.length) {
      const larger = new Uint8Array(2 * id);
      larger.set(this.#bits);
      this.#bits = larger;
    }
    this.#bits[id] = bitsOf(this.#node(image), this.stances.get(stance).request);
  }

  imageOf(cpu: number): number {
    return this.#table.first(cpu);
  }
  nodeOf(cpu: number): Node {
    return this.#node(this.imageOf(cpu));
  }
  stanceOf(cpu: number): number {
    return this.#table.second(cpu);
  }
  /** What its stance says. */
  seenBy(cpu: number): Stance {
    return this.stances.get(this.stanceOf(cpu));
  }
  /** Bits of `CPU`. */
  bitsOf(cpu: number): number {
    return this.#bits[cpu]!;
  }
}

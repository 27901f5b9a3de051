// The part of a state that one CPU has: its core's image, its view of the text, what it has been
// asked for, what of an instruction it has fetched, and the windows of its passes.

import { WordTable } from './intern.js';
import type { Node } from './node.js';

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

export interface CpuPart {
  /** Image of its core. */
  readonly node: number;
  /** Of the text (text.ts). */
  readonly view: number;
  /** One of REQUEST. */
  readonly request: number;
  /** Bytes fetched so far by a fetch that takes several events; 0 for none. */
  readonly partial: number;
  /** By level of nesting, what the pass there may run (window.ts). */
  readonly windows: readonly number[];
}

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

/** Words of an interned part; the windows follow. */
const WORD = { node: 0, view: 1, request: 2, partial: 3, windows: 4 } as const;

export class Cpus {
  readonly #table = new WordTable();
  readonly #words = new Uint32Array(32);
  readonly #node: (id: number) => Node;
  /** By CPU. */
  readonly #nodeOf: Node[] = [];
  #bits = new Uint8Array(1 << 8);

  /** @param node describes the image of a core */
  constructor(node: (id: number) => Node) {
    this.#node = node;
  }

  get count(): number {
    return this.#table.count;
  }

  intern(part: CpuPart): number {
    return this.#intern(part, this.#place(part.windows));
  }

  /** Another moment of a CPU; its windows stay where null is given. */
  moved(
    cpu: number,
    part: Omit<CpuPart, 'windows'>,
    windows: CpuPart['windows'] | null = null,
  ): number {
    if (windows !== null) return this.#intern(part, this.#place(windows));
    this.#table.copy(cpu, WORD.windows, this.#words);
    return this.#intern(part, this.#table.lengthOf(cpu));
  }

  /** How many words there are with these windows. */
  #place(windows: readonly number[]): number {
    // Windows of passes that are over are 0, and at the end they are left out.
    let length: number = WORD.windows;
    for (const [level, window] of windows.entries()) {
      this.#words[WORD.windows + level] = window;
      if (window !== 0) length = WORD.windows + level + 1;
    }
    return length;
  }

  /** @param length of the words, of which the windows are in place */
  #intern({ node, view, request, partial }: Omit<CpuPart, 'windows'>, length: number): number {
    const words = this.#words;
    words[WORD.node] = node;
    words[WORD.view] = view;
    words[WORD.request] = request;
    words[WORD.partial] = partial;
    const id = this.#table.intern(words, length);
    if (id === this.#nodeOf.length) this.#describe(this.#node(node), request);
    return id;
  }

  /** The next CPU has this node and request. */
  #describe(node: Node, request: number): void {
    const id = this.#nodeOf.push(node) - 1;
    if (id >= this.#bits.length) {
      const larger = new Uint8Array(2 * id);
      larger.set(this.#bits);
      this.#bits = larger;
    }
    this.#bits[id] = bitsOf(node, request);
  }

  part(cpu: number): CpuPart {
    return {
      node: this.#table.word(cpu, WORD.node),
      view: this.viewOf(cpu),
      request: this.requestOf(cpu),
      partial: this.partialOf(cpu),
      windows: this.windowsOf(cpu),
    };
  }
  viewOf(cpu: number): number {
    return this.#table.word(cpu, WORD.view);
  }
  partialOf(cpu: number): number {
    return this.#table.word(cpu, WORD.partial);
  }
  windowsOf(cpu: number): readonly number[] {
    const windows: number[] = [];
    const length = this.#table.lengthOf(cpu);
    for (let i: number = WORD.windows; i < length; i++) windows.push(this.#table.word(cpu, i));
    return windows;
  }

  nodeOf(cpu: number): Node {
    return this.#nodeOf[cpu]!;
  }
  requestOf(cpu: number): number {
    return this.#table.word(cpu, WORD.request);
  }
  /** Bits of `CPU`. */
  bitsOf(cpu: number): number {
    return this.#bits[cpu]!;
  }
}

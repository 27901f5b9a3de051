// Counting the calls of a key for a while: its sites are led to machine code that counts and goes
// on to the target (native/veneer.ts), and back. No JavaScript is on the path of a call.

import type { KeyDef } from '../keys/key.js';
import { countedBy, COUNTER_SIZE, mayCount } from '../native/veneer.js';
import type { Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import type { Trace, Update } from './types.js';

/** @throws Fault `not-supported` */
export function checkCalled({ name, kind }: KeyDef): void {
  if (kind === 'call') return;
  throw new Fault('not-supported', `${name} is a static key: its branches call nothing`, {
    hint: 'trace a static call',
  });
}

/** @throws Fault `busy` */
export function checkUntraced(name: string, counted: Addr | null): void {
  if (counted === null) return;
  throw new Fault('busy', `the calls of ${name} are being counted already`, {
    hint: 'where a tool was killed that counted them, set the key to its target again',
  });
}

/** Where the counter at an address goes on to; null where none lies there. */
export function countedAt(
  memory: { read(at: Addr, length: number): Uint8Array },
  at: Addr,
): Addr | null {
  return at !== 0 && mayCount(at) ? countedBy(memory.read(at, COUNTER_SIZE)) : null;
}

/** What a program does for a trace. */
export interface Counts {
  readonly key: string;
  readonly target: string | null;
  /** So far, since ever; null where that cannot be read any more. */
  calls(): bigint | null;
  /** Leads the key to its counter. */
  begin(): Update;
  /** Leads it back, unless it was updated since; says whether it was. */
  end(update: Update): boolean;
}

export class Counting implements Trace {
  readonly key: string;
  readonly target: string | null;
  readonly #counts: Counts;
  readonly #before: bigint;
  readonly #update: Update;
  readonly #began: number;
  #last: bigint;
  #ended: { readonly ns: number; readonly retargeted: boolean } | null = null;

  constructor(counts: Counts) {
    this.key = counts.key;
    this.target = counts.target;
    this.#counts = counts;
    this.#before = counts.calls() ?? 0n;
    this.#last = this.#before;
    this.#update = counts.begin();
    this.#began = performance.now();
  }

  get calls(): number {
    this.#last = this.#counts.calls() ?? this.#last;
    return Number(this.#last - this.#before);
  }
  get ns(): number {
    return this.#ended?.ns ?? Math.round((performance.now() - this.#began) * 1e6);
  }
  get perSecond(): number {
    return this.calls / (this.ns / 1e9);
  }
  get retargeted(): boolean {
    return this.#ended?.retargeted ?? false;
  }

  stop(): void {
    if (this.#ended) return;
    const retargeted = this.#counts.end(this.#update);
    this.#ended = { ns: this.ns, retargeted };
  }
  [Symbol.dispose](): void {
    this.stop();
  }
}

// JavaScript functions as targets: machine code of koffi's that calls one, lent to an update and
// given back when that is undone. It is never given back to koffi. A thread may have read the
// call's old target and not have entered it yet, and would then enter whatever lies there next; so
// it waits for the next function of the same type, and meanwhile still runs the last one.

import { isMainThread } from 'node:worker_threads';
import type { Addr } from '../base/addr.js';
import { Fault, isFault } from '../base/fault.js';
import type { Native } from '../machine/linux/native.js';
import type { FunctionTarget, Unchecked, Update } from './types.js';
import { isFunctionTarget } from './wanted.js';

/** Machine code that calls what is in it now. */
export interface Closure {
  readonly address: Addr;
  readonly target: FunctionTarget;
}

class Lent implements Closure {
  readonly address: Addr;
  target: FunctionTarget;
  /** By how many changes of keys. */
  users = 0;
  constructor(native: Native, first: FunctionTarget) {
    this.target = first;
    this.address = native.closure(first.type, (...args) => this.target.function(...args));
  }
}

/** All that there are in one environment, by the address of their code. */
export class Closures {
  readonly #native: Native;
  readonly #lent = new Map<Addr, Lent>();

  private constructor(native: Native) {
    this.#native = native;
  }

  static readonly #known = new WeakMap<Native, Closures>();
  static of(native: Native): Closures {
    let known = Closures.#known.get(native);
    if (!known) Closures.#known.set(native, (known = new Closures(native)));
    return known;
  }

  /** @throws Fault `not-supported`, `bad-option` */
  take(wanted: FunctionTarget): Closure {
    if (!isMainThread)
      throw new Fault('not-supported', 'a worker thread cannot make a function a target', {
        hint: 'make it on the main thread: a worker that ends would leave the calls nothing to run',
      });
    const all = [...this.#lent.values()];
    const found =
      all.find(({ target, users }) => target === wanted && users > 0) ??
      all.find(({ target, users }) => target.type === wanted.type && users === 0) ??
      this.#make(wanted);
    found.target = wanted;
    found.users++;
    return found;
  }

  #make(wanted: FunctionTarget): Lent {
    const made = new Lent(this.#native, wanted);
    this.#lent.set(made.address, made);
    return made;
  }

  /** Gives back what was taken; for any other address it does nothing. */
  release(address: Addr): void {
    const lent = this.#lent.get(address);
    if (lent && lent.users > 0) lent.users--;
  }

  /** What a key is said to go to. */
  nameAt(address: Addr): string | null {
    const lent = this.#lent.get(address);
    return lent ? `JavaScript: ${lent.target.function.name || '(nameless)'}` : null;
  }
}

interface Held {
  readonly key: string;
  readonly closure: Closure;
  readonly update: Update;
}

/** What the updates of one program have taken. */
export class Loans {
  readonly #closures: Closures;
  #held: readonly Held[] = [];

  constructor(native: Native) {
    this.#closures = Closures.of(native);
  }

  /**
   * Performs an update. `lend` hands on what it is given for a key, and code for a function. What
   * is taken and then not used, because the update failed or the key went there already, is given
   * back.
   */
  during(perform: (lend: (key: string, wanted: unknown) => unknown) => Update): Update {
    const taken = new Map<string, Closure>();
    const lend = (key: string, wanted: unknown): unknown => {
      if (!isFunctionTarget(wanted)) return wanted;
      const closure = this.#closures.take(wanted);
      taken.set(key, closure);
      return { unchecked: BigInt(closure.address) } satisfies Unchecked;
    };
    try {
      const update = perform(lend);
      // An update of ten thousand keys is not searched for what it has not.
      for (const { key } of taken.size > 0 ? update.changes : []) {
        const closure = taken.get(key);
        if (closure && taken.delete(key)) this.#hold({ key, closure, update });
      }
      return update;
    } finally {
      for (const { address } of taken.values()) this.#closures.release(address);
    }
  }

  #hold(held: Held): void {
    if (this.#held.length === 0) process.on('exit', this.#atExit);
    this.#held = [...this.#held, held];
  }

  /** An update was taken back for these keys. */
  returned(update: Update, keys: readonly { readonly name: string }[]): void {
    if (this.#held.length === 0) return;
    const names = new Set(keys.map(({ name }) => name));
    this.#release((held) => held.update === update && names.has(held.key));
  }

  /** The program was closed. */
  returnAll(): void {
    this.#release(() => true);
  }

  #release(which: (held: Held) => boolean): void {
    for (const { closure } of this.#held.filter(which)) this.#closures.release(closure.address);
    this.#held = this.#held.filter((held) => !which(held));
    if (this.#held.length === 0) process.off('exit', this.#atExit);
  }

  /** Other threads go on after the event loop has ended, and would wait for it for ever. */
  readonly #atExit = (): void => {
    for (const { update } of this.#held) {
      try {
        update.undo();
      } catch (error) {
        // What keeps the key from going back keeps no process from ending.
        if (!isFault(error)) throw error;
      }
    }
  };
}

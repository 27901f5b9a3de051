// The threads that serve updates from C, as the runtime knows them: a slot for each environment
// that has an object open whose C code updates. An environment is ended with all of its threads, at
// any moment, so one environment cannot serve for another: each has its own. Any of them takes any
// request.

import type { Addr } from '../../base/addr.js';
import { SERVER } from '../../trap/registry.js';
import type { Runtime } from './runtime.js';

export const STARTING = 0;
export const READY = 1;

/** A slot, for the environment that owns it and for the thread that serves. */
export class ServerSlot {
  readonly at: Addr;
  readonly #words: BigUint64Array;
  readonly #halves: Int32Array;

  constructor({ native }: Pick<Runtime, 'native'>, at: Addr) {
    this.at = at;
    this.#words = new BigUint64Array(native.view(at, SERVER.size));
    this.#halves = new Int32Array(this.#words.buffer);
  }

  get owner(): number {
    return Atomics.load(this.#halves, SERVER.owner / 4);
  }
  get stateAt(): Addr {
    return this.at + SERVER.state;
  }
  get state(): number {
    return Atomics.load(this.#halves, SERVER.state / 4);
  }
  set state(state: number) {
    Atomics.store(this.#halves, SERVER.state / 4, state);
  }
  get next(): Addr {
    return Number(this.#words[SERVER.next / 8]);
  }
  /** Whether the thread shall end, or has ended. */
  get ends(): boolean {
    return Atomics.load(this.#halves, SERVER.users / 4) < 0;
  }
  /** The oldest request that this thread took: the C side's key and the function. */
  get asked(): { readonly key: Addr; readonly func: Addr } {
    return {
      key: Number(this.#words[SERVER.key / 8]),
      func: Number(this.#words[SERVER.func / 8]),
    };
  }
  set result(errno: number) {
    this.#halves[SERVER.result / 4] = errno;
  }

  /** A program needs it. @returns false where the thread has ended meanwhile */
  use(): boolean {
    return this.#changeUsers((users) => (users < 0 ? null : users + 1));
  }
  /** A program was closed. Nothing where the thread has ended by itself. */
  release(): void {
    this.#changeUsers((users) => (users <= 0 ? null : users - 1));
  }
  /** The thread has been idle. @returns whether it may end: no program needs it */
  retire(): boolean {
    return this.#changeUsers((users) => (users === 0 ? -1 : null));
  }
  /** The thread shall end, whether or not a program needs it. */
  end(): void {
    Atomics.store(this.#halves, SERVER.users / 4, -1);
  }
  #changeUsers(change: (users: number) => number | null): boolean {
    for (;;) {
      const users = Atomics.load(this.#halves, SERVER.users / 4);
      const to = change(users);
      if (to === null) return false;
      if (Atomics.compareExchange(this.#halves, SERVER.users / 4, users, to) === users) return true;
    }
  }

  /** For a new owner, with one user. */
  begin(thread: number): void {
    this.state = STARTING;
    Atomics.store(this.#halves, SERVER.users / 4, 1);
    Atomics.store(this.#halves, SERVER.owner / 4, thread);
  }
  link(next: bigint): void {
    this.#words[SERVER.next / 8] = next;
  }
}

function* slots(runtime: Runtime): Generator<ServerSlot> {
  for (let at = Number(runtime.word('serving')); at !== 0;) {
    const slot = new ServerSlot(runtime, at);
    yield slot;
    at = slot.next;
  }
}

/** The slot of the calling thread, with one user more; null where no thread serves for it. */
export function ownSlot(runtime: Runtime): ServerSlot | null {
  for (const slot of slots(runtime)) if (slot.owner === runtime.thread && slot.use()) return slot;
  return null;
}

/** A slot for a server that the calling thread is about to start. @throws Fault `no-memory` */
export function newSlot(runtime: Runtime): ServerSlot {
  return runtime.locked(() => {
    for (const slot of slots(runtime)) {
      if (slot.owner !== 0) continue;
      slot.begin(runtime.thread);
      return slot;
    }
    const slot = new ServerSlot(runtime, runtime.allocate(SERVER.size, 8));
    slot.begin(runtime.thread);
    slot.link(runtime.word('serving'));
    runtime.setWord('serving', BigInt(slot.at));
    return slot;
  });
}

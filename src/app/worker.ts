// The thread that serves static_call_update() and static_key_enable() of the C side. It sleeps in a
// futex until a request comes, and does what `update` does, by the same engine and under the same
// lock, whatever the thread that opened the program is busy with. Every request is answered, with
// an errno where serving it threw. The sleep is cut into slices, because the end of the environment
// reaches a thread only in JavaScript: ten wake-ups a second, which cost a thousandth of a CPU.

import { getSystemErrorMap } from 'node:util';
import { workerData } from 'node:worker_threads';
import { ERRNO, FUTEX } from '../base/linux.js';
import { isFault, type FaultCode } from '../base/fault.js';
import type { Addr } from '../base/addr.js';
import { CUpdates } from '../machine/process/c-updates.js';
import { Runtime } from '../machine/process/runtime.js';
import { openNative, type Native } from '../machine/linux/native.js';
import { allRecords, type KeyRecord } from '../machine/process/records.js';
import { KnownKey } from '../machine/process/known-key.js';
import { READY, ServerSlot } from '../machine/process/servers.js';
import { TrapWatch } from '../machine/process/signals.js';
import { RETURNS } from '../trap/registry.js';
import { Engine } from '../machine/process/engine.js';
import type { ServerData } from './server.js';
import { OFF, ON, targetOf, type Target } from '../plan/target.js';

/** The errno of a fault for C; any other is EIO. */
const TOLD: Partial<Record<FaultCode, number>> = {
  'trap-blocked': ERRNO.busy,
  'handler-replaced': ERRNO.busy,
  'foreign-trap': ERRNO.busy,
  'no-memory': ERRNO.noMemory,
};

/** Of an error of the system's, or of the one that a fault has as its cause. */
function systemErrno(error: unknown): number | null {
  if (!(error instanceof Error)) return null;
  const { errno, cause }: NodeJS.ErrnoException = error;
  return errno !== undefined && getSystemErrorMap().has(errno) ? -errno : systemErrno(cause);
}

function errnoOf(error: unknown): number {
  const told = isFault(error) ? TOLD[error.code] : undefined;
  return told ?? systemErrno(error) ?? ERRNO.io;
}

/**
 * Functions that do nothing but return 0, with and without a landing pad: whichever copy of it C
 * names.
 */
const RETURN0 = ['f30f1efa31c0c3', '31c0c3'] as const;

/** What C asks of a static key (include/static_key.h). */
const VERB = { off: 0, on: 1, more: 2, fewer: 3 } as const;

/** How many users a static key has: the first field of a `struct static_key`, which C counts too. */
class UserCount {
  readonly #words: Int32Array;

  constructor(native: Native, key: Addr) {
    this.#words = new Int32Array(native.view(key, 4));
  }
  get count(): number {
    return Atomics.load(this.#words, 0);
  }
  replace(from: number, to: number): boolean {
    return Atomics.compareExchange(this.#words, 0, from, to) === from;
  }
  /** @returns false where there are fewer than `least` */
  add(by: number, least: number): boolean {
    for (let now = this.count; now >= least; now = this.count)
      if (this.replace(now, now + by)) return true;
    return false;
  }
}

/** How many slices without a request and without a program: a second. */
const IDLE = 10;

class Serving {
  readonly #native: Native;
  readonly #runtime: Runtime;
  readonly #slot: ServerSlot;
  readonly #data: ServerData;
  readonly #engine: Engine;
  /** Told in the journals of the programs. */
  readonly #made: CUpdates;
  readonly #byKey = new Map<Addr, KeyRecord>();
  readonly #keys = new Map<KeyRecord, KnownKey>();

  constructor(native: Native, slot: ServerSlot, data: ServerData) {
    this.#native = native;
    this.#slot = slot;
    this.#data = data;
    this.#runtime = new Runtime(native);
    this.#made = new CUpdates(this.#runtime);
    const { writer, trustProcmem } = data;
    this.#engine = new Engine(this.#runtime, new TrapWatch(this.#runtime), {
      writer,
      trustProcmem,
    });
  }

  #recordOf(key: Addr): KeyRecord | undefined {
    if (!this.#byKey.has(key))
      for (const record of allRecords(this.#runtime))
        this.#byKey.set(Number(record.word('key')), record);
    return this.#byKey.get(key);
  }

  /** What C means by a function pointer; null where the key cannot be empty. */
  #targetFor(record: KeyRecord, func: Addr): Target | null {
    const returns = RETURNS[Number(record.word('returns'))];
    if (func === 0)
      return returns === 'void' || returns === 'unknown' ? { kind: 'null', address: 0 } : null;
    const bytes = Buffer.from(this.#native.read(func, 8)).toString('hex');
    if (returns === 'integer' && RETURN0.some((code) => bytes.startsWith(code)))
      return { kind: 'ret0', address: 0 };
    return { kind: 'function', address: func };
  }

  /** @returns 0 or a negative errno */
  #serve({ key, func }: { readonly key: Addr; readonly func: Addr }): number {
    try {
      const record = this.#recordOf(key);
      if (!record || record.word('users') === 0n) return -ERRNO.noEntry;
      const { kind } = targetOf(Number(record.word('call')));
      if (kind === 'on' || kind === 'off')
        return this.#runtime.locked(() => this.#count(record, key, func));
      const to = this.#targetFor(record, func);
      if (to === null) return -ERRNO.invalid;
      this.#runtime.locked(() => this.#apply(record, key, to));
      return 0;
    } catch (error) {
      return -errnoOf(error);
    }
  }

  #known(record: KeyRecord, name: string): KnownKey {
    let known = this.#keys.get(record);
    if (!known) this.#keys.set(record, (known = new KnownKey(this.#engine.keys, name, record)));
    return known;
  }

  /** Call it with the lock held. */
  #apply(record: KeyRecord, key: Addr, to: Target): void {
    const name = `the key at 0x${key.toString(16)}`;
    const from = record.held('call');
    const began = performance.now();
    const done = this.#engine.apply(
      { keys: [this.#known(record, name)], targets: [to] },
      this.#data.protocol,
    );
    const ns = Math.round((performance.now() - began) * 1e6);
    const { inline, trampoline, traps, ways } = done;
    if (done.changes.count === 0) return;
    const update = { record: record.at, from, to: record.held('call') };
    this.#made.append({ ...update, inline, trampoline, traps, ways, ns });
  }

  /**
   * A static key is switched, or has one user more or fewer. The last user is taken away before the
   * sites are switched: from then on C changes the count no longer by itself, and comes here.
   * Call it with the lock held. @returns 0 or a negative errno
   */
  #count(record: KeyRecord, key: Addr, verb: number): number {
    const users = new UserCount(this.#native, key);
    switch (verb) {
      case VERB.on:
        if (users.count === 0) this.#apply(record, key, ON);
        return 0;
      case VERB.more:
        if (!users.add(1, 1)) this.#apply(record, key, ON);
        return 0;
      case VERB.off:
        if (users.count === 0) return 0;
        return this.#takeLast(users, record, key) ? 0 : -ERRNO.busy;
      case VERB.fewer:
        if (users.count === 0) return -ERRNO.invalid;
        while (!users.add(-1, 2)) if (this.#takeLast(users, record, key)) return 0;
        return 0;
      default:
        return -ERRNO.invalid;
    }
  }

  /** @returns false where there are more users than one */
  #takeLast(users: UserCount, record: KeyRecord, key: Addr): boolean {
    if (!users.replace(1, 0)) return false;
    try {
      this.#apply(record, key, OFF);
      return true;
    } catch (error) {
      users.replace(0, 1);
      throw error;
    }
  }

  /** Until the environment ends or has had no program for a while. */
  run(): void {
    const { requests } = this.#runtime;
    const slot = this.#slot;
    const next = this.#native.procedure(requests.next);
    const answer = this.#native.procedure(requests.answer);
    const leave = this.#native.procedure(requests.leave);
    this.#native.procedure(requests.enlist)(slot.at);
    slot.state = READY;
    this.#runtime.wake(slot.stateAt);
    for (let idle = 0; !slot.ends; idle++) {
      const bell = this.#runtime.doorbell;
      while (next(slot.at) !== 0) {
        slot.result = this.#serve(slot.asked);
        answer(slot.at);
        idle = 0;
      }
      if (idle > IDLE && slot.retire()) break;
      this.#runtime.sleep(bell);
    }
    leave(slot.at);
  }
}

const data: ServerData = workerData;
const native = openNative();
const slot = new ServerSlot({ native }, data.slot);
try {
  new Serving(native, slot, data).run();
} catch (error) {
  // The server was not ready yet, because the loop throws nothing.
  slot.state = -errnoOf(error);
  native.call('futex', slot.stateAt, FUTEX.wakePrivate, 1);
}

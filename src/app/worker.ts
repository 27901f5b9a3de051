// The thread that serves static_call_update() of the C side. It sleeps in a futex until a request
// comes, and does what `update` does, by the same engine and under the same lock, whatever the
// thread that opened the program is busy with. Every request is answered, with an errno where
// serving it threw. The sleep is cut into slices, because the end of the environment reaches a
// thread only in JavaScript: ten wake-ups a second, which cost a thousandth of a CPU.

import { getSystemErrorMap } from 'node:util';
import { workerData } from 'node:worker_threads';
import { ERRNO, FUTEX } from '../base/linux.js';
import { isFault, type FaultCode } from '../base/fault.js';
import type { Addr } from '../base/addr.js';
import { CUpdates } from '../machine/process/c-updates.js';
import { Runtime } from '../machine/process/runtime.js';
import { openNative, type Native } from '../machine/linux/native.js';
import { allRecords, type KeyRecord } from '../machine/process/records.js';
import { READY, ServerSlot } from '../machine/process/servers.js';
import { TrapWatch } from '../machine/process/signals.js';
import { RETURNS } from '../trap/registry.js';
import { Engine } from '../machine/process/engine.js';
import type { ServerData } from './server.js';
import type { Target } from '../plan/target.js';

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
      const to = this.#targetFor(record, func);
      if (to === null) return -ERRNO.invalid;
      const name = `the key at 0x${key.toString(16)}`;
      this.#runtime.locked(() => {
        const from = record.held('call');
        const began = performance.now();
        const done = this.#engine.apply([{ name, record, to }], this.#data.protocol);
        const ns = Math.round((performance.now() - began) * 1e6);
        const { inline, trampoline, traps } = done;
        if (done.changes.length === 0) return;
        const update = { record: record.at, from, to: record.held('call') };
        this.#made.append({ ...update, inline, trampoline, traps, ns });
      });
      return 0;
    } catch (error) {
      return -errnoOf(error);
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

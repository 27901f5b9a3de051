// Starts the thread that serves updates from C, for objects that ask for some: one for each
// environment that has such an object open. A server knows keys by their records, so it serves
// every object of the process, whichever environment opened it.

import { Worker } from 'node:worker_threads';
import { Fault } from '../base/fault.js';
import type { ElfObject } from '../elf/object.js';
import type { Runtime } from '../machine/process/runtime.js';
import { errorName } from '../machine/linux/native.js';
import { newSlot, ownSlot, READY, STARTING, type ServerSlot } from '../machine/process/servers.js';
import type { ServerData } from './server.js';

/** Left in an object by each use of static_call_update(). */
const UPDATES_SECTION = '.static_call_updates';

const STARTS_WITHIN_S = 10;

/** Whether C code of this object updates its keys itself. */
export function updatesFromC(object: ElfObject): boolean {
  return object.section(UPDATES_SECTION) !== undefined;
}

/** A program's hold on the server of its environment. */
export class Server {
  readonly #runtime: Runtime;
  readonly #data: Omit<ServerData, 'slot'>;
  #slot: ServerSlot | null = null;

  constructor(runtime: Runtime, data: Omit<ServerData, 'slot'>) {
    this.#runtime = runtime;
    this.#data = data;
  }

  /** Returns when requests are served. @throws Fault `no-server` */
  start(): void {
    const runtime = this.#runtime;
    this.#slot = ownSlot(runtime);
    if (this.#slot) return;
    const slot = newSlot(runtime);
    try {
      start({ ...this.#data, slot: slot.at }, () => {
        slot.end();
        runtime.ring();
      });
    } catch (error) {
      slot.end();
      throw noServer(error instanceof Error ? error.message : String(error), error);
    }
    // In the kernel and not in Atomics.wait: a worker that is terminated now ends when its server
    // is up. The server in turn could not be terminated in what it does first
    // (machine/linux/native.ts).
    runtime.await(slot.stateAt, STARTING, STARTS_WITHIN_S);
    if (slot.state === READY) {
      this.#slot = slot;
      return;
    }
    slot.end();
    throw noServer(
      slot.state === STARTING
        ? `it did not start within ${STARTS_WITHIN_S} s`
        : `it could not start: ${errorName(slot.state)}`,
    );
  }

  /** The program is closed. The server ends when it has been without one for a while. */
  release(): void {
    this.#slot?.release();
    this.#slot = null;
  }
}

const noServer = (why: string, cause?: unknown): Fault =>
  new Fault('no-server', `the thread that serves updates from C: ${why}`, { cause });

/** `end` has it end: a thread that sleeps in the kernel does not hear of the environment's end. */
function start(data: ServerData, end: () => void): void {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: data });
  worker.unref();
  process.once('exit', end);
  worker.once('exit', () => process.off('exit', end));
  // What it could not catch: it is out of memory. C is answered -ENOSYS from then on, and the
  // program goes on.
  worker.once('error', (error) =>
    process.emitWarning(`static_call_update() is no longer served: ${String(error)}`),
  );
}

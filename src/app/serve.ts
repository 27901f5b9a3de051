// Starts the thread that serves updates from C, for objects that ask for some. One is enough for a
// process: it knows keys by their records, whoever opened their object.

import { Worker } from 'node:worker_threads';
import { Fault } from '../base/fault.js';
import type { ElfObject } from '../elf/object.js';
import type { Runtime } from '../machine/process/runtime.js';
import type { ServerData } from './server.js';

/** Left in an object by each use of static_call_update(). */
const UPDATES_SECTION = '.static_call_updates';

const STARTS_WITHIN_MS = 10_000;

/** Whether C code of this object updates its keys itself. */
export function updatesFromC(object: ElfObject): boolean {
  return object.section(UPDATES_SECTION) !== undefined;
}

/** Returns when requests are served. @throws Fault `no-server` */
export function startServer(runtime: Runtime, data: Omit<ServerData, 'ready'>): void {
  if (runtime.half('server') !== 0) return;
  const ready = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('./worker.js', import.meta.url), {
    workerData: { ...data, ready } satisfies ServerData,
  });
  worker.unref();
  if (Atomics.wait(ready, 0, 0, STARTS_WITHIN_MS) === 'timed-out') {
    void worker.terminate();
    throw new Fault(
      'no-server',
      `the thread that serves updates from C did not start within ${STARTS_WITHIN_MS / 1000} s`,
    );
  }
  // A thread that sleeps in a system call cannot be stopped from outside: it is rung and told.
  process.once('exit', () => {
    runtime.ring('server', 0);
    runtime.ring('doorbell', runtime.half('doorbell') + 1);
  });
}

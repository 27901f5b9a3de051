// A temporary directory that goes with the process: also where the process ends by a signal, or by
// process.exit() in the middle. SIGKILL alone leaves it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export class TemporaryFolder implements AsyncDisposable {
  readonly path: string;

  constructor(prefix: string) {
    // First: a signal that comes between the two is delivered when this is done.
    for (const signal of ENDING) process.on(signal, this.#end);
    try {
      this.path = mkdtempSync(join(tmpdir(), prefix));
    } catch (error) {
      this.#release();
      throw error;
    }
    process.on('exit', this.#remove);
  }

  readonly #remove = (): void => {
    // Again where a compiler that was interrupted still writes there.
    rmSync(this.path, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
  };

  /** With no listener left, the signal ends the process as it would have without one. */
  readonly #end = (signal: NodeJS.Signals): void => {
    // A command that listens to SIGINT takes it as the wish to stop, and comes to the disposal on
    // its way out.
    if (signal === 'SIGINT' && process.listenerCount(signal) > 1) return;
    this.#remove();
    this.#release();
    process.kill(process.pid, signal);
  };

  #release(): void {
    process.off('exit', this.#remove);
    for (const signal of ENDING) process.off(signal, this.#end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#remove();
    // A signal that came while a compiler ran is delivered when the loop polls: between two
    // immediates it has.
    await setImmediate();
    await setImmediate();
    this.#release();
  }
}

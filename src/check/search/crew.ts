// Threads that search together (engine/together.ts): the one that searches, and others that help it
// from where the search is large enough on. They give each state the number that one thread gives
// it. The page has another file in its place (view/page/instead), because a page that no server
// sent has no shared memory.

import { Worker } from 'node:worker_threads';
import type { HandData } from './hand.js';
import { shared, type Driver, type Host, type Shared } from './instance.js';

/** While another thread comes, one alone finds as many states. */
const WORTHWHILE = 8_000;
/** States that the table holds when they begin: it is made anew by all, and rarely is best. */
const ROOM = 700_000;
/** A batch of fewer costs more to share out than to expand. */
const BATCH_MIN = 2048;
/** The engine divides its table by a power of two, and has desks for so many. */
const THREADS_MAX = 8;

/**
 * Null where there is no room for a memory that all share: it is given the four gigabytes that it
 * may grow to as addresses, which a limit of the process may refuse (`ulimit -v`).
 * @param atOnce whether they are waited for before the first state
 */
export function crewOf(host: Host, threads: number, atOnce: boolean): Driver | null {
  const hands = 2 ** Math.floor(Math.log2(Math.min(threads, THREADS_MAX)));
  try {
    return new Crew(shared(host), hands, atOnce);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

class Crew implements Driver {
  readonly engine: Shared['engine'];
  readonly memory: Shared['memory'];
  readonly #module: object;
  readonly #hands: number;
  readonly #atOnce: boolean;
  #stage: 'none' | 'called' | 'here' = 'none';

  constructor({ module, memory, engine }: Shared, hands: number, atOnce: boolean) {
    this.engine = engine;
    this.memory = memory;
    this.#module = module;
    this.#hands = hands;
    this.#atOnce = atOnce;
  }

  advance(most: number, limit: number): number {
    if (this.#stage === 'none' && (this.#atOnce || this.engine.found() >= WORTHWHILE)) this.#call();
    if (this.#stage === 'called' && this.engine.areReady() !== 0) {
      this.engine.begin(this.#atOnce ? 0 : ROOM);
      this.#stage = 'here';
    }
    if (this.#stage !== 'here') return this.engine.advance(most, limit);
    // At once means as early as can be.
    const [alone, least] = this.#atOnce ? [1, 2] : [most, BATCH_MIN];
    return this.engine.advanceTogether(alone, limit, least);
  }

  /** No thread helps any more; the engine still answers. */
  close(): void {
    if (this.#stage !== 'none') this.engine.dismiss();
    this.#stage = 'none';
  }

  #call(): void {
    this.engine.hire(this.#hands);
    for (let hand = 1; hand < this.#hands; hand++) {
      const workerData: HandData = { module: this.#module, memory: this.memory, hand };
      const worker = new Worker(new URL('./hand.js', import.meta.url), { workerData });
      worker.unref();
      // One that never comes is not missed, and the search hears of one that fails (hand.ts).
      worker.on('error', () => undefined);
    }
    this.#stage = 'called';
    const word = new Int32Array(new SharedArrayBuffer(4));
    while (this.#atOnce && this.engine.areReady() === 0) Atomics.wait(word, 0, 0, 1);
  }
}

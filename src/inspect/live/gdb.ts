// The memory of a stopped machine by gdb's remote protocol, as QEMU, KGDB and hardware debuggers
// serve it. The readers ask for one page after the other and wait, so the socket lives in a thread
// of its own (gdb-thread.ts), and this one sleeps until the answer is there.

import {
  MessageChannel,
  receiveMessageOnPort,
  Worker,
  type MessagePort,
} from 'node:worker_threads';
import { PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import type { GdbAnswer, GdbRequest } from './gdb-thread.js';

/** Words of what both threads share: whether the answer was posted, and how often one heard. */
const [ANSWERED, HEARD] = [0, 1];

/** Without a byte from the server. A slow server, or a busy machine, may take as long as it needs. */
const PATIENCE_MS = 60_000;

export class Gdb implements Disposable {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #state = new Int32Array(new SharedArrayBuffer(8));
  readonly #at: string;
  readonly #patience: number;
  #silent = false;

  /**
   * HOST:PORT or the path of a socket. `patience`: milliseconds of silence.
   * @throws Fault `no-gdb`.
   */
  constructor(address: string, patience: number = PATIENCE_MS) {
    const { port1, port2 } = new MessageChannel();
    this.#at = address;
    this.#patience = patience;
    this.#port = port1;
    this.#worker = new Worker(new URL('./gdb-thread.js', import.meta.url), {
      workerData: { address, port: port2, state: this.#state },
      transferList: [port2],
    });
    this.#worker.unref();
    try {
      this.#ask('stop');
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }
  /** Lets the machine go on. */
  [Symbol.dispose](): void {
    try {
      if (!this.#silent) this.#ask('go');
    } catch {
      // It is gone, and what was read is read.
    }
    this.#port.close();
    void this.#worker.terminate();
  }

  /** Null where nothing is mapped. */
  read(at: Addr, length: number): Uint8Array | null {
    return this.#ask({ at, length });
  }
  readonly page = (at: Addr): Uint8Array | null => this.read(at, PAGE);

  #ask(request: GdbRequest): Uint8Array | null {
    Atomics.store(this.#state, ANSWERED, 0);
    this.#port.postMessage(request);
    this.#wait();
    const answer: GdbAnswer | undefined = receiveMessageOnPort(this.#port)?.message;
    if (answer?.bytes !== undefined) return answer.bytes;
    this.#silent = answer === undefined;
    const said = answer?.error ?? `no byte within ${this.#patience / 1000} s`;
    throw new Fault('no-gdb', `the server of gdb's protocol: ${said}`, { at: this.#at });
  }
  /** For the answer, as long as the server sends anything. */
  #wait(): void {
    for (;;) {
      const heard = Atomics.load(this.#state, HEARD);
      const end = Atomics.wait(this.#state, ANSWERED, 0, this.#patience);
      if (end !== 'timed-out' || Atomics.load(this.#state, HEARD) === heard) return;
    }
  }
}

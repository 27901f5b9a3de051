// The memory of a stopped machine by gdb's remote protocol, as QEMU, KGDB and hardware debuggers
// serve it. The readers ask for one page after the other and wait, so the socket lives in a thread
// of its own (gdb-thread.ts), and this one sleeps until the answer is there.

import {
  MessageChannel,
  receiveMessageOnPort,
  Worker,
  type MessagePort,
} from 'node:worker_threads';
import { hex, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import type { GdbAnswer } from './gdb-thread.js';

const PATIENCE_MS = 20_000;
/** QEMU answers at most 2,048 bytes, as hexadecimal digits, whatever is asked for. */
const PIECE = 1024;

export class Gdb implements Disposable {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #answered = new Int32Array(new SharedArrayBuffer(4));
  readonly #at: string;

  /** HOST:PORT or the path of a socket. @throws Fault `no-gdb`. */
  constructor(address: string) {
    const { port1, port2 } = new MessageChannel();
    this.#at = address;
    this.#port = port1;
    this.#worker = new Worker(new URL('./gdb-thread.js', import.meta.url), {
      workerData: { address, port: port2, answered: this.#answered },
      transferList: [port2],
    });
    this.#worker.unref();
    try {
      // A server stops the machine when it is asked why it stopped.
      this.#ask('?');
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }
  /** Lets the machine go on. */
  [Symbol.dispose](): void {
    try {
      this.#ask('D');
    } catch {
      // It is gone, and what was read is read.
    }
    this.#port.close();
    void this.#worker.terminate();
  }

  /** Null where nothing is mapped. */
  read(at: Addr, length: number): Uint8Array | null {
    const whole = new Uint8Array(length);
    for (let done = 0; done < length; done += PIECE) {
      const size = Math.min(PIECE, length - done);
      const answer = this.#ask(`m${hex(at + done).slice(2)},${size.toString(16)}`);
      if (!/^(?:[0-9a-f]{2})+$/.test(answer) || answer.length !== 2 * size) return null;
      whole.set(Buffer.from(answer, 'hex'), done);
    }
    return whole;
  }
  readonly page = (at: Addr): Uint8Array | null => this.read(at, PAGE);

  #ask(packet: string): string {
    Atomics.store(this.#answered, 0, 0);
    this.#port.postMessage(packet);
    Atomics.wait(this.#answered, 0, 0, PATIENCE_MS);
    const answer: GdbAnswer | undefined = receiveMessageOnPort(this.#port)?.message;
    if (answer?.text !== undefined) return answer.text;
    const said = answer?.error ?? `no answer within ${PATIENCE_MS / 1000} s`;
    throw new Fault('no-gdb', `the server of gdb's protocol: ${said}`, { at: this.#at });
  }
}

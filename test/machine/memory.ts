// A process in an array: enough of one for `ProcessMachine` and the writer through /proc/self/mem, so that every
// effect of a batch can be made to fail without a process to lose.

import type { Native } from '#machine/process/native';
import type { Sweep, Sweeping } from '#machine/process/sweep';
import type { Batch } from '#plan/batch';
import { ProcmemText } from '#machine/process/text';
import { ProcessMachine } from '#machine/process/process';

const FILE = 3;

export interface Memory {
  readonly native: Native;
  readonly machine: ProcessMachine;
  readonly text: Uint8Array;
  /** Of a record or a key, by address; made at first use. */
  words(at: number): BigUint64Array;
  /** Effects so far; `fails` is asked for each, and true makes it a refused system call. */
  effects: number;
  fails: (n: number) => boolean;
}

export function memory(start: number, size: number): Memory {
  const text = new ArrayBuffer(size);
  const words = new Map<number, ArrayBuffer>();
  // Buffers lie 16 MiB apart, in the order in which they were asked for.
  const APART = 2 ** 24;
  const buffers: ArrayBufferView[] = [];
  const bytesOf = (address: number, length: number): Uint8Array => {
    const from = buffers[Math.floor(address / APART) - 1]!;
    return new Uint8Array(from.buffer, from.byteOffset + (address % APART), length);
  };
  const bytesAt = (at: number): ArrayBuffer => {
    let found = words.get(at);
    if (!found) words.set(at, (found = new ArrayBuffer(64)));
    return found;
  };
  const never = (): never => {
    throw new Error('not in this memory');
  };
  const native: Native = {
    call(name, ...args) {
      const refused = memory.fails(memory.effects++);
      if (name === 'membarrier') return refused ? -38 : args[0] === 0 ? 0xff : 0;
      if (name !== 'pwrite') return never();
      if (refused) return -5;
      const [, buffer, length, at] = args as [number, number, number, number];
      new Uint8Array(text, at - start, length).set(bytesOf(buffer, length));
      return length;
    },
    view: (at) => (at === start ? text : bytesAt(at)),
    addressOf: (buffer) => APART * buffers.push(buffer),
    load: never,
    linkMap: never,
    symbol: never,
    sigaction: never,
    atFork: never,
    library: never,
    invoke: never,
    procedure: never,
  };
  /** What the machine code of the sweeps does for a writer through a buffer. */
  const store = (how: Sweeping, batch: Batch, from: number, to: number, away: number, source: 'old' | 'new' = 'new'): number => {
    for (let i = from; i < to; i++) {
      const into = bytesOf(batch.at[i]! + away, batch.length[i]!);
      const [first, end] = how === 'rest' ? [1, batch.length[i]!] : [0, how === 'whole' ? batch.length[i]! : 1];
      for (let b = first; b < end; b++) into[b] = how === 'trap' ? 0xcc : batch[source][8 * i + b]!;
    }
    return -1;
  };
  const machine = new ProcessMachine(native);
  machine.addText(new ProcmemText({ native, sweep: { store } as unknown as Sweep }, FILE, start, start + size));
  const memory: Memory = { native, machine, text: new Uint8Array(text), words: (at) => new BigUint64Array(bytesAt(at)), effects: 0, fails: () => false };
  return memory;
}

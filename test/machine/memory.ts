// A process in an array: enough of one for `ProcessMachine` and the writer through /proc/self/mem,
// so that every effect of a batch can be made to fail without a process to lose.

import { EPERM, SYNC_CORE } from '#machine/linux/membarrier';
import { SYS, type Call, type Native } from '#machine/linux/native';
import { ProcmemText } from '#machine/process/procmem';
import { ProcessMachine } from '#machine/process/process';
import { COPY, HEADER, OPERATION, ROUTINES, SYSTEM, WORD, WORDS } from '#native/script';
import type { Routines } from '#machine/process/script';
import { STORE, STORE_LOOPS, type StoreLoop } from '#native/stores';

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
  /** Not registered for synchronisations, as a child of fork. */
  lost: boolean;
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
  /** A word of a buffer, or of the handler's data. */
  const wordAt = (at: number): number =>
    Number(new DataView(bytesOf(at, 8).slice().buffer).getBigInt64(0, true));
  const native: Native = {
    system: null,
    call(name, ...args) {
      // Nothing is installed, and that is what this machine takes for its own.
      if (name === 'rt_sigaction') return 0;
      const refused = memory.fails(memory.effects++);
      if (name === 'membarrier') {
        if (refused) return -38;
        if (args[0] === 0) return 0xff;
        if (args[0] !== SYNC_CORE) memory.lost = false;
        return memory.lost ? EPERM : 0;
      }
      if (name !== 'pwrite') return never();
      if (refused) return -5;
      const [, buffer, length, at] = args as [number, number, number, number];
      new Uint8Array(text, at - start, length).set(bytesOf(buffer, length));
      return length;
    },
    view: (at) => (at === start ? text : bytesAt(at)),
    addressOf: (buffer) => APART * buffers.push(buffer),
    read: never,
    load: never,
    linkMap: never,
    symbol: never,
    sigaction: never,
    atFork: never,
    createThreadKey: never,
    setThreadValue: never,
    library: never,
    invoke: never,
    procedure: () => perform,
    callback: never,
  };
  // Routines have numbers in place of addresses, and do here what their machine code does for a
  // writer through a buffer.
  const names = [...ROUTINES, ...STORE_LOOPS];
  const routines = Object.fromEntries(names.map((name, i) => [name, i])) as Routines;
  const loop = (how: StoreLoop, words: number): number => {
    const word = (name: keyof typeof STORE): number => wordAt(words + STORE[name]);
    for (let i = word('from'); i < word('to'); i++) {
      const at = new DataView(bytesOf(word('at') + 8 * i, 8).slice().buffer).getFloat64(0, true);
      const length = bytesOf(word('length') + i, 1)[0]!;
      const into = bytesOf(at + word('away'), length);
      const [first, end] = how === 'rest' ? [1, length] : [0, how === 'whole' ? length : 1];
      for (let b = first; b < end; b++)
        into[b] = how === 'trap' ? 0xcc : bytesOf(word('new') + 8 * i + b, 1)[0]!;
    }
    return -1;
  };
  const operation = (name: (typeof names)[number], words: number): number => {
    const word = (offset: number): number => wordAt(words + offset);
    if (name === 'words') {
      for (let k = 0; k < word(WORDS.count); k++) {
        const at = word(WORDS.first + WORDS.size * k);
        const value = BigInt(word(WORDS.first + WORDS.size * k + 8));
        new DataView(bytesAt(at & ~63)).setBigInt64(at & 63, value, true);
      }
    } else if (name === 'expect') return wordAt(word(WORD.at)) === word(WORD.value) ? -1 : 0;
    else if (name === 'copy')
      bytesOf(word(COPY.to), word(COPY.size)).set(
        new Uint8Array(text, word(COPY.from) - start, word(COPY.size)),
      );
    else if (name === 'system') {
      const call = (Object.keys(SYS) as Call[]).find((each) => SYS[each] === word(SYSTEM.number))!;
      const result = native.call(
        call,
        ...[0, 8, 16, 24].map((each) => word(SYSTEM.arguments + each)),
      );
      bytesOf(words + SYSTEM.result, 8).set(
        new Uint8Array(BigInt64Array.of(BigInt(result)).buffer),
      );
      return result === word(SYSTEM.expected) ? -1 : 0;
    } else return loop(name as StoreLoop, words);
    return -1;
  };
  const perform = (header: number): number => {
    for (
      let at = wordAt(header + HEADER.next);
      at < wordAt(header + HEADER.end);
      at += OPERATION.size
    ) {
      const value = operation(names[wordAt(at + OPERATION.routine)]!, at + OPERATION.words);
      bytesOf(header + HEADER.next, 8).set(new Uint8Array(BigInt64Array.of(BigInt(at)).buffer));
      if (value !== -1) return value;
    }
    return -1;
  };
  const machine = new ProcessMachine({ native, routines, handler: 0 });
  machine.addText(new ProcmemText(native, FILE, start, start + size));
  const memory: Memory = {
    native,
    machine,
    text: new Uint8Array(text),
    words: (at) => new BigUint64Array(bytesAt(at)),
    effects: 0,
    fails: () => false,
    lost: false,
  };
  return memory;
}

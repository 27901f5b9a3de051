// What belongs to Node itself (or Bun, or Deno) and runs no code of the objects that are patched:
// its signal handlers, which block every signal, and the thread that waits to start the inspector.

import type { Addr } from '../../base/addr.js';
import { SYS } from '../../base/linux.js';
import { readMaps, type Mapping } from '../linux/maps.js';
import type { Native } from '../linux/native.js';
import { sleepsIn, type ThreadState } from './threads.js';

/** Exported by the runtime, or by libuv where a distribution links it dynamically. */
const LANDMARKS = ['uv_signal_start', 'napi_create_function'];

/** Asks the dynamic linker, and not /proc, which object an address lies in. */
export class Objects {
  readonly #native: Native;
  readonly #dladdr: Addr;
  /** Dl_info: the file's name, its base, a symbol's name and address. */
  readonly #info: BigUint64Array = new BigUint64Array(4);
  readonly #infoAt: Addr;
  #own: ReadonlySet<Addr> | null = null;
  /** Addresses that were found in Node, which is never unloaded. */
  readonly #inNode = new Set<Addr>();

  constructor(native: Native) {
    this.#native = native;
    this.#dladdr = native.symbol(native.load(null), 'dladdr');
    this.#infoAt = native.addressOf(this.#info);
  }

  /** 0 where no object has the address. */
  baseOf(address: Addr): Addr {
    if (this.#dladdr === 0 || this.#native.invoke(this.#dladdr, address, this.#infoAt) === 0)
      return 0;
    return Number(this.#info[1]);
  }

  /**
   * Whether it lies in an object that is Node's own. A program that has Node linked into it is one
   * of them: its own handlers cannot be told from Node's.
   */
  isOfNode(address: Addr): boolean {
    // dladdr goes through all symbols of the object, which takes half a millisecond in Node's.
    if (this.#inNode.has(address)) return true;
    const found = (this.#own ??= this.#ofNode()).has(this.baseOf(address));
    if (found) this.#inNode.add(address);
    return found;
  }

  #ofNode(): ReadonlySet<Addr> {
    const native = this.#native;
    const program = native.load(null);
    const own = LANDMARKS.map((name) => native.symbol(program, name)).filter((at) => at !== 0);
    return new Set(own.map((at) => this.baseOf(at)).filter((base) => base !== 0));
  }
}

/**
 * Node has one thread with every signal blocked, which waits for SIGUSR1 to start the inspector and
 * never runs user code. Later versions name it; before, it is known by what it waits for: a
 * semaphore in Node's own data.
 */
export function isInspector(thread: ThreadState): boolean {
  if (thread.name === 'SignalInspector') return true;
  const asleep = sleepsIn(thread.id);
  if (asleep?.call !== SYS.futex) return false;
  return ownData().some(({ start, end }) => asleep.word >= start && asleep.word < end);
}

/**
 * Where the executable of Node lies, its .bss too: that is the anonymous mapping right behind its
 * own.
 */
function ownData(): Mapping[] {
  const maps = readMaps();
  return maps.filter((map, i) => (map.path === '' ? maps[i - 1] : map)?.path === process.execPath);
}

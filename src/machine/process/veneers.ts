// Code of ours within reach of an object's sites: the function that returns 0, the one that just
// returns, and a veneer for each target that is further than 2 GiB away. A call to a far target
// costs the veneer's indirect jump on every call. Nothing here is ever freed or changed once it is
// written.

import { hex, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { place } from '../../asm/assembler.js';
import { RETURN, RETURN0, VENEER, VENEER_SIZE } from '../../native/veneer.js';
import { syncCores } from '../linux/membarrier.js';
import { memoryFile } from './runtime.js';
import { freePlaceNear, readMaps } from '../linux/maps.js';
import { errorName, MAP, PROT, type Native } from '../linux/native.js';

/**
 * rel32 reaches 2^31 bytes from the end of the instruction; a page less spares every off-by-one.
 */
export const REACH: number = 2 ** 31 - PAGE;

interface NearPage {
  readonly at: Addr;
  readonly writable: Uint8Array;
  used: number;
}

export class Veneers {
  readonly #native: Native;
  readonly #start: Addr;
  readonly #end: Addr;
  readonly #pages: NearPage[] = [];
  readonly #veneers = new Map<Addr, Addr>();
  #return0: Addr | null = null;
  #return: Addr | null = null;

  /** [start, end) is the text that the code must be reachable from. */
  constructor(native: Native, start: Addr, end: Addr) {
    this.#native = native;
    this.#start = start;
    this.#end = end;
  }

  /** Whether a rel32 at any place of the text reaches it. */
  reaches(target: Addr): boolean {
    return Math.abs(target - this.#start) <= REACH && Math.abs(target - this.#end) <= REACH;
  }
  /** Number of veneers made so far. */
  get count(): number {
    return this.#veneers.size;
  }
  get return0(): Addr {
    return (this.#return0 ??= this.#add(RETURN0.bytes));
  }
  get return(): Addr {
    return (this.#return ??= this.#add(RETURN.bytes));
  }
  /**
   * Where a site calls to get to the target: the target itself, or its veneer. @throws Fault
   * `out-of-reach`
   */
  way(target: Addr): Addr {
    if (this.reaches(target)) return target;
    let veneer = this.#veneers.get(target);
    if (veneer === undefined) {
      veneer = this.#add(place(VENEER, { target }));
      this.#veneers.set(target, veneer);
    }
    return veneer;
  }
  /** The target of a veneer of ours, or the address itself: for reading sites back. */
  through(address: Addr): Addr {
    for (const [target, veneer] of this.#veneers) if (veneer === address) return target;
    return address;
  }

  #add(code: Uint8Array): Addr {
    let page = this.#pages.at(-1);
    if (!page || page.used + VENEER_SIZE > PAGE) {
      page = this.#map();
      this.#pages.push(page);
    }
    const at = page.used;
    page.writable.set(code, at);
    page.used += VENEER_SIZE;
    // A CPU may have fetched ahead into what was zero a moment ago.
    syncCores(this.#native);
    return page.at + at;
  }

  #map(): NearPage {
    const native = this.#native;
    const fd = memoryFile(native, 'static-call-near', PAGE);
    try {
      const writable = native.call('mmap', 0, PAGE, PROT.read | PROT.write, MAP.shared, fd, 0);
      if (writable < 0)
        throw new Fault('no-memory', `mapping a page for veneers failed: ${errorName(writable)}`);
      try {
        return {
          at: this.#mapNear(fd),
          writable: new Uint8Array(native.view(writable, PAGE)),
          used: 0,
        };
      } catch (error) {
        native.call('munmap', writable, PAGE);
        throw error;
      }
    } finally {
      native.call('close', fd);
    }
  }

  #mapNear(fd: number): Addr {
    for (;;) {
      const near = freePlaceNear(readMaps(), this.#start, this.#end, PAGE, REACH);
      if (near === null)
        throw new Fault('out-of-reach', 'no free page within 2 GiB of the text', {
          at: hex(this.#start),
        });
      const at = this.#native.call(
        'mmap',
        near,
        PAGE,
        PROT.read | PROT.exec,
        MAP.shared | MAP.fixedNoReplace,
        fd,
        0,
      );
      if (at === near) return at;
      // EEXIST: another thread was given the place first; look again.
      if (at !== -17)
        throw new Fault('no-memory', `mapping a page at ${hex(near)} failed: ${errorName(at)}`);
    }
  }
}

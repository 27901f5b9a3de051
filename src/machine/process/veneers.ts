// Code of ours within reach of an object's sites: the function that returns 0, the one that just
// returns, and a veneer for each target that is further than 2 GiB away. A call to a far target
// costs the veneer's indirect jump on every call. A counter is a veneer that counts. Nothing here
// is ever freed.
//
// A page of it is private memory that is written before it is executable and never after. One more
// veneer makes a new page, which holds what the old one held and takes its place in one system
// call: a thread that runs there faults, waits for it, and finds the same bytes. A page that stays
// writable elsewhere would be simpler, but a child of fork would inherit it and could change its
// parent's veneers.

import { INT3 } from '../../asm/table.js';
import { hex, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { ERRNO, MAP, MREMAP, PROT } from '../../base/linux.js';
import { place } from '../../asm/assembler.js';
import { counter, RETURN, RETURN0, slotsOf, VENEER } from '../../native/veneer.js';
import { freePlaceNear, readMaps } from '../linux/maps.js';
import { syncCores } from '../linux/membarrier.js';
import { mapAnonymous } from '../linux/memory.js';
import { errorName, type Native } from '../linux/native.js';

/**
 * rel32 reaches 2^31 bytes from the end of the instruction; a page less spares every off-by-one.
 */
export const REACH: number = 2 ** 31 - PAGE;

interface NearPage {
  readonly at: Addr;
  used: number;
}

export class Veneers {
  readonly #native: Native;
  readonly #start: Addr;
  readonly #end: Addr;
  readonly #pages: NearPage[] = [];
  readonly #veneers = new Map<Addr, Addr>();
  readonly #counters = new Map<string, Addr>();
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
  /** Counts in a word, and goes on to the target. */
  counter(calls: Addr, target: Addr): Addr {
    const which = `${calls} ${target}`;
    const known = this.#counters.get(which);
    if (known !== undefined) return known;
    const at = this.#add(counter(calls, target));
    this.#counters.set(which, at);
    return at;
  }
  /** The target of a veneer of ours, or the address itself: for reading sites back. */
  through(address: Addr): Addr {
    for (const [target, veneer] of this.#veneers) if (veneer === address) return target;
    return address;
  }

  #add(code: Uint8Array): Addr {
    const native = this.#native;
    const slots = slotsOf(code);
    let page = this.#pages.at(-1);
    if (!page || page.used + slots.length > PAGE) {
      page = { at: this.#reserve(), used: 0 };
      this.#pages.push(page);
    }
    const next = mapAnonymous(native, PAGE, PROT.read | PROT.write);
    try {
      const bytes = new Uint8Array(native.view(next, PAGE)).fill(INT3);
      bytes.set(new Uint8Array(native.view(page.at, page.used)));
      bytes.set(slots, page.used);
      const refused =
        native.call('mprotect', next, PAGE, PROT.read | PROT.exec) || this.#replace(page.at, next);
      if (refused < 0)
        throw new Fault('no-memory', `a page for veneers was refused: ${errorName(refused)}`);
    } catch (error) {
      native.call('munmap', next, PAGE);
      throw error;
    }
    const at = page.at + page.used;
    page.used += slots.length;
    // A CPU may have fetched ahead into what was something else a moment ago.
    syncCores(native);
    return at;
  }

  #replace(page: Addr, next: Addr): number {
    const moved = this.#native.call(
      'mremap',
      next,
      PAGE,
      PAGE,
      MREMAP.mayMove | MREMAP.fixed,
      page,
    );
    return moved < 0 ? moved : 0;
  }

  /** A page near the text that nothing else is mapped to; not accessible yet. */
  #reserve(): Addr {
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
        PROT.none,
        MAP.private | MAP.anonymous | MAP.fixedNoReplace,
        -1,
        0,
      );
      if (at === near) return at;
      // Another thread was given the place first: look again.
      if (at !== -ERRNO.exists)
        throw new Fault('no-memory', `mapping a page at ${hex(near)} failed: ${errorName(at)}`);
    }
  }
}

// Code of ours within reach of a target's texts: what returns 0, what just returns, and veneers for
// functions that are further than 2 GiB away. A page of it is found again by its first bytes, so
// that a later tool uses what an earlier one wrote. What is added is written by the run that uses
// it, under the lock, because two tools may want the same free place.

import { INT3 } from '../../asm/table.js';
import { place } from '../../asm/assembler.js';
import { hex, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { PROT } from '../../base/linux.js';
import { counter, RETURN, RETURN0, slotsOf, VENEER, VENEER_SIZE } from '../../native/veneer.js';
import { freePlaceNear, type Mapping } from '../linux/maps.js';
import { REACH } from '../process/veneers.js';
import type { RemoteRuntime } from './runtime.js';
import type { Target } from './target.js';

/** The first slot of a page, which nothing calls: it tells that the page is one. */
const MARK = new TextEncoder().encode('static-call-near');

/** Whether a mapping is a page of code of ours near a text. */
export const isNear = (target: Target, { start, access, path }: Mapping): boolean =>
  access === 'r-xp' && path === '' && Buffer.compare(target.read(start, MARK.length), MARK) === 0;

interface Added {
  readonly at: Addr;
  readonly bytes: Uint8Array;
}

/** What lies near one text. */
export class NearCode {
  readonly #runtime: RemoteRuntime;
  readonly #start: Addr;
  readonly #end: Addr;
  /** It stays where it is; what it holds may be added to. */
  #at: Addr | null = null;
  #bytes: Uint8Array | null = null;
  /** To be written by the next run. */
  readonly added: Added[] = [];

  constructor(runtime: RemoteRuntime, start: Addr, end: Addr) {
    this.#runtime = runtime;
    this.#start = start;
    this.#end = end;
  }

  #reaches(target: Addr): boolean {
    return Math.abs(target - this.#start) <= REACH && Math.abs(target - this.#end) <= REACH;
  }
  get return0(): Addr {
    return this.#slot(RETURN0.bytes);
  }
  get return(): Addr {
    return this.#slot(RETURN.bytes);
  }
  way(target: Addr): Addr {
    return this.#reaches(target) ? target : this.#slot(place(VENEER, { target }));
  }

  /** Counts in a word, and goes on to the target. */
  counter(calls: Addr, target: Addr): Addr {
    return this.#slot(counter(calls, target));
  }

  #slot(code: Uint8Array): Addr {
    const slot = slotsOf(code);
    const at = (this.#at ??= this.#find());
    const bytes = (this.#bytes ??= this.#runtime.target.read(at, PAGE));
    for (let offset = 0; offset + slot.length <= PAGE; offset += VENEER_SIZE) {
      const there = bytes.subarray(offset, offset + slot.length);
      if (Buffer.compare(there, slot) === 0) return at + offset;
      if (there.some((byte) => byte !== INT3)) continue;
      there.set(slot);
      this.added.push({ at: at + offset, bytes: slot });
      return at + offset;
    }
    throw new Fault('out-of-reach', `the page of veneers at ${hex(at)} is full`, {
      hint: 'a program with so many far targets needs its functions within 2 GiB',
    });
  }

  /** What it holds is read again, and what was to be added is not. */
  forget(): void {
    this.#bytes = null;
    this.added.length = 0;
  }

  /** A run has written what was added. */
  written(): void {
    this.added.length = 0;
  }

  #find(): Addr {
    const { target } = this.#runtime;
    const known = target.maps().find((map) => this.#reaches(map.start) && isNear(target, map));
    return known?.start ?? this.#make();
  }

  #make(): Addr {
    const bytes = new Uint8Array(PAGE).fill(INT3);
    bytes.set(MARK);
    const at = this.#runtime.mapped(PROT.read | PROT.exec, PAGE, (maps) => {
      const near = freePlaceNear(maps, this.#start, this.#end, PAGE, REACH);
      if (near !== null) return near;
      throw new Fault('out-of-reach', 'no free page within 2 GiB of the text', {
        at: hex(this.#start),
      });
    });
    // Nothing leads there yet.
    this.#runtime.target.write(at, bytes);
    return at;
  }
}

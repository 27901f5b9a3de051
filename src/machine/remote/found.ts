// Code in another process that an update can lead to, found and not made: what returns 0, what just
// returns, and veneers that an earlier tool or a runtime wrote. `xor %eax,%eax; ret` is in nearly
// every program, and every object that uses static_call.h has it.

import { place } from '../../asm/assembler.js';
import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { RETURN, RETURN0, VENEER } from '../../native/veneer.js';
import type { Mapping } from '../linux/maps.js';
import { REACH } from '../process/veneers.js';
import { isNear } from './near.js';
import type { Target } from './target.js';

/** No more of a mapping is searched. */
const MOST_TEXT = 1 << 26;

export class FoundCode {
  readonly #target: Target;
  readonly #maps: readonly Mapping[];
  readonly #start: Addr;
  readonly #end: Addr;
  readonly #isWritten: (at: Addr, length: number) => boolean;

  /**
   * @param text from where it must be within reach
   * @param isWritten whether updates write there: what stands there now is not what will
   */
  constructor(
    target: Target,
    maps: readonly Mapping[],
    { start, end }: { readonly start: Addr; readonly end: Addr },
    isWritten: (at: Addr, length: number) => boolean,
  ) {
    this.#target = target;
    this.#start = start;
    this.#end = end;
    this.#isWritten = isWritten;
    // A page of ours first, as an update by a borrowed thread would use it; then the text itself.
    const rank = (map: Mapping): number => {
      if (isNear(target, map)) return 0;
      return map.start >= start && map.start < end ? 1 : 2;
    };
    this.#maps = maps
      .filter(({ access, start: from, end: to }) => {
        const within = Math.abs(from - end) <= REACH && Math.abs(to - start) <= REACH;
        return access.startsWith('r-x') && within;
      })
      .map((map) => ({ map, by: rank(map) }))
      .sort((a, b) => a.by - b.by)
      .map(({ map }) => map);
  }

  get return0(): Addr {
    return this.#find(RETURN0.bytes) ?? this.#missing('returns 0');
  }
  get return(): Addr {
    return this.#find(RETURN.bytes) ?? this.#missing('just returns');
  }
  /** A target that is too far, with no veneer for it, is refused where it is drawn. */
  way(target: Addr): Addr {
    const near = Math.abs(target - this.#start) <= REACH && Math.abs(target - this.#end) <= REACH;
    return near ? target : (this.#find(place(VENEER, { target })) ?? target);
  }

  #missing(what: string): never {
    throw new Fault('out-of-reach', `no code within 2 GiB of the text ${what}`, {
      at: hex(this.#start),
      hint: 'protocol stop adds no code to a process; the default protocol does',
    });
  }

  #find(code: Uint8Array): Addr | null {
    for (const { start, end } of this.#maps) {
      const bytes = Buffer.from(this.#target.read(start, Math.min(end - start, MOST_TEXT)).buffer);
      for (let at = bytes.indexOf(code); at >= 0; at = bytes.indexOf(code, at + 1))
        if (!this.#isWritten(start + at, code.length)) return start + at;
    }
    return null;
  }
}

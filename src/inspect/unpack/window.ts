// What the formats of the Lempel-Ziv kind do alike: take bytes as they stand, or repeat what came
// out before.

import { Fault } from '../../base/fault.js';

export class Window {
  readonly #name: string;
  readonly #source: Uint8Array;
  readonly #out: Uint8Array;
  #from = 0;
  #to = 0;

  /** `room`: bytes that come out at most. */
  constructor(name: string, source: Uint8Array, room: number) {
    this.#name = name;
    this.#source = source;
    this.#out = new Uint8Array(room);
  }
  get ended(): boolean {
    return this.#from >= this.#source.length;
  }
  result(): Uint8Array {
    return this.#out.subarray(0, this.#to);
  }

  /** A number of so many bytes, the lowest first. */
  number(bytes: number): number {
    let value = 0;
    for (let i = 0; i < bytes; i++) {
      const byte = this.#source[this.#from++];
      if (byte === undefined) throw this.#bad('ends inside an instruction');
      value += byte * 256 ** i;
    }
    return value;
  }
  literals(count: number): void {
    if (this.#from + count > this.#source.length) throw this.#bad('ends inside an instruction');
    if (this.#to + count > this.#out.length) throw this.#bad('holds more than a page');
    this.#out.set(this.#source.subarray(this.#from, this.#from + count), this.#to);
    this.#from += count;
    this.#to += count;
  }
  /** The two may overlap, and then the bytes just written are repeated. */
  match(distance: number, count: number): void {
    if (distance < 1 || distance > this.#to) throw this.#bad('reaches back before its beginning');
    if (this.#to + count > this.#out.length) throw this.#bad('holds more than a page');
    for (const end = this.#to + count; this.#to < end; this.#to++)
      this.#out[this.#to] = this.#out[this.#to - distance] ?? 0;
  }

  #bad(what: string): Fault {
    return new Fault('bad-packing', `the ${this.#name} stream ${what}`);
  }
}

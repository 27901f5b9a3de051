// The private memory of one CPU and the task on it: stacks, shadow stacks and the per-CPU area, as
// one run of words, with a tag for each.

import type { Addr } from '../../base/addr.js';
import type { Bytes } from './cpu.js';
import { wordsOf, type Region } from './space.js';

export class PrivateMemory {
  readonly regions: readonly Region[];
  readonly words: BigUint64Array;
  /** The same as 32-bit halves, the low one first. */
  readonly halves: Uint32Array;
  readonly #view: DataView;
  /**
   * For each word: bit 0 where a CALL wrote it; bits 1 on, which emulated call a stash belongs to.
   */
  readonly tags: Uint32Array;

  constructor(regions: readonly Region[]) {
    this.regions = regions;
    this.words = new BigUint64Array(wordsOf(regions));
    this.halves = new Uint32Array(this.words.buffer);
    this.#view = new DataView(this.words.buffer);
    this.tags = new Uint32Array(this.words.length);
  }

  clear(): void {
    this.words.fill(0n);
    this.tags.fill(0);
  }

  region(at: Addr, size: number): Region | null {
    for (const region of this.regions)
      if (at >= region.at && at + size <= region.at + region.bytes) return region;
    return null;
  }

  /** The word that holds an address of the region. */
  wordOf(region: Region, at: Addr): number {
    return region.first + Math.floor((at - region.at) / 8);
  }

  read(region: Region, at: Addr, size: Bytes): bigint {
    const byte = region.first * 8 + (at - region.at);
    switch (size) {
      case 8:
        return this.#view.getBigUint64(byte, true);
      case 4:
        return BigInt(this.#view.getUint32(byte, true));
      case 2:
        return BigInt(this.#view.getUint16(byte, true));
      case 1:
        return BigInt(this.#view.getUint8(byte));
    }
  }

  write(region: Region, at: Addr, size: Bytes, value: bigint): void {
    const byte = region.first * 8 + (at - region.at);
    switch (size) {
      case 8:
        this.#view.setBigUint64(byte, BigInt.asUintN(64, value), true);
        break;
      case 4:
        this.#view.setUint32(byte, Number(BigInt.asUintN(32, value)), true);
        break;
      case 2:
        this.#view.setUint16(byte, Number(BigInt.asUintN(16, value)), true);
        break;
      case 1:
        this.#view.setUint8(byte, Number(BigInt.asUintN(8, value)));
    }
  }

  /** The eight bytes at an address as an address, or NaN where no private memory is. */
  peek(at: Addr): Addr {
    const region = this.region(at, 8);
    if (region === null) return NaN;
    const byte = region.first * 8 + (at - region.at);
    return this.#view.getInt32(byte + 4, true) * 2 ** 32 + this.#view.getUint32(byte, true);
  }
}

// What records and tables need of the runtime that holds them.

import type { Addr } from '../../base/addr.js';
import type { DATA } from '../../trap/registry.js';
import type { Native } from '../linux/native.js';

export interface SharedData {
  readonly native: Native;
  word(name: keyof typeof DATA): bigint;
  setWord(name: keyof typeof DATA, value: bigint): void;
  allocate(size: number, align: number): Addr;
}

/** What holds it for itself, under its lock. */
export interface HeldData extends SharedData {
  /** Without a bigint. */
  held(name: keyof typeof DATA): number;
}

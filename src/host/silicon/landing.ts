// Code at every place where a torn call can go, so that it is counted and crashes nothing: each byte
// of the displacement may hold what any store leaves there, and every mixture of those has a pad
// that says which one it is.

import { INT3 } from '../../asm/table.js';
import { PAGE, type Addr } from '../../base/addr.js';
import { MAP, PROT, type Native } from '../../machine/linux/native.js';
import { COUNTS, int32, little, type Forms } from './layout.js';
import type { Effect } from './writer.js';

/** A displacement that may be executed. */
export interface Mixture {
  /**
   * For each byte, the lowest first, 0 if it is the old one and 1 if it is the new one; a higher
   * number is a byte that a step planted.
   */
  readonly name: string;
  readonly displacement: number;
}

/** In the order of their counters; the caller gives all that is stored, in both directions. */
export function mixturesOf({ old, fresh }: Forms, effects: readonly Effect[]): Mixture[] {
  const variants = [1, 2, 3, 4].map((at) => {
    const values = new Set([old, fresh].flatMap((bytes) => bytes[at] ?? []));
    for (const effect of effects) {
      if (effect === 'sync') continue;
      const byte = effect.bytes[at - effect.at];
      if (byte !== undefined) values.add(byte);
    }
    return [...values];
  });
  const all = variants.reduce<readonly (readonly number[])[]>(
    (before, values) => values.flatMap((value) => before.map((each) => [...each, value])),
    [[]],
  );
  return all.map((bytes) => ({
    name: bytes.map((byte, i) => digit(byte, old[i + 1], fresh[i + 1], variants[i] ?? [])).join(''),
    displacement: int32(bytes),
  }));
}

/** What does not change is new. */
function digit(
  byte: number,
  old: number | undefined,
  fresh: number | undefined,
  values: readonly number[],
): number {
  if (byte === fresh) return 1;
  return byte === old ? 0 : values.indexOf(byte);
}

export const tooMany = (mixtures: readonly Mixture[]): boolean => mixtures.length >= COUNTS;

/** `mov eax, its number` and `ret` at each mixture; false where something lies there. */
export function land(native: Native, end: Addr, mixtures: readonly Mixture[]): boolean {
  const code = new Map<Addr, number[]>();
  for (const [number, { displacement }] of mixtures.entries())
    for (const [i, byte] of [0xb8, ...little(number), 0xc3].entries()) {
      const at = end + displacement + i;
      const page = Math.floor(at / PAGE) * PAGE;
      const content = code.get(page) ?? Array<number>(PAGE).fill(INT3);
      content[at - page] = byte;
      code.set(page, content);
    }
  const flags = MAP.private | MAP.anonymous | MAP.fixedNoReplace;
  for (const [page, content] of code) {
    const at = native.call('mmap', page, PAGE, PROT.read | PROT.write, flags, -1, 0);
    if (at !== page) return false;
    new Uint8Array(native.view(page, PAGE)).set(content);
    native.call('mprotect', page, PAGE, PROT.read | PROT.exec);
  }
  return true;
}

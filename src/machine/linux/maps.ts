// What is mapped where in this process, from /proc/self/maps.

import { PAGE, type Addr } from '../../base/addr.js';
import { readProc } from './proc.js';

export interface Mapping {
  readonly start: Addr;
  readonly end: Addr;
  /** As printed: `r-xp`. */
  readonly access: string;
  readonly offset: number;
  /** Of the file; 0 where there is none. */
  readonly inode: number;
  readonly path: string;
}

const LINE_FORM = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ (\d+) *(.*)$/;

export function parseMaps(text: string): Mapping[] {
  const maps: Mapping[] = [];
  for (const line of text.split('\n')) {
    const [, start = '', end = '', access = '', offset = '', inode = '', path = ''] =
      LINE_FORM.exec(line) ?? [];
    // The vsyscall page is a kernel address: it is no place of the process.
    if (start === '' || start.length > 12) continue;
    maps.push({
      start: parseInt(start, 16),
      end: parseInt(end, 16),
      access,
      offset: parseInt(offset, 16),
      inode: Number(inode),
      path,
    });
  }
  return maps;
}

/** @throws Fault `no-proc` */
export function readMaps(): Mapping[] {
  return parseMaps(readProc('/proc/self/maps'));
}

/** vm.mmap_min_addr is 64 KiB by default. */
const LOWEST: Addr = 0x10000;
const HIGHEST: Addr = 0x7fff_ffff_f000;

/**
 * A free place of `size` bytes of which every byte is within `reach` of every byte of [start, end),
 * nearest first; null if there is none. The caller maps it with MAP_FIXED_NOREPLACE: another thread
 * may be faster.
 */
export function freePlaceNear(
  maps: readonly Mapping[],
  start: Addr,
  end: Addr,
  size: number,
  reach: number,
): Addr | null {
  let best: Addr | null = null;
  const consider = (at: Addr): void => {
    if (at < LOWEST || at + size - start > reach || end - at > reach) return;
    if (best === null || Math.abs(at - start) < Math.abs(best - start)) best = at;
  };
  let free = LOWEST;
  for (const map of [...maps]
    .sort((a, b) => a.start - b.start)
    .concat({ start: HIGHEST, end: HIGHEST, access: '', offset: 0, inode: 0, path: '' })) {
    // A page is left between neighbours, so that a stack or a heap that grows does not run into
    // ours.
    if (map.start - free >= size + 2 * PAGE) {
      consider(map.start - PAGE - size);
      consider(free + PAGE);
    }
    free = Math.max(free, map.end);
  }
  return best;
}

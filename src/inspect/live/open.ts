// A file to the reader that knows its format, by its first bytes.

import { Fault } from '../../base/fault.js';
import { isElfCore, readElfCore } from './elf-core.js';
import type { Bytes } from './bytes.js';
import { isFlattened, isKdump, readKdump, rearranged } from './kdump.js';
import type { Physical } from './source.js';

const HEAD = 64;

/** Whether these first bytes are those of a dump of memory. */
export const isDump = (head: Uint8Array): boolean =>
  isElfCore(head) || isKdump(head) || isFlattened(head);

/** @throws Fault `not-a-core`, `bad-core`, `unknown-packing`. */
export function readDump(bytes: Bytes): Physical {
  const head = bytes.read(0, Math.min(HEAD, bytes.size)) ?? new Uint8Array(0);
  if (isElfCore(head)) return readElfCore(bytes);
  if (isKdump(head)) return readKdump(bytes);
  if (isFlattened(head)) {
    const inner = rearranged(bytes);
    if (!isKdump(inner.read(0, HEAD) ?? new Uint8Array(0)))
      throw new Fault('not-a-core', 'what is flattened in it is no kdump');
    return { ...readKdump(inner), format: 'a flattened kdump' };
  }
  throw new Fault('not-a-core', 'it is neither an ELF core nor a kdump');
}

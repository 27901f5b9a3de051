// Memory from the kernel: private pages, and files that live in memory alone.

import type { Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { MAP, MFD, PROT } from '../../base/linux.js';
import { errorName, type Native } from './native.js';

/** @throws Fault `no-memory` */
export function mapAnonymous(native: Native, length: number, protection: number): Addr {
  const at = native.call('mmap', 0, length, protection, MAP.private | MAP.anonymous, -1, 0);
  if (at < 0) throw new Fault('no-memory', `mapping ${length} bytes failed: ${errorName(at)}`);
  return at;
}

/**
 * A file in memory with a name for /proc/self/maps; the caller closes the descriptor.
 * @throws Fault `no-memory`
 */
export function memoryFile(native: Native, name: string, length: number): number {
  const text = new TextEncoder().encode(`${name}\0`);
  const fd = native.call('memfd_create', native.addressOf(text), MFD.cloExec | MFD.allowSealing);
  if (fd < 0) throw new Fault('no-memory', `memfd_create failed: ${errorName(fd)}`);
  const grown = native.call('ftruncate', fd, length);
  if (grown < 0) {
    native.call('close', fd);
    throw new Fault(
      'no-memory',
      `a memory file of ${length} bytes was refused: ${errorName(grown)}`,
    );
  }
  return fd;
}

/** A private, writable mapping that /proc/self/maps shows by name. @throws Fault `no-memory` */
export function mapMemoryFile(native: Native, name: string, length: number): Addr {
  const fd = memoryFile(native, name, length);
  const at = native.call('mmap', 0, length, PROT.read | PROT.write, MAP.private, fd, 0);
  native.call('close', fd);
  if (at < 0) throw new Fault('no-memory', `mapping ${length} bytes failed: ${errorName(at)}`);
  return at;
}

// The image that a kernel was booted from, beside its memory: what each key held as it was built.

import { Fault } from '../../base/fault.js';
import { readWhole } from '../../base/file.js';
import type { ElfObject } from '../../elf/object.js';
import { readElf } from '../../elf/read.js';
import type { TrampolineFacts } from '../facts.js';
import { unwrapped } from '../inspect.js';
import { inspectKernel, isKernel } from '../kernel.js';

export interface Image {
  readonly path: string;
  readonly object: ElfObject;
  /** By the key's name. */
  readonly trampolines: ReadonlyMap<string, TrampolineFacts>;
}

/** @throws Fault `bad-image`, and those of reading and unpacking. */
export async function readImage(path: string): Promise<Image> {
  const { bytes, distributed } = await unwrapped(path, readWhole(path));
  const object = readElf(bytes, path);
  if (!isKernel(object))
    throw new Fault('bad-image', 'it is no kernel', {
      at: path,
      hint: 'give the vmlinuz or vmlinux that was booted',
    });
  const { trampolines } = inspectKernel(path, object, distributed ? 'image' : 'vmlinux');
  return { path, object, trampolines: new Map(trampolines.map((t) => [t.key, t])) };
}

/** @throws Fault `other-image` where it is of another build. */
export function requireSame({ path, object }: Image, release: string): void {
  const { bytes } = object;
  if (
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(`Linux version ${release} `)
  )
    return;
  throw new Fault('other-image', `it is not the image of ${release}, which runs`, { at: path });
}

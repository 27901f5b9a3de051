// One input to what is said of it: whatever is packed is unpacked, whatever holds several is
// opened, and each ELF file goes to the reader that knows its kind. A file that cannot be read is
// an entry with its fault, so that the others are answered all the same.

import { Fault } from '../base/fault.js';
import { isElf, readElf } from '../elf/read.js';
import { isArchive, membersOf } from './archive.js';
import { isBzImage, payloadOf, streamOf } from './bzimage.js';
import { faultFacts, type FileFacts } from './facts.js';
import type { Input } from './files.js';
import { inspectKernel, isKernel } from './kernel.js';
import { inspectObject } from './object.js';
import { packingOf, unpack } from './unpack.js';

/** A packed image in a packed file, and no further: a file that unpacks to itself exists. */
const DEPTH = 2;

export async function inspectInput(input: Pick<Input, 'path' | 'bytes'>): Promise<FileFacts[]> {
  try {
    if (!(input.bytes instanceof Uint8Array)) throw input.bytes;
    return await inspectBytes(input.path, input.bytes, false, DEPTH);
  } catch (error) {
    return [refused(input.path, error)];
  }
}

function refused(path: string, error: unknown): FileFacts {
  const fault = faultFacts(error);
  return {
    path,
    kind: null,
    sites: [],
    keys: [],
    trampolines: [],
    faults: [{ ...fault, at: fault.at ?? path }],
  };
}

async function inspectBytes(
  path: string,
  bytes: Uint8Array,
  distributed: boolean,
  depth: number,
): Promise<FileFacts[]> {
  if (isElf(bytes)) {
    const object = readElf(bytes, path);
    return [
      isKernel(object)
        ? inspectKernel(path, object, distributed ? 'image' : 'vmlinux')
        : inspectObject(path, object),
    ];
  }
  if (isArchive(bytes)) return inspectArchive(path, bytes);
  if (depth > 0) {
    if (isBzImage(bytes)) {
      const payload = payloadOf(bytes, path);
      const packing = packingOf(payload.bytes);
      if (packing === null)
        throw new Fault(
          'unknown-packing',
          `the payload begins with ${hexOf(payload.bytes.subarray(0, 6))}, which is no known packing`,
          { at: path },
        );
      const kernel = await unpack(streamOf(payload, packing), packing, path, payload.size);
      return inspectBytes(path, kernel, true, depth - 1);
    }
    const packing = packingOf(bytes);
    if (packing !== null)
      return inspectBytes(path, await unpack(bytes, packing, path), distributed, depth - 1);
  }
  throw new Fault(
    'not-elf',
    `it begins with ${hexOf(bytes.subarray(0, 6)) || 'nothing'}: neither ELF, nor an archive, nor a kernel image, nor packed`,
    {
      at: path,
      hint: 'give an object, a module, a program, a static library or a kernel image',
    },
  );
}

function inspectArchive(path: string, bytes: Uint8Array): FileFacts[] {
  const found: FileFacts[] = [];
  try {
    for (const member of membersOf(bytes, path)) {
      const name = `${path}(${member.name})`;
      // Members that are no ELF (a link-time-optimised library holds some) have nothing to say.
      if (!isElf(member.bytes)) continue;
      try {
        found.push(inspectObject(name, readElf(member.bytes, name)));
      } catch (error) {
        found.push(refused(name, error));
      }
    }
  } catch (error) {
    found.push(refused(path, error));
  }
  return found;
}

const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(' ');

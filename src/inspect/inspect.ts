// One input to what is said of it: whatever is packed is unpacked, whatever holds several is
// opened, and each ELF file goes to the reader that knows its kind. A file that cannot be read is
// an entry with its fault, so that the others are answered all the same.

import { Fault } from '../base/fault.js';
import { foreignFormat, isBitcode } from '../elf/foreign.js';
import { isElf, notElf, readElf } from '../elf/read.js';
import { isArchive, membersOf } from './archive.js';
import { isBzImage, payloadOf, streamOf } from './bzimage.js';
import { kernelIn } from './container.js';
import { faultFacts, type FileFacts } from './facts.js';
import type { Input } from './files.js';
import { inspectKernel, isKernel } from './kernel.js';
import { inspectObject } from './object.js';
import { packingOf } from './packing.js';
import { unpack } from './unpack.js';

/** A packed image in a packed container, and no further: a file that unpacks to itself exists. */
const DEPTH = 3;

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
          `the payload begins with ${hexOf(payload.bytes.subarray(0, 6))}, ` +
            'which is no known packing',
          { at: path },
        );
      const kernel = await unpack(streamOf(payload, packing), packing, path, payload.size);
      return inspectBytes(path, kernel, true, depth - 1);
    }
    const kernel = kernelIn(bytes);
    if (kernel !== null) return inspectBytes(path, kernel, true, depth - 1);
    const packing = packingOf(bytes);
    if (packing !== null)
      return inspectBytes(path, await unpack(bytes, packing, path), distributed, depth - 1);
  }
  if (foreignFormat(bytes) !== null) throw notElf(bytes, { at: path });
  throw new Fault(
    'not-elf',
    `it begins with ${hexOf(bytes.subarray(0, 6))}: ` +
      'neither ELF, nor an archive, nor a kernel image, nor packed',
    {
      at: path,
      hint: 'give an object, a module, a program, a static library or a kernel image',
    },
  );
}

/** A library in a library is what some build systems make; nothing is deeper in earnest. */
function inspectArchive(path: string, bytes: Uint8Array, depth: number = DEPTH): FileFacts[] {
  const found: FileFacts[] = [];
  try {
    let members = 0;
    for (const member of membersOf(bytes, path)) {
      members++;
      const name = `${path}(${member.name})`;
      try {
        found.push(...inspectMember(name, member.bytes, depth));
      } catch (error) {
        found.push(refused(name, error));
      }
    }
    if (members > 0 && found.length === 0)
      throw new Fault('not-elf', `it is an archive of ${members} files, and none is an object`, {
        at: path,
        hint: 'a package is such an archive too: unpack it, and give what is in it',
      });
  } catch (error) {
    found.push(refused(path, error));
  }
  return found;
}

/** A text or a table among the objects has nothing to say; code that is not yet made has. */
function inspectMember(name: string, bytes: Uint8Array, depth: number): FileFacts[] {
  if (isElf(bytes)) return [inspectObject(name, readElf(bytes, name))];
  if (isArchive(bytes) && depth > 0) return inspectArchive(name, bytes, depth - 1);
  if (isArchive(bytes) || isBitcode(bytes)) throw notElf(bytes, { at: name });
  return [];
}

const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(' ');

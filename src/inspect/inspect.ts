// One input to what is said of it: whatever is packed is unpacked, whatever holds several is
// opened, and each ELF file goes to the reader that knows its kind. A file that cannot be read is
// an entry with its fault, so that the others are answered all the same.

import { Fault } from '../base/fault.js';
import { foreignFormat, isBitcode } from '../elf/foreign.js';
import { isElf } from '../elf/magic.js';
import { notElf, readElf } from '../elf/read.js';
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
    return await inspectBytes(input.path, input.bytes);
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

async function inspectBytes(path: string, given: Uint8Array): Promise<FileFacts[]> {
  const { bytes, distributed } = await unwrapped(path, given);
  if (isElf(bytes)) {
    const object = readElf(bytes, path);
    return [
      isKernel(object)
        ? inspectKernel(path, object, distributed ? 'image' : 'vmlinux')
        : inspectObject(path, object),
    ];
  }
  if (isArchive(bytes)) return inspectArchive(path, bytes);
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

/**
 * What a packed file or a kernel image holds. `distributed` where it was an image.
 * @throws Fault `bad-image`, `unknown-packing`, `bad-packing`, `no-unpacker`
 */
export async function unwrapped(
  path: string,
  given: Uint8Array,
): Promise<{ readonly bytes: Uint8Array; readonly distributed: boolean }> {
  let bytes = given;
  let distributed = false;
  for (let depth = DEPTH; depth > 0 && !isElf(bytes) && !isArchive(bytes); depth--) {
    const kernel = isBzImage(bytes) ? await unpackImage(path, bytes) : kernelIn(bytes);
    const packing = kernel === null ? packingOf(bytes) : null;
    if (kernel === null && packing === null) break;
    distributed ||= kernel !== null;
    bytes = kernel ?? (packing === null ? bytes : await unpack(bytes, packing, path));
  }
  return { bytes, distributed };
}

async function unpackImage(path: string, bytes: Uint8Array): Promise<Uint8Array> {
  const payload = payloadOf(bytes, path);
  const packing = packingOf(payload.bytes);
  if (packing === null)
    throw new Fault(
      'unknown-packing',
      `the payload begins with ${hexOf(payload.bytes.subarray(0, 6))}, ` +
        'which is no known packing',
      { at: path },
    );
  return unpack(streamOf(payload, packing), packing, path, payload.size);
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

// How bytes are packed, told by the first of them. The kernel tells them apart by the same ones
// (lib/decompress.c). Its lzma test is two bytes, of which the second is the low byte of a
// dictionary size that every encoder rounds to a power of two.

/** The forms in which kernels and modules are distributed. */
export type Packing = 'gzip' | 'bzip2' | 'lzma' | 'xz' | 'lz4' | 'zstd';

const MAGIC: ReadonlyMap<Packing, readonly number[]> = new Map<Packing, readonly number[]>([
  ['gzip', [0x1f, 0x8b]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lzma', [0x5d, 0x00, 0x00]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
]);

/** Skippable frames of zstd (RFC 8878, 3.1.2), which pzstd writes first. */
const isSkippable = (bytes: Uint8Array): boolean =>
  ((bytes[0] ?? 0) & 0xf0) === 0x50 && bytes[1] === 0x2a && bytes[2] === 0x4d && bytes[3] === 0x18;

/** How the bytes are packed, or null where no known packing begins so. */
export function packingOf(bytes: Uint8Array): Packing | null {
  // lz4's other form may begin so too, but nothing that is read here is packed in it.
  if (isSkippable(bytes)) return 'zstd';
  for (const [name, magic] of MAGIC) {
    if (magic.every((byte, i) => bytes[i] === byte)) return name;
  }
  return null;
}

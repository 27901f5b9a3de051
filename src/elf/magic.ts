// What the first bytes of a file say, for those who need no more: it imports nothing.

/** Whether the bytes begin as an ELF file does. */
export function isElf(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 4 &&
    bytes[0] === 0x7f &&
    bytes[1] === 0x45 &&
    bytes[2] === 0x4c &&
    bytes[3] === 0x46
  );
}

/** Whether the header says that the linker has yet to see the file (e_type is ET_REL). */
export const isRelocatable = (bytes: Uint8Array): boolean => bytes[16] === 1 && bytes[17] === 0;

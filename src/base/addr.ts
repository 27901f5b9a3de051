// An address is a JavaScript number that holds the *signed* value of a canonical x86-64 address.
// Canonical addresses are sign-extended from 48 bits (57 with five-level paging, but neither the
// kernel's text nor an ordinary process leaves the 48), so every one of them is exact in a double,
// 0xffffffff81000000 being -0x7f000000. That spares a bigint for each of a million sites and lets
// typed arrays hold addresses. Only the public surface and JSON show the unsigned form.

/** A virtual address, signed: kernel addresses are negative. */
export type Addr = number;

/** Bytes on a cache line of every x86-64 CPU made so far. */
export const LINE: number = 64;
export const PAGE: number = 4096;

/** The unsigned 64-bit form, as every tool of the field prints it: `0xffffffff81000000`. */
export function hex(address: Addr): string {
  return address < 0
    ? `0x${BigInt.asUintN(64, BigInt(address)).toString(16)}`
    : `0x${address.toString(16)}`;
}

/** From a 64-bit field as a file or a register holds it. */
export function addrFromBits(bits: bigint): Addr {
  return Number(BigInt.asIntN(64, bits));
}

/**
 * The same from two words, the low one first: a bigint for every address took a tenth of a search.
 */
export function addrAt(words: Uint32Array, i: number): Addr {
  return (words[i + 1]! | 0) * 2 ** 32 + words[i]!;
}

export function bitsFromAddr(address: Addr): bigint {
  return BigInt.asUintN(64, BigInt(address));
}

/**
 * What a CPU may fetch in one piece, in bytes, each aligned to itself. AMD promises the quadword
 * (APM volume 2, 7.6.1), and no manual promises more. AMD CPUs tear one store over the end of 32
 * bytes, inside a line (docs/fetch32.md): family 25 stores it in two pieces, one look in ten is
 * torn; family 26 fetches it in two, up to one call in three hundred. Over the end of 8 or 16 bytes
 * no call was torn, which is no promise.
 */
export const UNITS = { qword: 8, fetch16: 16, fetch32: 32, line: LINE } as const;
export type Unit = keyof typeof UNITS;
export const UNIT_NAMES: Readonly<Record<Unit, string>> = {
  qword: 'quadword',
  fetch16: 'block of 16 bytes',
  fetch32: 'block of 32 bytes',
  line: 'cache line',
};

/** Whether `length` bytes from `at` lie on more than one of them. */
export function crosses(unit: Unit, at: Addr, length: number): boolean {
  const size = UNITS[unit];
  return Math.floor(at / size) !== Math.floor((at + length - 1) / size);
}
export const crossesLine = (at: Addr, length: number): boolean => crosses('line', at, length);

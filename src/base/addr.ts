// An address is a JavaScript number that holds the *signed* value of a canonical x86-64 address.
// Canonical addresses are sign-extended from 48 bits (57 with five-level paging, but neither
// the kernel's text nor an ordinary process leaves the 48), so every one of them is exact in a double,
// 0xffffffff81000000 being -0x7f000000. That spares a bigint for each of a million sites and lets
// typed arrays hold addresses. Only the public surface and JSON show the unsigned form.

/** A virtual address, signed: kernel addresses are negative. */
export type Addr = number;

/** Bytes on a cache line of every x86-64 CPU made so far. */
export const LINE: number = 64;
export const PAGE: number = 4096;

/** The unsigned 64-bit form, as every tool of the field prints it: `0xffffffff81000000`. */
export function hex(address: Addr): string {
  return address < 0 ? `0x${BigInt.asUintN(64, BigInt(address)).toString(16)}` : `0x${address.toString(16)}`;
}

/** From a 64-bit field as a file or a register holds it. */
export function addrFromBits(bits: bigint): Addr {
  return Number(BigInt.asIntN(64, bits));
}

export function bitsFromAddr(address: Addr): bigint {
  return BigInt.asUintN(64, BigInt(address));
}

/** Whether `length` bytes from `at` lie on more than one cache line. */
export function crossesLine(at: Addr, length: number): boolean {
  return Math.floor(at / LINE) !== Math.floor((at + length - 1) / LINE);
}

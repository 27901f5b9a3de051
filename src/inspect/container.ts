// Formats that carry a Linux kernel and little else. A unified kernel image (UKI) is an EFI program
// with the bzImage in a section `.linux` (UAPI group, "Unified Kernel Image"); an EFI zboot image
// is an EFI program that unpacks the kernel behind it
// (drivers/firmware/efi/libstub/zboot-header.S); a uImage is what U-Boot starts (its
// include/image.h). What they carry is read as if it had been given; none of them says of which
// machine it is.

import { latin1 } from '../base/bytes.js';

const ascii = (bytes: Uint8Array, from: number, length: number): string =>
  latin1(bytes.subarray(from, from + length));

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** The kernel that the bytes carry, or null where they are no such container or end too early. */
export function kernelIn(bytes: Uint8Array): Uint8Array | null {
  if (bytes.length < 64) return null;
  if (ascii(bytes, 0, 2) === 'MZ')
    return ascii(bytes, 4, 4) === 'zimg' ? zbootPayload(bytes) : linuxSection(bytes);
  return viewOf(bytes).getUint32(0) === UIMAGE ? uImagePayload(bytes) : null;
}

const UIMAGE = 0x27051956;

function uImagePayload(bytes: Uint8Array): Uint8Array | null {
  const size = viewOf(bytes).getUint32(12);
  return slice(bytes, 64, size);
}

function zbootPayload(bytes: Uint8Array): Uint8Array | null {
  const view = viewOf(bytes);
  return slice(bytes, view.getUint32(8, true), view.getUint32(12, true));
}

/** PE: the offset of its header is at 0x3c, and its sections follow the optional header. */
function linuxSection(bytes: Uint8Array): Uint8Array | null {
  const view = viewOf(bytes);
  const header = view.getUint32(0x3c, true);
  if (header + 24 > bytes.length || ascii(bytes, header, 4) !== 'PE\0\0') return null;
  const sections = view.getUint16(header + 6, true);
  const first = header + 24 + view.getUint16(header + 20, true);
  for (let i = 0; i < sections; i++) {
    const at = first + 40 * i;
    if (at + 40 > bytes.length) return null;
    if (ascii(bytes, at, 8) !== '.linux\0\0') continue;
    const used = view.getUint32(at + 8, true);
    const held = view.getUint32(at + 16, true);
    return slice(bytes, view.getUint32(at + 20, true), Math.min(used, held));
  }
  return null;
}

function slice(bytes: Uint8Array, from: number, size: number): Uint8Array | null {
  return size > 0 && from + size <= bytes.length ? bytes.subarray(from, from + size) : null;
}

// A bzImage to its payload: the packed kernel that the boot code carries. Needs boot protocol 2.08
// (2007), from which on the header itself says where the payload lies
// (Documentation/arch/x86/boot.rst, fields payload_offset and payload_length). Unpacking is not
// done here.

import { Fault } from '../base/fault.js';

const SECTOR = 512;
const SETUP_SECTS = 0x1f1;
const BOOT_FLAG = 0x1fe;
const HEADER = 0x202;
const VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;

export interface Payload {
  readonly bytes: Uint8Array;
  /**
   * Length of the unpacked kernel, which the build appends to every payload; gzip ends with it
   * anyway.
   */
  readonly size: number;
}

export function isBzImage(bytes: Uint8Array): boolean {
  return (
    bytes.length >= PAYLOAD_LENGTH + 4 &&
    bytes[BOOT_FLAG] === 0x55 &&
    bytes[BOOT_FLAG + 1] === 0xaa &&
    String.fromCharCode(...bytes.subarray(HEADER, HEADER + 4)) === 'HdrS'
  );
}

/** @throws Fault `bad-image`. */
export function payloadOf(bytes: Uint8Array, at: string): Payload {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint16(VERSION, true);
  if (version < 0x208)
    throw new Fault(
      'bad-image',
      `boot protocol ${version >> 8}.${String(version & 255).padStart(2, '0')} ` +
        'does not say where the kernel lies; 2.08 does',
      { at },
    );
  // 0 stands for 4 sectors, and the boot sector itself is not counted.
  const start = ((bytes[SETUP_SECTS] || 4) + 1) * SECTOR + view.getUint32(PAYLOAD_OFFSET, true);
  const end = start + view.getUint32(PAYLOAD_LENGTH, true);
  if (end - start < 8 || end > bytes.length)
    throw new Fault(
      'bad-image',
      `the payload at byte ${start}, ${end - start} bytes, ` +
        `is not inside the file's ${bytes.length}`,
      { at },
    );
  return { bytes: bytes.subarray(start, end), size: view.getUint32(end - 4, true) };
}

/**
 * gzip's own trailer is the size; behind every other stream four bytes were added
 * (scripts/Makefile.lib, size_append).
 */
export function streamOf(payload: Payload, packing: string): Uint8Array {
  return packing === 'gzip' ? payload.bytes : payload.bytes.subarray(0, -4);
}

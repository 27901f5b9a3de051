// What a file is that is no x86-64 ELF file: formats that people mistake for one, by their magic
// bytes, and the machines that ELF files are for. A refusal then says what was given and what to
// give instead.

import { bytesOf } from '../base/bytes.js';
import { EM_X86_64 } from './names.js';

interface Row {
  readonly what: string;
  readonly at?: number;
  readonly magic: string | readonly number[];
  readonly hint?: string;
}

const AFTER_LINK = 'its code is made by the link: give the linked file';
const BEFORE_AR = 'give the linked file, or the objects before ar';
const UNPACK = 'unpack it, and give the objects that are in it';

// The longer magics first, where one begins as another does.
const FORMATS: readonly Row[] = [
  { what: 'LLVM bitcode', magic: 'BC\xc0\xde', hint: AFTER_LINK },
  { what: 'LLVM bitcode in a wrapper', magic: [0xde, 0xc0, 0x17, 0x0b], hint: AFTER_LINK },
  { what: 'a static library', magic: '!<arch>\n', hint: BEFORE_AR },
  { what: 'a thin archive, which holds the names of objects', magic: '!<thin>\n', hint: BEFORE_AR },
  { what: 'a WebAssembly module', magic: '\0asm' },
  { what: 'a Mach-O file', magic: [0xcf, 0xfa, 0xed, 0xfe] },
  { what: 'a 32-bit Mach-O file', magic: [0xce, 0xfa, 0xed, 0xfe] },
  { what: 'a Mach-O file for several machines, or Java code', magic: [0xca, 0xfe, 0xba, 0xbe] },
  { what: 'an arm64 kernel', at: 56, magic: 'ARM\x64' },
  { what: 'a RISC-V kernel', at: 56, magic: 'RSC\x05' },
  {
    what: 'an Android boot image',
    magic: 'ANDROID!',
    hint: 'take the kernel out of it (unpack_bootimg)',
  },
  {
    what: 'a flattened device tree or FIT image',
    magic: [0xd0, 0x0d, 0xfe, 0xed],
    hint: 'take the kernel out of it (dumpimage)',
  },
  { what: 'a PE file (Windows or EFI)', magic: 'MZ' },
  { what: 'an RPM package', magic: [0xed, 0xab, 0xee, 0xdb], hint: UNPACK },
  { what: 'a cpio archive', magic: '07070', hint: UNPACK },
  { what: 'a tar archive', at: 257, magic: 'ustar', hint: UNPACK },
  { what: 'a zip archive', magic: 'PK\x03\x04', hint: UNPACK },
  { what: 'a squashfs image', magic: 'hsqs', hint: UNPACK },
  { what: 'compressed by gzip', magic: [0x1f, 0x8b], hint: 'unpack it; inspect reads it as it is' },
  { what: 'compressed by xz', magic: '\xfd7zXZ', hint: 'unpack it; inspect reads it as it is' },
  {
    what: 'compressed by zstd',
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    hint: 'unpack it; inspect reads it as it is',
  },
  { what: 'a script', magic: '#!', hint: 'give the program that it runs' },
];

/** What the bytes are, or null where none of these fits. */
export function foreignFormat(bytes: Uint8Array): Row | null {
  if (bytes.length === 0) return { what: 'empty', magic: '' };
  const found = FORMATS.find(({ at = 0, magic }) => {
    const wanted = typeof magic === 'string' ? bytesOf(magic) : magic;
    return wanted.every((byte, i) => bytes[at + i] === byte);
  });
  return found ?? null;
}

export const isBitcode = (bytes: Uint8Array): boolean =>
  foreignFormat(bytes)?.what.startsWith('LLVM bitcode') ?? false;

/** The commoner values of e_machine. */
const MACHINES: Readonly<Record<number, string>> = {
  3: 'i386',
  8: 'MIPS',
  20: 'PowerPC',
  21: 'PowerPC64',
  22: 's390',
  40: 'ARM',
  43: 'SPARC',
  62: 'x86-64',
  183: 'AArch64',
  243: 'RISC-V',
  247: 'BPF',
  258: 'LoongArch',
};

/** What the first twenty bytes of an ELF file say that it is for, or null where that is x86-64. */
export function otherMachine(header: DataView): string | null {
  const [bits, order] = [header.getUint8(4), header.getUint8(5)];
  const machine = header.getUint16(18, order !== 2);
  if (bits === 2 && order === 1 && machine === EM_X86_64) return null;
  const width = { 1: '32-bit', 2: '64-bit' }[bits] ?? `class ${bits}`;
  const endian = { 1: 'little-endian', 2: 'big-endian' }[order] ?? `data encoding ${order}`;
  return `${width} ${endian} ELF for machine ${machine} (${MACHINES[machine] ?? 'unknown'})`;
}

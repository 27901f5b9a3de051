// A copy of the running node that has static calls of its own: programs/own.c, linked at a fixed
// address, is appended to the file, program headers that nobody needs (of notes and of RELRO) map
// it, and its sections take the place of node's.

import { chmodSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { must, type Folder } from '../build.js';
import { INCLUDE } from './programs.js';

const [EHDR_SHOFF, EHDR_TYPE, EHDR_PHNUM, EHDR_SHNUM, EHDR_SHSTRNDX] = [40, 16, 56, 60, 62];
const [ET_EXEC, PT_LOAD, PT_NOTE, PT_GNU_RELRO, PHDR, SHDR, PAGE] = [
  2, 1, 4, 0x6474e552, 56, 64, 4096,
];
/** Above all of node's own, and where a 32-bit address reaches. */
const AT = 0x1000_0000;

/**
 * null where this node is not at a fixed address. @param writable its code and its data are on one
 * page, which may be written where it runs
 */
export function nodeWithCalls(
  folder: Folder,
  writable = false,
): { program: string; own: string } | null {
  const node = readFileSync(process.execPath);
  if (node.readUInt16LE(EHDR_TYPE) !== ET_EXEC) return null;
  const linked = folder.file(`own-${writable}`);
  const source = fileURLToPath(new URL('./programs/own.c', import.meta.url));
  const layout = writable
    ? `-Wl,-N,-Ttext=0x${AT.toString(16)}`
    : `-Wl,-Ttext-segment=0x${AT.toString(16)},-z,noseparate-code,-z,norelro,-z,max-page-size=${PAGE}`;
  must('gcc', [
    '-O2',
    '-fno-pie',
    '-fcf-protection=none',
    '-fno-asynchronous-unwind-tables',
    '-static',
    '-nostdlib',
    `-I${INCLUDE}`,
    layout,
    '-Wl,--build-id=none,-e,own_pass,--no-warn-rwx-segments',
    source,
    '-o',
    linked,
  ]);
  const own = readFileSync(linked);
  const loads = headers(own, PT_LOAD);
  // Where its first segment begins in its file it begins on a page in memory.
  const from = writable ? own.readUInt32LE(loads[0]! + 8) : 0;
  const begin = Math.ceil(node.length / PAGE) * PAGE;
  const out = Buffer.concat([node, Buffer.alloc(begin - node.length), own.subarray(from)]);
  const move = (at: number): unknown =>
    out.writeBigUInt64LE(out.readBigUInt64LE(at) + BigInt(begin - from), at);

  const table = begin - from + Number(own.readBigUInt64LE(EHDR_SHOFF));
  const count = own.readUInt16LE(EHDR_SHNUM);
  for (let i = 1; i < count; i++) move(table + SHDR * i + 24);
  out.writeBigUInt64LE(BigInt(table), EHDR_SHOFF);
  out.writeUInt16LE(count, EHDR_SHNUM);
  out.writeUInt16LE(own.readUInt16LE(EHDR_SHSTRNDX), EHDR_SHSTRNDX);

  const unneeded = [...headers(out, PT_NOTE), ...headers(out, PT_GNU_RELRO)];
  loads.forEach((load, i) => {
    own.copy(out, unneeded[i]!, load, load + PHDR);
    move(unneeded[i]! + 8);
  });
  const program = folder.write(`node-with-calls-${writable}`, out);
  chmodSync(program, 0o755);
  return { program, own: linked };
}

/** Offsets of the program headers of one type. */
function headers(file: Buffer, type: number): number[] {
  return Array.from({ length: file.readUInt16LE(EHDR_PHNUM) }, (_, i) => 64 + PHDR * i).filter(
    (at) => file.readUInt32LE(at) === type,
  );
}

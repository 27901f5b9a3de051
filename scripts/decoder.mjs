// Makes dist/x86/decoder.wasm out of the WebAssembly of iced-x86: the same code, with its memory as
// it is after the first instruction, and without the exports that are not used. To make the tables
// of instructions, and an object for each of 762 exports, took most of the time of the first
// question. The licence of iced-x86 goes with it.

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { instantiate, USED } from '../dist/x86/wasm.js';

/** Sections of a module (WebAssembly core specification, 5.5.2). */
const SECTION = { custom: 0, memory: 5, exports: 7, data: 11 };
const PAGE = 65_536;
const HEADER = 8;
/** A segment's own head is some bytes, so a shorter run of zeros does not end it. */
const GAP = 16;

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const from = createRequire(import.meta.url).resolve('iced-x86/iced_x86_bg.wasm');
const module = new Uint8Array(readFileSync(from));
const into = join(root, 'dist', 'x86');
mkdirSync(into, { recursive: true });
copyFileSync(join(dirname(from), 'LICENSE.txt'), join(into, 'decoder.LICENSE.txt'));
writeFileSync(join(into, 'decoder.wasm'), prepared(module, memoryWithTables(module)));

function memoryWithTables(bytes) {
  const iced = instantiate(bytes);
  const decoder = iced.decoder(Uint8Array.of(0xc3));
  decoder.decode();
  decoder.free();
  return iced.memory();
}

function prepared(bytes, memory) {
  const reader = { bytes, at: HEADER };
  const out = [bytes.subarray(0, HEADER)];
  while (reader.at < bytes.length) {
    const id = bytes[reader.at++];
    const size = unsigned(reader);
    const end = reader.at + size;
    const body = bodyOf(id, reader, end, memory);
    if (body) out.push(Uint8Array.of(id, ...leb(body.length)), body);
    reader.at = end;
  }
  return Buffer.concat(out);
}

function bodyOf(id, reader, end, memory) {
  if (id === SECTION.custom) return null;
  if (id === SECTION.memory) return Uint8Array.of(1, 0, ...leb(memory.length / PAGE));
  if (id === SECTION.exports) return vector(usedExports(reader));
  if (id === SECTION.data) return vector([...segments(memory)]);
  return reader.bytes.subarray(reader.at, end);
}

/** Each is a name, a kind in one byte and an index. */
function usedExports(reader) {
  return Array.from({ length: unsigned(reader) }, () => {
    const begin = reader.at;
    const length = unsigned(reader);
    const name = Buffer.from(reader.bytes.subarray(reader.at, reader.at + length)).toString();
    reader.at += length + 1;
    unsigned(reader);
    return { name, row: reader.bytes.subarray(begin, reader.at) };
  }).flatMap(({ name, row }) => (USED.includes(name) ? [row] : []));
}

/** All of a memory that is not zero, each part with its place (an i32.const). */
function* segments(memory) {
  const zeros = new Uint8Array(GAP);
  for (let at = 0; at < memory.length; at++) {
    if (memory[at] === 0) continue;
    const gap = Buffer.from(memory.buffer, at).indexOf(zeros);
    const end = gap < 0 ? memory.length : at + gap;
    const part = memory.subarray(at, end);
    yield Buffer.concat([
      Uint8Array.of(0, 0x41, ...leb(at, true), 0x0b, ...leb(part.length)),
      part,
    ]);
    at = end;
  }
}

function vector(rows) {
  return Buffer.concat([Uint8Array.from(leb(rows.length)), ...rows]);
}

function unsigned(reader) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = reader.bytes[reader.at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return value;
  }
}

/** A number that is not negative in LEB128; a signed one ends with a bit that says so. */
function leb(value, signed = false) {
  const bytes = [];
  for (;;) {
    const low = value & 0x7f;
    value >>>= 7;
    if (value === 0 && !(signed && low & 0x40)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

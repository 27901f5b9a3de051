// Members of a static library, in the System V format with GNU's long names: enough to look into
// each of them, nothing of the index. A thin archive holds only names of files and is refused with
// that hint.

import { bytesOf, latin1 } from '../base/bytes.js';
import { Fault } from '../base/fault.js';
import { decodeName } from '../elf/object.js';

const MAGIC = '!<arch>\n';
const THIN = '!<thin>\n';
const HEADER = 60;

export interface Member {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const text = (bytes: Uint8Array, from: number, length: number): string =>
  latin1(bytes.subarray(from, from + length));

export function isArchive(bytes: Uint8Array): boolean {
  const magic = text(bytes, 0, 8);
  return magic === MAGIC || magic === THIN;
}

/** @throws Fault `bad-elf`. */
export function* membersOf(bytes: Uint8Array, path: string): Generator<Member> {
  if (text(bytes, 0, 8) === THIN)
    throw new Fault('bad-elf', 'a thin archive holds no objects, only their names', {
      at: path,
      hint: 'give the objects themselves; ar t lists them',
    });
  let names = '';
  for (let at = MAGIC.length; at + HEADER <= bytes.length;) {
    const label = text(bytes, at, 16).trimEnd();
    const size = Number(text(bytes, at + 48, 10).trim() || 'none');
    if (
      text(bytes, at + 58, 2) !== '`\n' ||
      !Number.isInteger(size) ||
      size < 0 ||
      at + HEADER + size > bytes.length
    ) {
      throw new Fault('bad-elf', `the archive is damaged at byte ${at}`, {
        at: path,
        hint: 'build it again',
      });
    }
    const member = bytes.subarray(at + HEADER, at + HEADER + size);
    if (label === '//') names = text(member, 0, size);
    else if (label !== '/' && label !== '/SYM64/')
      yield {
        name: nameOf(label, names),
        bytes: member,
      };
    at += HEADER + size + (size & 1);
  }
}

function nameOf(label: string, names: string): string {
  const long = /^\/\d+$/.test(label);
  const name = long ? until(names, Number(label.slice(1)), '/\n') : until(label, 0, '/');
  return decodeName(bytesOf(name));
}

function until(names: string, from: number, end: string): string {
  const to = names.indexOf(end, from);
  return names.slice(from, to < 0 ? undefined : to);
}

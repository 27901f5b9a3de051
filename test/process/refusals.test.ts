import { copyFileSync, readFileSync, realpathSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assemble, Folder, gcc, must } from '../build.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

interface Row {
  code: string | null;
  message: string;
  at: string | null;
  hint: string;
  exit: number;
  unchanged: boolean;
}
interface Refusals {
  rows: Record<string, Row>;
  works: Record<string, number>;
}

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

/** A section header's fields in a file: of the one by that name. */
function sectionHeader(file: Buffer, name: string): number {
  const [at, size, names] = [
    Number(file.readBigUInt64LE(40)),
    file.readUInt16LE(58),
    file.readUInt16LE(62),
  ];
  const strings = Number(file.readBigUInt64LE(at + names * size + 24));
  for (let header = at; ; header += size) {
    const start = strings + file.readUInt32LE(header);
    if (file.toString('latin1', start, start + name.length + 1) === `${name}\0`) return header;
  }
}

/** Ways to break a good file, each by a change a person could make. */
const BROKEN: Readonly<Record<string, (file: Buffer) => Buffer>> = {
  'not an ELF': () =>
    Buffer.from('#!/bin/sh\necho this is no shared object, whatever its name says\n'),
  empty: () => Buffer.alloc(0),
  '32 bits': (f) => (f.writeUInt8(1, 4), f),
  'another machine': (f) => (f.writeUInt16LE(183, 18), f),
  'cut in half': (f) => f.subarray(0, f.length >> 1),
  'a section larger than the file': (f) => (
    f.writeBigUInt64LE(1n << 40n, sectionHeader(f, '.static_call_keys') + 32),
    f
  ),
  'a record and a half': (f) => (
    f.writeBigUInt64LE(72n, sectionHeader(f, '.static_call_keys') + 32),
    f
  ),
};

//   what was asked for                        code               what the message or place must name
const EXPECTED: Readonly<Record<string, readonly [string, RegExp, RegExp?]>> = {
  'not an ELF': ['not-elf', /./],
  empty: ['not-elf', /./],
  '32 bits': ['wrong-class', /32/],
  'another machine': ['wrong-class', /183|machine/i],
  'cut in half': ['truncated-elf', /./],
  'a section larger than the file': ['truncated-elf', /./],
  'a record and a half': ['bad-keys-section', /72 bytes/],
  'no trampoline': ['no-trampoline', /lonely/],
  'no sites': ['no-sites', /neither/],
  'no such file': ['no-such-file', /nowhere/],
  'a directory': ['unreadable-file', /directory/],
  'a breakpoint before open': ['foreign-trap', /work/],
  'other bytes before open': ['bad-site', /work/],
  'no membarrier': ['no-membarrier', /ENOSYS/],
  'no SYNC_CORE': ['no-membarrier', /SYNC_CORE/],
  'may not open /proc/self/mem': ['no-text-write', /EACCES/],
  'may not write /proc/self/mem': ['no-text-write', /EIO/, /alias/],
  'no memory for the alias': ['no-memory', /ENOMEM/],
  'unknown key': ['unknown-key', /wrok/, /did you mean work\?/],
  'unknown target': [
    'unknown-target',
    /work_bb is not declared for work; declared: work_a, work_b, work_c/,
    /did you mean work_b\?/,
  ],
  'a target of another key': ['unknown-target', /hook_one is not declared for work/],
  'no such symbol': ['unknown-target', /work_aaaa/, /did you mean work_a\?/],
  'an address of data': ['unknown-target', /executable/],
  'null for a key that returns a value': ['null-refused', /work returns a value/],
  'return 0 for a key that returns nothing': ['ret0-refused', /hook returns nothing/],
  'unknown protocol': ['unknown-protocol', /int4/, /did you mean int3\?/],
  'a step that no process can perform': ['bad-protocol', /stop/],
  'a protocol that is none': ['bad-protocol', /steps is undefined, not a list of steps/],
  'a protocol by the name of a method': ['unknown-protocol', /toString/],
  'a protocol that leaves its trap': [
    'bad-protocol',
    /after the last step of int3 the first of a site is the trap, not new/,
  ],
  'a protocol that never publishes': ['bad-protocol', /never publishes/],
  'no target at all': ['unknown-target', /work was given undefined/, /unchecked/],
  'a number for a target': ['unknown-target', /work was given 5/, /unchecked/],
  'an object for a target': ['unknown-target', /work was given \{\}/, /unchecked/],
  'a number as unchecked': ['unknown-target', /work was given \{ unchecked: 4096 \}/, /unchecked/],
  'a word that update does not know': ['bad-option', /require is 'inlin'/, /inline\?/],
  'a writer that there is not': ['bad-option', /writer is 'alais'/, /did you mean alias\?/],
  'an assumption that there is not': [
    'bad-option',
    /assume is 'atomic'/,
    /procmem-stores-are-atomic/,
  ],
  'sites of an unknown key': ['unknown-key', /wrok/, /did you mean work\?/],
  'store through /proc/self/mem': ['store-refused', /memcpy/, /alias/],
  'one of three is refused': ['null-refused', /filter/],
  'a breakpoint on a site': ['foreign-trap', /work/],
  'other bytes on a site': ['drift', /work/],
  closed: ['closed', /soak/],
};

describe.skipIf(!gcc)('what cannot be done is refused, and nothing is changed', () => {
  let got: Refusals;
  beforeAll(() => {
    const library = realpathSync(compileProgram(folder, 'soak.c'));
    const other = folder.file('other.so');
    copyFileSync(library, other);
    const broken: Record<string, string> = {};
    for (const [name, damage] of Object.entries(BROKEN))
      broken[name] = folder.write(`${name}.so`.replaceAll(' ', '-'), damage(readFileSync(library)));
    const link = (name: string, source: string): string => {
      const object = folder.write(`${name}.o`, assemble(source));
      must('gcc', ['-shared', '-o', folder.file(`${name}.so`), object]);
      return folder.file(`${name}.so`);
    };
    broken['no trampoline'] = link(
      'no-trampoline',
      '.data\n.balign 16\n.globl __SCK__lonely\n__SCK__lonely: .quad 0, 0\n.text\n.globl f\n.type f, @function\nf: ret\n',
    );
    broken['no sites'] = link('no-sites', '.text\n.globl f\n.type f, @function\nf: ret\n');
    got = answer<Refusals>(
      child('refusals.mjs', [JSON.stringify({ library, other: realpathSync(other), broken })]),
    );
  });

  it.each(Object.keys(EXPECTED))('%s', (what) => {
    const [code, message, hint] = EXPECTED[what]!;
    const row = got.rows[what]!;
    expect(row).toMatchObject({ code, unchanged: true });
    expect(`${row.message} ${row.at ?? ''}`).toMatch(message);
    expect(row.hint).toMatch(hint ?? /./);
    expect(row.exit).toBeGreaterThan(0);
  });

  it('no request was left out', () => {
    expect(
      Object.keys(got.rows)
        .filter((name) => name !== 'and after all of it')
        .sort(),
    ).toEqual(Object.keys(EXPECTED).sort());
  });

  it('after all of them the program can still be updated', () => {
    expect(got.rows['and after all of it']).toMatchObject({ code: null, unchanged: false });
    expect(got.works).toEqual({ other: 11, work: 12, hook: 20, filter: 7, drift: 0 });
  });
});

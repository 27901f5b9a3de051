// Reading an object, finding its sites and writing its table. What was written must be readable,
// and say again what was found.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readElf } from '#elf/read';
import { annotate } from '#sites/annotate';
import { decodeSites, findSites, listedSites } from '#sites/find';
import { findTrampolines } from '#sites/trampoline';
import { smallLinked, smallObject } from '../elf/builder.mjs';
import { mutateElf } from './elf.mjs';

const COMDAT = `
 .section .text.f,"axG",@progbits,f,comdat
 .weak f; .type f,@function
f: call __SCT__a
 jmp __SCT__b
 .size f,.-f
 .text
 .globl g; .type g,@function
g: call __SCT__a
 jne __SCT__b
 call *__SCT__a@GOTPCREL(%rip)
 ret
 .size g,.-g
 .section .static_call.text,"ax"
 .globl __SCT__a; .type __SCT__a,@function
__SCT__a: jmp.d32 g
 .byte 0x0f,0xb9,0xcc
 .size __SCT__a,8
 .data
 .globl __SCK__a
__SCK__a: .quad g, 0
 .quad __SCK__b
`;

/** What gcc makes has more kinds of sections than the small files; without gcc those must do. */
function compiled() {
  const folder = mkdtempSync(join(tmpdir(), 'static-call-fuzz-'));
  try {
    const source = join(folder, 'in.s');
    writeFileSync(source, COMDAT);
    const made = [['-c'], ['-shared', '-nostdlib'], ['-c', '-gz', '-g']].map((flags, i) => {
      const out = join(folder, `out${i}`);
      return spawnSync('gcc', [...flags, '-o', out, source], { stdio: 'ignore' }).status === 0
        ? readFileSync(out)
        : null;
    });
    return made.filter((bytes) => bytes !== null);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export const annotateTarget = {
  name: 'annotate',
  seeds() {
    const plain = [
      smallObject(),
      smallObject({ sectionSymbols: false }),
      smallLinked(),
      smallLinked(-0x7f000000),
      ...compiled(),
    ];
    return [
      ...plain,
      ...plain.map((bytes) => Buffer.from(annotate(readElf(bytes), { module: true }).bytes)),
    ];
  },
  mutate: mutateElf,
  run(input) {
    const before = Buffer.from(input);
    try {
      const object = readElf(input);
      findSites(object, () => {});
      findTrampolines(object);
      const found = decodeSites(object);
      const { outcome, bytes, sites } = annotate(object, { module: true, force: true });
      if (outcome !== 'written') return;
      assert.ok(sites.length <= found.length);
      assert.deepEqual(listedSites(readElf(bytes)).map(shown).sort(), sites.map(shown).sort());
    } finally {
      assert.ok(before.equals(input), 'the input was written to');
    }
  },
};

/** Sections of a damaged linked file may overlap: the address says enough. */
const shown = (s) => `${s.at} ${s.kind} ${s.length} ${s.key} ${s.flags}`;

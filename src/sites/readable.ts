// Files in which no site can be found although there may be some. "No sites" is said only of a file
// that was read: of the others it is said what they lack.

import { Fault } from '../base/fault.js';
import * as N from '../elf/names.js';
import type { ElfObject, Section } from '../elf/object.js';
import { trampolineSymbols } from './symbols.js';
import { findTrampolines } from './trampoline.js';

const isExecutable = (section: Section): boolean =>
  (section.flags & N.SHF_ALLOC) !== 0 && (section.flags & N.SHF_EXECINSTR) !== 0;

/** gcc -flto without -ffat-lto-objects: the machine code is made by the link. */
export function isIntermediate(object: ElfObject): boolean {
  return (
    object.type === 'relocatable' &&
    object.sections.some((s) => s.name.startsWith('.gnu.lto_')) &&
    !object.sections.some((s) => isExecutable(s) && s.size > 0)
  );
}

/** objcopy --only-keep-debug: headers and symbols are whole, and the code is in another file. */
function isCompanion(object: ElfObject): boolean {
  const code = object.sections.filter((s) => isExecutable(s) && s.size > 0);
  return code.length > 0 && code.every((s) => s.type === N.SHT_NOBITS);
}

/** @throws Fault `bad-elf`, `not-linked` */
export function checkReadable(object: ElfObject): void {
  if (object.sections.length === 0)
    throw new Fault(
      'bad-elf',
      'the file has no section headers, by which sites and keys are found',
      {
        hint: 'strip --strip-sections or a packer took them away: give the file as it was before',
      },
    );
  if (isIntermediate(object))
    throw new Fault(
      'not-linked',
      "the file holds gcc's intermediate code and no machine code yet",
      {
        hint: 'give the linked file, or compile with -ffat-lto-objects',
      },
    );
  if (isCompanion(object))
    throw new Fault(
      'bad-elf',
      'the file holds debug information, and its code is in another file',
      {
        hint: 'give the program or library that it was split from',
      },
    );
}

const BY_ADDRESS: ReadonlySet<number> = new Set([
  N.R_X86_64_64,
  N.R_X86_64_PC64,
  N.R_X86_64_GOTOFF64,
  N.R_X86_64_GOT64,
  N.R_X86_64_GOTPLT64,
  N.R_X86_64_PLTOFF64,
]);

/** Whether code of an object takes a trampoline's address as 64 bits. */
function takesAddress(object: ElfObject): boolean {
  const { symbols } = object;
  if (!symbols) return false;
  const trampolines = new Set(trampolineSymbols(symbols));
  if (trampolines.size === 0) return false;
  return object.sections.filter(isExecutable).some((section) =>
    object.relocationsOf(section).some((table) => {
      for (let i = 0; i < table.count; i++)
        if (BY_ADDRESS.has(table.type(i)) && trampolines.has(table.symbol(i))) return true;
      return false;
    }),
  );
}

/** Of a file in which no site was found, although it has to do with keys; null if it has not. */
export function whyNoSites(object: ElfObject): string | null {
  const called =
    object.type === 'relocatable' ? takesAddress(object) : findTrampolines(object).length > 0;
  return called
    ? 'no call or jump leads to a trampoline; calls by address, as -mcmodel=large makes ' +
        'them, go through it and stay so'
    : null;
}

// What stands between a call and a function of another file: GOT slots that the dynamic linker
// fills, and PLT entries that jump through them.

import type { Addr } from '../base/addr.js';
import * as N from '../elf/names.js';
import { signed64, type ElfObject, type Section } from '../elf/object.js';
import { compiledForm, destination } from '../x86/forms.js';

/** Linkers name them .plt, .plt.sec (behind endbr64), .plt.got (bound at once) and .plt.bnd. */
export const isPlt = (section: Section): boolean =>
  section.name === '.plt' || section.name.startsWith('.plt.');

export interface Slot {
  readonly at: Addr;
  /** Symbol that the dynamic linker looks up; -1 for a slot that is only relocated. */
  readonly symbol: number;
  /** The address it is relocated to; meaningless where a symbol is looked up. */
  readonly address: Addr;
}

/**
 * Every slot that the dynamic linker fills with an address; `symbol` indexes the dynamic symbols.
 */
export function* slotsOf(object: ElfObject): Generator<Slot> {
  for (const table of object.dynamicRelocations()) {
    for (let i = 0; i < table.count; i++) {
      const type = table.type(i);
      if (type === N.R_X86_64_RELATIVE)
        yield { at: table.offset(i), symbol: -1, address: table.addend(i) };
      else if (type === N.R_X86_64_JUMP_SLOT || type === N.R_X86_64_GLOB_DAT)
        yield { at: table.offset(i), symbol: table.symbol(i), address: 0 };
    }
  }
  for (const at of object.relrPlaces()) {
    const bytes = object.at(at, 8);
    if (bytes)
      yield {
        at,
        symbol: -1,
        address: signed64(new DataView(bytes.buffer, bytes.byteOffset, 8), 0),
      };
  }
}

/**
 * An entry is `[endbr64] [bnd] jmp *slot(%rip)` and begins at a multiple of eight bytes, in every
 * kind of PLT.
 */
export function* pltEntries(
  object: ElfObject,
): Generator<{ readonly at: Addr; readonly slot: Addr }> {
  for (const section of object.sections) {
    if (!isPlt(section)) continue;
    const bytes = object.data(section);
    for (let entry = 0; entry + 6 <= bytes.length; entry += 8) {
      let at = entry;
      if (
        bytes[at] === 0xf3 &&
        bytes[at + 1] === 0x0f &&
        bytes[at + 2] === 0x1e &&
        bytes[at + 3] === 0xfa
      )
        at += 4;
      if (bytes[at] === 0xf2) at += 1;
      const form = compiledForm(bytes, at);
      if (form?.name === 'jmp-got')
        yield {
          at: section.address + entry,
          slot: destination(form, bytes, at, section.address + at),
        };
    }
  }
}

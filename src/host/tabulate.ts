// The table of sites of a file that a compiler has just made. It is apart from `cc`, which loads it
// only for a file that may have sites: most files of a large build have none, and loading what
// reads them costs more than the rest of the command.

import { isFault } from '../base/fault.js';
import { rewriteFile, type Original } from '../base/file.js';
import * as N from '../elf/names.js';
import type { ElfObject } from '../elf/object.js';
import { readElf } from '../elf/read.js';
import { declaredKeys } from '../keys/records.js';
import { annotate, type Annotated } from '../sites/annotate.js';
import { decodeSites, listedSites } from '../sites/find.js';
import { KEY_PREFIX, TRAMPOLINE_PREFIX } from '../sites/site.js';
import { decode } from '../x86/decode.js';

/**
 * Loads the decoder, which takes longer than all else, while there is time: the compiler runs. Its
 * tables are made by the first instruction.
 */
export const prepare = (): void => void decode(Uint8Array.of(0xc3));

export interface Tabulated {
  /** `later`: a key may belong to another object, so the linked file gets the table. */
  readonly outcome: Annotated['outcome'] | 'later';
  readonly sites: number;
}

/** Writes the table, where the file can have one yet. */
export function tabulate(original: Original, path: string, unlinked: boolean): Tabulated {
  const object = readElf(original.bytes, path);
  const later = unlinked ? postponed(object) : 0;
  if (later > 0) return { outcome: 'later', sites: later };
  const declared = declaredKeys(object);
  const found = decodeSites(object, declared).length;
  const { outcome, bytes: annotated } = annotate(object, {
    force: !unlinked && !complete(object, found),
    declared,
  });
  if (annotated) rewriteFile(original, annotated);
  return { outcome, sites: found };
}

/**
 * Whether the table that a linked file got from its objects knows every site: some of them may have
 * come without one.
 */
function complete(object: ElfObject, found: number): boolean {
  try {
    return listedSites(object).length === found;
  } catch (error) {
    if (isFault(error)) return false;
    throw error;
  }
}

/**
 * How many sites wait for the link: an object's table can be linked into anything only if it names
 * no key that another shared object may define or pre-empt, for an entry is a 32-bit distance to
 * the key.
 */
function postponed(object: ElfObject): number {
  const symbols = object.symbols;
  if (!symbols || object.type !== 'relocatable') return 0;
  const hidden = (name: string): boolean => {
    const i = symbols.find(name);
    return i > 0 && symbols.visibility(i) === N.STV_HIDDEN;
  };
  const sites = decodeSites(object);
  const keys = new Map(sites.map(({ key, keySymbol }) => [key, keySymbol]));
  // An undefined key is only ever named by assembly, which knows no visibility: its trampoline
  // tells.
  const near = [...keys].every(
    ([key, symbol]) =>
      symbol === KEY_PREFIX + key && (hidden(symbol) || hidden(TRAMPOLINE_PREFIX + key)),
  );
  return near ? 0 : sites.length;
}

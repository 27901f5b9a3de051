// Object to Site[]: from the file's own table where it has one, for that is what the kernel would
// patch; else by decoding, as objtool would make the table. Never by byte pattern alone. It reads;
// `annotate` writes.

import type { Fault } from '../base/fault.js';
import type { ElfObject, Section } from '../elf/object.js';
import { decodeLinked, destinations, readLinked, type DeclaredKey } from './linked.js';
import { decodeRelocatable, readRelocatable } from './relocatable.js';
import { SITES_SECTION } from './section.js';
import type { Site } from './site.js';

/**
 * Told of each entry of a damaged table, which is then left out. Without one the first is thrown.
 */
export type Report = (fault: Fault) => void;

const refuse: Report = (fault) => {
  throw fault;
};

/**
 * The file's own tables that have entries: one, and in a relocatable object one more for each
 * section group with sites.
 */
export function sitesSections(object: ElfObject): Section[] {
  return object.sections.filter((s) => s.name === SITES_SECTION && s.size > 0);
}

/**
 * Every static call site of an object, in the table's order or, decoded, in the order that a table
 * would have.
 * @param declared keys that a linked file tells of without symbols.
 * @throws Fault `bad-sites-section`, `bad-site`, `bad-elf`.
 */
export function findSites(
  object: ElfObject,
  report: Report = refuse,
  declared: readonly DeclaredKey[] = [],
): Site[] {
  const tables = sitesSections(object);
  if (tables.length === 0) return decodeSites(object, declared);
  return tables.flatMap((table) =>
    object.type === 'relocatable'
      ? readRelocatable(object, table, report)
      : readLinked(object, table, report, declared),
  );
}

/** By decoding, whatever table the file may have. */
export function decodeSites(object: ElfObject, declared: readonly DeclaredKey[] = []): Site[] {
  return object.type === 'relocatable'
    ? decodeRelocatable(object)
    : decodeLinked(object, destinations(object, declared));
}

// Object to Site[]: from the file's own table where it has one, because that is what the kernel
// would patch; without one by decoding, as objtool would make the table. Never by byte pattern
// alone. It reads; `annotate` writes.
//
// A table may list some of the sites only: objects with one and objects without are linked into one
// file, or a tool that splits functions leaves out what it moved. So every branch that leads to a
// trampoline is looked for all the same. Nearly all of them are listed and need no decoding: the
// pass over the bytes costs about as much as the table itself, and a fifth of decoding every site.

import type { Fault } from '../base/fault.js';
import type { ElfObject, Section } from '../elf/object.js';
import { decodeLinked, destinations, readLinked, type DeclaredKey } from './linked.js';
import { checkReadable } from './readable.js';
import { decodeRelocatable, readRelocatable } from './relocatable.js';
import { isSitesSection } from './section.js';
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
  return object.sections.filter((s) => isSitesSection(s.name) && s.size > 0);
}

/** What the file's own tables say, in their order; nothing where it has none. */
export function listedSites(
  object: ElfObject,
  report: Report = refuse,
  declared: readonly DeclaredKey[] = [],
): Site[] {
  return sitesSections(object).flatMap((table) =>
    object.type === 'relocatable'
      ? readRelocatable(object, table, report)
      : readLinked(object, table, report, declared),
  );
}

export interface Survey {
  readonly listed: readonly Site[];
  /** Found by decoding, in the order that a table would have. */
  readonly unlisted: readonly Site[];
}

/** @throws Fault as `findSites` */
export function surveySites(
  object: ElfObject,
  report: Report = refuse,
  declared: readonly DeclaredKey[] = [],
): Survey {
  checkReadable(object);
  const listed = listedSites(object, report, declared);
  const unlisted =
    object.type === 'relocatable'
      ? decodeRelocatable(object, listed)
      : decodeLinked(object, destinations(object, declared), listed);
  return { listed, unlisted };
}

/**
 * Every static call site of an object: those of its tables first, in their order.
 * @param declared keys that a linked file tells of without symbols.
 * @throws Fault `bad-sites-section`, `bad-site`, `bad-elf`, `bad-trampoline`, `not-linked`.
 */
export function findSites(
  object: ElfObject,
  report: Report = refuse,
  declared: readonly DeclaredKey[] = [],
): Site[] {
  const { listed, unlisted } = surveySites(object, report, declared);
  return listed.length === 0 ? [...unlisted] : listed.concat(unlisted);
}

/** By decoding, whatever table the file may have. */
export function decodeSites(object: ElfObject, declared: readonly DeclaredKey[] = []): Site[] {
  return object.type === 'relocatable'
    ? decodeRelocatable(object)
    : decodeLinked(object, destinations(object, declared));
}

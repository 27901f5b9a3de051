// What annotate may change in a file: the file header's three fields about sections, and tables
// that had to grow. Told from the bytes, so that a writer that moves something is seen even if
// every tool accepts the result.

import { readElf } from '#elf/read';
import type { Section } from '#elf/object';

const GROWN = new Set([
  '.static_call_sites',
  '.rela.static_call_sites',
  '.symtab',
  '.strtab',
  '.shstrtab',
  '.symtab_shndx',
  '.group',
]);

/**
 * Complaints about bytes of `before` that are not where and what they were. Relocations may name a
 * moved symbol by its new number.
 */
export function unchanged(before: Uint8Array, after: Uint8Array): string[] {
  const [old, now] = [readElf(before), readElf(after)];
  const complaints: string[] = [];
  const covered = new Uint8Array(before.length);
  const skip = (from: number, to: number): void => void covered.fill(1, from, to);
  const headers = Number(new DataView(before.buffer, before.byteOffset).getBigUint64(40, true));
  skip(headers, headers + old.sections.length * 64);
  skip(40, 48);
  skip(60, 62);
  for (const [i, section] of old.sections.entries()) {
    const next = now.sections[i]!;
    const grown = GROWN.has(section.name);
    for (const field of Object.keys(section) as (keyof Section)[]) {
      if (grown && (field === 'offset' || field === 'size' || field === 'info')) continue;
      // A section group names its signature by number, and 65,280 or more sections are counted in
      // section 0.
      if ((section.type === 17 && field === 'info') || (i === 0 && field === 'size')) continue;
      if (section[field] !== next[field])
        complaints.push(`${section.name}: ${field} was ${section[field]} and is ${next[field]}`);
    }
    if (section.type === 8 || section.type === 0) continue;
    if (grown || section.type === 0x6fff4c03) skip(section.offset, section.offset + section.size);
    else if (section.type === 4) {
      const [a, b] = [old.relocations(section), now.relocations(next)];
      for (let at = 0; at + 24 <= section.size; at += 24) {
        skip(section.offset + at + 12, section.offset + at + 16);
        const names = [old.symbols!.name(a.symbol(at / 24)), now.symbols!.name(b.symbol(at / 24))];
        if (names[0] !== names[1])
          complaints.push(`${section.name}+${at}: named ${names[0]} and names ${names[1]}`);
      }
    }
  }
  // Padding between tables that were last in the file and are written again.
  let kept = 64;
  for (const s of old.segments) kept = Math.max(kept, s.offset + s.fileSize);
  for (const s of old.sections)
    if (s.index > 0 && s.type !== 8 && !GROWN.has(s.name)) kept = Math.max(kept, s.offset + s.size);
  for (let i = kept; i < before.length; i++) if (before[i] === 0) covered[i] = 1;
  for (let i = 0; i < before.length; i++) {
    if (!covered[i] && before[i] !== after[i]) {
      complaints.push(`byte ${i} was ${before[i]} and is ${after[i]}`);
      break;
    }
  }
  return complaints;
}

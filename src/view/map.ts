// The sites of a file on the lines of its text: each line that has one, with the calls on it and
// what they cross. A call that crosses a line is on two of them.

import { LINE } from '../base/addr.js';
import type { FileFacts, SiteFacts } from '../inspect/facts.js';

/** The smallest of these units whose end lies inside the call; null where none does. */
export const CROSSED = [64, 32, 16, 8] as const;
export type Crossed = (typeof CROSSED)[number] | null;

export interface Mark {
  readonly site: SiteFacts;
  /** Bytes of this line, from 0 to 64. */
  readonly from: number;
  readonly to: number;
  /** The largest unit that it crosses. */
  readonly crossed: Crossed;
  /** It began on the line before. */
  readonly continued: boolean;
}

export interface Line {
  readonly section: string;
  /** Of its first byte: an address where the file has one, else an offset in the section. */
  readonly at: number;
  readonly marks: readonly Mark[];
}

const lengthOf = ({ bytes }: SiteFacts): number => bytes.split(' ').length;
const placeOf = ({ address, offset }: SiteFacts): number => address ?? offset;

export function crossedBy(at: number, length: number): Crossed {
  return (
    CROSSED.find((unit) => Math.floor(at / unit) !== Math.floor((at + length - 1) / unit)) ?? null
  );
}

/** Lines in the order of the file, those without a site left out. */
export function linesOf({ sites }: Pick<FileFacts, 'sites'>): readonly Line[] {
  const lines = new Map<string, { section: string; at: number; marks: Mark[] }>();
  for (const site of sites) {
    const [at, length] = [placeOf(site), lengthOf(site)];
    const section = site.section ?? '';
    const crossed = crossedBy(at, length);
    for (let line = at - mod(at, LINE); line < at + length; line += LINE) {
      const key = `${section} ${line}`;
      const known = lines.get(key) ?? { section, at: line, marks: [] };
      lines.set(key, known);
      known.marks.push({
        site,
        from: Math.max(0, at - line),
        to: Math.min(LINE, at + length - line),
        crossed,
        continued: line > at,
      });
    }
  }
  return [...lines.values()].sort((a, b) => a.section.localeCompare(b.section) || a.at - b.at);
}

/** Addresses of a kernel are negative here. */
const mod = (value: number, by: number): number => ((value % by) + by) % by;

/** How many calls cross each unit, and none. */
export function crossings({ sites }: Pick<FileFacts, 'sites'>): ReadonlyMap<Crossed, number> {
  const counts = new Map<Crossed, number>([...CROSSED, null].map((unit) => [unit, 0]));
  for (const site of sites) {
    const crossed = crossedBy(placeOf(site), lengthOf(site));
    counts.set(crossed, (counts.get(crossed) ?? 0) + 1);
  }
  return counts;
}

export interface Group {
  readonly name: string;
  readonly sites: readonly SiteFacts[];
}

/** The sites by key or by function, the most first. */
export function groups(sites: readonly SiteFacts[], by: 'key' | 'function'): readonly Group[] {
  const found = new Map<string, SiteFacts[]>();
  for (const site of sites) {
    const name = by === 'key' ? site.key : (site.function ?? '(no name)');
    const list = found.get(name);
    if (list === undefined) found.set(name, [site]);
    else list.push(site);
  }
  return [...found]
    .map(([name, list]) => ({ name, sites: list }))
    .sort((a, b) => b.sites.length - a.sites.length || a.name.localeCompare(b.name));
}

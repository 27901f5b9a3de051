// Two builds, compared by what survives a build: the key, the function that holds the site, and its
// place among that function's sites of that key. Addresses do not survive, so none is compared;
// what is told is which sites came, went, or now lie otherwise across a cache line, for that
// decides how they can be patched.

import type { FileFacts, SiteFacts } from './facts.js';

export interface Build {
  /** In the terms of `relative`: what both builds call the file. */
  readonly files: readonly { readonly relative: string; readonly facts: FileFacts }[];
}

export interface Change {
  readonly change: 'gained' | 'lost' | 'onto-line' | 'off-line';
  /** Null where a single file is compared with another, whatever they are called. */
  readonly file: string | null;
  readonly function: string | null;
  readonly key: string;
  readonly kind: string;
  /** Which of the function's sites of that key, from 0. */
  readonly ordinal: number;
  /** Where it is in the build that has it: the second, unless it was lost. */
  readonly section: string | null;
  readonly offset: number;
}

export interface Difference {
  readonly changes: readonly Change[];
  readonly sites: readonly [number, number];
  readonly keys: { readonly gained: readonly string[]; readonly lost: readonly string[] };
  /**
   * Sites of both builds, and how many of them lie in another place of their section: no change by
   * itself.
   */
  readonly same: number;
  readonly moved: number;
}

interface Group {
  readonly file: string | null;
  readonly sites: readonly SiteFacts[];
}

export function compare(before: Build, after: Build): Difference {
  const single = before.files.length === 1 && after.files.length === 1;
  const [a, b] = [groups(before, single), groups(after, single)];
  const changes: Change[] = [];
  let same = 0;
  let moved = 0;
  for (const label of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    const old = a.get(label)?.sites ?? [];
    const now = b.get(label)?.sites ?? [];
    const file = (b.get(label) ?? a.get(label))?.file ?? null;
    for (const [ordinal, is] of now.entries()) {
      const was = old[ordinal];
      const told = toldOf(is, file, ordinal);
      if (!was) {
        changes.push({ change: 'gained', ...told });
        continue;
      }
      same++;
      if (was.offset !== is.offset || was.section !== is.section) moved++;
      if (was.destinationCrossesLine !== is.destinationCrossesLine)
        changes.push({ change: is.destinationCrossesLine ? 'onto-line' : 'off-line', ...told });
    }
    for (const [i, was] of old.slice(now.length).entries())
      changes.push({ change: 'lost', ...toldOf(was, file, now.length + i) });
  }
  const [oldKeys, newKeys] = [keysOf(before), keysOf(after)];
  return {
    changes,
    sites: [countOf(before), countOf(after)],
    keys: {
      gained: [...newKeys].filter((k) => !oldKeys.has(k)).sort(),
      lost: [...oldKeys].filter((k) => !newKeys.has(k)).sort(),
    },
    same,
    moved,
  };
}

const toldOf = (
  { function: name, key, kind, section, offset }: SiteFacts,
  file: string | null,
  ordinal: number,
): Omit<Change, 'change'> => ({ file, function: name, key, kind, ordinal, section, offset });

/** Sites of one function, key and kind, in the order of their places. */
function groups(build: Build, single: boolean): Map<string, Group> {
  const found = new Map<string, { file: string | null; sites: SiteFacts[] }>();
  for (const { relative, facts } of build.files) {
    const file = single ? null : relative;
    for (const site of facts.sites) {
      const label = [file ?? '', site.function ?? '', site.key, site.kind].join('\0');
      const group = found.get(label);
      if (group) group.sites.push(site);
      else found.set(label, { file, sites: [site] });
    }
  }
  for (const { sites } of found.values()) sites.sort(byPlace);
  return found;
}

/** By section, then by place in it. */
function byPlace(a: SiteFacts, b: SiteFacts): number {
  const [x, y] = [a.section ?? '', b.section ?? ''];
  if (x !== y) return x < y ? -1 : 1;
  return (a.address ?? a.offset) - (b.address ?? b.offset);
}

const keysOf = (build: Build): Set<string> =>
  new Set(build.files.flatMap(({ facts }) => facts.keys.map((k) => k.name)));
const countOf = (build: Build): number =>
  build.files.reduce((sum, { facts }) => sum + facts.sites.length, 0);

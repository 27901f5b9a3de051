// Facts to numbers: one pass over all sites of an answer, grouped by whatever is asked for. The
// summary is the group of everything.

import type { FileFacts, SiteFacts } from './facts.js';
import type { BranchForm } from './static-keys.js';

export const DIMENSIONS = ['key', 'site', 'section', 'function', 'file', 'branch'] as const;
export type Dimension = (typeof DIMENSIONS)[number];
/** What sites are counted by; the others list one by one. */
export type Grouping = Exclude<Dimension, 'site' | 'branch'>;

export class Counts {
  sites = 0;
  call = 0;
  jmp = 0;
  jcc = 0;
  tail = 0;
  init = 0;
  crossesLine = 0;
  destinationCrossesLine = 0;
  /**
   * Sites whose section is aligned to less than a line: the two counts above presume where it
   * begins.
   */
  lineUncertain = 0;
  readonly protocols: Record<string, number> = {};
  readonly keys: Set<string> = new Set();
  readonly files: Set<string> = new Set();

  add(file: string, site: SiteFacts): void {
    this.sites++;
    this[site.kind]++;
    this.tail += Number(site.tail);
    this.init += Number(site.init);
    this.crossesLine += Number(site.crossesLine);
    this.destinationCrossesLine += Number(site.destinationCrossesLine);
    this.lineUncertain += Number(!site.lineCertain);
    for (const name of site.protocols) this.protocols[name] = (this.protocols[name] ?? 0) + 1;
    this.keys.add(site.key);
    this.files.add(file);
  }
}

export interface Summary {
  readonly files: number;
  readonly filesWithSites: number;
  readonly filesRefused: number;
  readonly sites: number;
  readonly keys: number;
  readonly trampolines: number;
  readonly kinds: { readonly call: number; readonly jmp: number; readonly jcc: number };
  readonly tail: number;
  readonly init: number;
  readonly crossesLine: number;
  readonly destinationCrossesLine: number;
  readonly lineUncertain: number;
  readonly protocols: Readonly<Record<string, number>>;
  readonly topKeys: readonly { readonly name: string; readonly sites: number }[];
  /** Where some file has some. */
  readonly staticKeys?: BranchSummary;
}

export interface BranchSummary {
  readonly branches: number;
  readonly keys: number;
  /** Branches by how they are written. */
  readonly forms: Readonly<Partial<Record<BranchForm, number>>>;
  readonly init: number;
}

function summariseBranches(files: readonly FileFacts[]): BranchSummary | null {
  const found = files.flatMap(({ staticKeys }) => staticKeys ?? []);
  if (found.length === 0) return null;
  const forms: Partial<Record<BranchForm, number>> = {};
  // By address where there is one: static variables of two files may have one name.
  const keys = new Set<string>();
  let [branches, init] = [0, 0];
  for (const each of found) {
    for (const { name, address } of each.keys) keys.add(`${name} ${String(address)}`);
    for (const branch of each.branches) {
      branches++;
      init += Number(branch.init);
      forms[branch.form] = (forms[branch.form] ?? 0) + 1;
    }
  }
  return { branches, keys: keys.size, forms, init };
}

const TOP = 10;

export function summarise(files: readonly FileFacts[]): Summary {
  const all = new Counts();
  const perKey = new Map<string, number>();
  // Of entries, not of names: an archive may hold two members of one name.
  const filesWithSites = files.filter((file) => file.sites.length > 0).length;
  let trampolines = 0;
  for (const file of files) {
    trampolines += file.trampolines.length;
    for (const site of file.sites) {
      all.add(file.path, site);
      perKey.set(site.key, (perKey.get(site.key) ?? 0) + 1);
    }
  }
  const staticKeys = summariseBranches(files);
  const topKeys = [...perKey]
    .map(([name, sites]) => ({ name, sites }))
    .sort((a, b) => b.sites - a.sites || (a.name < b.name ? -1 : 1));
  return {
    files: files.length,
    filesWithSites,
    filesRefused: files.filter((f) => f.kind === null).length,
    sites: all.sites,
    keys: all.keys.size,
    trampolines,
    kinds: { call: all.call, jmp: all.jmp, jcc: all.jcc },
    tail: all.tail,
    init: all.init,
    crossesLine: all.crossesLine,
    destinationCrossesLine: all.destinationCrossesLine,
    lineUncertain: all.lineUncertain,
    protocols: all.protocols,
    topKeys: topKeys.slice(0, TOP),
    ...(staticKeys && { staticKeys }),
  };
}

const NAMES: Readonly<Record<Grouping, (file: FileFacts, site: SiteFacts) => string>> = {
  key: (_, site) => site.key,
  section: (_, site) => site.section ?? '-',
  function: (_, site) => site.function ?? '-',
  file: (file) => file.path,
};

/** Most sites first, then by name; what has none is not there. */
export function group(
  files: readonly FileFacts[],
  by: Grouping,
): { readonly name: string; readonly counts: Counts }[] {
  const name = NAMES[by];
  const groups = new Map<string, Counts>();
  for (const file of files) {
    for (const site of file.sites) {
      const label = name(file, site);
      let counts = groups.get(label);
      if (!counts) groups.set(label, (counts = new Counts()));
      counts.add(file.path, site);
    }
  }
  return [...groups]
    .map(([label, counts]) => ({ name: label, counts }))
    .sort((a, b) => b.counts.sites - a.counts.sites || (a.name < b.name ? -1 : 1));
}

/** Only what belongs to keys whose name matches. */
export function onlyKeys(file: FileFacts, pattern: string): FileFacts {
  const matches = (name: string): boolean => globMatches(pattern, name);
  return {
    ...file,
    sites: file.sites.filter((s) => matches(s.key)),
    keys: file.keys.filter((k) => matches(k.name)),
    trampolines: file.trampolines.filter((t) => matches(t.key)),
    ...(file.staticKeys && {
      staticKeys: {
        ...file.staticKeys,
        branches: file.staticKeys.branches.filter((b) => matches(b.key)),
        keys: file.staticKeys.keys.filter((k) => matches(k.name)),
      },
    }),
  };
}

/**
 * `*` any run, `?` any one; by two places to go back to, so that no pattern takes longer than their
 * product.
 */
export function globMatches(pattern: string, name: string): boolean {
  let p = 0;
  let star = -1;
  let from = 0;
  for (let n = 0; n < name.length;) {
    if (pattern[p] === '*') {
      star = p++;
      from = n;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === name[n])) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++from;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

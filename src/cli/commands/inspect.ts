// `static-call inspect`: the facts of inspect/ as text that can be read and grepped, or as JSON.
// The summary comes first and alone unless a listing is asked for. A file that is refused is told
// on stderr, and the others are answered.

import { hex, type Addr } from '../../base/addr.js';
import { EXIT, Fault, FAULTS } from '../../base/fault.js';
import { didYouMean } from '../../base/nearest.js';
import { printable } from '../../base/printable.js';
import {
  group,
  onlyKeys,
  summarise,
  type BranchSummary,
  type Counts,
  type Dimension,
  type Summary,
} from '../../inspect/count.js';
import { compare, type Build, type Change, type Difference } from '../../inspect/diff.js';
import type { FileFacts, KernelFacts, KeyFacts, SiteFacts, Target } from '../../inspect/facts.js';
import { BRANCH_FORMS, type BranchFacts, type StaticKeyFacts } from '../../inspect/static-keys.js';
import { inputs } from '../../inspect/files.js';
import { inspectInput } from '../../inspect/inspect.js';
import { isDumpFile } from '../../inspect/live/inspect.js';
import type { Context } from '../context.js';
import { live, type LiveDimension } from '../live.js';
import { progress } from '../progress.js';
import { report } from '../report.js';
import { table, type Cell, type Column } from '../table.js';

export interface Flags {
  readonly by?: Dimension | LiveDimension;
  readonly key?: string;
  readonly diff: boolean;
  readonly live: boolean;
  readonly against?: string;
  readonly json: boolean;
}

export async function run(context: Context, flags: Flags, ...paths: string[]): Promise<number> {
  if (flags.diff) return runDiff(context, flags, paths);
  const [first, ...others] = paths;
  if (flags.live || (first !== undefined && others.length === 0 && isDumpFile(first)))
    return live(context, flags, paths);
  const by = ofFiles(flags, paths);
  const { files, keys } = await read(context, flags, paths);
  if (flags.json) context.json('static-call/inspect@1', asJson(files, by));
  else {
    context.print(summaryText(summarise(files), files));
    // Who names keys wants to see their sites.
    const wanted = by ?? (flags.key === undefined ? undefined : 'site');
    const listing = wanted && list(files, wanted, context);
    if (listing) context.print(`\n${listing}`);
  }
  const status = told(context, files);
  if (
    status !== EXIT.good ||
    flags.key === undefined ||
    files.some((f) => f.keys.length + f.trampolines.length + (f.staticKeys?.keys.length ?? 0) > 0)
  )
    return status;
  const hint = didYouMean(flags.key, keys);
  context.note(printable(`no key is called ${flags.key}${hint === undefined ? '' : ` (${hint})`}`));
  return EXIT.no;
}

/** What files are listed by. @throws Fault `bad-usage` for what only memory has. */
function ofFiles({ by, against }: Flags, paths: readonly string[]): Dimension | undefined {
  const hint = 'give --live, or a dump of memory';
  if (paths.length === 0) throw new Fault('bad-usage', 'name a file or a directory', { hint });
  if (against !== undefined) throw new Fault('bad-usage', '--against belongs to memory', { hint });
  if (by === 'drift' || by === 'lsm' || by === 'tracepoint')
    throw new Fault('bad-usage', `files are not listed by ${by}`, { hint });
  return by;
}

async function runDiff(context: Context, flags: Flags, paths: readonly string[]): Promise<number> {
  const [before, after, ...more] = paths;
  if (before === undefined || after === undefined || more.length > 0)
    throw new Fault('bad-usage', `--diff compares two builds, not ${paths.length}`, {
      hint: 'static-call inspect --diff OLD NEW',
    });
  if (flags.by !== undefined)
    throw new Fault('bad-usage', '--diff has a listing of its own, so --by says nothing', {
      hint: 'leave out --by; --key GLOB picks keys',
    });
  const builds = [
    await read(context, flags, [before]),
    await read(context, flags, [after]),
  ] as const;
  const status = told(
    context,
    builds.flatMap((b) => b.files),
  );
  const difference = compare(builds[0].build, builds[1].build);
  if (flags.json) context.json('static-call/inspect-diff@1', { ...difference });
  else context.print(differenceText(difference));
  if (status !== EXIT.good) return status;
  return difference.changes.length + difference.keys.gained.length + difference.keys.lost.length > 0
    ? EXIT.no
    : EXIT.good;
}

async function read(
  context: Context,
  flags: Flags,
  paths: readonly string[],
): Promise<{ files: FileFacts[]; keys: ReadonlySet<string>; build: Build }> {
  const files: { relative: string; facts: FileFacts }[] = [];
  using line = progress(context);
  for (const input of inputs(paths)) {
    line.show(() => `${files.length} files: ${input.path}`);
    for (const facts of await inspectInput(input))
      files.push({ relative: input.relative + facts.path.slice(input.path.length), facts });
  }
  const { key } = flags;
  const wanted = files.map(({ relative, facts }) => ({
    relative,
    facts: key === undefined ? facts : onlyKeys(facts, key),
  }));
  return {
    files: wanted.map(({ facts }) => facts),
    keys: new Set(
      files.flatMap(({ facts: { keys, staticKeys } }) =>
        [...keys, ...(staticKeys?.keys ?? [])].map(({ name }) => name),
      ),
    ),
    build: { files: wanted },
  };
}

/**
 * Every fault on stderr; the status is that of input refused, unless only this machine is to blame.
 */
function told(context: Context, files: readonly FileFacts[]): number {
  let status: number = EXIT.good;
  for (const { faults } of files) {
    for (const { code, message, hint, at } of faults) {
      context.note(
        report(
          new Fault(code, message, { hint, ...(at === null ? {} : { at }) }),
          '',
          (_, text) => text,
        ).text,
      );
      const { exit } = FAULTS[code];
      if (status !== EXIT.input) status = exit;
    }
  }
  return status;
}

const grouped = (n: number): string => n.toLocaleString('en-US');
const count = (n: number, one: string, many: string = `${one}s`): string =>
  `${grouped(n)} ${n === 1 ? one : many}`;
const share = (part: number, whole: number): string =>
  `${grouped(part)} (${whole === 0 ? 0 : ((100 * part) / whole).toFixed(1)} %)`;

function summaryText(s: Summary, files: readonly FileFacts[]): string {
  const [only, ...others] = files;
  const what =
    only && others.length === 0 && only.kind !== null
      ? `${printable(only.path)}: ${only.kind}`
      : `${count(s.files, 'file')}, ${grouped(s.filesWithSites)} with sites`;
  const lines = [
    `${what}; ${count(s.sites, 'site')}, ${count(s.keys, 'key')}, ` +
      count(s.trampolines, 'trampoline') +
      (s.filesRefused ? `; ${count(s.filesRefused, 'file')} refused` : ''),
  ];
  const row = (label: string, text: string): void =>
    void lines.push(`  ${label.padEnd(10)} ${printable(text)}`);
  if (s.sites > 0) {
    const { call, jmp, jcc } = s.kinds;
    row('kinds', `call ${grouped(call)}  jmp ${grouped(jmp)}  jcc ${grouped(jcc)}`);
    row('flags', `tail ${grouped(s.tail)}  init ${grouped(s.init)}`);
    const destinations = share(s.destinationCrossesLine, s.sites);
    row(
      'line',
      `${share(s.crossesLine, s.sites)} cross a cache line, ${destinations} with their destination`,
    );
    if (s.lineUncertain > 0)
      row(
        '',
        `counted from the section's beginning for ${grouped(s.lineUncertain)}: ` +
          'it is aligned to less than a line',
      );
    row(
      'protocols',
      Object.entries(s.protocols)
        .map(([name, n]) => `${name} ${grouped(n)}`)
        .join('  '),
    );
    const width = Math.max(...s.topKeys.map(({ sites }) => String(sites).length));
    for (const [i, { name, sites }] of s.topKeys.entries())
      row(i === 0 ? 'top keys' : '', `${String(sites).padStart(width)} ${name}`);
  }
  if (s.staticKeys) row('branches', branchesText(s.staticKeys));
  for (const { path, remark } of files)
    if (remark !== undefined) row('note', `${files.length > 1 ? `${path}: ` : ''}${remark}`);
  for (const { path, kernel } of files)
    if (kernel) row('kernel', `${files.length > 1 ? `${path}: ` : ''}${kernelText(kernel)}`);
  return lines.join('\n');
}

function branchesText({ branches, keys, forms, init }: BranchSummary): string {
  const written = BRANCH_FORMS.flatMap((form) => {
    const n = forms[form];
    return n === undefined ? [] : `${form} ${grouped(n)}`;
  });
  return `${[`${grouped(branches)} on ${count(keys, 'static key')}`, ...written].join('  ')}  init ${grouped(init)}`;
}

function kernelText({ table: at, names, symbols, branches }: KernelFacts): string {
  const found = at === null ? 'no table of sites' : `table of sites at ${hex(at)}`;
  const named = names === null ? 'no names' : `${count(symbols, 'name')} from ${names}`;
  const others =
    branches.unlisted === 0
      ? 'and no other'
      : `and ${grouped(branches.unlisted)} that it does not list`;
  const scan = `a scan of the text finds ${grouped(branches.listed)} of the table's branches`;
  return `${found}; ${named}; ${scan} ${others}`;
}

/** Where the file begins in a line that is grepped: `net.ko:.text+0x1f4`. */
const place = (section: string | null, offset: number): string =>
  `${section ?? ''}+0x${offset.toString(16)}`;
const address = (at: Addr | null): string | null => (at === null ? null : hex(at));
const target = (t: Target | undefined): string | null =>
  t === undefined || !t.targetKnown ? '?' : t.target;

function list(files: readonly FileFacts[], by: Dimension, context: Context): string | null {
  const head = (text: string): string => context.paint('bold', text);
  if (by === 'site') {
    const rows = files.flatMap((file) => {
      const targets = new Map<string, KeyFacts>(file.keys.map((k) => [k.name, k]));
      return file.sites.map((site) => siteRow(file, site, targets.get(site.key)));
    });
    return rows.length === 0 ? null : table(SITE_COLUMNS, rows, head);
  }
  if (by === 'branch') {
    const rows = files.flatMap((file) =>
      (file.staticKeys?.branches ?? []).map((branch) => branchRow(file, branch)),
    );
    return rows.length === 0 ? null : table(BRANCH_COLUMNS, rows, head);
  }
  const groups = group(files, by);
  if (groups.length === 0) return null;
  const columns = COUNTS.filter((c) => c.title !== `${by}s`);
  const cells = (counts: Counts): Cell[] => columns.map((c) => c.of(counts));
  if (by !== 'key')
    return table(
      [{ title: by }, ...columns],
      groups.map(({ name, counts }) => [name, ...cells(counts)]),
      head,
    );
  const keys = new Map<string, KeyFacts>();
  for (const key of files.flatMap((f) => f.keys))
    if (!keys.get(key.name)?.targetKnown) keys.set(key.name, key);
  const rows = groups.map(({ name, counts }) => [
    name,
    ...cells(counts),
    address(keys.get(name)?.trampoline ?? null),
    target(keys.get(name)),
  ]);
  return table(
    [{ title: by }, ...columns, { title: 'trampoline' }, { title: 'target' }],
    rows,
    head,
  );
}

const SITE_COLUMNS: readonly Column[] = [
  'place',
  'address',
  'function',
  'key',
  'kind',
  'flags',
  'line',
  'bytes',
  'protocols',
  'target',
].map((title) => ({ title }));

const BRANCH_COLUMNS: readonly Column[] = [
  { title: 'place' },
  { title: 'address' },
  { title: 'function' },
  { title: 'key' },
  { title: 'kind' },
  { title: 'form' },
  { title: 'distance', align: 'right' },
  { title: 'key is' },
  { title: 'flags' },
];

function branchRow(file: FileFacts, branch: BranchFacts): Cell[] {
  return [
    `${file.path}:${place(branch.section, branch.offset)}`,
    address(branch.address),
    branch.function && `${branch.function}+0x${branch.functionOffset.toString(16)}`,
    branch.key,
    branch.kind,
    branch.form,
    branch.distance,
    branch.taken === (branch.kind === 'if') ? 'on' : 'off',
    branch.init ? 'init' : null,
  ];
}

function lineOf({ crossesLine, destinationCrossesLine }: SiteFacts): string | null {
  if (destinationCrossesLine) return 'destination';
  return crossesLine ? 'crosses' : null;
}

function siteRow(file: FileFacts, site: SiteFacts, key: KeyFacts | undefined): Cell[] {
  const flags = [site.tail ? 'tail' : '', site.init ? 'init' : ''].filter(Boolean).join(',');
  return [
    `${file.path}:${place(site.section, site.offset)}`,
    address(site.address),
    site.function && `${site.function}+0x${site.functionOffset.toString(16)}`,
    site.key,
    site.kind,
    flags || null,
    lineOf(site),
    site.bytes,
    site.protocols.join(','),
    target(key),
  ];
}

const COUNTS: readonly (Column & { readonly of: (c: Counts) => Cell })[] = [
  { title: 'sites', align: 'right', of: (c) => c.sites },
  { title: 'keys', align: 'right', of: (c) => c.keys.size },
  { title: 'files', align: 'right', of: (c) => c.files.size },
  { title: 'call', align: 'right', of: (c) => c.call },
  { title: 'jmp', align: 'right', of: (c) => c.jmp },
  { title: 'jcc', align: 'right', of: (c) => c.jcc },
  { title: 'tail', align: 'right', of: (c) => c.tail },
  { title: 'init', align: 'right', of: (c) => c.init },
  { title: 'crosses', align: 'right', of: (c) => c.crossesLine },
  { title: 'destination', align: 'right', of: (c) => c.destinationCrossesLine },
  { title: 'store', align: 'right', of: (c) => c.protocols['store'] ?? 0 },
];

const CHANGES: Readonly<
  Record<Change['change'], { readonly sign: string; readonly label: string }>
> = {
  gained: { sign: '+', label: 'gained' },
  lost: { sign: '-', label: 'lost' },
  'onto-line': { sign: '!', label: 'now across a line' },
  'off-line': { sign: '~', label: 'no longer across a line' },
};

function differenceText({ changes, sites, keys, same, moved }: Difference): string {
  const lines = [
    `${count(sites[0], 'site')} before, ${grouped(sites[1])} after; ${count(same, 'site')} in both, ` +
      `${grouped(moved)} of them at another place`,
  ];
  const numbers = Object.entries(CHANGES).map(
    ([change, { label }]) =>
      `${label} ${grouped(changes.filter((c) => c.change === change).length)}`,
  );
  lines.push(`  ${numbers.join(', ')}`);
  const [gained, lost] = [grouped(keys.gained.length), grouped(keys.lost.length)];
  lines.push(`  keys gained ${gained}, lost ${lost}`);
  // One a line, as everything that may be grepped.
  const named = [
    ...keys.gained.map((name) => `+  key ${printable(name)}`),
    ...keys.lost.map((name) => `-  key ${printable(name)}`),
  ];
  if (named.length > 0) lines.push('', ...named);
  if (changes.length > 0) {
    const rows = changes.map((c) => [
      CHANGES[c.change].sign,
      `${c.file === null ? '' : `${c.file}:`}${c.function ?? '-'}`,
      c.key,
      c.kind,
      `#${c.ordinal}`,
      place(c.section, c.offset),
      CHANGES[c.change].label,
    ]);
    lines.push(
      '',
      table(
        Array.from({ length: 7 }, () => ({ title: '' })),
        rows,
      ),
    );
  }
  return lines.join('\n');
}

/** Each site with where its key leads, as the listing shows it. */
function withTargets({ sites, keys }: FileFacts): object[] {
  const targets = new Map(keys.map((k) => [k.name, k]));
  return sites.map((s) => {
    const { target: leads = null, targetKnown = false } = targets.get(s.key) ?? {};
    return { ...s, address: address(s.address), target: leads, targetKnown };
  });
}

const switchesAsJson = ({ table: at, branches, keys }: StaticKeyFacts): object => ({
  table: address(at),
  branches: branches.map((b) => ({ ...b, address: address(b.address) })),
  keys: keys.map((k) => ({ ...k, address: address(k.address) })),
});

/** Addresses are hex strings; everything else as the facts have it. */
function asJson(files: readonly FileFacts[], by: Dimension | undefined): object {
  return {
    summary: summarise(files),
    files: files.map(({ kernel, staticKeys, ...file }) => ({
      ...file,
      sites: withTargets(file),
      keys: file.keys.map((k) => ({ ...k, trampoline: address(k.trampoline) })),
      trampolines: file.trampolines.map((t) => ({ ...t, address: address(t.address) })),
      ...(kernel ? { kernel: { ...kernel, table: address(kernel.table) } } : {}),
      ...(staticKeys ? { staticKeys: switchesAsJson(staticKeys) } : {}),
    })),
    ...(by === undefined || by === 'site' || by === 'branch'
      ? {}
      : {
          groups: group(files, by).map(({ name, counts }) => ({
            name,
            ...counts,
            keys: counts.keys.size,
            files: counts.files.size,
          })),
        }),
  };
}

// `static-call inspect --live`: the facts of inspect/live as text or as JSON. Status 1 where a site,
// a trampoline or a key is not what it should be.

import { hex } from '../base/addr.js';
import { EXIT, Fault } from '../base/fault.js';
import { didYouMean } from '../base/nearest.js';
import { printable } from '../base/printable.js';
import { globMatches } from '../inspect/count.js';
import type { LiveFacts, LiveKey } from '../inspect/live/facts.js';
import { inspectLive, moved } from '../inspect/live/inspect.js';
import type { Context } from './context.js';
import { table, type Cell } from './table.js';

export type LiveDimension = 'key' | 'site' | 'branch' | 'drift' | 'lsm' | 'tracepoint';
const DIMENSIONS: readonly LiveDimension[] = [
  'key',
  'site',
  'branch',
  'drift',
  'lsm',
  'tracepoint',
];

interface Flags {
  readonly by?: string;
  readonly key?: string;
  readonly against?: string;
  readonly json: boolean;
}

export async function live(
  context: Context,
  flags: Flags,
  sources: readonly string[],
): Promise<number> {
  const [source, ...others] = sources;
  if (others.length > 0)
    throw new Fault('bad-usage', `one kernel at a time, and ${sources.length} are given`);
  const by = dimensionOf(flags);
  const whole = await inspectLive(source, { against: flags.against, listed: by === 'site' });
  const facts = flags.key === undefined ? whole : only(whole, flags.key);
  if (flags.json) context.json('static-call/live@1', asJson(facts));
  else {
    context.print(summary(facts, flags.against !== undefined));
    for (const each of listings(facts, by)) context.print(`\n${each}`);
  }
  if (flags.key !== undefined && facts.keys.length + facts.switches.length === 0) {
    const names = [...whole.keys, ...whole.switches].map(({ name }) => name);
    const hint = didYouMean(flags.key, new Set(names));
    context.note(
      printable(`no key is called ${flags.key}${hint === undefined ? '' : ` (${hint})`}`),
    );
    return EXIT.no;
  }
  return facts.drift.length > 0 ? EXIT.no : EXIT.good;
}

function dimensionOf({ by, key }: Flags): LiveDimension | undefined {
  if (by === undefined) return key === undefined ? undefined : 'key';
  const found = DIMENSIONS.find((each) => each === by);
  if (found) return found;
  throw new Fault('bad-usage', `memory is not listed by ${by}`, {
    hint: `by ${DIMENSIONS.join(', ')}`,
  });
}

function only(facts: LiveFacts, glob: string): LiveFacts {
  const matches = (name: string): boolean => globMatches(glob, name);
  const wanted = ({ key }: { readonly key: string | null }): boolean =>
    key !== null && matches(key);
  return {
    ...facts,
    sites: facts.sites.filter(wanted),
    keys: facts.keys.filter(({ name }) => matches(name)),
    switches: facts.switches.filter(({ name }) => matches(name)),
    drift: facts.drift.filter(wanted),
    bareReturns: facts.bareReturns.filter(wanted),
  };
}

const grouped = (n: number): string => n.toLocaleString('en-US');
const count = (n: number, one: string, many: string = `${one}s`): string =>
  `${grouped(n)} ${n === 1 ? one : many}`;

function summary(facts: LiveFacts, against: boolean): string {
  const { kernel, counts, keys, drift, underWay, modules } = facts;
  const trampolines = keys.filter(({ trampoline }) => trampoline !== null).length;
  const withSites = modules.filter(({ sites }) => sites > 0).length;
  const differ =
    drift.length === 0
      ? 'all do what their key says'
      : count(drift.length, 'thing is not as it should be', 'things are not as they should be');
  const on = facts.switches.filter((key) => key.on).length;
  const branches =
    facts.switches.length === 0
      ? []
      : [
          `${count(counts.branches, 'branch', 'branches')} (${grouped(counts.initBranches)} of them ` +
            `init, freed), ${count(facts.switches.length, 'static key')}, ${grouped(on)} of them on`,
        ];
  const lines = [
    `${kernel.release} slid by ${hex(kernel.offset)}, from ${kernel.source}` +
      `${kernel.stopped ? '' : ' of a machine that runs'}; ` +
      `${count(modules.length, 'module')}, ${grouped(withSites)} with sites`,
    ...branches,
    `${count(counts.sites, 'site')} (${grouped(counts.init)} of them init, freed), ` +
      `${count(keys.length, 'key')}, ${count(trampolines, 'trampoline')}: ` +
      (underWay ? 'an update is under way' : differ),
  ];
  if (underWay) {
    const { key, trap } = underWay;
    const trapped = trap === 0 ? '' : `, ${grouped(trap)} with its trap`;
    lines.push(
      `the update of ${key}: ${grouped(underWay.new)} new, ${grouped(underWay.old)} old${trapped}`,
    );
  }
  const returns = facts.bareReturns.length;
  if (returns > 0)
    lines.push(
      `note: ${count(returns, 'return')} of an empty key without the return thunk that the ` +
        'kernel uses elsewhere (bareReturns in --json)',
    );
  for (const remark of facts.remarks) lines.push(`note: ${remark}`);
  if (against)
    lines.push(
      `${count(moved(keys).length, 'key is', 'keys are')} not where the image put ` +
        (moved(keys).length === 1 ? 'it' : 'them'),
    );
  return lines.map(printable).join('\n');
}

function listings(facts: LiveFacts, by: LiveDimension | undefined): string[] {
  const found: string[] = [];
  const changed = moved(facts.keys);
  if (by === undefined && changed.length > 0) found.push(keyTable(changed));
  if (facts.drift.length > 0) found.push(driftTable(facts));
  if (by === 'key') found.push(keyTable(facts.keys));
  if (by === 'site') found.push(siteTable(facts));
  if (by === 'branch') found.push(switchTable(facts));
  if (by === 'lsm') found.push(lsmTable(facts.keys));
  if (by === 'tracepoint') found.push(tracepointTable(facts.keys));
  return found;
}

const titles = (...names: string[]): { readonly title: string }[] =>
  names.map((title) => ({ title }));

/** A target in words: what an empty key does, or its function. */
function target(name: string | null | undefined): Cell {
  if (name === undefined) return '?';
  if (name === null) return 'nothing';
  return name === '__static_call_return0' ? 'return 0' : name;
}

function keyTable(keys: readonly LiveKey[]): string {
  return table(
    [
      ...titles('key', 'module', 'image', 'now'),
      { title: 'sites', align: 'right' },
      ...titles('probes'),
    ],
    keys.map((key) => [
      key.name,
      key.module,
      target(key.image),
      target(key.now),
      key.sites,
      key.probes.join(', ') || null,
    ]),
  );
}

const driftTable = ({ drift }: LiveFacts): string =>
  table(
    titles('drift', 'key', 'address', 'place', 'bytes', 'stands', 'should be'),
    drift.map((d) => [d.kind, d.key, hex(d.at), d.place, d.bytes, d.stands, d.says]),
  );

const siteTable = ({ sites }: LiveFacts): string =>
  table(
    titles('address', 'place', 'key', 'flags', 'bytes', 'does'),
    sites.map((s) => [
      hex(s.at),
      s.place,
      s.key,
      [s.tail ? 'tail' : '', s.init ? 'init' : ''].filter(Boolean).join(',') || null,
      s.bytes || null,
      s.stands,
    ]),
  );

const switchTable = ({ switches }: LiveFacts): string =>
  table(
    [...titles('static key', 'module', 'now'), { title: 'branches', align: 'right' }],
    switches.map((key) => [key.name, key.module, key.on ? 'on' : 'off', key.branches]),
  );

/** Since 6.12 each hook of the security modules is a row of keys, in the order of the modules. */
function lsmTable(keys: readonly LiveKey[]): string {
  const hooks = new Map<string, { readonly slot: number; readonly now: string }[]>();
  for (const { name, now } of keys) {
    const [, hook, slot] = /^lsm_static_call_(.+)_(\d+)$/.exec(name) ?? [];
    if (hook === undefined || now === null) continue;
    const known = hooks.get(hook);
    if (known) known.push({ slot: Number(slot), now });
    else hooks.set(hook, [{ slot: Number(slot), now }]);
  }
  if (hooks.size === 0) return 'no hook of a security module is a static call here';
  return table(
    titles('hook', 'functions, in order'),
    [...hooks].map(([hook, slots]) => [
      hook,
      slots
        .sort((a, b) => a.slot - b.slot)
        .map(({ now }) => now)
        .join(', '),
    ]),
  );
}

function tracepointTable(keys: readonly LiveKey[]): string {
  const on = keys.filter(({ probes }) => probes.length > 0);
  if (on.length === 0) return 'no tracepoint has a probe';
  return table(
    titles('tracepoint', 'called', 'probes'),
    on.map(({ name, now, probes }) => [name.replace('tp_func_', ''), now, probes.join(', ')]),
  );
}

/** Addresses are hex strings; everything else as the facts have it. */
function asJson(facts: LiveFacts): object {
  const { counts, keys, drift } = facts;
  return {
    kernel: { ...facts.kernel, offset: hex(facts.kernel.offset) },
    summary: {
      ...counts,
      keys: keys.length,
      trampolines: keys.filter(({ trampoline }) => trampoline !== null).length,
      staticKeys: facts.switches.length,
      modules: facts.modules.length,
      drift: drift.length,
      outside: keys.filter(({ outside }) => outside).length,
    },
    keys: keys.map((key) => ({
      ...key,
      address: hex(key.address),
      func: key.func === 0 ? null : hex(key.func),
      trampoline: key.trampoline === null ? null : hex(key.trampoline),
    })),
    ...(facts.sites.length === 0
      ? {}
      : { sites: facts.sites.map((site) => ({ ...site, at: hex(site.at) })) }),
    staticKeys: facts.switches.map((key) => ({ ...key, address: hex(key.address) })),
    drift: drift.map((each) => ({ ...each, at: hex(each.at) })),
    underWay: facts.underWay,
    bareReturns: facts.bareReturns.map((each) => ({ ...each, at: hex(each.at) })),
    modules: facts.modules.map((module) => ({ ...module, at: hex(module.at) })),
    remarks: facts.remarks,
  };
}

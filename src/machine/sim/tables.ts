// The protocol's tables, as the environment keeps them: what a handler finds in them at the start,
// and which words an update stores.

import { bitsFromAddr, type Addr } from '../../base/addr.js';
import { DATA, RECORD, SLOT, TABLE, slotWord } from '../../trap/registry.js';
import { ENTRY, POKE } from '../../trap/kernel.js';
import { WORD_OF } from '../../plan/draw.js';
import type { Code } from './code.js';
import type { FixtureHandler, FixtureOptions } from './options.js';
import type { TargetName } from './settings.js';
import { POINTER, emulationOf, type FixtureSite } from './sites.js';
import type { Write } from './space.js';

export interface Tables {
  readonly initial: readonly bigint[];
  readonly sink: ReadonlySet<number>;
  readonly targets: ReadonlySet<number>;
  /**
   * What `publish` stores in each update, by its number, for each of its batches. Words that
   * nothing reads are left out, because no step could tell.
   */
  readonly published: readonly (readonly (readonly Write[])[])[];
  /** By word that describes one site at a time: by site, the values that describe it. */
  readonly globals: ReadonlyMap<number, readonly ReadonlySet<bigint>[]>;
  /**
   * What `publish` stores in the word CLAIM, so that traps are claimed: how many entries there are,
   * or where the first table begins.
   */
  readonly claim: bigint;
}

/** What the tables are made from. */
interface Source {
  readonly options: FixtureOptions;
  readonly sites: readonly FixtureSite[];
  /** The targets that successive updates set, the initial one first. */
  readonly states: readonly TargetName[];
  readonly code: Code;
  readonly data: Addr;
  /** Where a trap goes that the handler does not claim. */
  readonly unclaimed: Addr;
}

/** The word that claims traps, in either layout: zero claims none. */
export const CLAIM: number = POKE.count / 8;

export function tablesOf(source: Source): Tables {
  const { via, handler } = source.options;
  if (via === 'pointer' || via === 'retpoline') return pointerTables(source);
  return handler?.tables === 'registry' ? registryTables(source) : pokeTables(source);
}

/** The sites as the table lists them; any order but the first is a mutant. */
function listed({ sites, options: { order } }: Source): readonly FixtureSite[] {
  switch (order) {
    case 'sorted':
    case 'each':
      return sites;
    case 'unsorted':
      return sites.toReversed();
    case 'duplicate':
      return sites.flatMap((site) => [site, site]);
  }
}

/** What the table says that a site is. */
const kindOf = ({ options }: Source, { kind }: Pick<FixtureSite, 'kind'>): FixtureSite['kind'] =>
  options.lostTail ? 'call' : kind;

const zeros = (bytes: number): bigint[] => Array.from({ length: bytes / 8 }, () => 0n);

/** What the handler is told of a site in each state of the sequence. */
const emulations = (
  source: Source,
  site: Pick<FixtureSite, 'kind' | 'emulate' | 'targets'>,
): readonly bigint[] => {
  if (site.emulate !== null) return site.emulate;
  const listed = source.options.handler?.tables !== 'registry';
  return site.targets.map((target) =>
    emulationOf(source.code, kindOf(source, site), target, listed),
  );
};

/** POKE entries, one for each site, in the order of the configuration. */
function pokeTables(source: Source): Tables {
  const { tornDown, handler, spin, order, keys } = source.options;
  if (tornDown && (order === 'each' || keys === 2)) return pokeCycles(source);
  const sites = listed(source);
  const initial = zeros(POKE.size);
  const claim = BigInt(sites.length);
  initial[CLAIM] = tornDown ? 0n : claim;
  initial[POKE.lock / 8] = spin ? 1n : 0n;
  const entries = sites.map((site, i) => {
    const { at, length, condition } = site;
    const entry = POKE.entries + i * ENTRY.size;
    const values = emulations(source, site);
    const word = (entry + ENTRY.word) / 8;
    initial[(entry + ENTRY.site) / 8] = bitsFromAddr(at);
    initial[(entry + ENTRY.shape) / 8] = BigInt(length | (condition << ENTRY.condition));
    initial[word] = values[0]!;
    return { site, word, values };
  });
  for (const { word, value } of globalsOf(source, source.sites, 0)) initial[word] = value;
  const published = publishedBy(source, (batch, update) => [
    ...entries
      .filter(({ site }) => batch.includes(site))
      .map(({ word, values }) => ({ word, value: values[update]! })),
    ...globalsOf(source, batch, update),
  ]);
  const targets = new Set([...entries.map(({ word }) => word), ...destinations(handler)]);
  return { initial, sink: new Set(), targets, published, claim, globals: describing(source) };
}

/** One entry, which is that of another site in each cycle. */
function pokeCycles(source: Source): Tables {
  const word = (field: number): number => (POKE.entries + field) / 8;
  const published = publishedBy(source, (batch, update) => [
    ...batch.flatMap((site) => [
      { word: word(ENTRY.site), value: bitsFromAddr(site.at) },
      { word: word(ENTRY.shape), value: BigInt(site.length | (site.condition << ENTRY.condition)) },
      { word: word(ENTRY.word), value: emulations(source, site)[update]! },
    ]),
    ...globalsOf(source, batch, update),
  ]);
  const targets = new Set([word(ENTRY.word), ...destinations(source.options.handler)]);
  const globals = describing(source);
  return { initial: zeros(POKE.size), sink: new Set(), targets, published, claim: 1n, globals };
}

/** What `publish` stores in each update, for each of its batches. */
const publishedBy = (
  { options, sites, states }: Source,
  writes: (batch: readonly FixtureSite[], update: number) => readonly Write[],
): Tables['published'] =>
  states.map((_, update) =>
    update === 0 ? [] : batchesOf(options, sites, update).map((batch) => writes(batch, update)),
  );

/**
 * The sites that an update changes, in the batches that go through all steps one after the other:
 * those of its key together, or each by itself. The second site stands for the trampoline of the
 * first, and comes before it.
 */
export function batchesOf(
  { keys, order }: Pick<FixtureOptions, 'keys' | 'order'>,
  sites: readonly FixtureSite[],
  update: number,
): readonly (readonly FixtureSite[])[] {
  if (keys === 2) return [sites.slice(update - 1, update)];
  return order === 'each' ? sites.toReversed().map((site) => [site]) : [sites];
}

const destinations = (handler: FixtureOptions['handler']): readonly number[] =>
  (handler?.globals ?? [])
    .filter(({ holds }) => holds === 'target')
    .map(({ offset }) => offset / 8);

/** The words that describe one site at a time describe the first of the batch. */
const globalsOf = (
  source: Source,
  [site]: readonly FixtureSite[],
  update: number,
): readonly Write[] =>
  site === undefined
    ? []
    : (source.options.handler?.globals ?? []).map(({ offset, holds }) => ({
        word: offset / 8,
        value: globalOf(source, site, holds, update),
      }));

/** Of each of these words, the values that describe each site. */
const describing = (source: Source): Tables['globals'] =>
  new Map(
    (source.options.handler?.globals ?? []).map(({ offset, holds }) => [
      offset / 8,
      source.sites.map(
        (site) => new Set(site.contents.map((_, update) => globalOf(source, site, holds, update))),
      ),
    ]),
  );

/** A word that says something of one site. */
function globalOf(
  { code }: Source,
  { at, length, contents, targets }: FixtureSite,
  holds: FixtureHandler['globals'][number]['holds'],
  update: number,
): bigint {
  switch (holds) {
    case 'target':
      return bitsFromAddr(code.label(targets[update]!) ?? 0);
    case 'end':
      return bitsFromAddr(at + length);
    case 'bytes':
      return [...contents[update]!, contents[Math.max(0, update - 1)]![0]!].reduceRight(
        (word, byte) => (word << 8n) | BigInt(byte),
        0n,
      );
  }
}

/** The data block, one table with a slot for each site, and one record (trap/registry.ts). */
function registryTables(source: Source): Tables {
  const { code, data, unclaimed, sites, options } = source;
  const slots = listed(source);
  const table = DATA.size;
  const record =
    Math.ceil((table + TABLE.slots + slots.length * SLOT.size) / RECORD.size) * RECORD.size;
  const initial = zeros(record + options.keys * RECORD.size);
  const recordOf = (site: FixtureSite): number =>
    options.keys === 2 ? record + sites.indexOf(site) * RECORD.size : record;
  const wordOf = (site: FixtureSite): number => (recordOf(site) + WORD_OF[site.kind]) / 8;
  const claim = BigInt(data + table);
  initial[CLAIM] = options.tornDown ? 0n : claim;
  initial[DATA.previous / 8] = bitsFromAddr(code.label('previous') ?? unclaimed);
  // As the loader writes it: from the first slot to the last. An unsorted table is the mutant.
  initial[(table + TABLE.first) / 8] = BigInt(Math.min(...slots.map(({ at }) => at)));
  initial[(table + TABLE.end) / 8] = BigInt(Math.max(...slots.map(({ at }) => at)) + 1);
  initial[(table + TABLE.count) / 8] = BigInt(slots.length);
  for (const [i, site] of slots.entries()) {
    const slot = table + TABLE.slots + i * SLOT.size;
    initial[(slot + SLOT.site) / 8] = BigInt(site.at);
    initial[(slot + SLOT.word) / 8] = slotWord(
      data + 8 * wordOf(site),
      site.length,
      site.condition,
    );
  }
  // A word for each kind of site.
  const wordsOf = (batch: readonly FixtureSite[]) =>
    new Map(batch.map((site) => [wordOf(site), emulations(source, site)]));
  const said = wordsOf(sites);
  const published = publishedBy(source, (batch, update) =>
    Array.from(wordsOf(batch), ([word, values]) => ({ word, value: values[update]! })),
  );
  for (const [word, [value = 0n]] of said) initial[word] = value;
  const counters = sites.map((site) => (recordOf(site) + RECORD.traps) / 8);
  const sink = new Set([DATA.staleTraps / 8, DATA.foreign / 8, ...counters]);
  return { initial, sink, targets: new Set(said.keys()), published, claim, globals: new Map() };
}

/** No table, but the pointer that a site calls through. */
function pointerTables({ states, code }: Source): Tables {
  const word = POINTER / 8;
  const published = states.map((target) => [
    [{ word, value: bitsFromAddr(code.label(target) ?? 0) }],
  ]);
  const initial = zeros(POKE.size);
  initial[word] = published[0]![0]![0]!.value;
  const targets = new Set([word]);
  return { initial, sink: new Set(), targets, published, claim: 0n, globals: new Map() };
}

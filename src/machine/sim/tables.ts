// The protocol's tables, as the environment keeps them: what a handler finds in them at the start,
// and which words an update stores.

import { bitsFromAddr, type Addr } from '../../base/addr.js';
import { DATA, RECORD, SLOT, TABLE, slotWord } from '../../trap/registry.js';
import { ENTRY, POKE } from '../../trap/kernel.js';
import { WORD_OF } from '../../plan/draw.js';
import type { Code } from './code.js';
import type { FixtureHandler, FixtureOptions, TargetName } from './options.js';
import { POINTER, emulationOf, type FixtureSite } from './sites.js';
import type { Write } from './space.js';

export interface Tables {
  readonly initial: readonly bigint[];
  readonly sink: ReadonlySet<number>;
  readonly targets: ReadonlySet<number>;
  /**
   * What `publish` stores for each state of the sequence, in each cycle of its update. Words that
   * nothing reads are left out, because no step could tell.
   */
  readonly published: readonly (readonly (readonly Write[])[])[];
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
  site: Pick<FixtureSite, 'kind' | 'emulate'>,
): readonly bigint[] => {
  if (site.emulate !== null) return site.emulate;
  const listed = source.options.handler?.tables !== 'registry';
  return source.states.map((target) =>
    emulationOf(source.code, kindOf(source, site), target, listed),
  );
};

/** POKE entries, one for each site, in the order of the configuration. */
function pokeTables(source: Source): Tables {
  const { tornDown, handler, spin, order } = source.options;
  if (order === 'each') return pokeCycles(source);
  const sites = listed(source);
  const globals = handler?.globals ?? [];
  const initial = zeros(POKE.size);
  const claim = BigInt(sites.length);
  initial[CLAIM] = tornDown ? 0n : claim;
  initial[POKE.lock / 8] = spin ? 1n : 0n;
  const words = sites.map(({ at, length, condition }, i) => {
    const entry = POKE.entries + i * ENTRY.size;
    initial[(entry + ENTRY.site) / 8] = bitsFromAddr(at);
    initial[(entry + ENTRY.shape) / 8] = BigInt(length | (condition << ENTRY.condition));
    return (entry + ENTRY.word) / 8;
  });
  const said = sites.map((site) => emulations(source, site));
  const published = source.states.map((_, update) => [
    [
      ...words.map((word, i) => ({ word, value: said[i]![update]! })),
      ...globals.map(({ offset, holds }) => ({
        word: offset / 8,
        value: globalOf(source, holds, update),
      })),
    ],
  ]);
  for (const { word, value } of published[0]?.[0] ?? []) initial[word] = value;
  const destinations = globals
    .filter(({ holds }) => holds === 'target')
    .map(({ offset }) => offset / 8);
  return {
    initial,
    sink: new Set(),
    targets: new Set([...words, ...destinations]),
    published,
    claim,
  };
}

/** One entry, which is that of another site in each cycle. */
function pokeCycles(source: Source): Tables {
  const initial = zeros(POKE.size);
  const word = (field: number): number => (POKE.entries + field) / 8;
  const published = source.states.map((_, update) =>
    cyclesOf(source.sites).map((site) => [
      { word: word(ENTRY.site), value: bitsFromAddr(site.at) },
      { word: word(ENTRY.shape), value: BigInt(site.length | (site.condition << ENTRY.condition)) },
      { word: word(ENTRY.word), value: emulations(source, site)[update]! },
    ]),
  );
  const targets = new Set([word(ENTRY.word)]);
  return { initial, sink: new Set(), targets, published, claim: 1n };
}

/**
 * The sites in the order of their cycles: the second stands for the trampoline, which comes first.
 */
export const cyclesOf = (sites: readonly FixtureSite[]): readonly FixtureSite[] =>
  sites.toReversed();

/** A word that says something of the first site. */
function globalOf(
  { sites, states, code }: Source,
  holds: FixtureHandler['globals'][number]['holds'],
  update: number,
): bigint {
  const { at, length, contents } = sites[0]!;
  switch (holds) {
    case 'target':
      return bitsFromAddr(code.label(states[update]!) ?? 0);
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
  const initial = zeros(record + RECORD.size);
  const wordOf = ({ kind }: Pick<FixtureSite, 'kind'>): number => (record + WORD_OF[kind]) / 8;
  const claim = BigInt(data + table);
  initial[CLAIM] = options.tornDown ? 0n : claim;
  initial[DATA.previous / 8] = bitsFromAddr(code.label('previous') ?? unclaimed);
  // As the loader writes it: from the first slot to the last. An unsorted table is the mutant.
  initial[(table + TABLE.first) / 8] = BigInt(Math.min(...slots.map(({ at }) => at)));
  initial[(table + TABLE.end) / 8] = BigInt(Math.max(...slots.map(({ at }) => at)) + 1);
  initial[(table + TABLE.count) / 8] = BigInt(slots.length);
  for (const [i, { at, kind, length, condition }] of slots.entries()) {
    const slot = table + TABLE.slots + i * SLOT.size;
    initial[(slot + SLOT.site) / 8] = BigInt(at);
    initial[(slot + SLOT.word) / 8] = slotWord(data + 8 * wordOf({ kind }), length, condition);
  }
  // A word for each kind of site.
  const said = new Map(sites.map((site) => [wordOf(site), emulations(source, site)]));
  const published = source.states.map((_, state) => [
    [...said].map(([word, values]) => ({ word, value: values[state]! })),
  ]);
  for (const { word, value } of published[0]?.[0] ?? []) initial[word] = value;
  const sink = new Set([DATA.staleTraps / 8, DATA.foreign / 8, (record + RECORD.traps) / 8]);
  return { initial, sink, targets: new Set(said.keys()), published, claim };
}

/** No table, but the pointer that a site calls through. */
function pointerTables({ states, code }: Source): Tables {
  const word = POINTER / 8;
  const published = states.map((target) => [
    [{ word, value: bitsFromAddr(code.label(target) ?? 0) }],
  ]);
  const initial = zeros(POKE.size);
  initial[word] = published[0]![0]![0]!.value;
  return { initial, sink: new Set(), targets: new Set([word]), published, claim: 0n };
}

// Makes the keys and sites of a loaded object known to the runtime: records, groups and the
// handler's tables. Everything is validated before anything is made known, against the file and
// against what other runtimes of the process have done already; an object that is opened twice is
// registered once.

import { INT3 } from '../../asm/table.js';
import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { lastNotAbove } from '../../base/search.js';
import { invariant } from '../../base/invariant.js';
import type { KeyDef } from '../../keys/key.js';
import { SITE_FORMS } from '../../x86/forms.js';
import { KINDS, WORD_OF, type SiteColumns } from '../../plan/draw.js';
import { KEY_PREFIX, TRAMPOLINE_PREFIX, type Site, type SiteKind } from '../../sites/site.js';
import { DATA, RECORD, RETURNS, type SlotColumns } from '../../trap/registry.js';
import type { Runtime } from './runtime.js';
import { Script } from './script.js';
import type { Loaded } from './loaded.js';
import {
  allocateGroup,
  allRecords,
  describeGroup,
  KeyRecord,
  makeRecord,
  makeTable,
  recordAt,
} from './records.js';

export interface EnlistedKey {
  readonly def: KeyDef;
  readonly record: KeyRecord;
  /** The C side's key; null where only the trampoline is visible from here. */
  readonly key: Addr | null;
  /** null for a static key. */
  readonly trampoline: Addr | null;
  /**
   * Whether the record's words are still to be set: it is new, or the runtime that made it failed
   * right after.
   */
  readonly fresh: boolean;
}

/** The runtime that keys and sites are made known to, and where it finds what is mapped. */
export type Registry = Pick<
  Runtime,
  'native' | 'word' | 'setWord' | 'allocate' | 'maps' | 'routines' | 'data' | 'countChange'
>;

/** What is known of a key before anything is made known to others. */
interface Found {
  readonly def: KeyDef;
  readonly key: Addr | null;
  readonly trampoline: Addr | null;
  /** The record that another runtime, or an earlier opening, made. */
  readonly known: Addr | null;
  /** Sites that are in no table yet, by the text they lie in. */
  readonly groups: readonly {
    readonly text: Text;
    readonly memory: Addr;
    readonly columns: SiteColumns;
  }[];
}

/** @throws Fault `no-trampoline` */
function trampolineOf({ native }: Registry, loaded: Loaded, { name, trampoline }: KeyDef): Addr {
  if (trampoline !== null) return loaded.bias + trampoline;
  const found = native.symbol(loaded.handle, TRAMPOLINE_PREFIX + name);
  if (found === 0)
    throw new Fault('no-trampoline', `no loaded object defines ${TRAMPOLINE_PREFIX}${name}`, {
      at: loaded.path,
    });
  return found;
}

/** The C side's key, or null where the dynamic linker knows none. */
function keyOf({ native }: Registry, loaded: Loaded, { name, address }: KeyDef): Addr | null {
  if (address !== null) return loaded.bias + address;
  return native.symbol(loaded.handle, KEY_PREFIX + name) || null;
}

function textOf({ native }: Registry, { start, end }: { start: Addr; end: Addr }): Text {
  return { start, end, bytes: new Uint8Array(native.view(start, end - start)) };
}

/** A trampoline as the site that it is too: `at` is as linked. */
const trampolineSite = (key: string, at: Addr): Site => ({
  section: 0,
  at,
  length: SITE_FORMS.jmp.length,
  kind: 'jmp',
  condition: 0,
  flags: 0,
  key,
  keySymbol: KEY_PREFIX + key,
});

/** The text around a trampoline of another object, which is not opened. */
function textAround(runtime: Registry, { name }: KeyDef, trampoline: Addr): Text {
  const map = runtime.maps().find((m) => m.access.includes('x') && inside(m, trampoline));
  if (!map)
    throw new Fault('no-trampoline', `the trampoline of ${name} is in no executable mapping`, {
      at: hex(trampoline),
    });
  return textOf(runtime, map);
}

/** The sites of a key that no table lists yet. */
function unlisted(
  runtime: Registry,
  loaded: Loaded,
  texts: readonly Text[],
  { name, sites }: KeyDef,
  known: Addr | null,
): readonly Site<SiteKind>[] {
  const [first] = sites;
  const listed = first !== undefined && recordAt(runtime, loaded.bias + first.at) !== null;
  if (known !== null && listed) return [];
  for (const { at } of sites)
    if (!texts.some((text) => inside(text, loaded.bias + at)))
      throw new Fault(
        'bad-site',
        `a site of ${name} is in no executable segment of ${loaded.path}`,
        {
          at: hex(at),
        },
      );
  return sites;
}

/** @throws Fault `unknown-key` */
function findSwitch(
  runtime: Registry,
  loaded: Loaded,
  texts: readonly Text[],
  def: KeyDef,
  records: ReadonlyMap<Addr, Addr>,
): Found {
  const { name, address } = def;
  const key = address === null ? runtime.native.symbol(loaded.handle, name) : loaded.bias + address;
  if (key === 0)
    throw new Fault('unknown-key', `no loaded object defines the static key ${name}`, {
      at: loaded.path,
    });
  const known = records.get(key) ?? null;
  const sites = unlisted(runtime, loaded, texts, def, known);
  const groups = texts.flatMap((text) => group(runtime, loaded, text, sites, null));
  return { def, key, trampoline: null, known, groups };
}

/** Every record by the address of its key. */
function recordsByKey(runtime: Registry): Map<Addr, Addr> {
  const found = new Map<Addr, Addr>();
  for (const record of allRecords(runtime)) found.set(Number(record.word('key')), record.at);
  return found;
}

function findKey(runtime: Registry, loaded: Loaded, texts: readonly Text[], def: KeyDef): Found {
  const trampoline = trampolineOf(runtime, loaded, def);
  const known = recordAt(runtime, trampoline);
  const sites = unlisted(runtime, loaded, texts, def, known);
  const own = trampolineSite(def.name, trampoline - loaded.bias);
  const groups = texts.flatMap((text) =>
    group(runtime, loaded, text, sites, known === null && inside(text, trampoline) ? own : null),
  );
  if (known === null && !texts.some((text) => inside(text, trampoline))) {
    const text = textAround(runtime, def, trampoline);
    groups.push(...group(runtime, null, text, [], trampolineSite(def.name, trampoline)));
  }
  return { def, key: keyOf(runtime, loaded, def), trampoline, known, groups };
}

/**
 * Call it with the lock held. @throws Fault `no-trampoline`, `unknown-key`, `bad-site`,
 * `foreign-trap`, `no-memory`
 */
export function registerSites(
  runtime: Registry,
  loaded: Loaded,
  keys: readonly KeyDef[],
): EnlistedKey[] {
  const { native } = runtime;
  const texts = loaded.texts.map((range) => textOf(runtime, range));
  const records = keys.some(({ kind }) => kind === 'branch') ? recordsByKey(runtime) : new Map();
  const found = keys.map((def) =>
    def.kind === 'branch'
      ? findSwitch(runtime, loaded, texts, def, records)
      : findKey(runtime, loaded, texts, def),
  );

  // All memory first: what is known of a key must not be half of what its object has.
  const order = orderOf(found.flatMap(({ groups }) => groups.map(({ columns }) => columns)));
  const placed = found.map((each) => ({
    ...each,
    record: each.known === null ? makeRecord(runtime) : new KeyRecord(runtime, each.known),
  }));
  const table = makeTable(
    runtime,
    slotsOf(
      placed.flatMap(({ groups, record }) => groups.map(({ columns }) => ({ record, columns }))),
      order,
    ),
  );

  // In one call into machine code, because a worker can be terminated between two statements: a
  // site that is in a group and in no table would be trapped and not be found.
  const links = new Script(native, runtime.routines);
  let head = Number(runtime.word('records'));
  const registered = placed.map(({ def, key, trampoline, known, groups, record }): EnlistedKey => {
    if (known === null) {
      record.setWord('next', BigInt(head));
      head = record.at;
    }
    // The runtime that made the record may have seen no more of the key than its trampoline.
    if (key !== null && record.word('key') === 0n) record.setWord('key', BigInt(key));
    if (def.returns !== null) record.setWord('returns', BigInt(RETURNS.indexOf(def.returns)));
    let first = Number(record.word('groups'));
    for (const { text, memory, columns } of groups) {
      describeGroup(runtime, memory, columns, text, first);
      first = memory;
    }
    links.word(record.at + RECORD.groups, first);
    return { def, record, key, trampoline, fresh: record.word('call') === 0n };
  });
  links.word(runtime.data + DATA.records, head);
  if (table !== null) links.word(runtime.data + DATA.tables, table);
  runtime.countChange();
  links.perform();
  return registered;
}

/** The sites of several groups by address, each as the number of its group and of its row there. */
interface Order {
  readonly group: Uint32Array;
  readonly row: Uint32Array;
}

/**
 * @throws Fault `bad-site` where two sites overlap: whatever is written at the one would be read at
 *   the other.
 */
function orderOf(groups: readonly SiteColumns[]): Order {
  const count = groups.reduce((sum, { batch }) => sum + batch.count, 0);
  // One sort of plain numbers, address and place in one: a comparator would be called twenty
  // million times for a million sites. Addresses have 47 bits, so the place is counted from the
  // lowest.
  const lowest = groups.reduce(
    (least, { batch }) => Math.min(least, batch.at[0] ?? least),
    Infinity,
  );
  const spread = 2 ** Math.ceil(Math.log2(count + 1));
  const order = new Float64Array(count);
  let n = 0;
  for (const { batch } of groups)
    for (let i = 0; i < batch.count; i++) order[n] = (batch.at[i]! - lowest) * spread + n++;
  invariant(
    order.every((place) => place <= Number.MAX_SAFE_INTEGER),
    'the sites of one object lie within 4 GiB',
  );
  order.sort();
  const starts: number[] = [];
  let total = 0;
  for (const { batch } of groups) {
    starts.push(total);
    total += batch.count;
  }
  const found: Order = { group: new Uint32Array(count), row: new Uint32Array(count) };
  let free = -Infinity;
  order.forEach((place, k) => {
    const index = place % spread;
    const g = lastNotAbove(starts, index);
    const { at, length } = groups[g]!.batch;
    const row = index - starts[g]!;
    const site = at[row]!;
    if (site < free) throw new Fault('bad-site', 'two sites overlap', { at: hex(site) });
    free = site + length[row]!;
    found.group[k] = g;
    found.row[k] = row;
  });
  return found;
}

function slotsOf(
  listed: readonly { record: KeyRecord; columns: SiteColumns }[],
  { group, row }: Order,
): SlotColumns {
  const count = group.length;
  const slots: SlotColumns = {
    site: new Float64Array(count),
    word: new Float64Array(count),
    shape: new Uint8Array(count),
  };
  for (let k = 0; k < count; k++) {
    const { record, columns } = listed[group[k]!]!;
    const i = row[k]!;
    slots.site[k] = columns.batch.at[i]!;
    slots.word[k] = record.at + WORD_OF[KINDS[columns.kind[i]!]!];
    slots.shape[k] = columns.batch.length[i]! | (columns.condition[i]! << 4);
  }
  return slots;
}

interface Text {
  readonly start: Addr;
  readonly end: Addr;
  readonly bytes: Uint8Array;
}

const inside = (range: { start: Addr; end: Addr }, at: Addr): boolean =>
  at >= range.start && at < range.end;

/**
 * The sites that lie in a text as columns, the trampoline among them: none or one group. `sites`
 * ascend.
 */
function group(
  runtime: Registry,
  loaded: Loaded | null,
  text: Text,
  sites: readonly Site<SiteKind>[],
  trampoline: Site<SiteKind> | null,
): Found['groups'][number][] {
  const bias = loaded?.bias ?? 0;
  let [first, end] = [0, sites.length];
  while (first < end && bias + sites[first]!.at < text.start) first++;
  while (end > first && bias + sites[end - 1]!.at >= text.end) end--;
  const count = end - first + (trampoline ? 1 : 0);
  if (count === 0) return [];
  const within = sites.slice(first, end);
  const place = trampoline === null ? -1 : before(within, trampoline.at);
  const rows = trampoline === null ? within : within.toSpliced(place, 0, trampoline);
  const { memory, columns } = allocateGroup(runtime, count, place);
  for (const [i, site] of rows.entries()) {
    fill(columns, i, bias + site.at, site, text);
    if (loaded) check(loaded, site, columns, i);
  }
  return [{ text, memory, columns }];
}

/** How many sites lie before an address. */
function before(sites: readonly Site<SiteKind>[], at: Addr): number {
  const found = sites.findIndex((site) => site.at >= at);
  return found < 0 ? sites.length : found;
}

/** Memory against the file. */
function check(loaded: Loaded, site: Site<SiteKind>, { original }: SiteColumns, i: number): void {
  const offset = loaded.object.fileOffset(site.at);
  let same = offset >= 0;
  for (let b = 0; same && b < site.length; b++)
    same = original[8 * i + b] === loaded.object.bytes[offset + b];
  if (same) return;
  const at = { at: hex(loaded.bias + site.at) };
  if (original[8 * i] === INT3)
    throw new Fault('foreign-trap', `a trap that is not ours stands on a site of ${site.key}`, at);
  throw new Fault('bad-site', `memory and file differ at a site of ${site.key}`, {
    ...at,
    hint: 'if a tool changed it by protocol stop: static-call reset PID --protocol stop',
  });
}

function fill(columns: SiteColumns, i: number, at: Addr, site: Site<SiteKind>, text: Text): void {
  columns.batch.at[i] = at;
  columns.batch.length[i] = site.length;
  columns.kind[i] = KINDS.indexOf(site.kind);
  columns.condition[i] = site.condition;
  for (let b = 0; b < site.length; b++) {
    const byte = text.bytes[at - text.start + b]!;
    columns.original[8 * i + b] = byte;
    columns.batch.old[8 * i + b] = byte;
  }
}

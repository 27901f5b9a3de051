// Makes the keys and sites of a loaded object known to the ground: records, groups and the handler's tables.
// Everything is validated before anything is made known, against the file and against what other runtimes of the
// process have done already; an object that is opened twice is enlisted once.

import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import type { KeyDef } from '../../keys/key.js';
import { KINDS, type SiteColumns } from '../../plan/draw.js';
import { KEY_PREFIX, TRAMPOLINE_PREFIX, type Site } from '../../sites/site.js';
import { RECORD, RETURNS, type SlotInput } from '../../trap/registry.js';
import type { Ground } from './ground.js';
import type { Loaded } from './loaded.js';
import { readMaps } from './maps.js';
import { allocateGroup, allocateRecord, KeyRecord, publishTable, recordAt } from './records.js';

export interface EnlistedKey {
  readonly def: KeyDef;
  readonly record: KeyRecord;
  /** The C side's key; null where only the trampoline is visible from here. */
  readonly key: Addr | null;
  readonly trampoline: Addr;
  /** Whether the record's words are still to be set: it is new, or whoever made it failed right after. */
  readonly fresh: boolean;
}

interface Place {
  readonly at: Addr;
  readonly site: Site;
}

/** Offset of the word in a record that describes a site of this kind. */
const WORD_OF = { call: RECORD.call, jmp: RECORD.tail, jcc: RECORD.jcc } as const;

/** Call it with the lock held. @throws Fault `no-trampoline`, `bad-site`, `foreign-trap`, `no-memory` */
export function enlist(ground: Ground, loaded: Loaded, keys: readonly KeyDef[]): EnlistedKey[] {
  const { native } = ground;
  const texts = loaded.texts.map(({ start, end }): Text => ({ start, end, bytes: new Uint8Array(native.view(start, end - start)) }));
  const slots: SlotInput[] = [];
  const found = keys.map((def) => {
    const trampoline = def.trampoline !== null ? loaded.bias + def.trampoline : native.symbol(loaded.handle, TRAMPOLINE_PREFIX + def.name);
    if (trampoline === 0) throw new Fault('no-trampoline', `no loaded object defines ${TRAMPOLINE_PREFIX}${def.name}`, { at: loaded.path });
    const key = def.address !== null ? loaded.bias + def.address : native.symbol(loaded.handle, KEY_PREFIX + def.name);
    const known = recordAt(ground, trampoline);
    const first = def.sites[0];
    const enlisted = known !== null && first !== undefined && recordAt(ground, loaded.bias + first.at) !== null;
    const places: Place[] = enlisted ? [] : def.sites.map((site) => ({ at: loaded.bias + site.at, site }));
    const self: Place = { at: trampoline, site: { section: 0, at: trampoline, length: 5, kind: 'jmp', condition: 0, flags: 0, key: def.name, keySymbol: KEY_PREFIX + def.name } };
    const near = known === null && textOf(texts, trampoline) !== null;
    if (near) places.push(self);
    places.sort((a, b) => a.at - b.at);
    for (const { at, site } of places) checkPlace(texts, loaded, at, site);
    return { def, key: key === 0 ? null : key, trampoline, known, places, apart: known === null && !near ? self : null };
  });

  const enlisted = found.map(({ def, key, trampoline, known, places, apart }): EnlistedKey => {
    const record = known === null ? allocateRecord(ground) : new KeyRecord(ground, known);
    if (known === null && key !== null) record.setWord('key', BigInt(key));
    if (def.returns !== null) record.setWord('returns', BigInt(RETURNS.indexOf(def.returns)));
    for (const text of texts) {
      const inside = places.filter((p) => p.at >= text.start && p.at < text.end);
      if (inside.length > 0) addGroup(ground, record, inside, trampoline, text, slots);
    }
    if (apart) {
      const map = readMaps().find((m) => m.access.includes('x') && trampoline >= m.start && trampoline < m.end);
      if (!map) throw new Fault('no-trampoline', `the trampoline of ${def.name} is in no executable mapping`, { at: hex(trampoline) });
      addGroup(ground, record, [apart], trampoline, { ...map, bytes: new Uint8Array(native.view(map.start, map.end - map.start)) }, slots);
    }
    return { def, record, key, trampoline, fresh: record.word('call') === 0n };
  });
  publishTable(ground, slots.sort((a, b) => a.site - b.site));
  return enlisted;
}

interface Text {
  readonly start: Addr;
  readonly end: Addr;
  readonly bytes: Uint8Array;
}

function textOf(texts: readonly Text[], at: Addr): Text | undefined {
  return texts.find((t) => at >= t.start && at < t.end);
}

function checkPlace(texts: readonly Text[], loaded: Loaded, at: Addr, site: Site): void {
  const text = textOf(texts, at);
  if (!text) throw new Fault('bad-site', `the site is in no executable segment of ${loaded.path}`, { at: hex(at) });
  const offset = loaded.object.fileOffset(at - loaded.bias);
  let same = offset >= 0;
  for (let b = 0; same && b < site.length; b++) same = text.bytes[at - text.start + b] === loaded.object.bytes[offset + b];
  if (same) return;
  if (text.bytes[at - text.start] === 0xcc) throw new Fault('foreign-trap', `a trap that is not ours stands on a site of ${site.key}`, { at: hex(at) });
  throw new Fault('bad-site', `memory and file differ at a site of ${site.key}`, { at: hex(at) });
}

function addGroup(ground: Ground, record: KeyRecord, places: readonly Place[], trampoline: Addr, text: Text, slots: SlotInput[]): void {
  const { memory, columns } = allocateGroup(ground, places.length, places.findIndex((p) => p.at === trampoline));
  places.forEach(({ at, site }, i) => {
    fill(columns, i, at, site, text);
    slots.push({ site: at, word: record.at + WORD_OF[site.kind], length: site.length, condition: site.condition });
  });
  record.addGroup(columns, memory, text.start, text.end);
}

function fill(columns: SiteColumns, i: number, at: Addr, site: Site, text: Text): void {
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

// Dumps of a kernel's memory: headers, notes, bitmaps and descriptors of the formats; and in the
// memory, page tables, lists, counts, the symbol table and BTF. All of it may be hostile.

import assert from 'node:assert/strict';
import { Held } from '#inspect/live/bytes';
import { inspectDump } from '#inspect/live/inspect';
import { buildMemory, coreOffset, elfCore, flattened, kdump } from '../inspect/live/core.mjs';
import { lzo, snappy } from '../inspect/pages.mjs';
import { damageRange } from './inspect.mjs';

const PAGE = 4096;

/** Ranges of an ELF core, by what lies there. */
function coreParts(memory, core) {
  const at = (address) => coreOffset(memory, core, address);
  const low = Number(core.readBigUInt64LE(64 + 56 + 8));
  const page = (n) => low + n * PAGE;
  const { kallsyms } = memory;
  const parts = [
    [0, 64],
    [64, 64 + 4 * 56],
    [64 + 3 * 56, 64 + 3 * 56 + 300],
    [at(memory.module), at(memory.module) + 300],
    [at(memory.module) - 0x440, at(memory.module) - 0x300],
    [at(memory.module) - 0x600, at(memory.module) - 0x100],
    [at(memory.head), at(memory.head) + 16],
    [at(memory.table), at(memory.table) + 8 * memory.sites.length],
    [at(memory.jumpTable), at(memory.jumpTable) + 16 * memory.branches.length],
    [at(memory.branches[0].at), at(memory.branches.at(-1).at) + 8],
    [at(memory.switches.get('switch_on')), at(memory.switches.get('switch_on')) + 32],
    [at(memory.sites[0].at), at(memory.sites.at(-2).at) + 16],
    [at(memory.keys.get('called')), at(memory.keys.get('called')) + 96],
    [at(kallsyms.offsets), at(kallsyms.num_syms) + 8],
    [at(kallsyms.names), at(kallsyms.names) + 600],
    [at(kallsyms.token_table), at(kallsyms.token_index) + 512],
    [at(memory.btf), at(memory.btf) + 24],
    [at(memory.btf), at(memory.btf) + 1200],
    [page(8), page(8) + 24],
    [page(9), page(9) + 24],
    // Each has a few entries, and an entry anywhere may lead back.
    ...[0, 1, 2, 3, 6, 7, 10].map((n) => [page(n), page(n + 1)]),
    ...[0, 1, 2, 3, 6, 7, 10].map((n) => [page(n) + 511 * 8, page(n + 1)]),
  ];
  return parts.map(([start, end]) => ({ start, end }));
}

export const memoryTarget = {
  name: 'memory',
  seeds() {
    const cores = [{}, { levels: 5 }, { encrypted: 2 ** 47 }].map((options) => {
      const memory = buildMemory(options);
      const bytes = elfCore(memory);
      return { bytes, parts: coreParts(memory, bytes) };
    });
    const memory = buildMemory();
    const silent = elfCore(memory, { note: false });
    const headers = [
      { start: 0, end: 500 },
      { start: 424, end: 444 },
      { start: PAGE, end: PAGE + 104 },
      { start: PAGE + 512, end: PAGE + 1200 },
      { start: 2 * PAGE, end: 4 * PAGE },
      { start: 4 * PAGE, end: 4 * PAGE + 24 * 30 },
      { start: 4 * PAGE + 24 * 30, end: 4 * PAGE + 24 * 30 + 2000 },
    ];
    const flat = flattened(kdump(memory));
    return [
      ...cores,
      { bytes: silent, parts: coreParts(memory, silent) },
      { bytes: kdump(memory), parts: headers },
      { bytes: kdump(memory, { flags: 0 }), parts: headers },
      { bytes: kdump(memory, { flags: 2, pack: lzo }), parts: headers },
      { bytes: kdump(memory, { flags: 4, pack: snappy }), parts: headers },
      {
        bytes: flat,
        parts: [
          { start: 0, end: 16 },
          { start: PAGE, end: PAGE + 40 },
          { start: PAGE + 5016, end: flat.length },
        ],
      },
    ];
  },
  mutate({ bytes, parts }, random) {
    const copy = Buffer.from(bytes);
    for (let n = 1 + random.below(3); n > 0; n--) {
      const { start, end } = random.pick(parts);
      damageRange(copy, random, start, Math.min(end, copy.length));
    }
    return random.chance(1, 10) ? copy.subarray(0, random.below(copy.length + 1)) : copy;
  },
  run(input) {
    const facts = inspectDump(new Held(input), 'dump', true);
    for (const { place, bytes, says } of facts.drift)
      assert.ok(`${place}${bytes}${says}`.length < 10_000);
    assert.ok(JSON.stringify(facts).length < 100_000_000);
  },
};

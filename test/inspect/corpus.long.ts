// The real kernel and its modules, against what is known of them: the list beside scripts/corpus,
// and for the image three ways that know nothing of one another. Needs scripts/corpus.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { readElf } from '#elf/read';
import { isBzImage, payloadOf, streamOf } from '#inspect/bzimage';
import { inputs } from '#inspect/files';
import { inspectInput } from '#inspect/inspect';
import { findKallsyms, type KallsymsLayout } from '#inspect/kallsyms';
import { branchesTo, findKernelCalls, KernelMemory } from '#inspect/kernel-table';
import { findJumpTable } from '#inspect/static-keys';
import { functionAt, nameAt } from '#inspect/symbols';
import { packingOf } from '#inspect/packing';
import { unpack } from '#inspect/unpack';
import { summarise } from '#inspect/count';
import { must } from '../build.js';
import { corpus, listed, missing } from '../corpus.js';
import { buildBzImage } from './kernel-image.mjs';
import { bzip2, lz4, lzma, xz, zstd } from './streams.mjs';

const found = corpus();

/**
 * Three ways to the same sites and trampolines that know nothing of one another, and what the
 * kernel's own symbols say of the table's place.
 */
function agreement(kernel: Uint8Array): {
  sites: number;
  trampolines: number;
  layout: KallsymsLayout;
} {
  const elf = readElf(kernel);
  expect(elf.symbols).toBeNull();
  const calls = findKernelCalls(elf);
  expect(branchesTo(elf, calls.trampolines)).toEqual(
    calls.sites.map((s) => s.at).sort((a, b) => a - b),
  );
  const symbols = findKallsyms(elf)!;
  const named: number[] = [];
  const keys = new Set<number>();
  const bounds = new Map<string, number>();
  for (let i = 0; i < symbols.count; i++) {
    const name = symbols.name(i);
    if (name.startsWith('__SCT__')) named.push(symbols.address(i));
    else if (name.startsWith('__SCK__')) keys.add(symbols.address(i));
    else if (/_(static_call_sites|_jump_table)$/.test(name)) bounds.set(name, symbols.address(i));
  }
  expect(named).toEqual(calls.trampolines.map((t) => t.at));
  const jumps = findJumpTable(new KernelMemory(elf))!;
  expect([bounds.get('__start___jump_table'), bounds.get('__stop___jump_table')]).toEqual([
    jumps.table,
    jumps.table + 16 * jumps.branches.length,
  ]);
  for (const site of calls.sites) {
    expect(keys.has(site.key)).toBe(true);
    expect(nameAt(symbols, site.trampoline!, '__SCT__')!.slice(7)).toBe(
      nameAt(symbols, site.key, '__SCK__')!.slice(7),
    );
    expect(functionAt(symbols, site.at)!.start).toBeLessThanOrEqual(site.at);
  }
  expect([bounds.get('__start_static_call_sites'), bounds.get('__stop_static_call_sites')]).toEqual(
    [calls.table, calls.table! + 8 * calls.sites.length],
  );
  return {
    sites: calls.sites.length,
    trampolines: calls.trampolines.length,
    branches: jumps.branches.length,
    layout: symbols.layout,
  };
}

async function kernelOf(bytes: Uint8Array): Promise<Uint8Array> {
  expect(isBzImage(bytes)).toBe(true);
  const payload = payloadOf(bytes, 'image');
  const packing = packingOf(payload.bytes)!;
  return unpack(streamOf(payload, packing), packing, 'image', payload.size);
}

const newer = join(process.env['STATIC_CALL_CORPUS'] ?? 'corpus', 'newer', 'boot');
describe.skipIf(!existsSync(newer))(
  'a newer image (skipped: scripts/corpus-newer has not been run)',
  () => {
    test('has its arrays in the other order, and table, text and names agree', async () => {
      const image = readdirSync(newer).find((name) => name.startsWith('vmlinuz-'))!;
      const said = agreement(await kernelOf(readFileSync(join(newer, image))));
      expect(said.layout.order).toBe('names first');
      expect(said.sites).toBeGreaterThan(4276);
    });
  },
);

describe.skipIf(!found)(`the distributed image (${missing} otherwise)`, () => {
  // The body of a skipped group runs all the same.
  const bytes = found ? readFileSync(found.images[0]!) : new Uint8Array(0);
  const kernel = (): Promise<Uint8Array> => kernelOf(bytes);

  test('has 4,276 sites for 709 keys, 740 trampolines and 27 tail jumps, and names for all', async () => {
    const [facts] = await inspectInput({ path: 'image', bytes });
    expect(facts).toMatchObject({ kind: 'image', faults: [] });
    expect([
      facts!.sites.length,
      facts!.keys.length,
      facts!.trampolines.length,
      facts!.sites.filter((s) => s.tail).length,
    ]).toEqual([4276, 709, 740, 27]);
    for (const site of facts!.sites) {
      expect(site.function).not.toBeNull();
      // This kernel lists data too: the key's own symbol bears out the name that came from its
      // trampoline.
      expect(site.keySymbol).toBe(`__SCK__${site.key}`);
    }
    for (const t of facts!.trampolines) expect(t.symbol).not.toContain('key_ffffffff');
    expect(facts!.keys.filter((k) => !k.targetKnown)).toEqual([]);
  });

  test('has 6,021 branches on 2,535 static keys in the four forms, and names for all', async () => {
    const [facts] = await inspectInput({ path: 'image', bytes });
    const { branches, keys } = facts!.staticKeys!;
    expect(summarise([facts!]).staticKeys).toEqual({
      branches: 6021,
      keys: 2535,
      forms: { jmp5: 65, jmp2: 136, nop5: 2795, nop2: 3025 },
      init: 158,
    });
    expect(keys.filter(({ name }) => name.startsWith('key_ffffffff'))).toEqual([]);
    // The key's own bytes and the instruction say the same of it. Two static variables may have one
    // name.
    const states = new Set(keys.map(({ name, initial }) => `${name} ${initial}`));
    for (const { key, kind, taken, function: around } of branches) {
      expect(states).toContain(`${key} ${taken === (kind === 'if')}`);
      expect(around).not.toBeNull();
    }
  });

  test("its modules' branches are as many as readelf counts, and every key has a name", async () => {
    let counted = 0;
    for (let i = 0; i < found!.modules.length; i += 200) {
      const headers = must('readelf', ['-SW', ...found!.modules.slice(i, i + 200)]);
      for (const [, size] of headers.matchAll(/ __jump_table +PROGBITS +\w+ +\w+ (\w+)/g))
        counted += Number.parseInt(size!, 16) / 16;
    }
    let read = 0;
    for (const path of found!.modules) {
      const [facts] = await inspectInput({ path, bytes: readFileSync(path) });
      expect(facts!.faults).toEqual([]);
      const { branches = [], keys = [] } = facts!.staticKeys ?? {};
      read += branches.length;
      const on = new Map(keys.map(({ name, initial }) => [name, initial]));
      for (const { key, kind, taken } of branches)
        expect(on.get(key)).toBe(taken === (kind === 'if'));
      for (const { name } of keys) expect(name).toMatch(/^[\w.]+(\+0x[0-9a-f]+)?$/);
    }
    expect(read).toBe(counted);
    expect(read).toBe(11_514);
  });

  test('table, text and names agree', async () => {
    expect(agreement(await kernel())).toMatchObject({
      sites: 4276,
      branches: 6021,
      layout: { order: 'addresses first', addresses: 'base-relative, absolute per-CPU', seqs: 3 },
    });
  });

  test('an entry that leads elsewhere breaks the agreement', async () => {
    const plain = await kernel();
    const elf = readElf(plain);
    const entry = elf.fileOffset(findKernelCalls(elf).table!) + 8 * 2000;
    const damaged = (damage: (view: DataView) => void): Uint8Array => {
      const copy = plain.slice();
      damage(new DataView(copy.buffer));
      return copy;
    };
    // Field `to` says what the one eight bytes on says: distances count from their own place.
    const copyDown = (view: DataView, to: number): void =>
      view.setInt32(to, view.getInt32(to + 8, true) + 8, true);
    const otherKey = damaged((view) => copyDown(view, entry + 4));
    const twice = damaged((view) => [entry, entry + 4].forEach((field) => copyDown(view, field)));
    expect(findKernelCalls(readElf(twice)).sites.length).toBe(4276);
    for (const bytes of [otherKey, twice]) expect(() => agreement(bytes)).toThrow();
  });

  test.each([
    ['gzip', (plain: Uint8Array) => gzipSync(plain, { level: 1 })],
    ['bzip2', bzip2],
    ['lzma', (p: Uint8Array) => lzma(p, '-1')],
    ['xz', xz],
    ['lz4', lz4],
    ['zstd', (p: Uint8Array) => zstd(p, '-3')],
  ] as const)('packed with %s it says the same', async (packing, pack) => {
    const plain = await kernel();
    const stream = pack(plain);
    if (!stream) return expect.soft(stream, `no program for ${packing}: not tested`).toBeNull();
    const [facts] = await inspectInput({
      path: 'image',
      bytes: buildBzImage(stream, plain.length, { trailer: packing !== 'gzip' }),
    });
    expect([
      facts!.kind,
      facts!.sites.length,
      facts!.keys.length,
      facts!.trampolines.length,
      facts!.faults,
    ]).toEqual(['image', 4276, 709, 740, []]);
  });
});

describe.skipIf(!found)(`the 1,121 modules (${missing} otherwise)`, () => {
  test('have what the list says, file by file', async () => {
    const expected = listed();
    const all = [];
    for (const input of inputs(found!.modules)) {
      for (const facts of await inspectInput(input)) {
        all.push(facts);
        const row = expected.get(found!.nameOf(input.path));
        expect(
          [facts.kind, facts.sites.length, facts.sites.filter((s) => s.tail).length, facts.faults],
          input.path,
        ).toEqual(['module', row?.sites ?? 0, row?.tail ?? 0, []]);
        for (const s of facts.sites)
          expect(s.function, `${input.path}:${s.section}+${s.offset}`).not.toBeNull();
      }
    }
    const s = summarise(all);
    expect([s.files, s.filesWithSites, s.sites, s.tail, s.crossesLine]).toEqual([
      1121, 216, 7140, 43, 446,
    ]);
    expect(
      all.flatMap((f) => f.sites).filter((x) => x.keySymbol.startsWith('__SCT__')).length,
    ).toBe(4046);
  });
});

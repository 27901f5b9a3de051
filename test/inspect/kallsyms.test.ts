import { describe, expect, test } from 'vitest';
import { readElf } from '#elf/read';
import { findKallsyms, type KallsymsLayout } from '#inspect/kallsyms';
import { addressesOf, functionAt, nameAt } from '#inspect/symbols';
import { buildKernel } from './kernel-image.mjs';

const LAYOUTS: readonly [
  string,
  Partial<KallsymsLayout> & {
    seqsBehind?: boolean;
    symbols?: number;
    big?: boolean;
    textOnly?: boolean;
  },
][] = [
  [
    '5.10, SMP: offsets with absolute per-CPU',
    { order: 'addresses first', addresses: 'base-relative, absolute per-CPU', seqs: 0 },
  ],
  [
    '5.10, one CPU: plain offsets',
    { order: 'addresses first', addresses: 'base-relative', seqs: 0 },
  ],
  [
    '5.10 without base-relative addresses',
    { order: 'addresses first', addresses: 'absolute', seqs: 0 },
  ],
  [
    '6.1: lengths of two bytes',
    { order: 'addresses first', addresses: 'base-relative, absolute per-CPU', seqs: 0, big: true },
  ],
  [
    '6.2 on its way: seqs of four bytes before the tokens',
    { order: 'addresses first', addresses: 'base-relative, absolute per-CPU', seqs: 4 },
  ],
  [
    '6.2: seqs of three bytes before the tokens',
    { order: 'addresses first', addresses: 'base-relative, absolute per-CPU', seqs: 3 },
  ],
  ['6.2, one CPU', { order: 'addresses first', addresses: 'base-relative', seqs: 3 }],
  [
    '6.4: names first',
    {
      order: 'names first',
      addresses: 'base-relative, absolute per-CPU',
      seqs: 0,
      seqsBehind: true,
    },
  ],
  [
    '6.4 without base-relative addresses',
    { order: 'names first', addresses: 'absolute', seqs: 0, seqsBehind: true },
  ],
  [
    '6.15: no negative offsets',
    { order: 'names first', addresses: 'base-relative', seqs: 0, seqsBehind: true, big: true },
  ],
  [
    '2026: offsets from their own place',
    { order: 'names first', addresses: 'place-relative', seqs: 0, seqsBehind: true, big: true },
  ],
  [
    '2026, aligned to four',
    { order: 'names first', addresses: 'place-relative', seqs: 0, seqsBehind: true, align: 4 },
  ],
  [
    'without KALLSYMS_ALL',
    { order: 'addresses first', addresses: 'base-relative', seqs: 3, textOnly: true },
  ],
];

describe.each(LAYOUTS)('%s', (_, layout) => {
  // 256 symbols share a marker: below one, at one, beyond several, and both parities of their
  // number.
  test.each([0, 226, 227, 228, 300, 1100])(
    'with %i symbols more, every symbol comes back',
    (symbols) => {
      const built = buildKernel({ kallsyms: { ...layout, symbols } });
      const found = findKallsyms(readElf(built.bytes));
      expect(found?.layout).toEqual({
        order: layout.order,
        addresses: layout.addresses,
        seqs: layout.seqs,
        align: layout.align ?? 8,
      });
      const all = Array.from({ length: found!.count }, (_, i) => ({
        address: found!.address(i),
        type: found!.type(i),
        name: found!.name(i),
      }));
      expect(all).toEqual(built.symbols);
    },
  );
});

describe('looking up', () => {
  const built = buildKernel({ kallsyms: { symbols: 300 } });
  const symbols = findKallsyms(readElf(built.bytes))!;
  const site = built.sites[3]!;

  test('a site is inside its function', () => {
    expect(functionAt(symbols, site.at)).toMatchObject({ name: site.function });
  });
  test('data around code is no function', () => {
    const data = built.symbols.find((s) => s.name.startsWith('__SCK__'))!;
    expect(functionAt(symbols, data.address)?.name).not.toBe(data.name);
  });
  test('a prefix picks one of several names of an address', () => {
    expect(nameAt(symbols, built.trampolines[2]!.at, '__SCT__')).toBe(built.trampolines[2]!.name);
    expect(nameAt(symbols, built.trampolines[2]!.at + 1)).toBeNull();
  });
  test('per-CPU offsets lie below every kernel address', () => {
    expect(addressesOf(symbols, ['cpu_debug_store', '_text', 'nobody'])).toEqual(
      new Map([
        ['cpu_debug_store', 0x1000],
        ['_text', built.symbols.find((s) => s.name === '_text')!.address],
      ]),
    );
    expect(nameAt(symbols, 0x1000)).toBe('cpu_debug_store');
  });
});

describe('what is damaged is not taken', () => {
  const built = buildKernel({ kallsyms: { symbols: 300 } });
  const find = (pattern: string): number =>
    Buffer.from(built.bytes).indexOf(Buffer.from(pattern, 'latin1'));

  test('no tokens, no table', () => {
    const bytes = built.bytes.slice();
    bytes[find('3\x004\x005\x006\x00')] = 0x7f;
    expect(findKallsyms(readElf(bytes))).toBeNull();
  });
  test('an index that names another beginning', () => {
    const bytes = built.bytes.slice();
    // The index begins behind the last token, which is x255.
    const index = Math.ceil((find('x255\x00') + 5) / 8) * 8;
    bytes[index + 100]! ^= 1;
    expect(findKallsyms(readElf(bytes))).toBeNull();
  });
  test('a name that runs beyond its marker', () => {
    const bytes = built.bytes.slice();
    const name = find('__per_cpu_start');
    bytes[name - 2]! += 1;
    expect(findKallsyms(readElf(bytes))).toBeNull();
  });
  test('a file made of token tables without names ends in time', () => {
    const { bytes, parts } = built;
    const part = (name: string) => parts.find((p: { name: string }) => p.name === name)!;
    const table = bytes.subarray(part('token_table').start, part('behind').start);
    const room = 4 << 20;
    const padded = Math.ceil(table.length / 8) * 8;
    const slow = new Uint8Array(0x1000 + room);
    slow.set(bytes.subarray(0, 0x1000));
    for (let at = 0x1000; at + padded <= slow.length; at += padded) slow.set(table, at);
    const view = new DataView(slow.buffer);
    // One segment, as long as the file.
    view.setUint16(56, 1, true);
    for (const field of [32, 40]) view.setBigUint64(64 + field, BigInt(room), true);
    // Without the bounds it would be minutes, and the test would end by its time limit.
    expect(findKallsyms(readElf(slow))).toBeNull();
  });
});

// Tables that lie: each bad entry is told of by itself, the good ones are still read, and the sites
// that it does not list are found all the same.

import { expect, test } from 'vitest';
import { isFault, type Fault } from '#base/fault';
import { readElf } from '#elf/read';
import { annotate } from '#sites/annotate';
import { decodeSites, findSites, listedSites } from '#sites/find';
import { elf, FLAGS, smallLinked, smallObject } from '../elf/builder.mjs';

const annotated = (bytes: Buffer): Buffer => Buffer.from(annotate(readElf(bytes)).bytes!);
const told = (bytes: Uint8Array): { sites: number; faults: string[] } => {
  const faults: Fault[] = [];
  const sites = listedSites(readElf(bytes), (fault) => faults.push(fault)).length;
  expect(findSites(readElf(bytes), () => undefined)).toHaveLength(3);
  return { sites, faults: faults.map((f) => `${f.code}: ${f.message}`) };
};
/** File offset of a section's data. */
const offsetOf = (bytes: Buffer, name: string): number => readElf(bytes).section(name)!.offset;

test('relocatable: an entry that names no instruction, no key, or lacks a relocation', () => {
  const good = annotated(smallObject());
  expect(told(good)).toEqual({ sites: 3, faults: [] });
  const rela = offsetOf(good, '.rela.static_call_sites');

  const moved = Buffer.from(good);
  moved.writeBigInt64LE(3n, rela + 16);
  expect(told(moved)).toEqual({
    sites: 2,
    faults: ['bad-site: entry 0 names .text+0x3, where no call or jump is'],
  });
  expect(() => findSites(readElf(moved))).toThrow('entry 0 names .text+0x3');

  const keyless = Buffer.from(good);
  keyless.writeUInt32LE(3, rela + 24 + 12);
  expect(told(keyless)).toMatchObject({
    sites: 2,
    faults: [expect.stringContaining('entry 0 names the key f, which is neither')],
  });

  const beyond = Buffer.from(good);
  beyond.writeBigInt64LE(1n << 40n, rela + 16);
  expect(told(beyond)).toMatchObject({ sites: 2 });

  const twice = Buffer.from(good);
  twice.writeBigInt64LE(0n, rela + 48);
  expect(told(twice)).toMatchObject({
    sites: 2,
    faults: ['bad-sites-section: entry 1 lacks a relocation'],
  });

  const odd = Buffer.from(good);
  odd.writeBigInt64LE(2n, rela);
  expect(() => told(odd)).toThrow('is none that such a table has');
});

test('linked: an entry that names no instruction, or an address that is no key', () => {
  const good = annotated(smallLinked());
  expect(told(good)).toEqual({ sites: 3, faults: [] });
  const table = offsetOf(good, '.static_call_sites');
  const bytes = Buffer.from(good);
  bytes.writeInt32LE(bytes.readInt32LE(table) + 1, table);
  bytes.writeInt32LE(bytes.readInt32LE(table + 12) + 0x400, table + 12);
  bytes.writeInt32LE(0x7fffffff, table + 16);
  expect(told(bytes)).toMatchObject({
    sites: 0,
    faults: [
      expect.stringContaining('where no call or jump is'),
      expect.stringContaining('names a key at'),
      expect.stringContaining('where no call or jump is'),
    ],
  });
});

test('a kernel, whose addresses are negative, is found and written like a program', () => {
  const object = readElf(smallLinked(-0x7f00_0000));
  expect(decodeSites(object).map((s) => [s.at, s.kind, s.key, s.condition])).toEqual([
    [-0x7f00_0000 + 2, 'jcc', 'a', 4],
    [-0x7f00_0000 + 8, 'call', 'b', 0],
    [-0x7f00_0000 + 13, 'jmp', 'a', 0],
  ]);
  expect(findSites(readElf(annotate(object).bytes!))).toEqual(decodeSites(object));
});

test('a long table of many keys', () => {
  const count = 20_000;
  const keys = 50;
  const text = Buffer.alloc(count * 8, 0x90);
  const table = Buffer.alloc(count * 8);
  const [code, data, place] = [0x1000, 0x1000000, 0x2000000];
  for (let i = 0; i < count; i++) {
    text[i * 8] = 0xe8;
    table.writeInt32LE(code + i * 8 - (place + i * 8), i * 8);
    table.writeInt32LE(data + (i % keys) * 16 - (place + i * 8 + 4), i * 8 + 4);
  }
  const bytes = elf({
    type: 'shared',
    sections: [
      { name: '.text', flags: FLAGS.alloc | FLAGS.exec, address: code, data: text },
      {
        name: '.data',
        flags: FLAGS.alloc | FLAGS.write,
        address: data,
        data: new Uint8Array(keys * 16),
      },
      { name: '.static_call_sites', flags: FLAGS.alloc | FLAGS.write, address: place, data: table },
    ],
    symbols: Array.from({ length: keys }, (_, k) => ({
      name: `__SCK__k${k}`,
      bind: 1,
      type: 1,
      section: 2,
      value: data + k * 16,
      size: 16,
    })),
  });
  const sites = findSites(readElf(bytes));
  expect(sites).toHaveLength(count);
  expect(
    sites.every((s, i) => s.at === code + i * 8 && s.key === `k${i % keys}` && s.length === 5),
  ).toBe(true);
});

test('a table that is no table', () => {
  const object = annotated(smallObject());
  const view = readElf(object);
  const index = view.section('.static_call_sites')!.index;
  const headers = Number(object.readBigUInt64LE(40));
  object.writeUInt32LE(8, headers + index * 64 + 4);
  try {
    annotate(readElf(object), { force: true });
    expect.unreachable();
  } catch (error) {
    expect(isFault(error) && error.code).toBe('bad-sites-section');
  }
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as section from '#sites/section';
import { mistaken } from '../mistake/mistake.js';

const { decodeSiteTable } = section;

const base = fc.oneof(
  fc.constant(0),
  fc.integer({ min: 0x40_0000, max: 0x5000_0000 }),
  fc.integer({ min: -0x7f00_0000, max: -0x7000_0000 }).map((a) => a & ~3),
);

type Codec = Pick<typeof section, 'decodeSiteTable' | 'encodeSiteTable'>;
function readBack({ decodeSiteTable, encodeSiteTable }: Codec): void {
  const entry = fc.record({
    site: fc.nat(0x1000_0000),
    key: fc.nat(0x0400_0000).map((k) => k * 4),
    flags: fc.nat(3),
  });
  fc.assert(
    fc.property(base, fc.array(entry, { maxLength: 20 }), (address, entries) => {
      const origin = Math.floor(address / 4) * 4;
      const table = {
        count: entries.length,
        sites: Float64Array.from(entries, (e) => origin + e.site),
        keys: Float64Array.from(entries, (e) => origin + e.key),
        flags: Uint8Array.from(entries, (e) => e.flags),
      };
      expect(decodeSiteTable(encodeSiteTable(table, address), address)).toEqual(table);
    }),
  );
}

test('a table read back is the table that was written', () => readBack(section));

test.each([
  [
    'the tail flag is lost where another is set',
    'flags[i] = flag;',
    'flags[i] = flag & 2 ? 2 : flag;',
  ],
  ['the key is compared with its flags', 'keys[i] = low - flag;', 'keys[i] = low;'],
])('the check notices that %s', async (_, from, to) => {
  const codec = await mistaken<Codec>({ file: 'sites/section.js', edits: [[from, to]] });
  expect(() => readBack(codec)).toThrow();
});

test('half an entry is refused', () => {
  expect(() => decodeSiteTable(new Uint8Array(12), 0)).toThrow(
    '12 bytes are no whole number of entries',
  );
});

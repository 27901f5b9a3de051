// Mutations that know ELF: fields of headers, sections, symbols and relocations get values that lie
// by a little or by a lot; strings lose their ends; files lose theirs. The input is a valid file;
// the reading here is by hand, for the code under test must not choose what it is tested with.

const HEADER = [
  [16, 2],
  [18, 2],
  [24, 8],
  [32, 8],
  [40, 8],
  [52, 2],
  [54, 2],
  [56, 2],
  [58, 2],
  [60, 2],
  [62, 2],
];
const SECTION = [
  [0, 4],
  [4, 4],
  [8, 8],
  [16, 8],
  [24, 8],
  [32, 8],
  [40, 4],
  [44, 4],
  [48, 8],
  [56, 8],
];
const SEGMENT = [
  [0, 4],
  [4, 4],
  [8, 8],
  [16, 8],
  [32, 8],
  [40, 8],
  [48, 8],
];
const SYMBOL = [
  [0, 4],
  [4, 1],
  [5, 1],
  [6, 2],
  [8, 8],
  [16, 8],
];
const RELOCATION = [
  [0, 8],
  [8, 4],
  [12, 4],
  [16, 8],
];
const GROUP = [[0, 4]];
const TYPES = [0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 17, 18, 0x6fff4c03];

/** Values at which sums wrap, tables end, or a sign is taken for size. */
function interesting(random, width, old, length) {
  const max = width === 8 ? 0xffff_ffff_ffff_ffffn : (1n << BigInt(width * 8)) - 1n;
  const value = random.pick([
    () => 0n,
    () => 1n,
    () => max,
    () => max - 1n,
    () => max >> 1n,
    () => (max >> 1n) + 1n,
    () => old + 1n,
    () => old - 1n,
    () => old + 8n,
    () => old - 8n,
    () => old * 2n,
    () => old ^ (1n << BigInt(random.below(width * 8))),
    () => BigInt(length),
    () => BigInt(length) - 1n,
    () => BigInt(random.below(length + 1)),
    () => BigInt(random.below(64)),
    () => BigInt(random.pick(TYPES)),
    () => 0xff00n,
    () => 0xffffn,
    () => 0x1_0000_0000n,
    () => BigInt(random.next()),
  ])();
  return value & max;
}

function readField(bytes, at, width) {
  let value = 0n;
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  return value;
}

function writeField(bytes, at, width, value) {
  for (let i = 0; i < width && at + i < bytes.length; i++)
    bytes[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

function damage(bytes, random, at, fields) {
  const [offset, width] = random.pick(fields);
  writeField(
    bytes,
    at + offset,
    width,
    interesting(random, width, readField(bytes, at + offset, width), bytes.length),
  );
}

/** Sections as the untouched file has them. */
export function sectionsOf(bytes) {
  const at = Number(readField(bytes, 40, 8));
  const count = Number(readField(bytes, 60, 2)) || Number(readField(bytes, at + 32, 8));
  const sections = [];
  for (let i = 0; i < Math.min(count, 5000); i++) {
    const h = at + i * 64;
    sections.push({
      header: h,
      type: Number(readField(bytes, h + 4, 4)),
      offset: Number(readField(bytes, h + 24, 8)),
      size: Number(readField(bytes, h + 32, 8)),
    });
  }
  return sections;
}

/** One to four damages to a copy of a valid file. */
export function mutateElf(input, random) {
  let bytes = Buffer.from(input);
  const sections = sectionsOf(input);
  const tables = (type, size) => sections.filter((s) => s.type === type && s.size >= size);
  const entry = (type, size, fields) => {
    const table = random.pick(tables(type, size));
    if (table)
      damage(
        bytes,
        random,
        table.offset + random.below(Math.floor(table.size / size)) * size,
        fields,
      );
  };
  const kinds = [
    () => damage(bytes, random, 0, HEADER),
    () => sections.length && damage(bytes, random, random.pick(sections).header, SECTION),
    () => sections.length && damage(bytes, random, random.pick(sections).header, SECTION),
    () =>
      readField(bytes, 56, 2) &&
      damage(
        bytes,
        random,
        Number(readField(bytes, 32, 8)) + random.below(Number(readField(bytes, 56, 2))) * 56,
        SEGMENT,
      ),
    () => entry(2, 24, SYMBOL),
    () => entry(11, 24, SYMBOL),
    () => entry(4, 24, RELOCATION),
    () => entry(4, 24, RELOCATION),
    () => entry(17, 4, GROUP),
    () =>
      entry(1, 8, [
        [0, 4],
        [4, 4],
      ]),
    () => {
      // A string table without ends, or a name of another prefix.
      const table = random.pick(tables(3, 1));
      for (let i = 0; table && i < table.size; i++)
        if (bytes[table.offset + i] === 0 && random.chance(1, 2)) bytes[table.offset + i] = 0x5f;
    },
    () => {
      const section = random.pick(sections.filter((s) => s.type !== 8 && s.size > 0));
      if (section)
        for (let i = random.below(8); i >= 0; i--)
          bytes[section.offset + random.below(section.size)] = random.below(256);
    },
    () => {
      const [a, b] = [random.pick(sections), random.pick(sections)];
      if (!a || !b || Math.max(a.header, b.header) + 64 > bytes.length) return;
      const kept = Buffer.from(bytes.subarray(a.header, a.header + 64));
      bytes.copy(bytes, a.header, b.header, b.header + 64);
      kept.copy(bytes, b.header);
    },
    () => (bytes = bytes.subarray(0, random.below(bytes.length + 1))),
    () => (bytes = Buffer.concat([bytes, Buffer.alloc(random.below(100), random.below(256))])),
    () => {
      for (let i = random.below(6); i >= 0; i--)
        if (bytes.length) bytes[random.below(bytes.length)] ^= 1 << random.below(8);
    },
  ];
  for (let n = 1 + random.below(4); n > 0; n--) random.pick(kinds)();
  return bytes;
}

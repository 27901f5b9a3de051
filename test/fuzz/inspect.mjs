// Everything that `inspect` reads and no compiler made: kernels with their kallsyms arrays, packed
// streams, libraries. Damage goes where the format keeps a count, an offset or a length; the
// invariant is that there is an answer, that it can be printed, and that what it says of a site is
// inside the file.

import assert from 'node:assert/strict';
import { bzip2, lz4, lzma, xz, zstd } from '../inspect/streams.mjs';
import { gzipSync } from 'node:zlib';
import { Fault } from '#base/fault';
import { group, summarise } from '#inspect/count';
import { compare } from '#inspect/diff';
import { inspectInput } from '#inspect/inspect';
import { smallObject } from '../elf/builder.mjs';
import { buildBzImage, buildKernel } from '../inspect/kernel-image.mjs';
import { mutateElf } from './elf.mjs';

const LAYOUTS = [
  { order: 'addresses first', addresses: 'base-relative, absolute per-CPU', seqs: 0 },
  { order: 'addresses first', addresses: 'base-relative', seqs: 3, symbols: 300 },
  { order: 'addresses first', addresses: 'absolute', seqs: 0, symbols: 300 },
  { order: 'addresses first', addresses: 'base-relative, absolute per-CPU', seqs: 4, big: true },
  {
    order: 'names first',
    addresses: 'base-relative, absolute per-CPU',
    seqsBehind: true,
    symbols: 600,
  },
  { order: 'names first', addresses: 'place-relative', seqsBehind: true, big: true },
  { order: 'names first', addresses: 'place-relative', seqsBehind: true, align: 4, symbols: 300 },
  { order: 'names first', addresses: 'absolute', seqsBehind: true },
];

/** Answers, or throws the Fault by which everything was refused. */
async function run(input) {
  const before = Buffer.from(input);
  const answered = await inspectInput({ path: 'x', bytes: input });
  assert.ok(before.equals(input), 'the input was written to');
  assert.ok(answered.length > 0 || input.subarray(0, 8).toString('latin1') === '!<arch>\n');
  for (const file of answered) {
    JSON.stringify(file);
    for (const site of file.sites) {
      assert.ok(Number.isSafeInteger(site.offset), `offset ${site.offset}`);
      assert.ok(site.bytes.split(' ').length >= 5, `bytes ${site.bytes}`);
      assert.ok(
        file.keys.some((k) => k.name === site.key),
        `key ${site.key}`,
      );
    }
    assert.ok(file.keys.reduce((sum, k) => sum + k.sites, 0) === file.sites.length);
    if (file.kind === null) assert.ok(file.faults.length > 0);
  }
  const summary = summarise(answered);
  assert.equal(
    group(answered, 'function').reduce((sum, g) => sum + g.counts.sites, 0),
    summary.sites,
  );
  const build = { files: answered.map((facts) => ({ relative: facts.path, facts })) };
  assert.equal(compare(build, build).changes.length, 0);
  const refused = answered.find((f) => f.kind === null);
  if (refused) throw new Fault(refused.faults[0].code, refused.faults[0].message);
}

const INTERESTING = [
  0, 1, 2, 7, 8, 127, 128, 255, 256, 257, 511, 512, 0x3fff, 0x4000, 0x7fff, 0xffff, 0x10000,
  0xffffff, 0x1000000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff,
];

/** A count, offset or length inside a range gets a value that lies, or bytes of it trade places. */
export function damageRange(bytes, random, start, end) {
  if (end <= start) return;
  const at = start + random.below(end - start);
  const kinds = [
    () => (bytes[at] = random.below(256)),
    () => (bytes[at] ^= 1 << random.below(8)),
    () =>
      bytes.writeUInt32LE(
        random.pick(INTERESTING),
        Math.max(0, Math.min(at - (at % 4), bytes.length - 4)),
      ),
    () => {
      const field = Math.max(0, Math.min(at - (at % 4), bytes.length - 4));
      bytes.writeUInt32LE(
        (bytes.readUInt32LE(field) + random.pick([1, -1, 4, -4, 8, -8, 256, -256])) >>> 0,
        field,
      );
    },
    () => bytes.fill(random.pick([0, 0xff, 0x30]), at, Math.min(end, at + 1 + random.below(64))),
    () => bytes.copyWithin(at, start, Math.min(end, start + random.below(64))),
  ];
  random.pick(kinds)();
}

export const kernelTarget = {
  name: 'kernel',
  seeds() {
    const built = LAYOUTS.map((kallsyms, i) =>
      buildKernel({ keys: 5, sites: 20, kallsyms, signature: ['ud1', 'SCT', 'none'][i % 3] }),
    );
    built.push(
      buildKernel({ keys: 5, sites: 20, kallsyms: null, symtab: true }),
      buildKernel({ table: false }),
    );
    return built.map(({ bytes, parts }) => ({ bytes: Buffer.from(bytes), parts }));
  },
  mutate({ bytes, parts }, random) {
    if (random.chance(1, 4)) return mutateElf(bytes, random);
    const copy = Buffer.from(bytes);
    for (let n = 1 + random.below(3); n > 0; n--) {
      const part = random.pick(parts);
      damageRange(copy, random, part.start, part.end);
    }
    return random.chance(1, 8) ? copy.subarray(0, random.below(copy.length + 1)) : copy;
  },
  run,
};

/** A static library as ar writes it. */
function library(members) {
  const parts = members.map((bytes, i) =>
    Buffer.concat([
      Buffer.from(`${`m${i}.o/`.padEnd(48)}${String(bytes.length).padEnd(10)}\`\n`),
      bytes,
      Buffer.alloc(bytes.length & 1, '\n'),
    ]),
  );
  return Buffer.concat([Buffer.from('!<arch>\n'), ...parts]);
}

export const packedTarget = {
  name: 'packed',
  async seeds() {
    const { bytes } = buildKernel({ keys: 4, sites: 10, kallsyms: { symbols: 20 } });
    const streams = [['gzip', gzipSync(bytes)]];
    for (const [name, make] of Object.entries({ bzip2, lz4, lzma, xz, zstd })) {
      const stream = await make(bytes);
      if (stream) streams.push([name, stream]);
    }
    const images = streams.flatMap(([name, stream]) => [
      Buffer.from(stream),
      Buffer.from(buildBzImage(stream, bytes.length, { trailer: name !== 'gzip' })),
    ]);
    return [...images, library([smallObject(), smallObject(), Buffer.from('text')])];
  },
  mutate(input, random) {
    const bytes = Buffer.from(input);
    const packed = bytes.length > 0x250 && bytes.readUInt16LE(0x1fe) === 0xaa55;
    // The setup header's fields, the stream's header, its end, and anywhere.
    const start = packed ? 5 * 512 + 128 : 0;
    const ranges = [
      [start, start + 24],
      [start, bytes.length],
      [start, bytes.length],
      [Math.max(0, bytes.length - (packed ? 120 : 20)), bytes.length],
      ...(packed
        ? [
            [0x1f1, 0x1f2],
            [0x1fe, 0x208],
            [0x248, 0x250],
          ]
        : []),
    ];
    for (let n = 1 + random.below(3); n > 0; n--) {
      const [from, to] = random.pick(ranges);
      damageRange(bytes, random, from, Math.min(to, bytes.length));
    }
    return random.chance(1, 6) ? bytes.subarray(0, random.below(bytes.length + 1)) : bytes;
  },
  run,
};
